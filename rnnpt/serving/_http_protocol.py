"""HTTP as uvicorn speaks it, with limits against clients that take their time."""

import asyncio
import socket
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from rnnpt.serving._html import PHRASES, error_page

# Request line and headers together. TensorFlow Serving has no such limit; h11 cannot be without.
MAX_HEADER_BYTES = 64 * 1024


class LimitedProtocol(H11Protocol):
    """A connection that is cut when its client does not send a request, or take an answer, in time.

    What breaks HTTP's rules is answered as by libevent, which TensorFlow Serving uses: a page, and
    the end of the connection; a connection that is cut gets no answer. Nothing comes of a request
    whose framing is ambiguous: h11 refuses it.

    Args:
        *args: As uvicorn's.
        **kwargs: As uvicorn's.
    """

    # Set in the subclasses of `limited_protocol`.
    client_timeout_s = 30.0
    max_connections = 1000

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._request_clock: asyncio.TimerHandle | None = None
        self._answer_clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins a connection.

        Args:
            transport: The way to the client.
        """
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
            return
        # An answer's head and body are two packets; else the second waits for the first to be
        # acknowledged, which takes a client 40 ms. asyncio does this only where a socket names its
        # protocol, as those that are accepted do not.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request_clock = self.loop.call_later(self.client_timeout_s, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends a connection.

        Args:
            exc: Why, None if as it should.
        """
        self._stop_request_clock()
        if self._answer_clock is not None:
            self._answer_clock.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes a part of a request.

        Args:
            data: The bytes.
        """
        super().data_received(data)
        self._set_request_clock(is_begun=True)

    def on_response_complete(self) -> None:
        """Goes on to the next request, when an answer is written."""
        super().on_response_complete()
        self._set_request_clock(is_begun=bool(self.conn.trailing_data[0]))
        if self._answer_clock is None and self.transport.get_write_buffer_size():
            self._answer_clock = self.loop.call_later(self.client_timeout_s, self._check_taken)

    def _set_request_clock(self, is_begun: bool) -> None:
        """Lets the clock run while the client owes the rest of a request."""
        state = self.conn.their_state
        if not (state is h11.SEND_BODY or (state is h11.IDLE and is_begun)):
            self._stop_request_clock()
        elif self._request_clock is None:
            self._request_clock = self.loop.call_later(
                self.client_timeout_s, self.transport.abort)

    def _stop_request_clock(self) -> None:
        if self._request_clock is not None:
            self._request_clock.cancel()
            self._request_clock = None

    def _check_taken(self) -> None:
        self._answer_clock = None
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, or too much of it, and ends the connection.

        Args:
            msg: uvicorn's words, which libevent does not say.
        """
        error = sys.exc_info()[1]
        status = 413 if getattr(error, "error_status_hint", 400) == 431 else 400
        body = error_page(status).encode()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("content-type", "text/html"), ("connection", "close"),
                       ("content-length", str(len(body)))]
            for event in (h11.Response(
                              status_code=status, headers=headers, reason=PHRASES[status]),
                          h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def limited_protocol(client_timeout_s: float, max_connections: int) -> type[LimitedProtocol]:
    """Makes the protocol of a server.

    Args:
        client_timeout_s: Seconds in which a client must have sent a request, or taken an answer.
        max_connections: How many may be open; the next are closed at once.

    Returns:
        The class, for uvicorn.
    """
    return type("LimitedProtocol", (LimitedProtocol,), {
        "client_timeout_s": client_timeout_s, "max_connections": max_connections})
