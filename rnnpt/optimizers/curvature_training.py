"""How a model trains by an optimizer with a curvature, on one device or on several."""

import abc
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from rnnpt.optimizers._replicas import Replicas
from rnnpt.optimizers.curvature_optimizer import CurvatureOptimizer
from rnnpt.optimizers.objective import CurvedObjective
from rnnpt.optimizers.reporting_optimizer import ReportingOptimizer


class CurvatureTraining(keras.Model):
    """The part of a model that hands its loss to a `CurvatureOptimizer`.

    Under a strategy of several replicas `train_function` is one of Python: each loss, gradient and
    product runs compiled on all replicas, on the rows that each has, and the optimizer goes by
    their means over all rows, so that it takes the steps of one device. Of the rows that the
    curvature is taken of, and of those held out, each replica has an equal share, its first. Under
    `tf.distribute.MultiWorkerMirroredStrategy`, which Keras' `fit` does not know, build the model,
    call `make_train_function`, and then `train_function` with an iterator of the distributed data.
    """

    train_function: Callable[[Any], Any] | None

    @abc.abstractmethod
    def curved_objective(self, data: Any) -> CurvedObjective:
        """The loss of a batch with its curvature.

        Args:
            data: a batch, as Keras gives it; of a replica its own rows.

        Returns:
            What the optimizer minimizes.
        """

    @abc.abstractmethod
    def log_batch(self, data: Any, loss: tf.Tensor) -> dict[str, tf.Tensor]:
        """Move the running figures on by a batch that the model has been trained on.

        Args:
            data: as of `curved_objective`.
            loss: of the objective of all rows after the update (), for figures that can do without
                another forward pass.

        Returns:
            The running figures.
        """

    @property
    def takes_curvature(self) -> bool:
        """Whether the optimizer is a `CurvatureOptimizer`."""
        return isinstance(self.optimizer, CurvatureOptimizer)

    def objective_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One update on one device, by any optimizer that takes the loss itself.

        Args:
            data: a batch.

        Returns:
            The running figures after it, and those of the optimizer.
        """
        loss = self.optimizer.minimize(self.curved_objective(data))
        logs = self.log_batch(data, loss)
        if isinstance(self.optimizer, ReportingOptimizer):
            logs |= self.optimizer.figures
        return logs

    def make_train_function(self, force: bool = False) -> Callable[[Any], Any] | None:
        """Make `train_function`, by which `fit` takes `steps_per_execution` updates.

        Args:
            force: whether to make it anew.

        Returns:
            It: from an iterator of batches to the running figures.
        """
        strategy = self.distribute_strategy
        if strategy.num_replicas_in_sync == 1 or not self.takes_curvature:
            super().make_train_function(force)
        elif self.train_function is None or force:
            self.train_function = self._train_on_replicas(strategy)
        return self.train_function

    def _train_on_replicas(self, strategy: tf.distribute.Strategy) -> Callable[[Any], Any]:
        replicas = Replicas(strategy, self.trainable_variables, self.curved_objective)
        log = tf.function(
            lambda data, loss: strategy.run(self.log_batch, args=(data, loss)),
            reduce_retracing=True, autograph=False)

        def train(iterator: Any) -> dict[str, tf.Tensor]:
            logs: dict[str, tf.Tensor] = {}
            with strategy.scope():
                for step in range(self.steps_per_execution):
                    data = next(iterator, None)
                    if data is None and step == 0:
                        raise StopIteration
                    if data is None:
                        break
                    loss = self.optimizer.minimize(replicas.objective(data))
                    names = log(data, loss)
                    # Here metrics are of all replicas, on one of them of its own rows.
                    logs = {name: figure for name, figure in self.get_metrics_result().items()
                            if name in names} | self.optimizer.figures
            return logs

        return train
