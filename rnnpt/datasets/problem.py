"""What every artificial problem of long memory shares: draws, batches, test set and scores."""
import abc
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from rnnpt.datasets._draw import (
    TEST,
    TRAINING,
    check_batches,
    check_draw,
    check_integer,
    endless,
    generator,
)

#: A real output further than this from its target is wrong (Sutskever 2013, section 4.4).
TOLERANCE = 0.04
#: A problem is solved when a smaller share of the test sequences is wrong (section 4.4).
SOLVED_BELOW = 0.01
#: Sequences of a test set (section 4.4).
NUM_TEST_SEQUENCES = 10_000


class ProblemBatch(NamedTuple):
    """Sequences of a problem, of `max_length` T' steps; Keras' `fit` takes such a tuple.

    Args:
        inputs: What the network reads, (B, T', I) float32, zero on padding, which is at the end.
        targets: What it should answer, (B, T', O) float32, zero where nothing is asked.
        weights: 1 where a target counts, else 0, (B, T') float32.
    """

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


class Problem(abc.ABC):
    """An endless source of sequences that ask for something seen long before.

    Each problem is a class of its own; this one holds what they share. Attributes: `num_inputs` I
    and `num_outputs` O, the widths of a step; `output`, what the network's outputs (B, T', O) are
    taken for: "real" values, the logit of a "binary" answer, or the logits of a "categorical" one;
    `max_length` T', the length of every batch; `least_num_steps`, the smallest T.

    Args:
        num_steps: Length T of the problem, in steps; the longer, the harder.

    Raises:
        ValueError: If `num_steps` is not an integer, or too small for the problem.
    """

    num_inputs: int
    num_outputs: int
    output: Literal["real", "binary", "categorical"]
    least_num_steps: int
    _too_short: str  # what to do about a `num_steps` below it

    def __init__(self, num_steps: int) -> None:
        check_integer("num_steps", num_steps, self.least_num_steps, self._too_short)
        self.num_steps = num_steps

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_steps={self.num_steps})"

    @property
    def max_length(self) -> int:
        """Steps T' of every batch: of the longest sequence there can be."""
        return self.num_steps

    def draw(self, num_sequences: int, seed: int, step: int = 0) -> ProblemBatch:
        """Draw fresh sequences, the same ones for the same seed and step.

        Args:
            num_sequences: Sequences B to draw.
            seed: Seed of the endless series of draws.
            step: Place in the series; each is drawn without those before it.

        Returns:
            B sequences.

        Raises:
            ValueError: If `num_sequences` is not a positive integer, or `seed` or `step` not a
                non-negative one.
        """
        check_draw(num_sequences, seed, step)
        return self._generate(generator(seed, TRAINING, step), num_sequences)

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
        shape = (batch_size, self.max_length)
        return endless(lambda step: self.draw(batch_size, seed, step), start, ProblemBatch(
            inputs=tf.TensorSpec((*shape, self.num_inputs), tf.float32),
            targets=tf.TensorSpec((*shape, self.num_outputs), tf.float32),
            weights=tf.TensorSpec(shape, tf.float32),
        ))

    def test_set(self, num_sequences: int = NUM_TEST_SEQUENCES) -> ProblemBatch:
        """Draw the fixed test set, which no training seed draws.

        Args:
            num_sequences: Sequences N of the set.

        Returns:
            N sequences, the same at every call with this N.

        Raises:
            ValueError: If `num_sequences` is not a positive integer.
        """
        check_integer("num_sequences", num_sequences, 1, "Leave it out for the usual test set.")
        return self._generate(generator(0, TEST, 0), num_sequences)

    def wrong_sequences(self, outputs: np.ndarray, batch: ProblemBatch) -> np.ndarray:
        """Tell which sequences are answered wrongly.

        A sequence is wrong if one of the answers that it is judged by is: the only one it gives;
        of the random permutation the last one; in memorization any of the remembered symbols.

        Args:
            outputs: What the network answered, (B, T', O): see `output`.
            batch: What it was asked.

        Returns:
            Wrong or not, (B,) bool.

        Raises:
            ValueError: If `outputs` has another shape than the batch's targets.
        """
        return (self._wrong_steps(outputs, batch) & self._judged_steps(batch)).any(axis=1)

    def zero_one_loss(self, outputs: np.ndarray, batch: ProblemBatch) -> float:
        """The share of wrong answers: the measure of the thesis' table 7.3.

        In memorization it is the share of incorrectly remembered symbols; the other problems
        judge one answer a sequence, so there it is the share of wrong sequences.

        Args:
            outputs: What the network answered, (B, T', O): see `output`.
            batch: What it was asked.

        Returns:
            Between 0 and 1.

        Raises:
            ValueError: If `outputs` has another shape than the batch's targets.
        """
        return float(self._wrong_steps(outputs, batch)[self._judged_steps(batch)].mean())

    def is_solved(self, outputs: np.ndarray, batch: ProblemBatch) -> bool:
        """Whether less than 1 % of the sequences are wrong, the thesis' criterion of success.

        Args:
            outputs: What the network answered, (B, T', O): see `output`.
            batch: What it was asked, as a rule the test set.

        Returns:
            True if so.

        Raises:
            ValueError: If `outputs` has another shape than the batch's targets.
        """
        return bool(self.wrong_sequences(outputs, batch).mean() < SOLVED_BELOW)

    @abc.abstractmethod
    def _generate(self, rng: np.random.Generator, num_sequences: int) -> ProblemBatch:
        """Draw sequences from `rng`."""

    def _judged_steps(self, batch: ProblemBatch) -> np.ndarray:
        """The steps (B, T') bool whose answers the problem is judged by."""
        return batch.weights > 0

    def _wrong_steps(self, outputs: np.ndarray, batch: ProblemBatch) -> np.ndarray:
        """The steps (B, T') bool whose answers miss the target, counted or not."""
        outputs = np.asarray(outputs)
        if outputs.shape != batch.targets.shape:
            raise ValueError(
                "`outputs` must have the shape of the batch's targets. Received: shape "
                f"{outputs.shape} for {batch.targets.shape}. Pass the outputs of every step.")
        if self.output == "real":
            right = np.abs(outputs - batch.targets)[..., 0] <= TOLERANCE
        elif self.output == "binary":
            right = (outputs[..., 0] > 0) == (batch.targets[..., 0] > 0.5)
        else:
            right = outputs.argmax(axis=-1) == batch.targets.argmax(axis=-1)
        # A comparison with NaN may come out either way; no answer is a wrong one.
        return ~right | np.isnan(outputs).any(axis=-1)
