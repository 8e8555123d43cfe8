"""The REST front: an ASGI application around `_rest`."""

import asyncio
import functools
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

import uvicorn

from rnnpt.serving._manager import ModelManager
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._rest import Answer, answer_call, answer_error
from rnnpt.serving.error import DeadlineExceeded

_MAX_UNPACKED_BYTES = 100 * 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_CORS_HEADERS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
]

Application = Callable[[dict, Callable, Callable], Awaitable[None]]


def make_application(
    manager: ModelManager, executor: Executor, options: ServerOptions
) -> Application:
    """Makes the application.

    Args:
        manager: The models.
        executor: Where the calls run, never in the event loop.
        options: Time limit and CORS.

    Returns:
        An ASGI application that knows HTTP alone.
    """

    async def application(scope: dict, receive: Callable, send: Callable) -> None:
        body = await _read_body(receive)
        if body is None:
            return
        headers = dict(scope["headers"])
        call = functools.partial(
            _answer, manager, scope["method"], _raw_path(scope), body,
            headers.get(b"content-encoding", b"").decode("latin-1"),
            headers.get(b"origin", b"").decode("latin-1"))
        future = asyncio.get_running_loop().run_in_executor(executor, call)
        try:
            answer = await asyncio.wait_for(future, options.rest_api_timeout_in_ms / 1000)
        except TimeoutError:
            answer = answer_error(DeadlineExceeded("Timed out waiting for notification"))
        await _send(send, answer, options)

    return application


def make_http_server(application: Application, options: ServerOptions) -> uvicorn.Server:
    """Makes the server of a port that speaks HTTP; it runs in the event loop that calls `serve`.

    Args:
        application: What answers.
        options: How long requests under way may take when it stops.

    Returns:
        The server, without a socket.
    """
    return uvicorn.Server(uvicorn.Config(
        application, http="h11", ws="none", loop="none", lifespan="off", log_config=None,
        access_log=False, server_header=False, timeout_keep_alive=3600,
        timeout_graceful_shutdown=max(1, round(options.stop_grace_seconds))))


async def _read_body(receive: Callable) -> bytes | None:
    """Gathers the body; None if the client left."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _raw_path(scope: dict) -> str:
    path = scope["raw_path"].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _answer(
    manager: ModelManager, verb: str, path: str, body: bytes, encoding: str, origin: str
) -> Answer:
    if "gzip" in encoding:
        body = _unpack(body)
    return answer_call(manager, verb, path, body, origin)


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
    if options.rest_api_enable_cors_support and not answer.closes:
        headers += _CORS_HEADERS
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
