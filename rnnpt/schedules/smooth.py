"""Schedules that change at every update."""

import math
from typing import Any

import keras
import tensorflow as tf

from rnnpt.schedules.schedule import StepSchedule, check_count, check_number


@keras.saving.register_keras_serializable(package="rnnpt")
class NesterovMomentum(StepSchedule):
    """The momentum of Nesterov's accelerated gradient for smooth convex objectives.

    Equation: 1 - 3 / (step + 5), which (a_t - 1) / a_(t+1) comes close to.

    Example:
        >>> round(float(NesterovMomentum()(25)), 6)
        0.9

    Source: Nesterov 1983; Sutskever 2013, below eqs. 7.6 and 7.13.
    """

    def _value(self, step: tf.Tensor) -> tf.Tensor:
        return 1 - 3 / (tf.cast(step, tf.float64) + 5)

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest value, and one below 1, which is never reached."""
        return 0.4, math.nextafter(1.0, 0.0)

    def get_config(self) -> dict[str, Any]:
        """Nothing: there is nothing to choose.

        Returns:
            An empty dictionary.
        """
        return {}


@keras.saving.register_keras_serializable(package="rnnpt")
class LinearDecay(StepSchedule):
    """A rate that falls along a line to 0, and stays there.

    Equation: initial (1 - step / num_updates), at least 0.

    Args:
        initial: the rate of the first update.
        num_updates: after which it is 0.

    Raises:
        ValueError: if the number is no positive integer, or the rate negative or not finite.

    Example:
        >>> [float(LinearDecay(1.0, 4)(step)) for step in (0, 1, 4, 9)]
        [1.0, 0.75, 0.0, 0.0]

    Source: Sutskever 2013, section 3.11.3.
    """

    def __init__(self, initial: float, num_updates: int) -> None:
        self.initial = check_number("LinearDecay", "initial", initial)
        self.num_updates = check_count("LinearDecay", "num_updates", num_updates)

    def _value(self, step: tf.Tensor) -> tf.Tensor:
        left = tf.cast(tf.maximum(self.num_updates - step, 0), tf.float64)
        return self.initial * left / self.num_updates

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value at any step."""
        return 0.0, self.initial

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {"initial": self.initial, "num_updates": self.num_updates}
