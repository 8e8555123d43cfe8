"""REST answers whatever comes, and never with 200 what is malformed."""

import itertools
import json
import random

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2

from rnnpt.serving import _predict, _rest
from rnnpt.serving.error import ServingError
from tests.serving import fuzz
from tests.serving.rest_stub import StubManager, rest_stub

PREDICT = "/v1/models/chorales:predict"
VALID = fuzz.valid_bodies()
NAMES = st.sampled_from(["signature_name", "instances", "inputs", "session", "b64", "frames", ""])
SCALARS = (st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats()
           | st.sampled_from(["", "start", "score", "generate", "aGk="]) | st.text(max_size=5))
DOCUMENTS = st.dictionaries(NAMES, st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12), max_size=4)


@pytest.fixture(scope="module")
def manager(server):
    return server._manager


def check(manager, body: bytes) -> int:
    answer = _rest.answer_call(manager, "POST", PREDICT, body)
    assert answer.code != "INTERNAL", (body, answer)
    assert answer.status in (200, 400, 501), (body, answer)
    reason = fuzz.reason_to_refuse(body)
    assert reason is None or answer.status != 200, (reason, body)
    # An answer is JSON, whatever was asked; Python's reader takes its NaN and Infinity.
    document = json.loads(answer.body.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    assert list(document) == (
        ["error"] if answer.status != 200 else
        ["outputs"] if b'"inputs"' in body and "outputs" in document else ["predictions"])
    return answer.status


@pytest.mark.parametrize("body", VALID)
def test_what_the_fuzz_starts_from_is_answered(manager, body) -> None:
    assert check(manager, body) == 200
    assert fuzz.reason_to_refuse(body) is None


@pytest.mark.parametrize(("body", "reason"), [
    (b"", "no JSON"), (b"{", "no JSON"), (b'{"inputs":1,}', "no JSON"), (b"[]", "no object"),
    (b'{"signature_name":"x","inputs":1}', "no such signature"),
    (b'{"signature_name":1,"inputs":1}', "no such signature"),
    (b"{}", "neither or both of instances and inputs"),
    (b'{"inputs":1,"instances":[1]}', "neither or both of instances and inputs"),
    (b'{"instances":[]}', "instances that are no list, or none"),
    (b'{"inputs":1} and more', None), (b'{"inputs":[Inf]}', None), (b'{"a":1,"a":2}', None)])
def test_what_is_malformed_beyond_doubt(manager, body, reason) -> None:
    assert fuzz.reason_to_refuse(body) == reason
    assert check(manager, body) == 400


@settings(derandomize=True, max_examples=300, deadline=None)
@given(document=DOCUMENTS, is_ascii=st.booleans())
def test_json_of_any_kind_is_answered(manager, document, is_ascii) -> None:
    text = json.dumps(document, ensure_ascii=is_ascii)
    check(manager, text.encode("utf-8", "surrogatepass"))


@settings(derandomize=True, max_examples=300, deadline=None)
@given(body=st.sampled_from(VALID), edits=st.lists(
    st.tuples(st.integers(0, 3), st.floats(0, 1), st.binary(max_size=3)), min_size=1, max_size=4))
def test_bodies_with_bytes_wrong_are_answered(manager, body, edits) -> None:
    for kind, place, new in edits:
        at = round(place * len(body))
        end = {0: at, 1: at + len(new), 2: at + 1, 3: len(body)}[kind]
        body = body[:at] + new + body[end:]
    check(manager, body)


def test_generated_bodies_are_answered(manager) -> None:
    statuses = [check(manager, body) for body in itertools.islice(fuzz.mutated_bodies(0), 400)]
    assert {200, 400} <= set(statuses)


def test_generated_bodies_are_answered_over_a_socket(server) -> None:
    counts = fuzz.ask_all(
        server.rest_api_port, itertools.islice(fuzz.mutated_bodies(1), 200))
    assert sum(counts.values()) == 200
    assert {status for status, _ in counts} <= {200, 400, 501}
    assert not counts[200, True]
    assert counts[200, False] and counts[400, True]


def test_a_server_that_is_gone_is_counted() -> None:
    with rest_stub() as stub:
        pass
    assert fuzz.ask_all(stub.port, [b"{}"]) == {(0, True): 1}


@settings(derandomize=True, max_examples=300, deadline=None)
@given(verb=st.sampled_from(["GET", "POST", "OPTIONS", "HEAD", "PUT", "x"]),
       path=st.text(st.characters(min_codepoint=33, max_codepoint=126)), body=st.binary())
def test_any_path_is_answered(verb, path, body) -> None:
    stub = StubManager()
    for prefix in ("", "/", "/v1/models", "/v1/models/", "/v1/models/m", "/v1/models/m/versions/",
                   "/v1/models/m/labels/", "/v1/models/m:"):
        answer = _rest.answer_call(stub, verb, prefix + path, body, path)
        assert answer.code != "INTERNAL", answer
        # The status page of the one model there is; any origin's OPTIONS.
        assert answer.status != 200 or verb == "OPTIONS" or "m" in stub.asked


def test_generated_protos_are_answered(manager) -> None:
    outcomes = set()
    for data in itertools.islice(fuzz.random_protos(0), 400):
        try:
            _predict.predict(manager, predict_pb2.PredictRequest.FromString(data))
            outcomes.add("OK")
        except (DecodeError, ServingError) as error:
            outcomes.add(getattr(error, "code", "no message"))
    assert {"OK", "no message", "INVALID_ARGUMENT"} <= outcomes
    assert "INTERNAL" not in outcomes


def test_the_same_seed_gives_the_same_requests() -> None:
    for make in (fuzz.mutated_bodies, fuzz.random_protos):
        first, again, other = (list(itertools.islice(make(seed), 30)) for seed in (7, 7, 8))
        assert first == again
        assert first != other
    assert fuzz.mutate(b"", random.Random(0)) is not None
