"""Playing the scripts of a dialogue: with plain calls, or with awaited ones."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, TypeVar

from rnnpt.serving._dialogue import Pause, Script
from rnnpt.serving._transport import AsyncTransport, Transport
from rnnpt.serving.error import FailedPrecondition, ServingError

T = TypeVar("T")


class Clock:
    """Tells the time and waits; tests put one of their own in its place."""

    def now(self) -> float:
        """Returns the seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits.

        Args:
            seconds: How long.
        """
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Waits, and lets others work.

        Args:
            seconds: How long.
        """
        await asyncio.sleep(seconds)


class _Open:
    """What is open until it is closed."""

    def __init__(self, clock: Clock):
        self.clock = clock
        self._is_closed = False

    def _check_open(self) -> None:
        if self._is_closed:
            raise FailedPrecondition("client must be open, got a closed one: make another")


class Driver(_Open):
    """Plays scripts with plain calls; threads may share it.

    Args:
        transports: The ways to the servers.
        clock: What to wait with.
    """

    def __init__(self, transports: Sequence[Transport], clock: Clock):
        super().__init__(clock)
        self.transports = list(transports)

    def run(self, script: Script[T]) -> T:
        """Plays a script.

        Args:
            script: The script.

        Returns:
            What it returns.
        """
        answer: Any = None
        error: ServingError | None = None
        try:
            while True:
                line = script.send(answer) if error is None else script.throw(error)
                answer, error = None, None
                self._check_open()
                try:
                    if isinstance(line, Pause):
                        self.clock.sleep(line.seconds)
                    else:
                        ask = getattr(self.transports[line.server], line.method)
                        answer = ask(*line.arguments, line.timeout_s)
                except ServingError as caught:
                    error = caught
        except StopIteration as stop:
            return stop.value

    def close(self) -> None:
        """Hangs up."""
        self._is_closed = True
        for transport in self.transports:
            transport.close()


class AsyncDriver(_Open):
    """Plays scripts with awaited calls, in one event loop.

    Args:
        transports: The ways to the servers.
        clock: What to wait with.
    """

    def __init__(self, transports: Sequence[AsyncTransport], clock: Clock):
        super().__init__(clock)
        self.transports = list(transports)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, script: Script[T]) -> T:
        """Plays a script.

        Args:
            script: The script.

        Returns:
            What it returns.
        """
        self._check_loop()
        answer: Any = None
        error: ServingError | None = None
        try:
            while True:
                line = script.send(answer) if error is None else script.throw(error)
                answer, error = None, None
                self._check_open()
                try:
                    if isinstance(line, Pause):
                        await self.clock.sleep_async(line.seconds)
                    else:
                        ask = getattr(self.transports[line.server], line.method)
                        answer = await ask(*line.arguments, line.timeout_s)
                except ServingError as caught:
                    error = caught
        except StopIteration as stop:
            return stop.value

    def _check_loop(self) -> None:
        """A channel of gRPC belongs to the loop that it was made in."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise FailedPrecondition("client must be used in one event loop, got another: make a "
                                     "client in each")

    async def close(self) -> None:
        """Hangs up."""
        self._is_closed = True
        for transport in self.transports:
            await transport.close()
