"""Nesterov's accelerated gradient as momentum, whole and simplified."""

import keras
import tensorflow as tf

from rnnpt.optimizers.momentum import Array, Momentum


def nesterov_update(
    looked_ahead: Array,
    velocity: Array,
    gradient: Array,
    learning_rate: float | Array,
    momentum: float | Array,
    next_momentum: float | Array,
) -> tuple[Array, Array]:
    """One step of Nesterov's accelerated gradient, from one looked-ahead point to the next.

    Equation: velocity' = momentum velocity - learning_rate gradient; theta' = theta + velocity'
    = looked_ahead - learning_rate gradient; looked_ahead' = theta' + next_momentum velocity'.

    Args:
        looked_ahead: theta + momentum velocity, of any shape.
        velocity: of its shape; 0 at first.
        gradient: of the objective at `looked_ahead`.
        learning_rate: epsilon, a number or of a shape that broadcasts.
        momentum: mu of this step, a number or of a shape that broadcasts.
        next_momentum: mu of the next step, likewise.

    Returns:
        The next looked-ahead point and the new velocity.

    Source: Sutskever 2013, eqs. 7.12 and 7.13.
    """
    step = learning_rate * gradient
    velocity = momentum * velocity - step
    # In one sum, since each addition to the parameters rounds at their size.
    return looked_ahead + (next_momentum * velocity - step), velocity


def simplified_nesterov_update(
    parameters: Array,
    velocity: Array,
    gradient: Array,
    learning_rate: float | Array,
    momentum: float | Array,
    next_momentum: float | Array,
) -> tuple[Array, Array]:
    """One step of Nesterov momentum in the form that takes the looked-ahead point as parameters.

    Equation: velocity' = momentum velocity - learning_rate gradient; parameters' = parameters
    + next_momentum momentum velocity - (1 + next_momentum) learning_rate gradient.

    Args:
        parameters: Theta, of any shape.
        velocity: of their shape; 0 at first.
        gradient: of the objective at the parameters.
        learning_rate: epsilon, a number or of a shape that broadcasts.
        momentum: mu of this step, a number or of a shape that broadcasts.
        next_momentum: mu of the next step, likewise.

    Returns:
        The new parameters and the new velocity.

    Source: Bengio, Boulanger-Lewandowski and Pascanu 2012, eqs. 6 and 7.
    """
    step = learning_rate * gradient
    new_velocity = momentum * velocity - step
    # The equation's sum with one product less.
    return parameters + (next_momentum * new_velocity - step), new_velocity


@keras.saving.register_keras_serializable(package="rnnpt")
class SimplifiedNesterov(Momentum):
    """Nesterov momentum that commits to the looked-ahead point.

    Use it where one set of parameters is enough: what is trained is also what is evaluated and
    saved. Its parameters, less momentum times velocity, are those of `Nesterov`; where the velocity
    has died down, the two are one.

    Equation: as of `simplified_nesterov_update`.

    Args:
        learning_rate: a number or a Keras schedule.
        momentum: a number in [0, 1) or a Keras schedule of such numbers.
        **kwargs: of `keras.optimizers.Optimizer`, such as `global_clipnorm`.

    Source: Bengio, Boulanger-Lewandowski and Pascanu 2012, section 3.5.
    """

    def _begin_update(self) -> tuple[tf.Tensor, ...]:
        return *super()._begin_update(), self._momentum_at(self._next_step() + self._stride)

    @staticmethod
    def _update(*arguments: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return simplified_nesterov_update(*arguments)


@keras.saving.register_keras_serializable(package="rnnpt")
class Nesterov(SimplifiedNesterov):
    """Nesterov's accelerated gradient: the gradient is taken where the velocity leads.

    While it trains, the variables hold the looked-ahead point, theta + momentum velocity. What is
    wanted in the end is theta: `fit` ends with it, and with the callback `SwapLookAhead` so does
    each epoch, before the validation and the callbacks that come after it in the list.

    The variables are the truth, and the optimizer keeps how many velocities they are ahead of theta
    (a variable of its own, so that a saved run goes on alike): weights that were set from outside,
    a constraint or a decay move theta by as much as them, and a constraint holds at theta too. An
    update of variables that nobody took ahead, as the first of a `fit` without the callback, is one
    of classical momentum.

    Equation: as of `nesterov_update`.

    Args:
        learning_rate: a number or a Keras schedule.
        momentum: a number in [0, 1) or a Keras schedule of such numbers.
        **kwargs: of `keras.optimizers.Optimizer`, such as `global_clipnorm`.

    Example:
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile(Nesterov(0.1, momentum=0.9), loss="mse")
        >>> history = model.fit(tf.ones([4, 2]), tf.ones([4]), epochs=2, verbose=0)
        >>> float(model.optimizer.ahead)
        0.0

    Source: Nesterov 1983; Sutskever 2013, section 7.2.
    """

    def build(self, variables: list[keras.Variable]) -> None:
        """Make a velocity for each variable, and the distance ahead, all 0 at first.

        Args:
            variables: that will be trained.
        """
        if not self.built:
            super().build(variables)
            self.ahead = self.add_variable(
                (), aggregation="only_first_replica", name="ahead")

    def step_ahead(self) -> None:
        """Take the variables where the next gradient is to be computed."""
        if self.built:
            self._move_to(self.momentum)

    def step_back(self) -> None:
        """Take the variables to theta; nothing where they are there."""
        if self.built:
            self._move_to(0.0)

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        """Leave theta in the variables, as Keras asks for at the end of `fit`.

        Args:
            var_list: the model's trainable variables.
        """
        self.step_back()
        super().finalize_variable_values(var_list)

    def _move_to(self, distance: float | tf.Tensor) -> None:
        with self._distribution_strategy.scope():
            change = distance - tf.convert_to_tensor(self.ahead)
            for variable, velocity in zip(self._trainable_variables, self._velocities):
                if velocity is not None:
                    factor = tf.cast(change, variable.dtype)
                    variable.assign_add(factor * tf.convert_to_tensor(velocity))
                    if variable.constraint is not None:
                        variable.assign(variable.constraint(variable))
            self.ahead.assign(distance)

    def _begin_update(self) -> tuple[tf.Tensor, ...]:
        rates = *super()._begin_update(), tf.convert_to_tensor(self.ahead)
        self.ahead.assign(rates[2])
        return rates

    @staticmethod
    def _update(*arguments: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        variable, velocity, gradient, learning_rate, momentum, next_momentum, ahead = arguments
        # The same but for variables that nobody took ahead, so that this costs nothing.
        looked_ahead = tf.cond(
            tf.equal(ahead, momentum), lambda: variable,
            lambda: variable + (momentum - ahead) * velocity)
        return nesterov_update(
            looked_ahead, velocity, gradient, learning_rate, momentum, next_momentum)
