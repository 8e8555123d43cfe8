"""Answers on their way from a thread to an event loop."""

import asyncio
import collections
import threading
from concurrent.futures import Future
from typing import Any


class Mailbox:
    """Brings what threads have computed to event loops that wait, many answers at a time.

    A batch answers dozens of requests at once; waking the loop for each would cost as much as the
    rest of their way.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[asyncio.AbstractEventLoop, collections.deque] = {}

    async def wait(self, answer: Future) -> Any:
        """Waits in the running event loop.

        Args:
            answer: What a thread will set.

        Returns:
            Its result.

        Raises:
            BaseException: What the thread set in its place.
        """
        loop = asyncio.get_running_loop()
        arrived = loop.create_future()
        answer.add_done_callback(lambda _: self._post(loop, arrived))
        await arrived
        return answer.result()

    def _post(self, loop: asyncio.AbstractEventLoop, arrived: asyncio.Future) -> None:
        with self._lock:
            waiting = self._answers.setdefault(loop, collections.deque())
            waiting.append(arrived)
            if len(waiting) > 1:
                return
        try:
            loop.call_soon_threadsafe(self._deliver, loop)
        except RuntimeError:
            # The loop is closed: nobody waits there any more.
            with self._lock:
                self._answers.pop(loop, None)

    def _deliver(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            waiting = self._answers.pop(loop, ())
        for arrived in waiting:
            if not arrived.done():
                arrived.set_result(None)
