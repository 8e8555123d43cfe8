"""REST's connections: what they send, how they keep time, how threads share them."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from rnnpt.serving import _rest_connection
from rnnpt.serving._address import Address
from rnnpt.serving._rest_transport import RestTransport
from rnnpt.serving._transport import Signature, Target, TensorSpec
from rnnpt.serving.client import (
    Client,
    DeadlineExceeded,
    InvalidArgument,
    Retry,
    ServingError,
    Unavailable,
)
from rnnpt.serving.error import Unimplemented

FLOAT = np.dtype(np.float32)
STATUS = b'{"model_version_status": []}'
ONCE = Retry(num_attempts=1)


def answer_of(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d Told\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


def read_request(connection: socket.socket) -> bytes:
    """A request's body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n")
               if line.startswith(b"content-length")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += receive(connection)
    return body


def receive(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError
    return data


@pytest.fixture
def serve() -> Iterator[Callable]:
    """Starts a server that does with each connection what the test says."""
    stopping: list[Callable] = []

    def start(handle: Callable) -> str:
        listening = socket.create_server(("127.0.0.1", 0))

        def listen() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    try:
                        handle(connection)
                    except OSError:
                        pass

        thread = threading.Thread(target=listen)
        thread.start()
        stopping.append(thread.join)
        stopping.append(listening.close)
        stopping.append(lambda: listening.shutdown(socket.SHUT_RDWR))
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield start
    for stop in stopping[::-1]:
        stop()


def predict(url: str, inputs: dict[str, np.ndarray], outputs: dict[str, TensorSpec]) -> dict:
    transport = RestTransport(Address("http", url.removeprefix("http://")))
    signature = Signature(
        {name: TensorSpec(value.dtype, (None,) * value.ndim) for name, value in inputs.items()},
        outputs)
    try:
        return transport.predict(Target("m", 4), "s", signature, inputs, 10)
    finally:
        transport.close()


def test_requests_are_rows_without_blanks(serve) -> None:
    bodies = []

    def handle(connection: socket.socket) -> None:
        bodies.append(read_request(connection))
        connection.sendall(answer_of(b'{"predictions": [1, 2]}'))

    inputs = {"x": np.float32([[0.1, 1], [3e-8, 0]]), "n": np.int32([1, 2])}
    outputs = predict(serve(handle), inputs, {"y": TensorSpec(FLOAT, (None,))})
    assert outputs["y"].tolist() == [1, 2] and outputs["y"].dtype == FLOAT
    # Nine digits, enough for 32 bits.
    assert bodies == [b'{"signature_name":"s","instances":[{"x":[0.100000001,1.0],"n":1},'
                      b'{"x":[2.99999989e-08,0.0],"n":2}]}']


@pytest.mark.parametrize("inputs", [
    {"x": np.float32([[1], [2]]), "n": np.int32([1])},
    {"x": np.float32([1, 2]), "n": np.int32(1)},
    {"x": np.zeros((0, 2), np.float32), "n": np.zeros(0, np.int32)},
])
def test_inputs_without_common_rows_are_columns(serve, inputs) -> None:
    bodies = []

    def handle(connection: socket.socket) -> None:
        bodies.append(json.loads(read_request(connection)))
        connection.sendall(answer_of(b'{"outputs": [[1]]}'))

    predict(serve(handle), inputs, {"y": TensorSpec(FLOAT, (None, 1))})
    assert bodies[0]["inputs"] == {name: value.tolist() for name, value in inputs.items()}


def test_frames_without_steps_keep_their_width(serve) -> None:
    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer_of(b'{"predictions": [{"frames": [], "state": [0.5]}]}'))

    outputs = predict(serve(handle), {"x": np.float32([1])}, {
        "frames": TensorSpec(FLOAT, (None, None, 88)), "state": TensorSpec(FLOAT, (None, 1))})
    assert outputs["frames"].shape == (1, 0, 88)
    assert outputs["state"].tolist() == [[0.5]]


def test_strings_are_refused_over_rest() -> None:
    with pytest.raises(Unimplemented, match="inputs must be numbers over REST, got strings"):
        predict("http://127.0.0.1:1", {"x": np.array([b"a"], object)}, {})


def test_row_45_answers_of_megabytes_arrive(serve) -> None:
    values = np.random.default_rng(0).random((200, 2000)).astype(np.float32)
    body = json.dumps({"predictions": values.tolist()}).encode()
    assert len(body) > 5_000_000

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer_of(body))

    outputs = predict(serve(handle), {"x": np.float32([1])}, {"y": TensorSpec(FLOAT, (None, None))})
    np.testing.assert_array_equal(outputs["y"], values)


@pytest.mark.parametrize("sent", [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_an_answer_that_trickles_ends_at_the_deadline(serve, sent: bytes) -> None:
    ended = threading.Event()

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(sent)
        # Each piece comes in time, the whole never does.
        for _ in range(200):
            connection.sendall(b"x")
            if ended.wait(0.05):
                return

    with Client(serve(handle), timeout_s=0.4, retry=ONCE) as client:
        with pytest.raises(DeadlineExceeded, match="must answer in timeout_s, got nothing in 0"):
            client.status()
    ended.set()


def test_a_connection_that_does_not_open_is_unavailable(monkeypatch) -> None:
    def never(*arguments, **options):
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", never)
    with Client("http://127.0.0.1:1", retry=ONCE) as client:
        with pytest.raises(Unavailable, match="got: no connection in 5 s"):
            client.status()


def test_connections_send_at_once(serve) -> None:
    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer_of(STATUS))
        connection.recv(1)

    with Client(serve(handle)) as client:
        client.status()
        connected = client._driver.transports[0]._pool._idle[0]._http.sock
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="not on this system")
def test_each_piece_of_an_answer_is_acknowledged_at_once(serve, monkeypatch) -> None:
    wishes, pieces = [], threading.Semaphore(0)

    class Reader(_rest_connection._Reader):
        def readinto(self, buffer):
            count = super().readinto(buffer)
            wishes.append(self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK))
            pieces.release()
            return count

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        answer = answer_of(STATUS)
        connection.sendall(answer[:-3])
        pieces.acquire(timeout=10)
        connection.sendall(answer[-3:])
        connection.recv(1)  # a farewell that comes before the system is asked ends its wish

    monkeypatch.setattr(_rest_connection, "_Reader", Reader)
    with Client(serve(handle)) as client:
        client.status()
    assert len(wishes) == 2 and all(wishes)


def test_threads_have_connections_of_their_own(serve) -> None:
    together = threading.Barrier(3)

    def answer(connection: socket.socket) -> None:
        with connection:
            read_request(connection)
            # No answer before every thread has asked.
            together.wait(20)
            connection.sendall(answer_of(STATUS))

    def handle(connection: socket.socket) -> None:
        copy = connection.dup()
        answering.append(threading.Thread(target=answer, args=(copy,)))
        answering[-1].start()

    answering: list[threading.Thread] = []
    found: list = []
    with Client(serve(handle), timeout_s=20) as client:
        asking = [threading.Thread(target=lambda: found.append(client.status())) for _ in range(3)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert found == [[]] * 3
        pool = client._driver.transports[0]._pool
        assert len(pool._idle) == 3
    for thread in answering:
        thread.join()
    assert not pool._idle


def test_no_more_connections_are_kept_than_are_of_use() -> None:
    pool = _rest_connection.Pool(Address("http", "127.0.0.1:1"), None)
    taken = [pool.take() for _ in range(40)]
    for connection in taken:
        pool.give_back(connection)
    assert len(pool._idle) == 16
    pool.close()
    pool.give_back(taken[0])
    assert not pool._idle


def test_a_connection_that_breaks_once_too_often_is_unavailable(serve) -> None:
    counts = []

    def handle(connection: socket.socket) -> None:
        counts.append(1)
        read_request(connection)

    with Client(serve(handle), retry=ONCE) as client:
        with pytest.raises(Unavailable, match="got: Remote end closed connection"):
            client.status()
    assert len(counts) == 1, "it was new"


@pytest.mark.parametrize(("status", "body", "error", "message"), [
    (400, b'{"error": "bad"}', InvalidArgument, "^bad$"),
    (503, b'{"error": "full"}', Unavailable, "^full$"),
    (502, b"<html>", Unavailable, "answers 502 to GET /v1/models/chorales"),
    (418, b"", ServingError, "answers 418 to GET"),
    (200, b"[" * 100_000, ServingError, "must answer as TensorFlow Serving does, got "),
    (200, b"[]", ServingError, r"got b'\[\]': is that its REST port\?"),
    (200, b'{"model_version_status": [3]}', ServingError, "got (TypeError|AttributeError)"),
    (200, b'{"model_version_status": [{"version": "x", "state": ""}]}', ServingError,
     "got ValueError: invalid literal"),
])
def test_answers_that_are_no_status_are_told(serve, status, body, error, message) -> None:
    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer_of(body, status))

    with Client(serve(handle), retry=ONCE) as client:
        with pytest.raises(error, match=message):
            client.status()


@pytest.mark.parametrize("body", [
    b'{"metadata": {}}', b'{"model_spec": {"name": "m", "version": "1"}, "metadata": '
    b'{"signature_def": {"signature_def": []}}}'])
def test_answers_that_are_no_metadata_are_told(serve, body: bytes) -> None:
    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer_of(body))

    with Client(serve(handle), retry=ONCE) as client:
        with pytest.raises(ServingError, match="got (KeyError|AttributeError): "):
            client.metadata()


def test_outputs_that_are_missing_are_told(serve) -> None:
    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer_of(b'{"predictions": [{"y": 1}]}'))

    with pytest.raises(ServingError, match="got KeyError: 'z'"):
        predict(serve(handle), {"x": np.float32([1])}, {
            "y": TensorSpec(FLOAT, (None,)), "z": TensorSpec(FLOAT, (None,))})


def test_a_call_that_was_given_up_is_cancelled(serve) -> None:
    asked = threading.Event()

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        asked.set()
        assert connection.recv(1) == b"", "hung up"

    url = serve(handle)
    connection = _rest_connection.Connection(Address("http", url.removeprefix("http://")), None)
    ended: list[Exception] = []

    def ask() -> None:
        try:
            connection.exchange("GET", "/", None, 20)
        except ServingError as error:
            ended.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert asked.wait(20)
    connection.abort()
    asking.join()
    assert [str(error) for error in ended] == [f"the call of {url} was given up"]
    assert ended[0].code == "CANCELLED"


def test_a_call_given_up_before_it_was_sent_is_not_sent(serve) -> None:
    sent = []
    url = serve(lambda connection: sent.append(read_request(connection)))
    connection = _rest_connection.Connection(Address("http", url.removeprefix("http://")), None)
    connection.abort()
    with pytest.raises(ServingError, match="was given up"):
        connection.exchange("GET", "/", None, 20)
    assert not sent


def test_time_that_is_over_is_told() -> None:
    with pytest.raises(TimeoutError):
        _rest_connection._left_s(time.monotonic())
