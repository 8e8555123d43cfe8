"""Schedules that are constant between boundaries."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from rnnpt.schedules.schedule import StepSchedule, check_count, check_number, check_steps

#: Momenta of the deep autoencoders (Sutskever 2013, section 7.3).
MOMENTUM_LADDER = (0.8, 0.9, 0.95, 0.97, 0.99, 0.995, 0.997, 0.999)


@keras.saving.register_keras_serializable(package="rnnpt")
class Piecewise(StepSchedule):
    """Constant between boundaries.

    Equation: values[i] where i is the number of boundaries <= step, so that `values[0]` serves the
    first `boundaries[0]` updates.

    Args:
        boundaries: steps from which the next value serves, increasing.
        values: one more than there are boundaries.

    Raises:
        ValueError: if the boundaries are not increasing integers from 0 on, a value is negative or
            not finite, or the counts do not match.

    Example:
        >>> rate = Piecewise([1500, 3000], [3e-5, 3e-4, 3e-3])
        >>> [round(float(rate(step)), 6) for step in (0, 1499, 1500, 3000)]
        [3e-05, 3e-05, 0.0003, 0.003]

    Source: Sutskever 2013, section 7.4.2.
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        self.boundaries = check_steps("Piecewise", "boundaries", boundaries)
        self.values = [float(value) for value in values]
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"Piecewise: values must be one more than boundaries, got "
                f"{len(self.values)} and {len(self.boundaries)}; the first serves before the first "
                "boundary")
        for value in self.values:
            check_number("Piecewise", "values", value)

    def _value(self, step: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.constant(self.values, tf.float64), _count(self.boundaries, step))

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value at any step."""
        return min(self.values), max(self.values)

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {"boundaries": self.boundaries, "values": self.values}


@keras.saving.register_keras_serializable(package="rnnpt")
class ExponentiallySpaced(StepSchedule):
    """A ladder of momenta whose rungs are each reached after `ratio` times as many updates.

    The last rung begins at a third of the run, however long that is: a shorter run keeps the shape.
    The thesis gives the ladder and that its last rung is reached after 200,000 of 600,000 updates;
    that the others are "roughly exponentially spaced" leaves the ratio open, and 2 is ours.

    Args:
        num_updates: of the whole run.
        values: the ladder.
        ratio: of one boundary and the one before it.

    Raises:
        ValueError: if there are so few updates that two boundaries fall together, a ratio is not
            above 1, or a value is negative or not finite.

    Example:
        >>> ExponentiallySpaced(600_000).boundaries
        [3125, 6250, 12500, 25000, 50000, 100000, 200000]

    Source: Sutskever 2013, section 7.3.
    """

    def __init__(
        self,
        num_updates: int = 600_000,
        values: Sequence[float] = MOMENTUM_LADDER,
        ratio: float = 2.0,
    ) -> None:
        check_count("ExponentiallySpaced", "num_updates", num_updates)
        if not 1 < ratio < math.inf:
            raise ValueError(
                f"ExponentiallySpaced: ratio must be a number above 1, got {ratio}; 2 doubles the "
                "updates from rung to rung")
        self.num_updates, self.ratio = num_updates, ratio
        powers = range(len(values) - 2, -1, -1)
        self.boundaries = [round(num_updates / 3 / ratio ** power) for power in powers]
        if len(set(self.boundaries)) < len(self.boundaries):
            raise ValueError(
                f"ExponentiallySpaced: num_updates must tell the {len(self.boundaries)} boundaries "
                f"apart, got {num_updates}, which puts them at {self.boundaries}; use a shorter "
                "ladder or a smaller ratio")
        self._ladder = Piecewise(self.boundaries, values)

    def _value(self, step: tf.Tensor) -> tf.Tensor:
        return self._ladder._value(step)

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value at any step."""
        return self._ladder.bounds

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            "num_updates": self.num_updates, "values": self._ladder.values, "ratio": self.ratio}


@keras.saving.register_keras_serializable(package="rnnpt")
class Doubling(StepSchedule):
    """A rate that doubles at given iterations.

    Equation: initial 2^n, where n is the number of iterations <= step.

    Args:
        initial: the rate before the first doubling.
        iterations: steps from which the rate is doubled, increasing.

    Raises:
        ValueError: if the iterations are not increasing integers from 0 on, or the rate is negative
            or not finite.

    Example:
        >>> float(Doubling(0.25)(200))
        1.0

    Source: Sutskever 2013, section 3.3: 0.00005, doubled at 100, 200, 500 and 1000.
    """

    def __init__(
        self, initial: float, iterations: Sequence[int] = (100, 200, 500, 1000)
    ) -> None:
        self.initial = check_number("Doubling", "initial", initial)
        self.iterations = check_steps("Doubling", "iterations", iterations)

    def _value(self, step: tf.Tensor) -> tf.Tensor:
        # A power of two is exact.
        return self.initial * 2.0 ** tf.cast(_count(self.iterations, step), tf.float64)

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value at any step."""
        return self.initial, self.initial * 2.0 ** len(self.iterations)

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {"initial": self.initial, "iterations": self.iterations}


def _count(boundaries: Sequence[int], step: tf.Tensor) -> tf.Tensor:
    """The number of boundaries that a step has reached."""
    reached = step >= tf.constant(boundaries, tf.int64, [len(boundaries)])
    return tf.reduce_sum(tf.cast(reached, tf.int32))
