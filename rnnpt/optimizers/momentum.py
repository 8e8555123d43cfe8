"""Classical momentum, and what the optimizers with a velocity share."""

import numbers
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from rnnpt import schedules
from rnnpt.schedules.schedule import Schedule, from_config, to_config

Array = TypeVar("Array", np.ndarray, tf.Tensor)


def momentum_update(
    parameters: Array,
    velocity: Array,
    gradient: Array,
    learning_rate: float | Array,
    momentum: float | Array,
) -> tuple[Array, Array]:
    """One step of classical momentum.

    Equation: velocity' = momentum velocity - learning_rate gradient;
    parameters' = parameters + velocity'.

    Args:
        parameters: theta, of any shape.
        velocity: of their shape; 0 at first.
        gradient: of the objective at the parameters.
        learning_rate: epsilon, a number or of a shape that broadcasts.
        momentum: mu, a number or of a shape that broadcasts.

    Returns:
        The new parameters and the new velocity.

    Source: Sutskever 2013, eqs. 7.1 and 7.2.
    """
    velocity = momentum * velocity - learning_rate * gradient
    return parameters + velocity, velocity


@keras.saving.register_keras_serializable(package="rnnpt")
class Momentum(keras.optimizers.Optimizer):
    """Classical momentum, its learning rate and momentum both schedules of the step.

    Equation: as of `momentum_update`. Both schedules see the number of updates before this one.
    With constants it does what `keras.optimizers.SGD` does, which has no schedule of momentum.

    Args:
        learning_rate: a number or a Keras schedule.
        momentum: a number in [0, 1) or a Keras schedule of such numbers.
        **kwargs: of `keras.optimizers.Optimizer`, such as `global_clipnorm`.

    Raises:
        TypeError: if the momentum is neither a number nor a schedule.
        ValueError: if it leaves [0, 1), as far as can be told beforehand (`schedules.bounds_of`).

    Example:
        >>> optimizer = Momentum(0.01, schedules.NesterovMomentum(), global_clipnorm=15.0)
        >>> round(float(optimizer.momentum), 6)
        0.4

    Source: Sutskever 2013, section 7.2.
    """

    def __init__(
        self, learning_rate: float | Schedule, momentum: float | Schedule = 0.9, **kwargs: Any
    ) -> None:
        if isinstance(learning_rate, numbers.Real):
            learning_rate = float(learning_rate)
        super().__init__(learning_rate, **kwargs)
        _check_momentum(type(self).__name__, momentum)
        self._momentum = momentum

    @property
    def momentum(self) -> tf.Tensor:
        """The momentum of the next update, a scalar of Keras' own dtype."""
        return self._momentum_at(self._next_step())

    def build(self, variables: list[keras.Variable]) -> None:
        """Make a velocity for each variable, 0 at first.

        Args:
            variables: that will be trained.
        """
        if not self.built:
            super().build(variables)
            self._velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, rates: tuple[tf.Tensor, ...]
    ) -> None:
        """Update one variable.

        Args:
            gradient: of the variable's shape.
            variable: one of those that the optimizer was built with.
            rates: learning rate, momentum, and what else the rule takes; scalars.
        """
        velocity = self._velocities[self._get_variable_index(variable)]
        # Also where the gradient is that of an embedding, which has rows only.
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
        new_variable, new_velocity = self._update(
            tf.convert_to_tensor(variable), tf.convert_to_tensor(velocity), gradient,
            *(tf.cast(rate, variable.dtype) for rate in rates))
        self.assign(velocity, new_velocity)
        self.assign(variable, new_variable)

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {**super().get_config(), "momentum": to_config(self._momentum)}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "Momentum":
        """The optimizer that `get_config` describes.

        Args:
            config: what `get_config` gave.
            custom_objects: classes by name that Keras does not know.

        Returns:
            An optimizer that has accumulated nothing.
        """
        config = config | {"momentum": from_config(config["momentum"])}
        return super().from_config(config, custom_objects)

    def _backend_update_step(
        self, grads: list[Any], trainable_variables: list[Any], learning_rate: tf.Tensor
    ) -> None:
        # Not before there are gradients: where data of unknown length end, Keras would run what
        # needs no data once more, and count a step too many.
        with tf.control_dependencies(grads):
            rates = self._begin_update()
        # Keras hands one scalar on to all variables: here it is all the scalars of the update.
        super()._backend_update_step(grads, trainable_variables, rates)

    def _begin_update(self) -> tuple[tf.Tensor, ...]:
        """The scalars that `_update` takes, once for all variables."""
        return tf.convert_to_tensor(self.learning_rate), self.momentum

    @staticmethod
    def _update(*arguments: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return momentum_update(*arguments)

    def _momentum_at(self, step: tf.Tensor) -> tf.Tensor:
        value = self._momentum(step) if isinstance(self._momentum, Schedule) else self._momentum
        return tf.cast(value, keras.config.floatx())

    def _next_step(self) -> tf.Tensor:
        """The step of the next update: with accumulated gradients, one in so many steps."""
        step, stride = tf.convert_to_tensor(self._iterations), self._stride
        return step if stride == 1 else step // stride * stride + stride - 1

    @property
    def _stride(self) -> int:
        return self.gradient_accumulation_steps or 1


def _check_momentum(owner: str, momentum: float | Schedule) -> None:
    if not isinstance(momentum, (numbers.Real, Schedule)):
        raise TypeError(
            f"{owner}: momentum must be a number or a Keras schedule, got {momentum!r}; 0.9 is "
            "usual")
    low, high = schedules.bounds_of(momentum)
    if not 0 <= low <= high < 1:
        found = momentum if isinstance(momentum, numbers.Real) else f"from {low} to {high}"
        raise ValueError(
            f"{owner}: momentum must be in [0, 1), got {found}; 0.9 is usual, and nearer to 1 "
            "remembers longer")
