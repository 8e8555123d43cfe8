"""MIDI over HTTP: `POST /v1/continue` takes a MIDI file and answers with it and its continuation.

    curl --data-binary @my.mid 'localhost:8502/v1/continue?num_steps=64' -o continued.mid

This port is rnnpt's own; TensorFlow Serving has none like it. It has threads and processes of its
own too, as many as files are continued at a time, so that the other ports lose no thread to it.
"""

import asyncio
import contextlib
import functools
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from rnnpt.music.pianoroll_midi import MAX_BYTES
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._midi_continuation import continue_file
from rnnpt.serving._midi_query import parse_query
from rnnpt.serving._midi_reader import NUM_PROCESSES, MidiReader
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._rest import STATUS_OF
from rnnpt.serving.error import DeadlineExceeded, ServingError, Unavailable

_LOGGER = logging.getLogger("rnnpt.serving")
_PATH = "/v1/continue"
_USAGE = f"""\
POST a MIDI file to {_PATH} and get it back with a continuation:

    curl --data-binary @my.mid 'HOST:PORT{_PATH}?num_steps=64' -o continued.mid

In the query may stand:

    model=NAME           the model; needed where several are served
    version=N            a version of it; the newest by default
    num_steps=N          steps to add; 64 by default, at most what the model was exported with
    temperature=X        below 1 for safer music, above for wilder; 1 by default
    seed=N               another one for other music; 0 by default
    qpm=X                quarter notes a minute, 4 to 1000; the file's own by default
    steps_per_quarter=N  steps in a quarter note, 1 to 96; those of the model's music by default

The same file and query give the same answer. A file has at most {MAX_BYTES} bytes; of music that is
longer than the model takes, the model hears the end, and all of it stands in the answer. Whatever
is wrong is told in one line of JSON: {{"error": "..."}}.
"""
_JSON, _TEXT, _MIDI = "application/json", "text/plain; charset=utf-8", "audio/midi"
#: Requests under way and waiting, each with a file of up to 1 MiB in memory.
MAX_REQUESTS = 32
# How long a client that still sends gets to read why it was refused.
_LINGER_S = 2.0


class _Reply(NamedTuple):
    """An answer; `closes` where the request may not have come whole."""

    status: int
    content_type: str
    body: bytes
    allow: str = ""
    closes: bool = False


class MidiFront:
    """The ASGI application of the MIDI port, with its threads and processes.

    Args:
        manager: The models.
        options: REST's time limit, which is this port's too, and how many requests may wait.
    """

    def __init__(self, manager: ModelManager, options: ServerOptions):
        self._manager = manager
        self._timeout_s = options.rest_api_timeout_in_ms / 1000
        self._max_requests = min(options.max_waiting_requests, MAX_REQUESTS)
        self._num_requests = 0
        self._slots = asyncio.Semaphore(NUM_PROCESSES)
        self._reader = MidiReader(NUM_PROCESSES)
        self._executor = ThreadPoolExecutor(NUM_PROCESSES, thread_name_prefix="rnnpt-midi")

    def close(self) -> None:
        """Ends the processes, and with them what is still under way."""
        self._reader.close()
        self._executor.shutdown(cancel_futures=True)

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Answers a request, as ASGI has it.

        Args:
            scope: The request's line and headers.
            receive: Gives what comes from the client.
            send: Takes what goes to it.
        """
        reply = _reply_to_address(scope["method"], scope["path"])
        if reply is None:
            reply = await self._admit(scope, receive)
        if reply is not None:
            await _send(reply, receive, send)

    async def _admit(self, scope: dict, receive: Callable) -> _Reply | None:
        if self._num_requests >= self._max_requests:
            return _refusal(503, f"the port must have at most {self._max_requests} requests under "
                                 "way, got one more; ask again later", closes=True)
        self._num_requests += 1
        try:
            return await self._continue(scope, receive)
        except asyncio.CancelledError:  # the last thing that the server does with this request
            return _refuse(_stopped())
        except ServingError as error:
            return _refuse(error)
        except Exception:
            _LOGGER.exception("a request to continue a MIDI file ended in an error of ours")
            return _refusal(500, "the server must answer, got an error of its own; see its log")
        finally:
            self._num_requests -= 1

    async def _continue(self, scope: dict, receive: Callable) -> _Reply | None:
        """Reads the file and continues it; None if the client leaves meanwhile."""
        ends_at = time.monotonic() + self._timeout_s
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await _read_body(scope, receive)
        except TimeoutError:
            return _refuse(self._too_late("come"), closes=True)
        if not isinstance(body, bytes):
            return body
        parameters = parse_query(scope["query_string"].decode("latin-1"))
        gone = threading.Event()
        work = asyncio.ensure_future(self._run(functools.partial(
            continue_file, self._manager, self._reader, parameters, body, ends_at, gone)))
        leave = asyncio.ensure_future(_wait_until_gone(receive))
        try:
            await asyncio.wait((work, leave), timeout=max(ends_at - time.monotonic(), 0),
                               return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return _Reply(200, _MIDI, work.result())
            return None if leave.done() else _refuse(self._too_late("be continued"))
        finally:
            gone.set()
            work.cancel()
            leave.cancel()

    def _too_late(self, what: str) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"a file must {what} in {self._timeout_s:g} seconds, got no end of it; ask for fewer "
            "num_steps, or again later")

    async def _run(self, call: Callable[[], bytes]) -> bytes:
        """Runs a call when a thread is free; one that waits here can be dropped at once."""
        await self._slots.acquire()
        loop = asyncio.get_running_loop()

        def free(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may end before the call does
                loop.call_soon_threadsafe(self._slots.release)

        try:
            future = self._executor.submit(call)
        except RuntimeError:
            raise _stopped() from None
        # Whoever asked may be gone before the call has ended.
        future.add_done_callback(free)
        return await asyncio.wrap_future(future)


def _stopped() -> Unavailable:
    return Unavailable("the server must run to continue a file, got a stop; ask another server")


def _refusal(status: int, text: str, allow: str = "", closes: bool = False) -> _Reply:
    line = json.dumps({"error": " ".join(text.split())}) + "\n"
    return _Reply(status, _JSON, line.encode(), allow, closes)


def _refuse(error: ServingError, closes: bool = False) -> _Reply:
    return _refusal(STATUS_OF[error.code], str(error), closes=closes)


def _reply_to_address(method: str, path: str) -> _Reply | None:
    """Answers what is no POST of a file."""
    if path not in (_PATH, "/"):
        return _refusal(404, f"the path must be {_PATH}, got {path!r:.200}; POST a MIDI file there")
    if method in ("GET", "HEAD"):
        return _Reply(200, _TEXT, _USAGE.encode())
    if method == "POST" and path == _PATH:
        return None
    return _refusal(405, f"the method must be POST to {_PATH}, got {method} {path}; send the file "
                         "so", "GET, HEAD, POST" if path == _PATH else "GET, HEAD")


async def _read_body(scope: dict, receive: Callable) -> bytes | _Reply | None:
    """Gathers the file, or says that it is too large; None if the client left."""
    # Known before it is sent, and before a client that waits for 100 (Continue) sends it.
    length = dict(scope["headers"]).get(b"content-length", b"")
    is_too_large = length.isdigit() and int(length) > MAX_BYTES
    data = bytearray()
    while not is_too_large:
        message = await receive()
        if message["type"] != "http.request":
            return None
        data += message.get("body", b"")
        is_too_large = len(data) > MAX_BYTES
        if not message.get("more_body", False) and not is_too_large:
            return bytes(data)
    return _refusal(413, f"a MIDI file must have at most {MAX_BYTES} bytes, got "
                         f"{length.decode() or 'more'}; cut the piece", closes=True)


async def _wait_until_gone(receive: Callable) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(reply: _Reply, receive: Callable, send: Callable) -> None:
    headers = [(b"content-type", reply.content_type.encode()),
               (b"content-length", str(len(reply.body)).encode())]
    if reply.allow:
        headers.append((b"allow", reply.allow.encode()))
    if reply.closes:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": reply.closes})
    if reply.closes:
        await _linger(receive)
        await send({"type": "http.response.body", "body": b""})


async def _linger(receive: Callable) -> None:
    """Reads on for a while: whose connection is reset while it sends does not see the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while (await receive()).get("more_body", False):
                pass
