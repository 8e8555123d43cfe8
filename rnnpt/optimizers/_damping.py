"""How far the quadratic may be trusted: the damping, adjusted by what became of its promises."""

import dataclasses
import math
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="rnnpt")
@dataclasses.dataclass(frozen=True)
class LevenbergMarquardt:
    """The rule by which the damping lambda follows the reduction ratio.

    Equation: lambda drop where ratio > high, lambda boost where ratio < low or is no number, and
    lambda in between; never below `least` nor above `most`.

    Args:
        drop: factor after a step that kept its promise, in (0, 1].
        boost: factor after one that did not, at least 1.
        low: ratio below which it did not.
        high: ratio above which it did.
        least: damping, so that no run of good steps takes it to 0.
        most: damping.
        damped_ratio: whether the quadratic of the reduction ratio has the damping in it, and not
            the objective's own curvature alone.

    Raises:
        ValueError: if the numbers are not in this order.

    Example:
        >>> rule = LevenbergMarquardt(drop=4 / 5, high=0.7)
        >>> float(rule.adjusted(tf.constant(1.0), tf.constant(0.9)))  # doctest: +ELLIPSIS
        0.80...

    Source: Sutskever 2013, section 4.2.1, after More 1978.
    """

    drop: float = 2 / 3
    boost: float = 3 / 2
    low: float = 1 / 4
    high: float = 3 / 4
    least: float = 1e-10
    most: float = 1e10
    damped_ratio: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.drop <= 1 <= self.boost < math.inf and self.low <= self.high
                and 0 <= self.least <= self.most < math.inf):
            raise ValueError(
                "LevenbergMarquardt: needs 0 < drop <= 1 <= boost, low <= high and 0 <= least <= "
                f"most, got {self}; the defaults are the thesis'")

    def adjusted(self, damping: tf.Tensor, ratio: tf.Tensor) -> tf.Tensor:
        """The damping of the next update.

        Args:
            damping: lambda of this update ().
            ratio: of this update, as `reduction_ratio` gives it ().

        Returns:
            lambda ().
        """
        # Made in their own precision: numbers of Python's would come by way of float32.
        drop, stay, boost = (
            tf.constant(factor, damping.dtype) for factor in (self.drop, 1.0, self.boost))
        # Every comparison with what is no number is false.
        factor = tf.where(ratio > self.high, drop, tf.where(ratio >= self.low, stay, boost))
        return tf.clip_by_value(damping * factor, self.least, self.most)

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LevenbergMarquardt":
        """The rule that `get_config` describes.

        Args:
            config: what `get_config` gave.

        Returns:
            The rule.
        """
        return cls(**config)


def reduction_ratio(decrease: tf.Tensor, promised: tf.Tensor) -> tf.Tensor:
    """How much of the decrease that the quadratic promised the objective has shown.

    Equation: rho = (f(theta + delta) - f(theta)) / q(delta), f and q on the same batch.

    Args:
        decrease: f(theta) - f(theta + delta) ().
        promised: -q(delta) ().

    Returns:
        rho (); no number where the quadratic promised nothing, or either is not finite.

    Source: Sutskever 2013, eq. 4.3.
    """
    is_known = tf.math.is_finite(decrease) & tf.math.is_finite(promised) & (promised > 0)
    return tf.where(is_known, decrease / tf.where(is_known, promised, 1), math.nan)
