"""Blocking calls of an event loop, run in an executor's threads."""

import asyncio
import collections
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any


class Offload:
    """Runs blocking calls beside an event loop, to be made in that loop.

    Does what the loop's own `run_in_executor` does for less: results that are ready together wake
    the loop once, and a wake-up costs as much as a small model's run.

    Args:
        executor: Where the calls run.
    """

    def __init__(self, executor: Executor):
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._results: collections.deque[tuple[asyncio.Future, Any, BaseException | None]] = (
            collections.deque())
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
        future = self._loop.create_future()
        work = self._executor.submit(self._work, future, function, args)
        try:
            return await future
        except asyncio.CancelledError:
            work.cancel()
            raise

    def _work(self, future: asyncio.Future, function: Callable, args: tuple) -> None:
        try:
            self._results.append((future, function(*args), None))
        except BaseException as error:  # goes to who awaits it
            self._results.append((future, None, error))
        # What is appended before this look is seen by the wake-up that it may find on its way.
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):  # a loop that was closed meanwhile
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_woken = False
        while self._results:
            future, result, error = self._results.popleft()
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
