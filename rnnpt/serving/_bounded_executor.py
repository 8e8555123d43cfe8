"""Threads for requests, with a queue that refuses before it grows without end."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from rnnpt.serving.error import Unavailable


class BoundedExecutor(ThreadPoolExecutor):
    """A `ThreadPoolExecutor` that takes only so many calls at once.

    Those that `admit` lets in, which run elsewhere, are among them. A call that is cancelled before
    its turn never runs, and gives its place back at once.

    Args:
        num_threads: Threads.
        max_waiting: How many calls may wait for one.
        name: What the threads' names begin with.
    """

    def __init__(self, num_threads: int, max_waiting: int, name: str = "rnnpt-serving"):
        super().__init__(num_threads, thread_name_prefix=name)
        self._max_waiting = max_waiting
        self._max_unfinished = num_threads + max_waiting
        self._num_unfinished = 0
        self._count_lock = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Hands a call over.

        Args:
            fn: What to call.
            *args: Its arguments.
            **kwargs: Its arguments by name.

        Returns:
            Its result to come.

        Raises:
            Unavailable: If too many calls wait already.
        """
        # The queue keeps what is cancelled until its turn, so the request is kept beside it.
        call = [partial(fn, *args, **kwargs)]
        future = self.admit(partial(super().submit, lambda: call.pop()()))
        future.add_done_callback(lambda _: call.clear())
        return future

    def admit(self, begin: Callable[[], Future]) -> Future:
        """Lets in a call that needs none of the threads, and counts it as if it did.

        Args:
            begin: Begins the call.

        Returns:
            Its result to come.

        Raises:
            Unavailable: If too many calls wait already.
        """
        with self._count_lock:
            if self._num_unfinished >= self._max_unfinished:
                raise Unavailable(
                    f"at most {self._max_waiting} requests may wait (max_waiting_requests), got "
                    "one more; try again later")
            self._num_unfinished += 1
        try:
            future = begin()
        except BaseException:
            self._finish()
            raise
        future.add_done_callback(lambda _: self._finish())
        return future

    def _finish(self) -> None:
        with self._count_lock:
            self._num_unfinished -= 1
