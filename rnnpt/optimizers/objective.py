"""The door for optimizers that need the loss itself, and not its gradient alone."""

import abc
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import keras
import tensorflow as tf


class Objective:
    """The loss of one batch, as a function of the variables.

    A model makes one in its `train_step` and hands it to `ObjectiveOptimizer.minimize`. It must be
    deterministic: the same values give the same loss, however often and in whatever order it is
    asked for.

    Args:
        variables: what is trained.
        loss: gives the loss, a scalar, at what the variables hold when it is called.

    Example:
        >>> weight = tf.Variable([3.0])
        >>> objective = Objective([weight], lambda: tf.reduce_sum(weight ** 2))
        >>> loss, [gradient] = objective.value_and_gradient_at([tf.constant([2.0])])
        >>> float(loss), float(gradient[0])
        (4.0, 4.0)
    """

    def __init__(
        self, variables: Sequence[keras.Variable], loss: Callable[[], tf.Tensor]
    ) -> None:
        self.variables = list(variables)
        self._loss = loss

    def values(self) -> list[tf.Tensor]:
        """What the variables hold.

        Returns:
            A tensor a variable, which stays when the variable moves.
        """
        return [tf.identity(tf.convert_to_tensor(variable)) for variable in self.variables]

    def move_to(self, values: Sequence[tf.Tensor]) -> None:
        """Put values into the variables.

        Args:
            values: a tensor a variable.
        """
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)

    def value_at(self, values: Sequence[tf.Tensor]) -> tf.Tensor:
        """The loss at a point; the variables stay there.

        Args:
            values: a tensor a variable.

        Returns:
            A scalar.
        """
        self.move_to(values)
        return self._loss()

    def value_and_gradient_at(
        self, values: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The loss and its gradient at a point; the variables stay there.

        Args:
            values: a tensor a variable.

        Returns:
            A scalar, and a tensor a variable, zero where the loss does not hang on it.
        """
        self.move_to(values)
        # Keras' variables hold those that the tape knows.
        variables = [getattr(variable, "value", variable) if isinstance(variable, keras.Variable)
                     else variable for variable in self.variables]
        with tf.GradientTape() as tape:
            loss = self._loss()
        gradients = tape.gradient(
            loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        # The gradient of an embedding has rows only.
        return loss, [tf.convert_to_tensor(gradient) for gradient in gradients]


class ObjectiveOptimizer(keras.optimizers.Optimizer, abc.ABC):
    """A Keras optimizer that asks for the loss at points of its own choice.

    It trains a `SequenceModel` whose head is exact, and any Keras model inside `SecondOrderModel`:
    these hand the objective over. Elsewhere Keras has gradients only, and it says so.

    Args:
        learning_rate: a number.
        name: of the optimizer.
    """

    def __init__(self, learning_rate: float, name: str | None = None) -> None:
        super().__init__(learning_rate, name=name)

    @abc.abstractmethod
    def update(self, objective: Objective) -> None:
        """Update the variables once; called when the optimizer is built.

        Args:
            objective: of the present batch.
        """

    def minimize(self, objective: Objective) -> None:
        """Update the variables once, and count the update.

        Args:
            objective: of the present batch.

        Raises:
            ValueError: under a strategy of several replicas.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas > 1:
            raise ValueError(
                f"{type(self).__name__}: the strategy must have one replica, got {replicas}; train "
                "on one device")
        if not self.built:
            self.build(objective.variables)
        self.update(objective)
        self._iterations.assign_add(1)

    def build(self, variables: list[keras.Variable]) -> None:
        """Make the optimizer's own variables.

        Args:
            variables: that will be trained.

        Raises:
            ValueError: if one of them has a constraint.
        """
        for variable in variables:
            if getattr(variable, "constraint", None) is not None:
                raise ValueError(
                    f"{type(self).__name__}: variables must have no constraint, got one of "
                    f"{variable.path}; leave it out or take a first-order optimizer")
        super().build(variables)

    def apply(self, grads: Any, trainable_variables: Any = None) -> NoReturn:
        """Refuse gradients, which are what Keras' own `train_step` gives.

        Args:
            grads: not used.
            trainable_variables: not used.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"{type(self).__name__}: the model must hand over its loss, got gradients alone; wrap "
            "it in optimizers.SecondOrderModel(model), or take a SequenceModel")
