"""What sequences share that are drawn without end, and that a sequence model predicts."""
import abc

import numpy as np
import tensorflow as tf

from rnnpt.datasets._draw import TRAINING, check_batches, check_draw, endless, generator
from rnnpt.datasets.sequence import Batch


class Stream(abc.ABC):
    """An endless source of sequences of one length, in batches as of `Sequences`.

    Attributes: `num_steps`, the length T of every sequence, and `num_visible`, the width V of a
    frame.
    """

    num_steps: int
    num_visible: int

    def draw(self, num_sequences: int, seed: int, step: int = 0) -> Batch:
        """Draw fresh sequences, the same ones for the same seed and step.

        Args:
            num_sequences: Sequences B to draw.
            seed: Seed of the endless series of draws.
            step: Place in the series; each is drawn without those before it.

        Returns:
            A batch of B sequences of T frames, nothing of it padding.

        Raises:
            ValueError: If `num_sequences` is not a positive integer, or `seed` or `step` not a
                non-negative one.
        """
        check_draw(num_sequences, seed, step)
        return as_batch(self._frames(generator(seed, TRAINING, step), num_sequences))

    def batches(self, batch_size: int, seed: int, start: int = 0) -> tf.data.Dataset:
        """Draw batches without end.

        Batch i of the dataset is `draw(batch_size, seed, start + i)`, so a run that was stopped
        after n updates goes on, with `start=n`, as if it had not been.

        Args:
            batch_size: Sequences B of each batch.
            seed: Seed of the series.
            start: Step of the first batch.

        Returns:
            An endless dataset of batches; a second pass begins at `start` again.

        Raises:
            ValueError: If `batch_size` is not a positive integer, or `seed` or `start` not a
                non-negative one.
        """
        check_batches(batch_size, seed, start)
        shape = (batch_size, self.num_steps)
        return endless(lambda step: self.draw(batch_size, seed, step), start, {
            "frames": tf.TensorSpec((*shape, self.num_visible), tf.float32),
            "mask": tf.TensorSpec(shape, tf.bool),
            "starts": tf.TensorSpec((batch_size,), tf.bool),
        })

    @abc.abstractmethod
    def _frames(self, rng: np.random.Generator, num_sequences: int) -> np.ndarray:
        """Draw frames (B, T, V) from `rng`."""


def as_batch(frames: np.ndarray) -> Batch:
    """Make a batch of whole sequences of one length.

    Args:
        frames: Sequences (B, T, V).

    Returns:
        The batch, as `Sequences` describes it.
    """
    return {"frames": np.asarray(frames, np.float32), "mask": np.ones(frames.shape[:2], bool),
            "starts": np.ones(len(frames), bool)}
