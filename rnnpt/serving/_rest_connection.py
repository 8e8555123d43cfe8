"""HTTP connections that keep a deadline, with the standard library alone."""

import functools
import http.client
import io
import socket
import ssl
import threading
import time
from typing import Any

from rnnpt.serving._address import Address
from rnnpt.serving._transport import CONNECT_S
from rnnpt.serving.error import Cancelled, DeadlineExceeded, Unavailable

# Not on every system.
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
# More are made when more calls run at once, and not kept.
_MAX_IDLE = 16


class _Reader(io.RawIOBase):
    """What a connection sends, each piece of it before the end."""

    def __init__(self, connected: socket.socket, end: float):
        self._socket = connected
        self._raw = connected.makefile("rb", buffering=0)
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(_left_s(self._end))
        if _QUICKACK is not None:
            # TensorFlow Serving sends a long answer's tail only when its head is acknowledged,
            # which the system would put off for 40 ms; it forgets the wish after a while.
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answering:
    """As much of a socket as an answer is read from."""

    def __init__(self, connected: socket.socket, end: float):
        self._socket = connected
        self._end = end

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._socket, self._end))


def _respond(connected: socket.socket, *arguments: Any, end: float, **options: Any) -> Any:
    return http.client.HTTPResponse(
        _Answering(connected, end), *arguments, **options)  # type: ignore[arg-type]


def _left_s(end: float) -> float:
    left_s = end - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


class Connection:
    """One connection, kept open; for one caller at a time.

    Args:
        address: The server.
        context: What TLS needs; None for none.
    """

    def __init__(self, address: Address, context: ssl.SSLContext | None):
        self._url = str(address)
        self._http: http.client.HTTPConnection = (
            http.client.HTTPConnection(address.place) if context is None
            else http.client.HTTPSConnection(address.place, context=context))
        self._is_aborted = False

    def exchange(
        self, verb: str, path: str, body: bytes | None, timeout_s: float
    ) -> tuple[int, bytes]:
        """Sends and receives.

        Args:
            verb: "GET" or "POST".
            path: The route.
            body: What to send with it.
            timeout_s: Seconds that the whole may take.

        Returns:
            The answer's status and its body.

        Raises:
            DeadlineExceeded: If it takes longer.
            Unavailable: If nobody answers.
            Cancelled: If `abort` was called.
        """
        try:
            return self._exchange(verb, path, body, time.monotonic() + timeout_s)
        except TimeoutError:
            self.close()
            raise DeadlineExceeded(f"{self._url} must answer in timeout_s, got nothing in "
                                   f"{timeout_s:.3g} s: wait longer or ask for less") from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if self._is_aborted:
                raise Cancelled(f"the call of {self._url} was given up") from None
            raise Unavailable(f"a server must answer at {self._url}, got: "
                              f"{error or type(error).__name__}") from None
        except BaseException:  # half an answer may still be on its way
            self.close()
            raise

    def _exchange(
        self, verb: str, path: str, body: bytes | None, end: float
    ) -> tuple[int, bytes]:
        """A connection that the server closed while it was idle is opened again."""
        was_open = self._http.sock is not None
        try:
            return self._exchange_once(verb, path, body, end)
        except (ConnectionResetError, BrokenPipeError, http.client.BadStatusLine):
            if not was_open or self._is_aborted:
                raise
            self.close()
            return self._exchange_once(verb, path, body, end)

    def _exchange_once(
        self, verb: str, path: str, body: bytes | None, end: float
    ) -> tuple[int, bytes]:
        self._connect(end)
        self._http.sock.settimeout(_left_s(end))
        self._http.response_class = functools.partial(  # type: ignore[assignment]
            _respond, end=end)
        self._http.request(verb, path, body, {"Content-Type": "application/json"})
        response = self._http.getresponse()
        return response.status, response.read()

    def _connect(self, end: float) -> None:
        if self._http.sock is None:
            self._http.timeout = min(CONNECT_S, _left_s(end))
            try:
                self._http.connect()
            except TimeoutError:
                _left_s(end)
                raise ConnectionError(f"no connection in {CONNECT_S:g} s") from None
        if self._is_aborted:
            raise ConnectionAbortedError

    def abort(self) -> None:
        """Ends the call that another thread waits for."""
        self._is_aborted = True
        connected = self._http.sock
        if connected is not None:
            try:
                # Not the method of a TLS socket, which would wait for a farewell.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)
            except OSError:
                pass  # it has just ended by itself

    def close(self) -> None:
        """Hangs up."""
        self._http.close()


class Pool:
    """The connections to a server, as many as there are calls at a time.

    Args:
        address: The server.
        context: What TLS needs; None for none.
    """

    def __init__(self, address: Address, context: ssl.SSLContext | None):
        self._address = address
        self._context = context
        self._idle: list[Connection] = []
        self._is_closed = False
        self._lock = threading.Lock()

    def take(self) -> Connection:
        """Takes a connection.

        Returns:
            The one that was used last, or a new one.
        """
        with self._lock:
            return self._idle.pop() if self._idle else Connection(self._address, self._context)

    def give_back(self, connection: Connection) -> None:
        """Keeps a connection for the next call.

        Args:
            connection: One that nobody uses any more.
        """
        with self._lock:
            if not self._is_closed and len(self._idle) < _MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Hangs up; calls that are under way end first."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
