"""REST against clients that send too much, too slowly, too often, or what is no HTTP."""

import concurrent.futures
import contextlib
import gzip
import http.client
import json
import select
import socket
import threading
import time
import weakref

import pytest

from rnnpt.serving import _rest_front
from rnnpt.serving._bounded_executor import BoundedExecutor
from rnnpt.serving._html import error_page
from rnnpt.serving.client import Client, Retry
from rnnpt.serving.error import Unavailable
from rnnpt.serving.server import ModelServer, ServerOptions
from tests.serving.rest_stub import RestStub, read_all, rest_stub

STATUS = b"GET /v1/models/m HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def stub():
    with rest_stub(rest_api_max_body_bytes=10_000) as stub:
        yield stub


def refusal(data: bytes) -> tuple[bytes, str]:
    """The status line and the page of an answer that ends the connection."""
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"connection: close" in head and b"content-type: text/html" in head
    return head.split(b"\r\n")[0], body.decode()


@pytest.mark.parametrize("data", [
    b"nonsense\r\n\r\n",
    b"GET /v1/models/m HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET /v1/models/m HTTP/1.1\r\nHost: a\r\n b: folded without a start\r\nc\r\n\r\n",
    b"GET /v1/models/\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/models/a\x00b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/models/m HTTP/3.7\r\n\r\n",
    # A proxy in front may read other requests from these than we: none is taken.
    b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n"
    b"\r\nhello!",
    b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
    b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + STATUS,
    b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
])
def test_what_is_no_http_is_a_page_and_the_end(stub, data) -> None:
    before = len(stub.manager.asked)
    line, page = refusal(stub.raw(data))
    assert (line, page) == (b"HTTP/1.1 400 Bad Request", error_page(400))
    assert len(stub.manager.asked) == before


def test_an_unknown_transfer_encoding_is_refused(stub) -> None:
    answer = stub.raw(b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\n"
                      b"Transfer-Encoding: xchunked\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("head", [
    b"GET /v1/models/" + b"a" * 70_000 + b" HTTP/1.1\r\n",
    b"GET /v1/models/m HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000 + b"\r\n",
    b"GET /v1/models/m HTTP/1.1\r\n" + b"X: a\r\n" * 12_000,
])
def test_a_head_that_is_too_long_is_413(stub, head) -> None:
    line, page = refusal(stub.raw(head))
    assert (line, page) == (b"HTTP/1.1 413 Request Entity Too Large", error_page(413))


def test_a_body_that_is_too_long_is_413_before_it_is_sent(stub) -> None:
    line, page = refusal(stub.raw(b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\n"
                                  b"Content-Length: 10001\r\n\r\n"))
    assert (line, page) == (b"HTTP/1.1 413 Request Entity Too Large", error_page(413))


def test_a_body_of_chunks_that_is_too_long_is_413(stub) -> None:
    line, _ = refusal(stub.raw(
        b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"800\r\n" + b"a" * 0x800 + b"\r\n" + b"1f40\r\n" + b"a" * 0x1f40 + b"\r\n"))
    assert line == b"HTTP/1.1 413 Request Entity Too Large"


def test_a_body_at_the_limit_is_read(stub) -> None:
    status, _, body = stub.call("POST", "/v1/models/m:predict", b" " * 10_000)
    assert (status, json.loads(body)["error"]) == (
        400, "JSON Parse error: The document is empty. at offset: 10000")


def test_row_14_what_unpacks_to_more_than_the_limit_counts_as_empty(stub, monkeypatch) -> None:
    monkeypatch.setattr(_rest_front, "_MAX_UNPACKED_BYTES", 50_000)
    for length, text in ((50_001, "The document is empty"),
                         (50_000, "The document is empty. at offset: 50000")):
        status, _, body = stub.call(
            "POST", "/v1/models/m:predict", gzip.compress(b" " * length),
            **{"Content-Encoding": "gzip"})
        assert (status, json.loads(body)["error"]) == (400, f"JSON Parse error: {text}")


@pytest.mark.parametrize(("name", "decoded"), [
    ("..%2f..%2f..%2fetc%2fpasswd", "../../../etc/passwd"), ("..", ".."), ("%2e%2e", ".."),
    ("%00", "\0"), ("m%00", "m\0"), ("%2Fetc", "/etc"), ("%C3%A9", "é"), ("%ff", "\ufffd"),
    ("$(id)", "$(id)"), ("a" * 5000, "a" * 5000)])
def test_names_are_looked_up_and_never_paths(stub, name, decoded) -> None:
    for path, text in ((f"/v1/models/{name}", f"Could not find any versions of model {decoded}"),
                       (f"/v1/models/{name}/metadata",
                        f"Servable not found for request: Latest({decoded})")):
        status, _, body = stub.call("GET", path)
        assert (status, json.loads(body)["error"]) == (404, text)


@pytest.mark.parametrize("path", ["/v1/models/../../etc/passwd", "/v1/models/m/../m", "/v1//models",
                                  "/v1/models/m/", "/v1/models/m/versions/1/metadata/x"])
def test_dots_and_slashes_make_no_route(stub, path) -> None:
    status, _, body = stub.call("GET", path)
    assert (status, json.loads(body)["error"]) == (400, f"Malformed request: GET {path}")


def test_an_answer_s_packets_do_not_wait_for_each_other(stub) -> None:
    with stub.connect() as connection:
        connection.sendall(STATUS)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        accepted, = [protocol.transport.get_extra_info("socket")
                     for protocol in stub.server.server_state.connections
                     if protocol.client == connection.getsockname()]
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_client_that_drips_a_request_is_cut() -> None:
    with rest_stub(rest_api_client_timeout_seconds=0.4) as stub:
        heads = [b"", b"GET /v1/mod", STATUS + b"GET ",
                 b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"]
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(stub.connect()) for _ in heads]
            for connection, head in zip(connections, heads, strict=True):
                connection.sendall(head)
            left = set(connections)
            end = time.monotonic() + 20
            while left:  # each byte in time, yet the request as a whole is not
                assert time.monotonic() < end, "some were never cut"
                for connection in select.select(list(left), [], [], 0.05)[0]:
                    with contextlib.suppress(ConnectionError):
                        if connection.recv(65536):
                            continue
                    left.discard(connection)
                for connection in left:
                    with contextlib.suppress(ConnectionError):
                        connection.sendall(b"a")
        assert stub.call("GET", "/v1/models/m")[0] == 200


def test_a_connection_that_rests_between_requests_is_kept() -> None:
    with rest_stub(rest_api_client_timeout_seconds=0.2) as stub:
        connection = http.client.HTTPConnection("127.0.0.1", stub.port, timeout=20)
        connection.request("GET", "/v1/models/m")
        assert connection.getresponse().read()
        kept = connection.sock
        assert not select.select([kept], [], [], 0.5)[0]
        connection.request("GET", "/v1/models/m")
        assert connection.getresponse().read()
        assert connection.sock is kept
        connection.close()


def test_a_request_that_takes_its_time_in_a_thread_is_not_cut() -> None:
    with rest_stub(rest_api_client_timeout_seconds=0.2) as stub, stub.connect() as connection:
        connection.sendall(STATUS.replace(b"/m ", b"/slow "))
        assert stub.manager.arrived.acquire(timeout=20)
        assert not select.select([connection], [], [], 0.5)[0]
        stub.manager.release.set()
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_does_not_take_its_answer_is_cut() -> None:
    with rest_stub(rest_api_client_timeout_seconds=0.3) as stub, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", stub.port))
        request = STATUS.replace(b"/m ", b"/" + b"a" * 60_000 + b" ")
        # Answers of 60 kB each that nobody reads, until they fill the sockets' buffers.
        with pytest.raises(ConnectionError):
            for _ in range(4000):
                connection.sendall(request)


def test_many_idle_connections_hinder_nobody_and_too_many_are_closed() -> None:
    with rest_stub(rest_api_max_connections=100) as stub, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(stub.connect()) for _ in range(99)]
        assert stub.call("GET", "/v1/models/m")[0] == 200
        idle.append(stack.enter_context(stub.connect()))
        with stub.connect() as one_more:
            assert read_all(one_more) == b""
        idle[0].sendall(STATUS)
        assert idle[0].recv(65536).startswith(b"HTTP/1.1 200 ")


def ask(stub: RestStub, name: str) -> concurrent.futures.Future:
    future: concurrent.futures.Future = concurrent.futures.Future()
    thread = threading.Thread(
        target=lambda: future.set_result(stub.call("GET", f"/v1/models/{name}")))
    thread.start()
    return future


def wait_for(condition, what: str) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, f"never saw that {what}"
        time.sleep(0.01)


def test_requests_beyond_the_queue_are_503() -> None:
    with rest_stub(num_threads=1, max_waiting_requests=1) as stub:
        running = ask(stub, "slow")
        assert stub.manager.arrived.acquire(timeout=20)
        waiting = ask(stub, "m")
        wait_for(lambda: stub.executor._work_queue.qsize() == 1, "the second waits")
        status, headers, body = stub.call("GET", "/v1/models/m")
        assert (status, headers["content-type"]) == (503, "application/json")
        assert json.loads(body)["error"] == (
            "at most 1 requests may wait (max_waiting_requests), got one more; try again later")
        stub.manager.release.set()
        assert [running.result(20)[0], waiting.result(20)[0]] == [200, 200]
        assert stub.call("GET", "/v1/models/m")[0] == 200


def test_calls_beyond_the_queue_are_unavailable_over_grpc(tiny_model) -> None:
    options = ServerOptions(grpc_max_threads=1, max_waiting_requests=1, stop_grace_seconds=1)
    with ModelServer("chorales", tiny_model, port=0, rest_api_port=0, options=options) as server:
        with Client(f"127.0.0.1:{server.port}", retry=Retry(num_attempts=1)) as client:
            client.metadata()
            busy = threading.Event()
            for _ in range(2):  # one runs, one waits
                server._executor.submit(busy.wait)
            try:
                with pytest.raises(Unavailable, match="max_waiting_requests"):
                    client.start()
            finally:
                busy.set()
            wait_for(lambda: not server._executor._num_unfinished, "both have ended")
            assert client.start().shape == (1, 3)


def test_row_15_a_request_whose_time_is_over_while_it_waits_never_runs() -> None:
    with rest_stub(num_threads=1, max_waiting_requests=1, rest_api_timeout_in_ms=300) as stub:
        running = ask(stub, "slow")
        assert stub.manager.arrived.acquire(timeout=20)
        for _ in range(2):  # the first gives its place in the queue back
            status, _, body = stub.call("GET", "/v1/models/waiting")
            assert (status, json.loads(body)["error"]) == (
                504, "Timed out waiting for notification")
        assert running.result(20)[0] == 504
        stub.manager.release.set()
        assert stub.call("GET", "/v1/models/m")[0] == 200
        assert stub.manager.asked == ["slow", "m"]


def test_the_executor_lets_go_of_what_was_cancelled() -> None:
    class Request:
        pass

    executor = BoundedExecutor(1, 1)
    busy = threading.Event()
    executor.submit(busy.wait)
    gone = []
    request = Request()
    weakref.finalize(request, gone.append, True)
    waiting = executor.submit(print, request)
    del request
    with pytest.raises(Unavailable, match=r"at most 1 requests may wait \(max_waiting_requests\)"):
        executor.submit(print)
    assert waiting.cancel()
    assert gone == [True]
    result = executor.submit(lambda: 7)
    busy.set()
    assert result.result(20) == 7
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(print)
    assert executor._num_unfinished == 0
