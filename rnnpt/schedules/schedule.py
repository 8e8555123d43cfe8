"""What schedules share: float64 values of whole steps, and checks of their numbers."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule as Schedule

# Where a schedule that cannot tell its bounds is looked at.
_SAMPLED_STEPS = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)


class StepSchedule(Schedule):
    """A schedule of this package: a function of the step that knows its bounds.

    Boundaries are compared as whole numbers, and values are computed in float64 and rounded once,
    to Keras' own dtype: exact at any step, also where it is beyond float32.
    """

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """The value for an update.

        Args:
            step: number of updates before it, a scalar integer.

        Returns:
            The value, a scalar of Keras' own dtype.
        """
        return tf.cast(self._value(tf.cast(step, tf.int64)), keras.config.floatx())

    def _value(self, step: tf.Tensor) -> tf.Tensor:
        """The value for a step, a scalar int64, in float64."""
        raise NotImplementedError

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value at any step."""
        raise NotImplementedError


def bounds_of(schedule: float | Schedule) -> tuple[float, float]:
    """The smallest and the largest value of a schedule, as far as can be told beforehand.

    Args:
        schedule: a number, or a schedule; one that is not of this package is looked at before
            updates 0, 1, 10, 100 and so on up to a million.

    Returns:
        The two values.
    """
    if isinstance(schedule, StepSchedule):
        return schedule.bounds
    if isinstance(schedule, Schedule):
        values = [float(schedule(tf.constant(step, tf.int64))) for step in _SAMPLED_STEPS]
        return min(values), max(values)
    return float(schedule), float(schedule)


def value_of(schedule: float | Schedule, step: tf.Tensor) -> tf.Tensor:
    """The value of a number or a schedule for an update.

    Args:
        schedule: a number, or a schedule.
        step: number of updates before it, a scalar int64.

    Returns:
        The value, a scalar float64.
    """
    if isinstance(schedule, StepSchedule):
        return schedule._value(step)
    if isinstance(schedule, Schedule):
        return tf.cast(schedule(step), tf.float64)
    return tf.constant(schedule, tf.float64)


def to_config(schedule: float | Schedule) -> float | dict[str, Any]:
    """What a number or a schedule is within a config.

    Args:
        schedule: a number, or a schedule.

    Returns:
        The number, or a JSON-ready dictionary.
    """
    if isinstance(schedule, Schedule):
        return keras.saving.serialize_keras_object(schedule)
    return schedule


def from_config(config: float | dict[str, Any]) -> float | Schedule:
    """A number or a schedule from what `to_config` made of it.

    Args:
        config: the number, or the dictionary.

    Returns:
        The number, or a schedule.
    """
    return keras.saving.deserialize_keras_object(config) if isinstance(config, dict) else config


def check_number(owner: str, name: str, value: float) -> float:
    """Refuse a rate that is negative or not finite.

    Args:
        owner: class whose argument it is.
        name: of the argument.
        value: of the argument.

    Returns:
        The value.

    Raises:
        ValueError: if it is negative or not finite.
    """
    if not 0 <= value < math.inf:
        raise ValueError(
            f"{owner}: {name} must be finite and at least 0, got {value}; rates and momenta are "
            "numbers like 0.01 and 0.9")
    return float(value)


def check_count(owner: str, name: str, value: int) -> int:
    """Refuse a number of updates that is no positive integer.

    Args:
        owner: class whose argument it is.
        name: of the argument.
        value: of the argument.

    Returns:
        The value.

    Raises:
        ValueError: if it is no positive integer.
    """
    if not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(
            f"{owner}: {name} must be a positive integer, got {value!r}; count the updates, epochs "
            "times batches an epoch")
    return int(value)


def check_steps(owner: str, name: str, steps: Sequence[int]) -> list[int]:
    """Refuse steps that are unsorted or negative.

    Args:
        owner: class whose argument they are.
        name: of the argument.
        steps: of the argument.

    Returns:
        The steps as a list.

    Raises:
        ValueError: if they are not increasing integers from 0 on.
    """
    steps = list(steps)
    whole = all(isinstance(step, numbers.Integral) and step >= 0 for step in steps)
    if not whole or any(late <= early for early, late in zip(steps, steps[1:])):
        raise ValueError(
            f"{owner}: {name} must be increasing integers from 0 on, got {steps}; each is the "
            "number of updates after which the next value serves")
    return [int(step) for step in steps]
