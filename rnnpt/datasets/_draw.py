"""What every data set that is drawn shares: its random numbers, its endless batches, its checks."""
import collections
import functools
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

import numpy as np
import tensorflow as tf

from rnnpt.datasets._pipeline import PREFETCHED_BATCHES, computed, untuned

# Second half of the random key, so that no training seed can draw the test set.
TRAINING, TEST = 0, 1


def generator(seed: int, purpose: int, step: int) -> np.random.Generator:
    """Give each step a generator of its own: the counter's lower words are far from used up.

    Args:
        seed: Of the series.
        purpose: `TRAINING` or `TEST`.
        step: Place in the series.

    Returns:
        The generator.
    """
    return np.random.Generator(np.random.Philox(key=[seed, purpose], counter=[0, 0, 0, step]))


def endless(draw: Callable[[int], Any], start: int, signature: Any) -> tf.data.Dataset:
    """Draw one batch a step, without end.

    Args:
        draw: From a step to its batch.
        start: The first step.
        signature: Of a batch: a structure of `tf.TensorSpec`.

    Returns:
        A dataset; a second pass begins at `start` again.
    """
    return computed(tf.data.Dataset.counter(start), _DrawnAhead(draw), signature).with_options(
        untuned())


class _DrawnAhead:
    """A draw, and those of the next steps ahead of it.

    TensorFlow keeps every function of a dataset until the process ends, and what it holds with it:
    here so many batches, but no thread.

    Args:
        draw: From a step to its batch.
    """

    def __init__(self, draw: Callable[[int], Any]) -> None:
        self._draw, self._lock = draw, threading.Lock()
        self._ahead: collections.deque[tuple[int, futures.Future]] = collections.deque()

    def __call__(self, step: int) -> Any:
        with self._lock:
            # Another pass may be elsewhere.
            if not self._ahead or self._ahead[0][0] != step:
                while self._ahead:
                    self._ahead.popleft()[1].cancel()
            while len(self._ahead) <= PREFETCHED_BATCHES:
                later = step + len(self._ahead)
                self._ahead.append((later, _thread().submit(self._draw, later)))
            _, batch = self._ahead.popleft()
        return batch.result()


@functools.cache
def _thread() -> futures.ThreadPoolExecutor:
    """One of Python's own, which the process waits for at its end.

    A thread of TensorFlow's that draws then never gets the interpreter's lock again, and the
    process waits for it for ever, as after an interrupt in a long fit.
    """
    return futures.ThreadPoolExecutor(1, "rnnpt-draw")


def check_integer(name: str, value: object, least: int, advice: str) -> None:
    """Refuse what is no integer from `least` on.

    Args:
        name: Of the argument.
        value: That was given.
        least: That is taken.
        advice: What to do.

    Raises:
        ValueError: If it is none.
    """
    if (not isinstance(value, (int, np.integer)) or isinstance(value, bool)
            or not least <= value < 2**63):
        raise ValueError(
            f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}. "
            f"{advice}")


def check_draw(num_sequences: object, seed: object, step: object) -> None:
    """Refuse what no draw takes.

    Args:
        num_sequences: Sequences to draw.
        seed: Of the series.
        step: Place in it.
    """
    check_integer("num_sequences", num_sequences, 1, "Pass how many to draw.")
    check_integer("seed", seed, 0, "Pass any number below 2**63.")
    check_integer("step", step, 0, "Pass the number of the update, from 0.")


def check_batches(batch_size: object, seed: object, start: object) -> None:
    """Refuse what no series of batches takes.

    Args:
        batch_size: Sequences of a batch.
        seed: Of the series.
        start: Its first step.
    """
    check_integer("batch_size", batch_size, 1, "Pass the sequences of a batch.")
    check_integer("seed", seed, 0, "Pass any number below 2**63.")
    check_integer("start", start, 0, "Pass the number of updates already done.")
