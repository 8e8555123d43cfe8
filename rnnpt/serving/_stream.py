"""Music as it is due: computed ahead, told by the clock."""

import asyncio
import collections
import math
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

import numpy as np

from rnnpt.serving._driver import Clock
from rnnpt.serving._retry import check_seconds
from rnnpt.serving._session import MAX_PIECE, AsyncSession, Session
from rnnpt.serving.error import InvalidArgument


class TimedFrame(NamedTuple):
    """What a stream yields.

    Args:
        step: Its number, from 0.
        frame: The frame (V,).
        due_s: When it was to sound, in seconds of the clock (`time.monotonic` by default).
        late_s: How much later it was there, in seconds; hardly above 0 if all is well.
        version: The version that drew it.
    """

    step: int
    frame: np.ndarray
    due_s: float
    late_s: float
    version: int


class Playhead:
    """Where a stream is: what is there, what is due, what to ask for.

    Frame k is due k steps after the first one was there, however long the others take.

    Args:
        num_steps: How many frames in all, None for no end.
        qpm: Quarter notes a minute.
        steps_per_quarter: Frames a quarter note.
        ahead_s: Seconds of music to compute ahead.

    Raises:
        InvalidArgument: If one of them is too small.
    """

    def __init__(
        self, num_steps: int | None, qpm: float, steps_per_quarter: int, ahead_s: float
    ):
        if num_steps is not None and num_steps < 1:
            raise InvalidArgument(f"num_steps must be at least 1, got {num_steps}: None has no end")
        if not (math.isfinite(qpm) and qpm > 0):
            raise InvalidArgument(f"qpm must be positive and finite, got {qpm:g}: 120 is usual")
        if steps_per_quarter < 1:
            raise InvalidArgument(f"steps_per_quarter must be at least 1, got {steps_per_quarter}: "
                                  "take that of the model's music")
        check_seconds(ahead_s, "ahead_s")
        self._step_s = 60 / (qpm * steps_per_quarter)
        # Half of it sounds while the other half is on its way.
        self._chunk = min(max(1, math.ceil(ahead_s / self._step_s / 2)), MAX_PIECE)
        self._num_left = math.inf if num_steps is None else num_steps
        self._coming: collections.deque[tuple[np.ndarray, int]] = collections.deque()
        self._index = 0
        self._start_s: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no frame is there."""
        return not self._coming

    @property
    def is_over(self) -> bool:
        """Whether the last frame was taken."""
        return self.is_empty and not self._num_left

    @property
    def num_wanted(self) -> int:
        """How many frames to ask for now, if nothing is on its way."""
        if len(self._coming) > self._chunk:
            return 0
        return int(min(self._chunk, self._num_left))

    def receive(self, coming: "Future | asyncio.Task", version: int | None) -> None:
        """Takes frames that have come.

        An error is raised when there is nothing more to play; before that it is another try's.

        Args:
            coming: A call that is done.
            version: The version that drew.

        Raises:
            ServingError: If that is how the call ended, and no frame is left.
        """
        error = coming.exception()
        if error is not None and self.is_empty:
            raise error
        if error is None:
            frames = coming.result()
            self._coming.extend((frame, version or 0) for frame in frames)
            self._num_left -= len(frames)

    def wait_s(self, now: float) -> float:
        """Tells how long to wait for the next frame's time.

        Args:
            now: The time.

        Returns:
            Seconds, 0 if it is due.
        """
        if self._start_s is None:
            self._start_s = now
        return max(0.0, self._due_s() - now)

    def take(self, now: float) -> TimedFrame:
        """Takes the next frame.

        Args:
            now: The time.

        Returns:
            The frame and how late it is.
        """
        due_s = self._due_s()
        frame, version = self._coming.popleft()
        self._index += 1
        return TimedFrame(self._index - 1, frame, due_s, max(0.0, now - due_s), version)

    def _due_s(self) -> float:
        # Not a sum of steps, whose roundings would add up.
        return (self._start_s or 0.0) + self._index * self._step_s


def play(session: Session, playhead: Playhead, clock: Clock) -> Iterator[TimedFrame]:
    """Plays a session, which computes ahead in a thread.

    Args:
        session: The music.
        playhead: Where it is.
        clock: Tells the time and waits.

    Yields:
        Each frame when it is due.
    """
    executor = ThreadPoolExecutor(1, thread_name_prefix="rnnpt-stream")
    coming: Future | None = None
    try:
        while not playhead.is_over:
            if coming is None and playhead.num_wanted:
                coming = executor.submit(session.generate, playhead.num_wanted)
            if coming is not None and playhead.is_empty:
                wait([coming])
            if coming is not None and coming.done():
                playhead.receive(coming, session.version)
                coming = None
            wait_s = playhead.wait_s(clock.now())
            if wait_s:
                clock.sleep(wait_s)
            yield playhead.take(clock.now())
    finally:
        # A call under way ends by its own deadline; nobody waits for it.
        executor.shutdown(wait=False, cancel_futures=True)


async def play_async(
    session: AsyncSession, playhead: Playhead, clock: Clock
) -> AsyncIterator[TimedFrame]:
    """Plays a session, which computes ahead in a task.

    Args:
        session: The music.
        playhead: Where it is.
        clock: Tells the time and waits.

    Yields:
        Each frame when it is due.
    """
    coming: asyncio.Task | None = None
    try:
        while not playhead.is_over:
            if coming is None and playhead.num_wanted:
                coming = asyncio.create_task(session.generate(playhead.num_wanted))
            if coming is not None and playhead.is_empty:
                await asyncio.wait([coming])
            if coming is not None and coming.done():
                playhead.receive(coming, session.version)
                coming = None
            # Even a frame that is late lets the others work.
            await clock.sleep_async(playhead.wait_s(clock.now()))
            yield playhead.take(clock.now())
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
