"""The client over both wires, against the embedded server."""

import asyncio
import io
import socket
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pretty_midi
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from rnnpt import serving
from rnnpt.music import pianoroll_midi
from rnnpt.music.piano_roll import PianoRoll, onsets_of
from rnnpt.serving import _wire
from rnnpt.serving import client as client_module
from rnnpt.serving._argument import check_inputs
from rnnpt.serving._grpc_message import METADATA
from rnnpt.serving._transport import Metadata, Signature, Target, TensorSpec, VersionStatus
from rnnpt.serving.client import (
    AsyncClient,
    Cancelled,
    Client,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Retry,
    ServingError,
    Unavailable,
)
from tests.serving.fake_server import FakeServer


def random_frames(num_rows: int, num_steps: int) -> np.ndarray:
    return (np.random.default_rng(1).random((num_rows, num_steps, 88)) < 0.05).astype(np.float32)


def test_client_starts_in_a_process_without_tensorflow() -> None:
    code = """
        import sys
        from rnnpt.serving import Client
        Client("localhost:8500")
        Client("http://localhost:8501")
        heavy = {"tensorflow", "keras", "tensorflow_serving", "note_seq", "pretty_midi", "scipy"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_exported_names_exist() -> None:
    assert all(hasattr(client_module, name) for name in client_module.__all__)
    for name in serving.__all__:
        assert getattr(serving, name) is getattr(client_module, name)
    with pytest.raises(AttributeError, match="has no attribute 'Sever'"):
        serving.Sever


def test_the_package_alone_imports_neither_client_nor_server() -> None:
    code = "import sys, rnnpt.serving; assert not {'grpc', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_generate_is_what_as_many_steps_give(client: Client) -> None:
    prime = random_frames(2, 5)
    generated = client.generate(prime, num_steps=[4, 2], seed=7, temperature=[1.0, 0.5])
    assert generated.length.tolist() == [4, 2]
    assert not generated.frames[1, 2:].any()
    state = client.start(2)
    for step in range(5):
        state = client.step(prime[:, step], state, seed=0).state
    # Generation's own first draw is made before it hears anything new: hear its frames.
    for step in range(4):
        row = client.step(generated.frames[:1, step], state[:1], seed=[[7, 0]])
        state = np.concatenate([row.state, state[1:]])
    np.testing.assert_allclose(state[0], generated.state[0], atol=1e-5)


def test_generate_goes_on_from_a_state_without_a_prime(client: Client) -> None:
    first = client.generate(random_frames(1, 3), num_steps=2, seed=1)
    second = client.generate(num_steps=3, seed=2, state=first.state)
    state = first.state
    for frame in second.frames[0]:
        state = client.step(frame[np.newaxis], state, seed=0).state
    np.testing.assert_allclose(state, second.state, atol=1e-5)


def test_a_session_hears_a_prime_that_is_longer_than_a_request(client: Client) -> None:
    prime = random_frames(1, 100)[0]
    session = client.session(prime, seed=5, temperature=0.7)
    drawn = [session.step(), *session.generate(3)]
    state = client.start()
    for frame in prime:
        state = client.step(frame[np.newaxis], state, seed=0).state
    first = client.generate(num_steps=1, seed=[[5, 100]], temperature=0.7, state=state)
    rest = client.generate(num_steps=3, seed=[[5, 101]], temperature=0.7, state=first.state)
    np.testing.assert_array_equal(drawn, [*first.frames[0], *rest.frames[0]])
    np.testing.assert_array_equal(session.frames, [*prime, *drawn])


def test_rows_do_not_depend_on_their_neighbours(client: Client) -> None:
    prime = random_frames(3, 4)
    seeds = [[1, 2], [3, 4], [5, 6]]
    together = client.generate(prime, num_steps=6, seed=seeds)
    for row in range(3):
        alone = client.generate(prime[row:row + 1], num_steps=6, seed=seeds[row:row + 1])
        np.testing.assert_array_equal(alone.frames[0], together.frames[row])


def test_both_wires_give_the_same_floats(server) -> None:
    prime = random_frames(2, 3)
    over_grpc = Client(f"127.0.0.1:{server.port}")
    over_rest = Client(f"http://127.0.0.1:{server.rest_api_port}")
    for name in ("serving_default", "score"):
        inputs = {"frames": prime, "length": [3, 2]}
        first, second = over_grpc.predict(inputs, name), over_rest.predict(inputs, name)
        assert first.keys() == second.keys()
        for output, value in first.items():
            np.testing.assert_array_equal(value, second[output])
            assert value.dtype == second[output].dtype
    over_grpc.close()
    over_rest.close()


def test_score_counts_the_frames_it_is_told(client: Client) -> None:
    frames = random_frames(2, 3)
    scored = client.score(frames, length=[3, 1])
    assert scored.frames_scored.tolist() == [3, 1]
    np.testing.assert_allclose(scored.log_likelihood, -frames.sum((1, 2)))


def test_metadata_tells_the_six_signatures(client: Client) -> None:
    metadata = client.metadata()
    assert (metadata.model_name, metadata.version) == ("chorales", 1)
    assert set(metadata.signatures) >= {
        "serving_default", "start", "step", "draw", "generate", "score"}
    step = metadata.signatures["step"]
    assert step.inputs["frame"] == TensorSpec(np.dtype(np.float32), (None, 88))
    assert step.outputs["state"] == TensorSpec(np.dtype(np.float32), (None, 3))


def test_status_tells_the_version(client: Client) -> None:
    assert client.status() == [VersionStatus(1, "AVAILABLE", "")]


def test_continue_midi_keeps_the_opening_and_its_tempo(client: Client) -> None:
    frames = np.zeros((4, 88), np.uint8)
    frames[:, 39] = 1
    onsets = np.zeros_like(frames)
    onsets[[0, 2], 39] = 1
    opening = PianoRoll(frames, onsets, 1, 90.0)
    data = client.continue_midi(pianoroll_midi.pianoroll_to_midi(opening), num_steps=8, seed=3)
    roll = pianoroll_midi.midi_to_pianoroll(data, 1)
    np.testing.assert_array_equal(roll.frames[:4], frames)
    np.testing.assert_array_equal(roll.onsets[:4], onsets)
    generated = client.generate(frames[np.newaxis].astype(np.float32), num_steps=8, seed=3)
    expected = np.concatenate([frames, generated.frames[0].astype(np.uint8)])
    np.testing.assert_array_equal(roll.frames, expected[:len(roll.frames)])
    assert not expected[len(roll.frames):].any()
    tempo = pretty_midi.PrettyMIDI(io.BytesIO(data)).get_tempo_changes()[1][0]
    assert tempo == pytest.approx(90, abs=0.01)


def test_continue_midi_takes_another_tempo_and_grid(client: Client) -> None:
    frames = np.zeros((4, 88), np.uint8)
    frames[:, 39] = 1
    opening = PianoRoll(frames, onsets_of(frames), 2, 90.0)
    data = client.continue_midi(pianoroll_midi.pianoroll_to_midi(opening), num_steps=8, seed=3,
                                steps_per_quarter=2, qpm=75)
    roll = pianoroll_midi.midi_to_pianoroll(data, 2)
    np.testing.assert_array_equal(roll.frames[:4], frames)
    assert roll.qpm == pytest.approx(75, abs=0.01)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"data": b"no music"}, "source must be a MIDI file"),
    ({"data": "opening.mid"}, "data must be the bytes of a MIDI file, got str: read the file"),
    ({"steps_per_quarter": 0}, "steps_per_quarter must .*got 0"),
    ({"steps_per_quarter": 1.5}, "steps_per_quarter must .*got"),
    ({"qpm": 0.0}, "qpm must lie between 4 and 1000.*got 0"),
])
def test_midi_that_cannot_be_continued_is_of_the_same_tree(client, arguments, message) -> None:
    frames = np.ones((2, 88), np.uint8)
    opening = PianoRoll(frames, onsets_of(frames))
    arguments = {"data": pianoroll_midi.pianoroll_to_midi(opening)} | arguments
    with pytest.raises(InvalidArgument, match=message):
        client.continue_midi(**arguments)


def test_a_closed_client_is_told(client: Client) -> None:
    client.status()
    session = client.session()
    client.close()
    for call in (client.status, client.start, client.wait_until_ready, session.step,
                 lambda: next(client.stream())):
        with pytest.raises(FailedPrecondition, match="client must be open, got a closed one: make "
                                                     "another"):
            call()
    client.close()


def test_threads_share_a_client(client: Client) -> None:
    answers: dict[int, list] = {}

    def ask(length: int) -> None:
        answers[length] = [client.score(random_frames(1, length)).frames_scored[0]
                           for _ in range(5)]

    asking = [threading.Thread(target=ask, args=(length,)) for length in range(1, 9)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert answers == {length: [length] * 5 for length in range(1, 9)}


def test_closing_a_client_ends_the_grpc_calls_of_other_threads() -> None:
    ended: list[ServingError] = []

    def ask() -> None:
        try:
            client.status()
        except ServingError as error:
            ended.append(error)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(f"127.0.0.1:{silent.getsockname()[1]}", timeout_s=20)
        asking = threading.Thread(target=ask)
        asking.start()
        connection, _ = silent.accept()
        client.close()
        asking.join(20)
        connection.close()
    assert [error.code for error in ended] == ["CANCELLED"]
    with pytest.raises(Cancelled, match="the client of .* must stay open during a call, got "
                                        "closed"):
        client._driver.transports[0].status(Target("chorales"), 1)


@pytest.mark.parametrize(("call", "message"), [
    (lambda c: c.score(np.full((1, 2, 88), np.nan)),
     r"frames must be finite in float32, got nan at \[0, 0, 0\]"),
    (lambda c: c.score(np.full((1, 2, 88), 1e300)), "frames must be finite in float32, got 1e"),
    (lambda c: c.score(np.zeros((1, 2, 87))),
     r"frames must have the shape \(any, any, 88\), got \(1, 2, 87\)"),
    (lambda c: c.score(np.zeros((2, 88))),
     r"frames must have the shape \(B, T, V\), got \(2, 88\)"),
    (lambda c: c.score(np.zeros((1, 2, 88)), length=3), r"length must be from 0 to 2.*got \[3\]"),
    (lambda c: c.score([[["x"] * 88]]), "frames must be float32, got <U1"),
    (lambda c: c.step(np.zeros((1, 88)), np.zeros((2, 3)), seed=0),
     r"inputs must have one number of rows, got \{.*'frame': 1"),
    (lambda c: c.generate(np.zeros((1, 2, 88)), num_steps=2.5), "num_steps must be int32, got 2.5"),
    (lambda c: c.generate(np.zeros((1, 2, 88)), num_steps=[1, 2]),
     r"num_steps must be a number or have the shape \(1,\), got \(2,\)"),
    (lambda c: c.generate(np.zeros((1, 2, 88)), seed=2**40),
     "seed must be int32, got 1099511627776"),
    (lambda c: c.generate(np.zeros((1, 2, 88)), seed=[1, 2, 3]),
     r"seed must be a number or have the shape \(1, 2\), got \(3,\)"),
    (lambda c: c.score([[[0, 1], [0]]]),
     "frames must be an array, got lists that make none .*: pad the short ones"),
    (lambda c: c.predict({"frames": np.zeros((1, 2, 88)), "length": [[1], [1, 2]]}),
     "length must be an array, got lists"),
    (lambda c: c.start(0), "batch_size must be at least 1, got 0"),
    (lambda c: c.predict({"x": 1}), r"inputs must be \['frames', 'length'\], got \['x'\]"),
    (lambda c: c.predict({}, "nosuch"), "signature_name must be one of .*got 'nosuch'"),
])
def test_bad_arguments_are_refused_in_one_line(client: Client, call, message) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        call(client)
    assert "\n" not in str(caught.value)


def test_the_graph_refuses_what_only_it_knows(client: Client) -> None:
    with pytest.raises(InvalidArgument, match="frames must have at most 64 steps"):
        client.score(random_frames(1, 65))


def test_unknown_model_is_not_found(server) -> None:
    for target in (f"127.0.0.1:{server.port}", f"http://127.0.0.1:{server.rest_api_port}"):
        with Client(target, "nope") as client, pytest.raises(NotFound, match=r"Latest\(nope\)"):
            client.start()
        with Client(target, version=9) as client:
            with pytest.raises(NotFound, match=r"Specific\(chorales, 9\)"):
                client.start()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_nobody_there_is_unavailable(scheme: str) -> None:
    with Client(f"{scheme}127.0.0.1:{free_port()}") as client:
        with pytest.raises(Unavailable, match="a server must answer at .*127.0.0.1"):
            client.status()
        with pytest.raises(DeadlineExceeded, match="within timeout_s=0.1, got: a server must"):
            client.wait_until_ready(timeout_s=0.1)


def test_a_call_that_the_server_cancels_is_tried_again() -> None:
    class Stopping(model_service_pb2_grpc.ModelServiceServicer):
        asked = 0

        def GetModelStatus(self, request, context):
            self.asked += 1
            if self.asked % 2 == 1:
                context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
            return get_model_status_pb2.GetModelStatusResponse()

    async def ask() -> list:
        async with AsyncClient(f"127.0.0.1:{port}") as client:
            return await client.status()

    server, servicer = grpc.server(ThreadPoolExecutor(1)), Stopping()
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"127.0.0.1:{port}") as client:
        assert client.status() == []
    assert asyncio.run(ask()) == []
    assert servicer.asked == 4
    with Client(f"127.0.0.1:{port}", retry=Retry(num_attempts=1)) as client, pytest.raises(
            Unavailable, match="a server must answer at 127.*, got: CANCELLED"):
        client.status()
    server.stop(None)


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_silence_ends_at_the_deadline(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"{scheme}127.0.0.1:{silent.getsockname()[1]}"
        with Client(target, timeout_s=0.2) as client, pytest.raises(
                (DeadlineExceeded, Unavailable)):
            client.status()


def test_rest_opens_a_connection_again_that_the_server_closed(server) -> None:
    with Client(f"http://127.0.0.1:{server.rest_api_port}") as client:
        client.status()
        client._driver.transports[0]._pool._idle[0]._http.sock.shutdown(socket.SHUT_RDWR)
        assert client.status()[0].version == 1


def test_an_answer_that_is_not_tensorflow_servings_is_told(server) -> None:
    with Client(f"http://127.0.0.1:{server.rest_api_port}/elsewhere") as client:
        with pytest.raises(ServingError, match="answers 404 to GET /v1/models/chorales"):
            client.status()


def test_an_answer_that_is_no_json_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")

        answering = threading.Thread(target=answer)
        answering.start()
        with Client(f"http://127.0.0.1:{listening.getsockname()[1]}") as client:
            with pytest.raises(ServingError, match="must answer as TensorFlow Serving does, got "
                                                   "b'<html>'"):
                client.status()
        answering.join()


def test_metadata_of_another_type_is_told(server) -> None:
    with Client(f"127.0.0.1:{server.port}") as client:
        response = _wire.GetModelMetadataResponse()
        response.metadata["signature_def"].type_url = "type.googleapis.com/other.Type"
        calls = client._driver.transports[0]._calls
        calls[METADATA.path] = lambda request, timeout: response
        with pytest.raises(ServingError, match="metadata must hold a tensorflow.serving."
                                               "SignatureDefMap, got 'type.*other.Type'"):
            client.metadata()


def test_strings_travel_as_bytes() -> None:
    signature = Signature({"x": TensorSpec(np.dtype(object), (None,))}, {})
    arrays = check_inputs({"x": ["grün", b"\xff"]}, signature)
    assert arrays["x"].tolist() == ["grün".encode(), b"\xff"]
    with pytest.raises(InvalidArgument, match="x must hold strings, got 3: write it as one"):
        check_inputs({"x": [3]}, signature)


class FakeTransport:
    """Tells metadata from a list, one after the other."""

    def __init__(self, *widths: int):
        self.widths = list(widths)
        self.sent: list = []

    def metadata(self, target, timeout_s):
        spec = TensorSpec(np.dtype(np.float32), (None, self.widths.pop(0)))
        return Metadata("chorales", 1, {"serving_default": Signature({"x": spec}, {"y": spec})})

    def predict(self, target, signature_name, signature, inputs, timeout_s):
        self.sent.append(inputs)
        return {"y": inputs["x"]}

    def close(self) -> None:
        pass


def test_a_replaced_model_is_asked_again_before_an_input_is_refused() -> None:
    transport = FakeTransport(2, 3)
    client = Client("fake:1", transport=transport)
    client.predict({"x": np.zeros((1, 2))})
    client.predict({"x": np.zeros((1, 3))})
    assert [sent["x"].shape for sent in transport.sent] == [(1, 2), (1, 3)]


def test_generate_keeps_to_one_version_while_a_newer_one_comes() -> None:
    server = FakeServer(versions=[1])
    server.before = lambda method: server.versions.append(2) if method == "generate" else None
    with Client("fake", transport=server) as client:
        assert client.generate(num_steps=3).length.tolist() == [3]
        assert server.calls == [("metadata", None), ("start", 1), ("generate", 1)]
        client.generate(num_steps=1)
        assert server.calls[3:] == [("metadata", None), ("start", 2), ("generate", 2)]


def test_servers_of_two_versions_generate_together() -> None:
    servers = [FakeServer(versions=[1]), FakeServer(versions=[2])]
    with Client("fake", transport=servers) as client:
        for _ in range(4):
            assert client.generate(num_steps=3).length.tolist() == [3]


def test_generate_begins_again_with_the_version_that_replaces_its_own() -> None:
    server = FakeServer(versions=[1])

    def replace(method: str) -> None:
        if method == "generate":
            server.versions[:] = [2]

    server.before = replace
    with Client("fake", transport=server) as client:
        assert client.generate(num_steps=3).state.tolist() == [[2, 3]]
        server.errors = [None, NotFound("no such version")] * 2
        with pytest.raises(NotFound, match="no such version"):
            client.generate(num_steps=3)
