"""Schedules made of other schedules."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt.schedules.schedule import (
    Schedule,
    StepSchedule,
    bounds_of,
    check_count,
    check_number,
    from_config,
    to_config,
    value_of,
)


@keras.saving.register_keras_serializable(package="rnnpt")
class Capped(StepSchedule):
    """Another schedule, where it does not exceed a cap.

    Use it to train with momentum 0.99 or 0.9 at most on the schedule of a run with more of it.

    Equation: min(schedule, cap).

    Args:
        schedule: what is capped.
        cap: the largest value.

    Raises:
        ValueError: if the cap is negative or not finite.

    Example:
        >>> from rnnpt.schedules import NesterovMomentum
        >>> momentum = Capped(NesterovMomentum(), 0.75)
        >>> [round(float(momentum(step)), 6) for step in (0, 7, 100)]
        [0.4, 0.75, 0.75]

    Source: Sutskever 2013, fig. 7.2 and table 7.2.
    """

    def __init__(self, schedule: float | Schedule, cap: float) -> None:
        self.schedule = schedule
        self.cap = check_number("Capped", "cap", cap)

    def _value(self, step: tf.Tensor) -> tf.Tensor:
        return tf.minimum(value_of(self.schedule, step), self.cap)

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value at any step."""
        low, high = bounds_of(self.schedule)
        return min(low, self.cap), min(high, self.cap)

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {"schedule": to_config(self.schedule), "cap": self.cap}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Capped":
        """The schedule that `get_config` describes.

        Args:
            config: what `get_config` gave.

        Returns:
            An equal schedule.
        """
        return cls(**config | {"schedule": from_config(config["schedule"])})


@keras.saving.register_keras_serializable(package="rnnpt")
class FinalPhase(StepSchedule):
    """Another schedule, turned down for the last updates of a run, which lets it settle.

    Use `divisor` for a learning rate and `cap` for a momentum, which is never turned up.

    Equation: schedule / divisor, or min(schedule, cap), from update (1 - share) num_updates on; it
    stays so after the last.

    Args:
        schedule: what serves before, a number or a schedule.
        num_updates: of the whole run.
        divisor: of a learning rate in the final phase; the thesis has 10.
        cap: of a momentum in the final phase; the thesis has 0.99.
        share: of the updates that the final phase has.

    Raises:
        ValueError: if not just one of `divisor` and `cap` is given, the divisor is less than 1, the
            cap is negative, the share is not from 0 to 1, or the number is no positive integer.

    Example:
        >>> rate = FinalPhase(0.5, num_updates=1000, divisor=10)
        >>> [round(float(rate(step)), 6) for step in (0, 899, 900, 2000)]
        [0.5, 0.5, 0.05, 0.05]

    Source: Sutskever 2013, section 7.3.
    """

    def __init__(
        self,
        schedule: float | Schedule,
        num_updates: int,
        divisor: float | None = None,
        cap: float | None = None,
        share: float = 0.1,
    ) -> None:
        if (divisor is None) == (cap is None):
            raise ValueError(
                f"FinalPhase: one of divisor and cap must be given, got divisor={divisor}, "
                f"cap={cap}; divide a learning rate by 10, cap a momentum at 0.99")
        if divisor is not None and check_number("FinalPhase", "divisor", divisor) < 1:
            raise ValueError(
                f"FinalPhase: divisor must be at least 1, got {divisor}; the final phase turns a "
                "rate down")
        if not 0 <= share <= 1:
            raise ValueError(
                f"FinalPhase: share must be from 0 to 1, got {share}; 0.1 is a tenth of the run")
        self.schedule = schedule
        self.num_updates = check_count("FinalPhase", "num_updates", num_updates)
        self.divisor = divisor
        self.cap = None if cap is None else check_number("FinalPhase", "cap", cap)
        self.share = share
        #: The first step of the final phase.
        self.start = self.num_updates - round(share * self.num_updates)

    def _value(self, step: tf.Tensor) -> tf.Tensor:
        value = value_of(self.schedule, step)
        turned = tf.minimum(value, self.cap) if self.divisor is None else value / self.divisor
        return tf.where(step >= self.start, turned, value)

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value at any step."""
        low, high = bounds_of(self.schedule)
        lowest = low if self.divisor is None else low / self.divisor
        return (lowest if self.cap is None else min(lowest, self.cap)), high

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            "schedule": to_config(self.schedule), "num_updates": self.num_updates,
            "divisor": self.divisor, "cap": self.cap, "share": self.share}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FinalPhase":
        """The schedule that `get_config` describes.

        Args:
            config: what `get_config` gave.

        Returns:
            An equal schedule.
        """
        return cls(**config | {"schedule": from_config(config["schedule"])})
