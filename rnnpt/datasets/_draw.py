"""What every data set that is drawn shares: its random numbers, its endless batches, its checks."""
import collections
import functools
import threading
import weakref
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
    ahead = _DrawnAhead(draw)
    dataset = computed(tf.data.Dataset.counter(start), ahead, signature).with_options(untuned())
    # TensorFlow keeps the functions of a dataset until the process ends, and what they hold.
    weakref.finalize(dataset, ahead.forget)
    return dataset


class _DrawnAhead:
    """A draw, and those of the next steps ahead of it.

    Passes of one dataset in turns draw anew what the other has thrown away.

    Args:
        draw: From a step to its batch.
    """

    def __init__(self, draw: Callable[[int], Any]) -> None:
        self._draw, self._lock = draw, threading.Lock()
        self._ahead: collections.deque[tuple[int, futures.Future]] = collections.deque()

    def __call__(self, step: int) -> Any:
        with self._lock:
            ahead = self._ahead
            # Another pass may be elsewhere.
            if not ahead or ahead[0][0] != step:
                while ahead:
                    ahead.popleft()[1].cancel()
            while len(ahead) <= PREFETCHED_BATCHES:
                later = step + len(ahead)
                ahead.append((later, _thread().submit(self._draw, later)))
            _, batch = ahead.popleft()
        return batch.result()

    def forget(self) -> None:
        """Let go of what was drawn ahead; a pass that goes on draws it anew."""
        # Without the lock, which the thread that collects garbage may hold.
        self._ahead = collections.deque()


@functools.cache
def _thread() -> futures.ThreadPoolExecutor:
    """The thread that draws for all datasets.

    It is Python's, so that the process waits for it at its end. One of TensorFlow's that is drawing
    at that moment would never get the interpreter's lock back, and the process would hang, as after
    an interrupt in a long fit.
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
