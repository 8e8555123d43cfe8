"""Nesterov's method of 1983 whole: its own momentum, and a search for the rate."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from rnnpt import numerics
from rnnpt.optimizers._line_search import infinite_if_unknown
from rnnpt.optimizers.graph_error import NO_PROGRESS
from rnnpt.optimizers.objective import Objective
from rnnpt.optimizers.objective_optimizer import ObjectiveOptimizer

Values = list[tf.Tensor]

# How far from y_0 the point z of the first rate is, in standard deviations a weight.
_PROBE_SCALE = 0.01
# A loss is known to so many units in its last place: a smaller lack of decrease is rounding.
_NUM_ROUNDINGS = 8


class Nesterov1983State(NamedTuple):
    """Where the method stands after step t; zeros at first, but for the parameters.

    Args:
        parameters: theta_t, the tensors of a model.
        velocity: theta_t - theta_(t-1), of their shapes.
        coefficient: a_t, a scalar; 0 before the first step and after a restart.
        learning_rate: epsilon_t, a scalar; 0 where it is still to be found.
        loss: f(theta_t), a scalar.
    """

    parameters: Values
    velocity: Values
    coefficient: tf.Tensor
    learning_rate: tf.Tensor
    loss: tf.Tensor


def next_coefficient(coefficient: float | np.ndarray | tf.Tensor) -> Any:
    """The sequence that the momentum is made of.

    Equation: a_(t+1) = (1 + sqrt(4 a_t^2 + 1)) / 2. The momentum of step t+1 is
    (a_t - 1) / a_(t+1).

    Args:
        coefficient: a_t; 0 gives a_0 = 1.

    Returns:
        a_(t+1).

    Example:
        >>> next_coefficient(0.0), round(next_coefficient(1.0), 6)
        (1.0, 1.618034)

    Source: Sutskever 2013, eq. 7.5.
    """
    return (1 + (4 * coefficient ** 2 + 1) ** 0.5) / 2


def estimate_learning_rate(
    values: Values, gradient: Values, other_values: Values, other_gradient: Values
) -> tf.Tensor:
    """The first rate: the reciprocal of the Lipschitz coefficient between two points.

    Equation: |y_0 - z| / |grad f(y_0) - grad f(z)|.

    Args:
        values: y_0.
        gradient: at y_0.
        other_values: z.
        other_gradient: at z.

    Returns:
        A scalar; infinite where the gradients are equal.

    Source: Sutskever 2013, section 7.2.
    """
    return (_norm([one - other for one, other in zip(values, other_values)])
            / _norm([one - other for one, other in zip(gradient, other_gradient)]))


def nesterov_1983_update(
    state: Nesterov1983State,
    loss_at: Callable[[Values], tf.Tensor],
    loss_and_gradient_at: Callable[[Values], tuple[tf.Tensor, Values]],
    restart: bool = False,
    seed: int | tf.Tensor = 0,
    max_halvings: int = 60,
) -> tuple[Nesterov1983State, tf.Tensor, tf.Tensor]:
    """One step of Nesterov's method.

    Equation: y = theta_(t-1) + (a_(t-1) - 1) / a_t (theta_(t-1) - theta_(t-2));
    epsilon_t = epsilon_(t-1) / 2^i, i the smallest integer from 0 on for which
    f(y) - f(y - epsilon_t grad f(y)) >= epsilon_t |grad f(y)|^2 / 2;
    theta_t = y - epsilon_t grad f(y). At the first step y is the start.

    Args:
        state: after the step before.
        loss_at: f, of a list of tensors.
        loss_and_gradient_at: f and its gradient, of a list of tensors.
        restart: whether to forget the velocity where f(theta_t) is greater than f(theta_(t-1)).
        seed: of the point z, which the first rate is found by.
        max_halvings: of the rate in one step.

    Returns:
        The state after this step; f(y), the squared norm of its gradient and the rate that the
        search begins with (3,); and whether these are finite and a rate was found.

    Source: Sutskever 2013, eqs. 7.3 to 7.6; restarts, O'Donoghue and Candes 2012.
    """
    coefficient = next_coefficient(state.coefficient)
    momentum = (state.coefficient - 1) / coefficient
    looked_ahead = [theta + tf.cast(momentum, theta.dtype) * velocity
                    for theta, velocity in zip(state.parameters, state.velocity)]
    loss, gradient = loss_and_gradient_at(looked_ahead)
    loss = tf.cast(loss, state.loss.dtype)
    rate = tf.cond(
        state.learning_rate > 0, lambda: state.learning_rate,
        lambda: tf.cast(_first_rate(looked_ahead, gradient, loss_and_gradient_at, seed),
                        state.learning_rate.dtype))
    squared_norm = tf.cast(_norm(gradient) ** 2, loss.dtype)
    figures = tf.stack([loss, squared_norm, tf.cast(rate, loss.dtype)])
    is_finite = tf.reduce_all(tf.math.is_finite(figures))

    def step_at(rate: tf.Tensor) -> Values:
        return [value - tf.cast(rate, value.dtype) * slope
                for value, slope in zip(looked_ahead, gradient)]

    def is_enough(rate: tf.Tensor, new_loss: tf.Tensor) -> tf.Tensor:
        rounding = _NUM_ROUNDINGS * np.finfo(loss.dtype.as_numpy_dtype).eps * tf.abs(loss)
        return loss - new_loss + rounding >= tf.cast(rate, loss.dtype) * squared_norm / 2

    # The first turn undoes the doubling: i = 0.
    num_halvings, rate, new_loss = tf.while_loop(
        lambda i, rate, new_loss: (
            is_finite & (i < max_halvings) & ~is_enough(rate, new_loss)),
        lambda i, rate, _: (i + 1, rate / 2, infinite_if_unknown(
            tf.cast(loss_at(step_at(rate / 2)), loss.dtype))),
        (tf.constant(-1), rate * 2, tf.constant(np.inf, loss.dtype)))
    parameters = step_at(rate)
    velocity = [new - old for new, old in zip(parameters, state.parameters)]
    if restart:
        # The first step after a start lowers the loss by its choice of the rate.
        keep = tf.cast((state.coefficient == 0) | (new_loss <= state.loss), coefficient.dtype)
        coefficient *= keep
        velocity = [tf.cast(keep, one.dtype) * one for one in velocity]
    return (Nesterov1983State(parameters, velocity, coefficient, rate, new_loss), figures,
            is_finite & is_enough(rate, new_loss))


@keras.saving.register_keras_serializable(package="rnnpt")
class Nesterov1983(ObjectiveOptimizer):
    """Nesterov's method of 1983, which finds momentum and rate by itself.

    Use it where the objective is the same at every step: one fixed batch, no dropout. It needs the
    loss itself, so it trains a `SequenceModel` or a model inside `SecondOrderModel`. Between two
    steps the variables hold theta, which is what is evaluated and saved.

    The rate only ever falls. The thesis lets i be a positive integer, which would halve the rate at
    every step and so end all movement; here it is 0 or more, as in Nesterov's paper, so that a rate
    that is small enough stays. A lack of decrease below the rounding of the loss counts as none.

    Equation: as of `nesterov_1983_update`.

    Args:
        restart: whether to set the velocity to 0 and begin the sequence a_t anew when the loss has
            risen: for a strongly convex objective near to the rate of the best constant momentum.
        learning_rate: the first rate; 0 finds it from the gradients at two points.
        seed: of the second of these points.
        max_halvings: of the rate in one step, more than which is an error.
        name: of the optimizer.

    Raises:
        ValueError: if `learning_rate` is negative or not finite, or `max_halvings` negative.

    Example:
        >>> from rnnpt.optimizers import SecondOrderModel
        >>> model = SecondOrderModel(keras.Sequential([keras.Input([2]), keras.layers.Dense(1)]))
        >>> model.compile(Nesterov1983(restart=True), loss="mse")
        >>> history = model.fit(tf.ones([4, 2]), tf.ones([4]), epochs=9, verbose=0)
        >>> history.history["loss"][-1] < 1e-3
        True

    Source: Nesterov 1983; Sutskever 2013, eqs. 7.3 to 7.6 and section 7.5; O'Donoghue and
    Candes 2012.
    """

    def __init__(
        self,
        restart: bool = False,
        learning_rate: float = 0.0,
        seed: int = 0,
        max_halvings: int = 60,
        name: str | None = None,
    ) -> None:
        if not 0 <= learning_rate < float("inf"):
            raise ValueError(
                f"Nesterov1983: learning_rate must be finite and at least 0, got {learning_rate}; "
                "0 finds it")
        if max_halvings < 0:
            raise ValueError(
                f"Nesterov1983: max_halvings must be at least 0, got {max_halvings}; 60 is enough "
                "for any rate")
        super().__init__(float(learning_rate), name=name)
        self.restart, self.seed, self.max_halvings = restart, seed, max_halvings
        self._first_learning_rate = float(learning_rate)

    def build(self, variables: list[keras.Variable]) -> None:
        """Make a velocity for each variable, and the scalars of the method.

        Args:
            variables: that will be trained.
        """
        if not self.built:
            super().build(variables)
            self._velocities = self.add_optimizer_variables(variables, "velocity")
            self._coefficient = self.add_variable((), name="coefficient")
            self._last_loss = self.add_variable((), name="loss")

    def update(self, objective: Objective) -> tf.Tensor:
        """Take one step; where there is none to take, stay and fail in the graph.

        `fit` of the models then raises a `NoProgressError`.

        Args:
            objective: of the present batch.

        Returns:
            The loss of the batch where it leaves the variables ().
        """
        start = objective.values()
        state = Nesterov1983State(
            start, *tf.nest.map_structure(tf.convert_to_tensor, (
                self._velocities, self._coefficient, self._learning_rate, self._last_loss)))
        state, figures, is_found = nesterov_1983_update(
            state, objective.value_at, objective.value_and_gradient_at, self.restart, self.seed,
            self.max_halvings)

        def commit() -> tf.Operation:
            objective.move_to(state.parameters)
            for variable, value in zip(self._velocities, state.velocity):
                variable.assign(value)
            self._coefficient.assign(state.coefficient)
            self._learning_rate.assign(state.learning_rate)
            self._last_loss.assign(state.loss)
            return tf.no_op()

        def stop() -> tf.Operation:
            objective.move_to(start)
            return tf.debugging.Assert(False, [
                f"Nesterov1983: {NO_PROGRESS} in at most {self.max_halvings} halvings of the rate, "
                "and loss and gradient be finite (lower learning_rate, and take one fixed batch "
                "without randomness), got loss =", figures[0],
                "with a squared gradient =", figures[1], "and a rate =", figures[2], "in step",
                self._iterations + 1])

        tf.cond(is_found, commit, stop)
        return state.loss

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            "restart": self.restart, "learning_rate": self._first_learning_rate,
            "seed": self.seed, "max_halvings": self.max_halvings, "name": self.name}


def _first_rate(
    values: Values,
    gradient: Values,
    loss_and_gradient_at: Callable[[Values], tuple[tf.Tensor, Values]],
    seed: int | tf.Tensor,
) -> tf.Tensor:
    seed = numerics.as_seed(seed)
    other = [
        value + _PROBE_SCALE * tf.cast(
            numerics.normal(numerics.fold_in(seed, index), tf.shape(value)), value.dtype)
        for index, value in enumerate(values)]
    return estimate_learning_rate(values, gradient, other, loss_and_gradient_at(other)[1])


def _norm(values: Values) -> tf.Tensor:
    """Of all the tensors as one vector, in the finest of their dtypes."""
    dtype = max((value.dtype for value in values), key=lambda dtype: dtype.size)
    return tf.sqrt(tf.add_n([tf.reduce_sum(tf.cast(value, dtype) ** 2) for value in values]))
