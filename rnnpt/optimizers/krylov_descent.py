"""Krylov subspace descent: BFGS over a small space that the curvature makes."""

from typing import Any, cast

import keras
import tensorflow as tf

from rnnpt.optimizers._krylov_update import krylov_update
from rnnpt.optimizers._subgraph import made_once
from rnnpt.optimizers._vector import flat
from rnnpt.optimizers.curvature_optimizer import CurvatureOptimizer, moved
from rnnpt.optimizers.objective import CurvedObjective, Objective


@keras.saving.register_keras_serializable(package="rnnpt")
class KrylovDescent(CurvatureOptimizer):
    """Minimises the loss itself over the space of a few products of curvature and gradient.

    Use it where memory is no worry and the damping of `HessianFree` is: it has none. An update
    costs `num_vectors` + 1 products with the Gauss-Newton matrix and tens of gradients of
    `curvature_rows` sequences, and holds `num_vectors` + 1 times the parameters.

    Equation: as of `krylov_update`.

    `fit` logs what the last update did: "krylov_vectors" of the basis; "bfgs_iterations", and the
    "bfgs_evaluations" of loss and gradient that these took; "step_length" of the line search, 0
    where the parameters stayed; and "gradient_norm".

    Args:
        curvature_rows: how many sequences of a batch, its first, give the curvature and the loss
            that BFGS minimises; None: all.
        rows_at_once: sequences whose gradient is computed at once; None for all.
        num_vectors: products of curvature and gradient, the gradient itself among them.
        max_iterations: of BFGS.
        tolerance: of its gradient, as a share of the first one.
        max_failures: updates in a row that move nothing before it stops.
        name: of the optimizer.

    Raises:
        ValueError: if a number is out of its range.

    Example:
        >>> optimizer = KrylovDescent(num_vectors=10, curvature_rows=1000)
        >>> optimizer.max_iterations
        30

    Source: Vinyals and Povey 2011.
    """

    FIGURES = (
        "krylov_vectors", "bfgs_iterations", "bfgs_evaluations", "step_length", "gradient_norm")

    def __init__(
        self,
        curvature_rows: int | None = None,
        rows_at_once: int | None = None,
        num_vectors: int = 20,
        max_iterations: int = 30,
        tolerance: float = 1e-5,
        max_failures: int = 20,
        name: str | None = None,
    ) -> None:
        self.check_ranges(tolerance=(tolerance, 1))
        self.check_counts(num_vectors=num_vectors, max_iterations=max_iterations)
        super().__init__(curvature_rows, rows_at_once, max_failures, name=name)
        self.num_vectors, self.max_iterations = num_vectors, max_iterations
        self.tolerance = tolerance

    def update(self, objective: Objective) -> tf.Tensor:
        """Take one step; where there is none to take, stay, and stop after too many of these.

        Args:
            objective: of the present batch, a `CurvedObjective`.

        Returns:
            The loss of the batch where it leaves the variables ().
        """
        start = objective.values()
        problem = self.problem(objective, start)
        curved = cast(CurvedObjective, objective).curved

        def value_and_gradient_at(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            loss, gradient = curved.value_and_gradient_at(moved(start, step))
            return loss, flat(gradient)

        step, report = krylov_update(
            problem, made_once(value_and_gradient_at), tf.convert_to_tensor(self._direction),
            num_vectors=self.num_vectors, max_iterations=self.max_iterations,
            tolerance=self.tolerance)
        objective.move_to(moved(start, step))
        self._direction.assign(step)
        self.report(
            report.step_length > 0, {
                "krylov_vectors": report.num_vectors, "bfgs_iterations": report.num_iterations,
                "bfgs_evaluations": report.num_evaluations, "step_length": report.step_length,
                "gradient_norm": report.gradient_norm},
            "begin with smaller weights or more sequences, or take HessianFree, which has damping",
            {"loss": report.loss, "norm of the gradient": report.gradient_norm})
        return report.new_loss

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        names = ("curvature_rows", "rows_at_once", "num_vectors", "max_iterations", "tolerance",
                 "max_failures", "name")
        return {name: getattr(self, name) for name in names}
