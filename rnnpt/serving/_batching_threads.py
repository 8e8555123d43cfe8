"""The threads that run batches, of all models of a server."""

import math
import threading
import time
from collections.abc import Callable, Hashable, Sequence

from rnnpt.serving._batching_config import BatchingSettings
from rnnpt.serving._batching_queue import BatchQueue, Task
from rnnpt.serving.error import Unavailable

Observe = Callable[[str, Sequence[float]], None]
Process = Callable[[Sequence[Task]], None]


class BatchThreads:
    """The threads of all models of a server; they take turns over the queues.

    Args:
        num_threads: How many.
        name: Their name.
        observe: Told the name and how many seconds the tasks of a batch waited.
    """

    def __init__(self, num_threads: int, name: str, observe: Observe = lambda *_: None):
        self._name = name
        self._observe = observe
        self._changed = threading.Condition()
        # Those with tasks only, the one whose turn comes first in front.
        self._queues: dict[Hashable, tuple[BatchQueue, Process]] = {}
        self._is_closing = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{index}", daemon=True)
            for index in range(num_threads)]
        for thread in self._threads:
            thread.start()

    def add(
        self, place: Hashable, settings: BatchingSettings, process: Process, task: Task
    ) -> None:
        """Puts a task into its queue.

        Args:
            place: What it has in common with those that it may be merged with.
            settings: The limits of the queue.
            process: Runs a batch of it and answers its tasks; raises nothing.
            task: The task.

        Raises:
            ServingError: If it has too many rows or there is no room.
        """
        with self._changed:
            if self._is_closing:
                raise Unavailable("the server stops; ask another one")
            queue, _ = self._queues.get(place) or (BatchQueue(settings), process)
            due = queue.due()
            queue.add(task)
            self._queues[place] = queue, process
            if queue.due() != due:
                self._changed.notify()

    def _work(self) -> None:
        while True:
            taken = self._take()
            if taken is None:
                return
            process, tasks = taken
            tasks = [task for task in tasks if task.outputs.set_running_or_notify_cancel()]
            now = time.monotonic()
            self._observe(self._name, [now - task.since for task in tasks])
            process(tasks)

    def _take(self) -> tuple[Process, list[Task]] | None:
        """Waits for a batch; None if none will come."""
        with self._changed:
            while True:
                dues = {place: queue.due() for place, (queue, _) in self._queues.items()}
                now = math.inf if self._is_closing else time.monotonic()
                place = next((place for place, due in dues.items() if due <= now), None)
                if place is not None:
                    queue, process = self._queues.pop(place)
                    tasks = queue.take()
                    if queue.due() < math.inf:
                        # At the end, so that the others have their turn first.
                        self._queues[place] = queue, process
                    # Another thread looks after what is left.
                    self._changed.notify()
                    return process, tasks
                if self._is_closing:
                    return None
                self._changed.wait(min(dues.values()) - now if dues else None)

    def close(self) -> None:
        """Runs what waits, then ends the threads; new tasks are refused."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
