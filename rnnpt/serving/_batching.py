"""Batching: requests that wait at the same time are run as one, as in TensorFlow Serving.

A thread that is free takes what waits of one signature, merges it along the first dimension, runs
it once, and gives each request its own rows of the answer. With `batch_timeout_micros` 0, the
default, nothing waits for company: a batch is what came while the threads were busy.

A row's answer is the same whatever its neighbours, because a served model draws with a seed a row;
its shape may differ in one place: the frames of `generate` are as long as the longest of the batch,
zero past each row's own `length`, which is all that is promised of them.

One thing differs from TensorFlow Serving, where a batch that fails fails for every request in it:
here a batch that is refused as INVALID_ARGUMENT is halved and run again, so that only the requests
that are wrong get the error. Whoever sends a NaN stops nobody else's music.
"""

import copy
import functools
import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from rnnpt.serving._batching_config import PARAMETERS_FILE, BatchingSettings, read_settings
from rnnpt.serving._batching_merge import count_rows, merge, split
from rnnpt.serving._batching_queue import Task
from rnnpt.serving._batching_threads import BatchThreads, Observe
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._servable import Feeds, Run
from rnnpt.serving.error import InvalidArgument, ResourceExhausted


class Batching:
    """Whether and how a server batches: the operator's file, and the threads of all its models.

    Args:
        options: The flags.
        observe: Told the threads' name and how many seconds the requests of a batch waited.

    Raises:
        ServingError: If `batching_parameters_file` cannot be read or is wrong.
    """

    def __init__(self, options: ServerOptions, observe: Observe = lambda *_: None):
        self._is_per_model = options.enable_per_model_batching_parameters
        self._settings: BatchingSettings | None = None
        self._threads: BatchThreads | None = None
        if options.enable_batching:
            file = options.batching_parameters_file
            self._settings = read_settings(file) if file else BatchingSettings()
            self._threads = BatchThreads(
                self._settings.num_batch_threads, self._settings.thread_pool_name, observe)

    def batcher(self, path: str | os.PathLike, run: Run) -> "Batcher | None":
        """Makes what batches the requests of a model, if that is wanted.

        With `enable_per_model_batching_parameters` the model's own file tells how, and a model
        without one is not batched; of the operator's file the threads alone count then.

        Args:
            path: The version's folder.
            run: Runs one request, or several that were merged.

        Returns:
            What runs requests together; None if the model is not batched.

        Raises:
            ServingError: If the model's own file cannot be read or is wrong.
        """
        settings = self._settings
        if settings is None or self._threads is None:
            return None
        if self._is_per_model:
            file = Path(path) / PARAMETERS_FILE
            if not file.is_file():
                return None
            settings = read_settings(file)
        return Batcher(run, settings, self._threads)

    def close(self) -> None:
        """Runs what waits and ends the threads."""
        if self._threads is not None:
            self._threads.close()


class Batcher:
    """The requests of one model.

    Args:
        run: Runs one request, or several that were merged.
        settings: How they are batched.
        threads: Where they run.
    """

    def __init__(self, run: Run, settings: BatchingSettings, threads: BatchThreads):
        self._run = run
        self.settings = settings
        self._threads = threads

    def run(
        self, feeds: Feeds, fetches: Sequence[str], timeout_s: float | None = None
    ) -> list[np.ndarray]:
        """Runs a request together with others; any thread may call it, and waits.

        Args:
            feeds: Names of tensors with their values.
            fetches: Names of the tensors to compute.
            timeout_s: How long the caller will wait.

        Returns:
            Their values.

        Raises:
            ServingError: If the request cannot be batched, there is no room for it, or TensorFlow
                refuses it.
        """
        return self.submit(feeds, fetches, timeout_s).result()

    def submit(
        self, feeds: Feeds, fetches: Sequence[str], timeout_s: float | None = None
    ) -> Future:
        """Puts a request into its queue.

        Args:
            feeds: Names of tensors with their values.
            fetches: Names of the tensors to compute.
            timeout_s: How long the caller will wait.

        Returns:
            Their values, once they are there.

        Raises:
            ServingError: If the request cannot be batched or there is no room for it.
        """
        inputs = [value for _, value in feeds]
        now = time.monotonic()
        deadline = math.inf if timeout_s is None else now + timeout_s
        task = Task(inputs, count_rows(inputs), now, deadline)
        # A queue keeps what is cancelled until its turn, but not the request.
        task.outputs.add_done_callback(
            lambda outputs: inputs.clear() if outputs.cancelled() else None)
        # With padding the shapes need not be equal, only as many.
        shapes = (value.ndim if self.settings.pad_variable_length_inputs else value.shape[1:]
                  for value in inputs)
        key = (tuple(name for name, _ in feeds), tuple(fetches), *shapes)
        self._threads.add(
            (self, key), self.settings, functools.partial(self.process, key), task)
        return task.outputs

    def process(self, key: tuple, tasks: Sequence[Task]) -> None:
        """Runs a batch and answers its tasks.

        Args:
            key: What the tasks have in common: names of the inputs and of the outputs, and shapes.
            tasks: The tasks.
        """
        now = time.monotonic()
        _fail([task for task in tasks if task.deadline <= now], ResourceExhausted(
            "Run() timeout exceeded while waiting in batching queue"))
        tasks = [task for task in tasks if task.deadline > now]
        if tasks:
            self._answer(key, tasks)

    def _answer(self, key: tuple, tasks: Sequence[Task]) -> None:
        try:
            answers = self._run_together(key, tasks)
        except InvalidArgument as error:
            if len(tasks) == 1:
                _fail(tasks, error)
                return
            half = len(tasks) // 2
            self.process(key, tasks[:half])
            self.process(key, tasks[half:])
        except BaseException as error:  # handed to those who wait
            _fail(tasks, error)
        else:
            for task, outputs in zip(tasks, answers, strict=True):
                task.outputs.set_result(outputs)

    def _run_together(self, key: tuple, tasks: Sequence[Task]) -> list[list[np.ndarray]]:
        names, fetches = key[:2]
        sizes = [task.size for task in tasks]
        num_rows = sum(sizes)
        # A row that is repeated must be there: the last task is the one that it is taken from.
        num_more = self.settings.allowed_size(num_rows) - num_rows if sizes[-1] else 0
        inputs = merge([task.inputs for task in tasks], num_more)
        # The one who waits longest decides, as in TensorFlow Serving.
        deadline = max(task.deadline for task in tasks)
        timeout_s = None if deadline == math.inf else deadline - time.monotonic()
        outputs = self._run(list(zip(names, inputs, strict=True)), fetches, timeout_s)
        return split(outputs, sizes, num_more)


def _fail(tasks: Sequence[Task], error: BaseException) -> None:
    for task in tasks:
        # Each who waits raises one of its own: a traceback grows where it is raised.
        task.outputs.set_exception(copy.copy(error))
