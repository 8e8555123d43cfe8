"""Artificial problems about two marked values among many: sum, product, difference.

Positions count from 1 in the descriptions; where an interval of the text begins or ends between
two integers, the integers inside it are meant.

Source: Sutskever, Training recurrent neural networks (2013), section 4.4.1, after Hochreiter and
Schmidhuber 1997.
"""
import abc

import numpy as np

from rnnpt.datasets.problem import Problem, ProblemBatch


class _TwoMarks(Problem):
    """Values of which two are marked; the answer, at the last step, depends on these two.

    The length T' is drawn from T to 11 T / 10, the marked position I from 1 to T' / 10 and J from
    T' / 10 to T' / 2. Both ranges hold T' / 10 if ten divides T'; two values are to be marked, so
    J is then drawn from the rest of its range where I has taken this one.
    """

    num_inputs = 2  # the value and its mark
    num_outputs = 1
    least_num_steps = 10
    _too_short = "Take a longer problem: the first mark lies in its first tenth."

    @property
    def max_length(self) -> int:
        """Steps T' of every batch: of the longest sequence there can be."""
        return 11 * self.num_steps // 10

    def _generate(self, rng: np.random.Generator, num_sequences: int) -> ProblemBatch:
        lengths = rng.integers(
            self.num_steps, self.max_length, num_sequences, endpoint=True)  # T'
        first = rng.integers(1, lengths // 10, endpoint=True)  # I
        second = rng.integers(  # J
            np.maximum(-(-lengths // 10), first + 1), lengths // 2, endpoint=True)
        values = self._draw_values(rng, (num_sequences, self.max_length))
        values[np.arange(self.max_length) >= lengths[:, None]] = 0

        row = np.arange(num_sequences)
        marks = np.zeros_like(values)
        marks[row, first - 1] = marks[row, second - 1] = 1
        weights = np.zeros_like(values)
        weights[row, lengths - 1] = 1
        answer = self._answer(values[row, first - 1], values[row, second - 1])
        return ProblemBatch(
            np.stack([values, marks], axis=-1), (weights * answer[:, None])[..., None], weights)

    @abc.abstractmethod
    def _draw_values(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """Draw values (B, T') float32, marked and unmarked ones alike."""

    @abc.abstractmethod
    def _answer(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The answer (B,) to the two marked values (B,)."""


class Addition(_TwoMarks):
    """Half the sum of the two marked among many real numbers.

    Use it to see whether a network can keep two numbers and ignore the rest. A step is a number
    from U[0, 1] and its mark, 0 or 1. The length is drawn from T to 11 T / 10, one marked position
    from the first tenth and another from there to the middle. The target, at the last step, is
    half the sum of the marked numbers; an output further than 0.04 from it is wrong.

    Args:
        num_steps: The shortest length T, in steps.

    Raises:
        ValueError: If `num_steps` is not an integer of at least 10.

    Example:
        >>> from rnnpt import datasets
        >>> problem = datasets.Addition(num_steps=80)
        >>> batch = problem.draw(num_sequences=100, seed=0)
        >>> batch.inputs.shape, batch.targets.shape, batch.weights.shape
        ((100, 88, 2), (100, 88, 1), (100, 88))
        >>> problem.zero_one_loss(batch.targets, batch)
        0.0

    Source: Sutskever 2013, section 4.4.1.
    """

    output = "real"

    def _draw_values(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return rng.random(shape, np.float32)

    def _answer(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return (first + second) / 2


class Multiplication(Addition):
    """The product of the two marked among many real numbers.

    As `Addition`, with the product for the target.

    Args:
        num_steps: The shortest length T, in steps.

    Raises:
        ValueError: If `num_steps` is not an integer of at least 10.

    Source: Sutskever 2013, section 4.4.1.
    """

    def _answer(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return first * second


class Xor(_TwoMarks):
    """Whether the two marked among many bits differ.

    As `Addition`, with random bits for the numbers and a binary answer: unlike there, one marked
    bit alone says nothing about it.

    Args:
        num_steps: The shortest length T, in steps.

    Raises:
        ValueError: If `num_steps` is not an integer of at least 10.

    Source: Sutskever 2013, section 4.4.1.
    """

    output = "binary"

    def _draw_values(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return rng.integers(0, 2, shape, np.uint8).astype(np.float32)

    def _answer(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.abs(first - second)
