"""What threads compute for an event loop."""

import asyncio
import collections
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class Offload:
    """Runs blocking calls beside an event loop and waits for them, to be made in that loop.

    Does what the loop's own `run_in_executor` and `wrap_future` do for less: results that are ready
    together wake the loop once, and a wake-up costs as much as a small model's run.

    Args:
        executor: Where the calls run.
    """

    def __init__(self, executor: Executor):
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._arrived: collections.deque[asyncio.Future] = collections.deque()
        self._is_woken = False

    async def run(self, function: Callable, *args: Any) -> Any:
        """Runs a call; one that is given up before its turn never runs.

        Args:
            function: What to call.
            *args: Its arguments.

        Returns:
            Its result.

        Raises:
            BaseException: What the call raises, or the executor that does not take it.
        """
        return await self.wait(self._executor.submit(function, *args))

    async def wait(self, answer: Future) -> Any:
        """Waits for what another thread will set; it is cancelled if the waiting is.

        Args:
            answer: What will be set.

        Returns:
            Its result.

        Raises:
            BaseException: What the thread sets in its place.
        """
        arrived = self._loop.create_future()
        answer.add_done_callback(lambda _: self._post(arrived))
        try:
            await arrived
        except asyncio.CancelledError:
            answer.cancel()
            raise
        return answer.result()

    def _post(self, arrived: asyncio.Future) -> None:
        self._arrived.append(arrived)
        # What is appended before this look is seen by the wake-up that it may find on its way.
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):  # a loop that was closed meanwhile
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_woken = False
        while self._arrived:
            arrived = self._arrived.popleft()
            if not arrived.done():
                arrived.set_result(None)
