"""The requests of one signature that wait to be run together.

The rules are those of TensorFlow's `SharedBatchScheduler`, and so are the words of its refusals.
"""

import collections
import dataclasses
import math
import threading
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np

from rnnpt.serving._batching_config import BatchingSettings
from rnnpt.serving._batching_merge import Arrays, join
from rnnpt.serving.error import InvalidArgument, Unavailable

_FULL = "The batch scheduling queue to which this task was submitted is full; "


@dataclasses.dataclass(eq=False)
class Task:
    """A request, or a part of a large one.

    Args:
        inputs: Its inputs.
        size: Their rows.
        since: When it came, on the monotonic clock.
        deadline: When nobody waits for it any more.
        outputs: Its answer, once it is there.
    """

    inputs: Arrays
    size: int
    since: float
    deadline: float = math.inf
    outputs: Future = dataclasses.field(default_factory=Future)

    def cut(self, sizes: Sequence[int]) -> list["Task"]:
        """Cuts it into parts, whose answers together are its own.

        Args:
            sizes: The rows of each part, all of its rows in total.

        Returns:
            The parts.
        """
        # Its parts run whoever gives up: they share batches with others.
        self.outputs.set_running_or_notify_cancel()
        ends = np.cumsum(sizes)
        parts = [
            Task([value[end - size:end] for value in self.inputs], size, self.since, self.deadline)
            for end, size in zip(ends, sizes, strict=True)]
        lock, waiting = threading.Lock(), len(parts)

        def collect(_: Future) -> None:
            nonlocal waiting
            with lock:
                waiting -= 1
                if waiting:
                    return
            # What a callback raises is lost, and whoever waits would wait for ever.
            try:
                answer = join([part.outputs.result() for part in parts])
            except BaseException as error:  # handed to who waits
                self.outputs.set_exception(error)
            else:
                self.outputs.set_result(answer)

        for part in parts:
            part.outputs.add_done_callback(collect)
        return parts


class _Batch:
    """Tasks that run together."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.size = 0

    def add(self, task: Task) -> None:
        self.tasks.append(task)
        self.size += task.size


class BatchQueue:
    """The batches that wait, the last of which is open to more tasks. Its owner keeps the lock.

    Args:
        settings: The limits.
    """

    def __init__(self, settings: BatchingSettings):
        self._settings = settings
        self._batches = collections.deque([_Batch()])

    def add(self, task: Task) -> None:
        """Puts a task at the end.

        Args:
            task: The task.

        Raises:
            InvalidArgument: If it has too many rows.
            Unavailable: If there is no room.
        """
        settings = self._settings
        if task.size > settings.max_batch_size:
            raise InvalidArgument(f"Task size {task.size} is larger than maximum input batch size "
                                  f"{settings.max_batch_size}")
        room = settings.batch_limit - self._batches[-1].size
        if not settings.enable_large_batch_splitting or task.size <= room:
            self._check_room(task.size)
            self._put(task)
            return
        self._check_room(task.size)
        sizes = [room] if room else []
        left = task.size - room
        while left > 0:
            sizes.append(min(left, settings.batch_limit))
            left -= sizes[-1]
        for part in task.cut(sizes):
            self._put(part)

    def _check_room(self, size: int) -> None:
        settings, num_batches = self._settings, len(self._batches)
        open_size = self._batches[-1].size
        if settings.enable_large_batch_splitting:
            capacity = ((settings.max_enqueued_batches - num_batches + 1) * settings.batch_limit
                        - open_size)
            if size > capacity:
                raise Unavailable(
                    f"{_FULL}task size is {size} but scheduling capacity is only {capacity} "
                    f"(num_enqueued_batches={num_batches}, "
                    f"max_enqueued_batches={settings.max_enqueued_batches}, "
                    f"open_batch_size={open_size}, max_execution_batch_size="
                    f"{settings.batch_limit})")
        elif (open_size + size > settings.max_batch_size
              and num_batches >= settings.max_enqueued_batches):
            raise Unavailable(
                f"{_FULL}currently {num_batches} batches enqueued and max_enqueued_batches is "
                f"{settings.max_enqueued_batches}")

    def _put(self, task: Task) -> None:
        if self._batches[-1].size + task.size > self._settings.batch_limit:
            self._batches.append(_Batch())
        self._batches[-1].add(task)

    def due(self) -> float:
        """Tells when there is a batch to run.

        Returns:
            A time on the monotonic clock, infinity if nothing waits.
        """
        first = self._batches[0]
        if not first.tasks:
            return math.inf
        if len(self._batches) > 1 or first.size >= self._settings.batch_limit:
            return -math.inf
        return first.tasks[0].since + self._settings.batch_timeout_micros / 1e6

    def take(self) -> list[Task]:
        """Removes the first batch, which is due.

        Returns:
            Its tasks.
        """
        batch = self._batches.popleft()
        if not self._batches:
            self._batches.append(_Batch())
        return batch.tasks
