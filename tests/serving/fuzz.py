"""Requests that went wrong on their way: endless, and the same again from the same seed.

The tests and `benchmarks/faults.py` take them from here.
"""

import collections
import http.client
import json
import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from tensorflow_serving.apis import predict_pb2

from rnnpt.serving import _tensor

NUM_VISIBLE = 88
_TOKENS = (b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"null", b"true", b"NaN", b"-Infinity",
           b"1e999", b"0.1", b"-1", b'{"b64":"aGk="}', b"\\ud800", b"\x00", b"\xff",
           b"\xef\xbb\xbf", b"/**/", b"9" * 40)
_NAMES = ("signature_name", "instances", "inputs", "frames", "length", "state", "b64", "", "é")


def valid_inputs(num_states: int = 3) -> dict[str, dict[str, np.ndarray]]:
    """A small request of each signature.

    Args:
        num_states: How wide the model's state is.

    Returns:
        Signature -> input -> array with a batch of one.
    """
    frames = np.zeros((1, 2, NUM_VISIBLE), np.float32)
    frames[0, 0, 40] = 1
    prime = {"frames": frames, "length": np.array([2], np.int32)}
    state = {"state": np.zeros((1, num_states), np.float32)}
    chance = {"seed": np.array([[1, 2]], np.int32), "temperature": np.ones(1, np.float32)}
    return {
        "serving_default": prime, "score": prime, "start": {"session": np.zeros(1, np.int32)},
        "step": {"frame": frames[:, 0]} | state | chance,
        "draw": state | chance,
        "generate": state | prime | {"num_steps": np.ones(1, np.int32)} | chance}


def valid_bodies(num_states: int = 3) -> list[bytes]:
    """A small REST body of each signature in each format.

    Args:
        num_states: How wide the model's state is.

    Returns:
        The bodies.
    """
    bodies: list[dict[str, Any]] = []
    for signature, inputs in valid_inputs(num_states).items():
        lists = {name: array.tolist() for name, array in inputs.items()}
        row = {name: value[0] for name, value in lists.items()}
        bodies += [{"signature_name": signature, "inputs": lists},
                   {"signature_name": signature, "instances": [row, row]}]
    return [json.dumps(body).encode() for body in bodies]


def valid_protos(num_states: int = 3, model_name: str = "chorales") -> list[bytes]:
    """A small PredictRequest of each signature, in bytes.

    Args:
        num_states: How wide the model's state is.
        model_name: The model to ask.

    Returns:
        The messages.
    """
    protos = []
    for signature, inputs in valid_inputs(num_states).items():
        for as_content in (False, True):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature
            for name, array in inputs.items():
                _tensor.fill_proto(request.inputs[name], array, as_content)
            protos.append(request.SerializeToString(deterministic=True))
    return protos


def mutated_bodies(seed: int, num_states: int = 3) -> Iterator[bytes]:
    """Makes bodies: most a valid one with a few bytes wrong, some JSON of any kind.

    Args:
        seed: Same seed, same bodies.
        num_states: How wide the model's state is.

    Yields:
        Bodies, without end.
    """
    source = random.Random(seed)
    valid = valid_bodies(num_states)
    while True:
        body = source.choice(valid)
        if source.random() < 0.25:
            text = json.dumps(_random_json(source, 0), ensure_ascii=source.random() < 0.5)
            body = text.encode("utf-8", "surrogatepass")
        if source.random() < 0.9:
            body = mutate(body, source)
        yield body


def random_protos(
    seed: int, num_states: int = 3, model_name: str = "chorales"
) -> Iterator[bytes]:
    """Makes PredictRequests in bytes: valid ones with a field or a few bytes wrong, and any bytes.

    Args:
        seed: Same seed, same bytes.
        num_states: How wide the model's state is.
        model_name: The model to ask.

    Yields:
        Bytes, without end.
    """
    source = random.Random(seed)
    valid = valid_protos(num_states, model_name)
    while True:
        kind = source.random()
        if kind < 0.1:
            yield source.randbytes(source.randrange(200))
        elif kind < 0.5:
            yield mutate(source.choice(valid), source, tokens=())
        else:
            request = predict_pb2.PredictRequest.FromString(source.choice(valid))
            _spoil(request, source)
            yield request.SerializeToString(deterministic=True)


def _spoil(request: predict_pb2.PredictRequest, source: random.Random) -> None:
    """Sets a field or two to what it must not be."""
    for _ in range(source.randint(1, 2)):
        if not request.inputs:
            return
        name = source.choice(sorted(request.inputs))
        tensor = request.inputs[name]
        kind = source.randrange(8)
        if kind == 0:
            tensor.dtype = source.choice([0, 1, 2, 3, 7, 9, 10, 14, 19, 101])
        elif kind == 1:
            tensor.tensor_shape.dim.add(size=source.choice([-2**63, -1, 0, 1, 3, 2**31, 2**62]))
        elif kind == 2:
            tensor.tensor_shape.unknown_rank = True
        elif kind == 3:
            tensor.tensor_content = source.randbytes(source.randrange(40))
        elif kind == 4:
            getattr(tensor, source.choice(["float_val", "int_val"])).append(source.choice([0, 7]))
        elif kind == 5:
            del request.inputs[name]
        elif kind == 6:
            request.inputs[source.choice(_NAMES)].CopyFrom(tensor)
        else:
            request.output_filter.append(source.choice(["state", "probabilities", "", "x"]))


def mutate(data: bytes, source: random.Random, tokens: tuple[bytes, ...] = _TOKENS) -> bytes:
    """Spoils bytes in one to three places.

    Args:
        data: The bytes.
        source: Where chance comes from.
        tokens: What may come in, besides single bytes.

    Returns:
        Other bytes, as a rule.
    """
    changed = bytearray(data)
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(changed) + 1)
        kind = source.randrange(6)
        if kind == 0:
            changed[at:at + 1] = bytes([source.randrange(256)])
        elif kind == 1:
            del changed[at:at + source.randint(1, 8)]
        elif kind == 2:
            changed[at:at] = source.randbytes(1)
        elif kind == 3:
            del changed[at:]
        elif kind == 4:
            start = source.randrange(len(changed) + 1)
            changed[at:at] = changed[start:start + source.randint(1, 30)]
        elif tokens:
            changed[at:at] = source.choice(tokens)
    return bytes(changed)


def _random_json(source: random.Random, depth: int) -> Any:
    kind = source.randrange(8 if depth < 5 else 5)
    if kind == 0:
        return source.choice([None, True, False])
    if kind == 1:
        return source.choice([0, 1, -1, 2**31, 2**63, 2**64, 10**25])
    if kind == 2:
        return source.choice([0.5, -0.0, 1e300, float("nan"), float("-inf")])
    if kind in (3, 4):
        return source.choice(["", "start", "score", "aGk=", "\u00e9\U0001f600", "\ud800"])
    if kind == 5:
        return [_random_json(source, depth + 1) for _ in range(source.randrange(5))]
    return {source.choice(_NAMES): _random_json(source, depth + 1)
            for _ in range(source.randrange(5))}


def reason_to_refuse(body: bytes) -> str | None:
    """Finds what is wrong with a body beyond doubt, by Python's own strict reading of JSON.

    Args:
        body: The body of a predict call to a model with this project's signatures.

    Returns:
        What is wrong; None if nothing is, or nothing that the two ways to read JSON agree about.
    """
    if b"Inf" in body or b"NaN" in body or body.startswith((b"\xef", b"\xbb", b"\xbf")):
        return None
    text = body.decode("utf-8", "surrogateescape").lstrip(" \t\n\r")
    try:
        document = json.JSONDecoder(object_pairs_hook=_unique).raw_decode(text)[0]
    except (RecursionError, _Doubtful):
        return None
    except ValueError:
        return "no JSON"
    if not isinstance(document, dict):
        return "no object"
    if document.get("signature_name", "") not in ("", *valid_inputs()):
        return "no such signature"
    if ("instances" in document) == ("inputs" in document):
        return "neither or both of instances and inputs"
    if "instances" in document and not (
            isinstance(document["instances"], list) and document["instances"]):
        return "instances that are no list, or none"
    return None


def ask_all(port: int, bodies: Iterable[bytes], model_name: str = "chorales",
            timeout_s: float = 20) -> collections.Counter:
    """Sends bodies to a server on this machine, one after the other over one connection.

    Args:
        port: REST's port.
        bodies: The bodies, an end to them.
        model_name: The model to ask.
        timeout_s: Seconds that an answer may take.

    Returns:
        (HTTP's status, whether the body is malformed beyond doubt) -> how many; the status is 0
        where the server ended the connection without an answer or took too long.
    """
    counts: collections.Counter = collections.Counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    for body in bodies:
        try:
            connection.request("POST", f"/v1/models/{model_name}:predict", body)
            response = connection.getresponse()
            response.read()
            status = response.status
        except (OSError, http.client.HTTPException):
            status = 0
            connection.close()
        counts[status, reason_to_refuse(body) is not None] += 1
    connection.close()
    return counts


class _Doubtful(Exception):
    """An object with equal names."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise _Doubtful
    return dict(pairs)
