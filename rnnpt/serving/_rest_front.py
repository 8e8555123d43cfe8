"""The REST front: an ASGI application around `_rest`."""

import asyncio
import re
import time
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

import uvicorn

from rnnpt.serving._http_protocol import MAX_HEADER_BYTES, limited_protocol
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._monitoring import answer_metrics, metrics_path
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._rest import Answer, Call, answer_error, answer_page, route, run_call
from rnnpt.serving.error import DeadlineExceeded, ServingError

# Source: ZLib::kMaxUncompressedBytes of tensorflow/serving's gzip_zlib.h.
_MAX_UNPACKED_BYTES = 100 * 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_CORS_HEADERS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
]
# What stands before the path when the request line holds a whole URL.
_SCHEME_AND_HOST = re.compile("^[A-Za-z][-+.A-Za-z0-9]*://[^/?#]*")

Application = Callable[[dict, Callable, Callable], Awaitable[None]]


def make_application(
    manager: ModelManager, executor: Executor, options: ServerOptions
) -> Application:
    """Makes the application.

    Args:
        manager: The models.
        executor: Where the calls run, never in the event loop.
        options: Limits, CORS, and where the metrics are.

    Returns:
        An ASGI application that knows HTTP alone.
    """
    front = _Front(manager, executor, options)

    async def application(scope: dict, receive: Callable, send: Callable) -> None:
        headers = dict(scope["headers"])
        body: Answer | bytes | None = answer_page(400)
        if scope["http_version"] in ("1.0", "1.1"):
            body = await _read_body(receive, headers, options.rest_api_max_body_bytes)
        if body is None:  # the client left
            return
        answer = body if isinstance(body, Answer) else await front.answer(scope, headers, body)
        await _send(send, answer, options)

    return application


def make_http_server(application: Application, options: ServerOptions) -> uvicorn.Server:
    """Makes the server of a port that speaks HTTP; it runs in the event loop that calls `serve`.

    Args:
        application: What answers.
        options: How long clients may take, and requests under way when it stops.

    Returns:
        The server, without a socket.
    """
    protocol = limited_protocol(
        options.rest_api_client_timeout_seconds, options.rest_api_max_connections)
    return uvicorn.Server(uvicorn.Config(
        application, http=protocol, ws="none", loop="none", lifespan="off", log_config=None,
        access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=3600,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_graceful_shutdown=max(1, round(options.stop_grace_seconds))))


class _Front:
    """Answers requests whose body is there."""

    def __init__(self, manager: ModelManager, executor: Executor, options: ServerOptions):
        self._manager = manager
        self._executor = executor
        self._timeout_s = options.rest_api_timeout_in_ms / 1000
        self._metrics_path = metrics_path(options.monitoring_config_file)

    async def answer(self, scope: dict, headers: dict[bytes, bytes], body: bytes) -> Answer:
        path = _raw_path(scope)
        if self._metrics_path and path.partition("?")[0] == self._metrics_path:
            # A long page, so not in the event loop; nor does it wait for models.
            status, text = await asyncio.to_thread(
                answer_metrics, self._manager.metrics, self._metrics_path, path)
            return Answer(status, text, "text/plain", is_api=False)
        start = time.monotonic()
        call = route(scope["method"], path, headers.get(b"origin", b"").decode("latin-1"))
        name, api = (call.spec.name, call.api) if isinstance(call, Call) else ("", "")
        answer = call if isinstance(call, Answer) else await self._run(
            call, body, b"gzip" in headers.get(b"content-encoding", b""))
        if answer.is_api:
            self._manager.metrics.add_request(
                name, api, "REST", answer.code, time.monotonic() - start)
        return answer

    async def _run(self, call: Call, body: bytes, is_packed: bool) -> Answer:
        try:
            future = asyncio.get_running_loop().run_in_executor(
                self._executor, _unpack_and_run, self._manager, call, body, is_packed,
                time.monotonic() + self._timeout_s)
            # One that still waits for a thread when its time is over is taken from the queue.
            return await asyncio.wait_for(future, self._timeout_s)
        except TimeoutError:
            return answer_error(DeadlineExceeded("Timed out waiting for notification"))
        except ServingError as error:
            return answer_error(error)


async def _read_body(
    receive: Callable, headers: dict[bytes, bytes], max_bytes: int
) -> bytes | Answer | None:
    """Gathers the body; the answer if it is none to be taken, None if the client left."""
    if b"content-length" in headers and b"transfer-encoding" in headers:
        return answer_page(400)  # a proxy may have read another request from these bytes
    if int(headers.get(b"content-length", b"0")) > max_bytes:
        return answer_page(413)
    parts, num_bytes = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        num_bytes += len(parts[-1])
        if num_bytes > max_bytes:
            return answer_page(413)
        if not message.get("more_body", False):
            return b"".join(parts)


def _raw_path(scope: dict) -> str:
    path = _SCHEME_AND_HOST.sub("", scope["raw_path"].decode("latin-1"), count=1) or "/"
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _unpack_and_run(
    manager: ModelManager, call: Call, body: bytes, is_packed: bool, ends_at: float
) -> Answer:
    return run_call(manager, call, _unpack(body) if is_packed else body, ends_at)


def _unpack(body: bytes) -> bytes:
    """Unpacks gzip; what is broken or too long counts as empty, as in TensorFlow Serving."""
    unpacker = zlib.decompressobj(_GZIP)
    try:
        data = unpacker.decompress(body, _MAX_UNPACKED_BYTES)
    except zlib.error:
        return b""
    return data if unpacker.eof else b""


async def _send(send: Callable, answer: Answer, options: ServerOptions) -> None:
    body = answer.body.encode("utf-8", "surrogateescape")
    headers: list[tuple[bytes, Any]] = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    if answer.closes:
        headers.append((b"connection", b"close"))
    if options.rest_api_enable_cors_support and answer.is_api:
        headers += _CORS_HEADERS
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
