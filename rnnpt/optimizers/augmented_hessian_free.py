"""Augmented Hessian-free optimization: conjugate vectors, and coefficients by the loss itself."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt.optimizers._augmented_update import augmented_update
from rnnpt.optimizers._conjugate_gradient import REASONS
from rnnpt.optimizers.curvature_optimizer import CurvatureOptimizer, moved
from rnnpt.optimizers.objective import Objective


@keras.saving.register_keras_serializable(package="rnnpt")
class AugmentedHessianFree(CurvatureOptimizer):
    """Takes the vectors of conjugate gradients from the curvature, and how far from the loss.

    Use it in place of `HessianFree` where its damping is hard to choose: here is none, since the
    loss itself tells how much of each vector to take, and so covers every damping and every early
    end. A vector costs one product with the Gauss-Newton matrix and one to three evaluations of the
    loss of `curvature_rows` sequences. Memory does not grow with the number of vectors.

    Equation: of the vectors, as of `conjugate_basis`: the last update's direction first, each of
    the others conjugate to it and to all before, without storing them; of their coefficients, as of
    `search_share`.

    `fit` logs what the last update did: "basis_steps", the vectors it searched along; the
    "basis_evaluations" of the loss that took; "basis_stop", why the searches ended (`stop_reason`
    puts it in words); "direction_share", how much of the last direction's coefficient was taken;
    "step_length" of the line search, 0 where the parameters stayed; and "gradient_norm".

    Args:
        curvature_rows: how many sequences of a batch, its first, give the curvature and the
            coefficients; None: all.
        rows_at_once: sequences whose gradient is computed at once; None for all.
        max_steps: vectors an update, beside the last direction.
        tolerance: of the progress of the loss that a step must bring.
        max_failures: updates in a row that move nothing before it stops.
        name: of the optimizer.

    Raises:
        ValueError: if a number is out of its range.

    Example:
        >>> optimizer = AugmentedHessianFree(curvature_rows=1000)
        >>> optimizer.max_steps
        300

    Source: Sutskever 2013, section 6.2; the recurrence of the vectors is our own.
    """

    FIGURES = (
        "basis_steps", "basis_evaluations", "basis_stop", "direction_share", "step_length",
        "gradient_norm")

    def __init__(
        self,
        curvature_rows: int | None = None,
        rows_at_once: int | None = None,
        max_steps: int = 300,
        tolerance: float = 5e-4,
        max_failures: int = 20,
        name: str | None = None,
    ) -> None:
        self.check_ranges(tolerance=(tolerance, 1))
        self.check_counts(max_steps=max_steps)
        super().__init__(curvature_rows, rows_at_once, max_failures, name=name)
        self.max_steps, self.tolerance = max_steps, tolerance

    def first_figures(self) -> dict[str, float]:
        """Figures that are not 0 at first: no reason yet.

        Returns:
            Numbers by name.
        """
        return {"basis_stop": -1.0}

    @property
    def stop_reason(self) -> str | None:
        """Why the searches ended in the last update, in words; None before the first."""
        reason = int(self.figures["basis_stop"])
        return REASONS[reason] if reason >= 0 else None

    def update(self, objective: Objective) -> tf.Tensor:
        """Take one step; where there is none to take, stay, and stop after too many of these.

        Args:
            objective: of the present batch, a `CurvedObjective`.

        Returns:
            The loss of the batch where it leaves the variables ().
        """
        start = objective.values()
        problem = self.problem(objective, start)
        step, report = augmented_update(
            problem, tf.convert_to_tensor(self._direction), max_steps=self.max_steps,
            tolerance=self.tolerance)
        objective.move_to(moved(start, step))
        self._direction.assign(step)
        self.report(
            report.step_length > 0, {
                "basis_steps": report.num_steps, "basis_evaluations": report.num_evaluations,
                "basis_stop": report.reason, "direction_share": report.direction_share,
                "step_length": report.step_length, "gradient_norm": report.gradient_norm},
            "begin with smaller weights or more sequences, or take HessianFree, which has damping",
            {"loss": report.loss, "norm of the gradient": report.gradient_norm})
        return report.new_loss

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        names = ("curvature_rows", "rows_at_once", "max_steps", "tolerance", "max_failures", "name")
        return {name: getattr(self, name) for name in names}
