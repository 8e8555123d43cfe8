"""What the optimizers share that take the curvature of a loss beside its gradient."""

import keras
import numpy as np
import tensorflow as tf

from rnnpt.optimizers._hessian_free_update import HessianFreeProblem
from rnnpt.optimizers._subgraph import made_once
from rnnpt.optimizers._vector import flat, parts
from rnnpt.optimizers.objective import CurvedObjective, Objective
from rnnpt.optimizers.reporting_optimizer import ReportingOptimizer


class CurvatureOptimizer(ReportingOptimizer):
    """An optimizer that takes a `CurvedObjective`: the curvature of the loss beside its gradient.

    The models make the objective of whole sequences, its gradient from all rows of a batch and its
    curvature from the first of them.

    Args:
        curvature_rows: how many rows of a batch, its first, give the curvature; None: all. A batch
            of fewer is refused.
        rows_at_once: rows whose gradient is computed at once; None for all.
        max_failures: updates in a row that move nothing before it stops.
        name: of the optimizer.

    Raises:
        ValueError: if a number is no positive integer.
    """

    def __init__(
        self,
        curvature_rows: int | None = None,
        rows_at_once: int | None = None,
        max_failures: int = 20,
        name: str | None = None,
    ) -> None:
        self.check_counts(curvature_rows=curvature_rows, rows_at_once=rows_at_once)
        super().__init__(max_failures, name=name)
        self.curvature_rows, self.rows_at_once = curvature_rows, rows_at_once

    def build(self, variables: list[keras.Variable]) -> None:
        """Make the direction of the last update, and the figures.

        Args:
            variables: that will be trained.
        """
        if not self.built:
            super().build(variables)
            size = sum(int(np.prod(variable.shape)) for variable in variables)
            self._direction = self.add_variable(
                (size,), dtype=self._dtype, name="direction")

    def share(self, count: int | None) -> int | None:
        """How many rows of a replica make so many of a batch.

        Args:
            count: of rows; None for all.

        Returns:
            The count itself on one device, and None for None.

        Raises:
            ValueError: if the replicas cannot share them equally.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if count is not None and count % replicas:
            raise ValueError(
                f"{type(self).__name__}: curvature_rows and held_out_rows must be multiples of the "
                f"{replicas} replicas, got {count}; take {count + -count % replicas}")
        return None if count is None else count // replicas

    def problem(self, objective: Objective, start: list[tf.Tensor]) -> HessianFreeProblem:
        """The objective as a function of a step.

        Args:
            objective: of the present batch, a `CurvedObjective`.
            start: where the parameters are.

        Returns:
            What an update must know.

        Raises:
            TypeError: if the objective has no curvature.
        """
        if not isinstance(objective, CurvedObjective):
            raise TypeError(
                f"{type(self).__name__}: the model must hand over a curvature, got a loss alone; "
                "train a SequenceModel, or a model inside SecondOrderModel")
        loss, gradient = objective.value_and_gradient_at(start)
        curved = objective.curved
        curved_loss, curved_gradient = curved.value_and_gradient_at(start)
        product = objective.linearize().product
        return HessianFreeProblem(
            loss, flat(gradient), made_once(lambda step: objective.value_at(moved(start, step))),
            curved_loss, flat(curved_gradient),
            made_once(lambda step: curved.value_at(moved(start, step))),
            lambda vector, strength: flat(product(parts(vector, start), strength)))


def moved(start: list[tf.Tensor], step: tf.Tensor) -> list[tf.Tensor]:
    """Parameters after a step.

    Args:
        start: the parameters.
        step: as one vector (N,).

    Returns:
        A tensor a parameter.
    """
    return [value + part for value, part in zip(start, parts(step, start))]
