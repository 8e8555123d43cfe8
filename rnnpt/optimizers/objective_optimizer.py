"""The base of the optimizers that ask for the loss itself."""

import abc
from typing import Any, NoReturn

import keras
import tensorflow as tf

from rnnpt.optimizers.objective import Objective


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
    def update(self, objective: Objective) -> tf.Tensor:
        """Update the variables once; called when the optimizer is built.

        Args:
            objective: of the present batch.

        Returns:
            The loss of the batch where it leaves the variables ().
        """

    def minimize(self, objective: Objective) -> tf.Tensor:
        """Update the variables once, and count the update.

        Args:
            objective: of the present batch.

        Returns:
            The loss of the batch where it leaves the variables ().

        Raises:
            ValueError: on one of several replicas.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas > 1 and not tf.distribute.in_cross_replica_context():
            raise ValueError(
                f"{type(self).__name__}: the strategy must have one replica, got {replicas}; train "
                "on one device, or take an optimizer with a curvature")
        if not self.built:
            self.build(objective.variables)
        loss = self.update(objective)
        self._iterations.assign_add(1)
        return loss

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
