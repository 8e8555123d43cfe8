"""Hessian-free optimization: truncated Newton steps by conjugate gradients."""

import sys
from typing import Any

import keras
import tensorflow as tf

from rnnpt.optimizers._damping import LevenbergMarquardt
from rnnpt.optimizers._hessian_free_update import HessianFreeState, hessian_free_update
from rnnpt.optimizers.curvature_optimizer import CurvatureOptimizer, moved
from rnnpt.optimizers.objective import Objective


@keras.saving.register_keras_serializable(package="rnnpt")
class HessianFree(CurvatureOptimizer):
    """Minimises the Gauss-Newton quadratic around the parameters, as far as it can be trusted.

    Use it where a gradient alone gets nowhere: dependencies over hundreds of steps, deep networks
    from a plain start. An update costs as much as tens to hundreds of gradients of
    `curvature_rows` sequences, and goes far; give it large batches of whole sequences. It trains a
    `SequenceModel` of an exact head. The objective is the loss summed over time, and its mean over
    sequences: that is the scale of the damping.

    Equation: as of `hessian_free_update`. `figures` tells what the last update did: lambda, the
    reduction ratio rho, steps of conjugate gradients and which of them was taken, the length of the
    line search (0: the parameters stayed) and the gradient's norm.

    Args:
        damping: the first lambda. The thesis has 0.1 with structural damping and 0.3 without.
        structural_damping: mu; 0 for none. The thesis has 1/30.
        curvature_rows: how many sequences of a batch, its first, give the curvature; None: all.
        rows_at_once: sequences whose gradient is computed at once; None for all.
        max_steps: of conjugate gradients.
        min_steps: of them.
        tolerance: of their progress.
        decay: of the direction that they begin with.
        max_failures: updates in a row that move nothing before it stops.
        name: of the optimizer.

    Raises:
        ValueError: if a number is out of its range.

    Example:
        >>> optimizer = HessianFree(damping=0.1, structural_damping=1 / 30, curvature_rows=1000)
        >>> optimizer.max_steps
        300

    Source: Martens 2010; Sutskever 2013, section 4.2.
    """

    FIGURES = (
        "damping", "reduction_ratio", "cg_steps", "cg_chosen_step", "step_length", "gradient_norm")

    def __init__(
        self,
        damping: float = 0.3,
        structural_damping: float = 0.0,
        curvature_rows: int | None = None,
        rows_at_once: int | None = None,
        max_steps: int = 300,
        min_steps: int = 1,
        tolerance: float = 5e-4,
        decay: float = 0.95,
        max_failures: int = 20,
        name: str | None = None,
    ) -> None:
        most = sys.float_info.max
        self.check_ranges(
            damping=(damping, most), structural_damping=(structural_damping, most),
            tolerance=(tolerance, 1), decay=(decay, 1))
        self.check_counts(max_steps=max_steps, min_steps=min_steps)
        super().__init__(curvature_rows, rows_at_once, max_failures, name=name)
        self.first_damping, self.structural_damping = damping, structural_damping
        self.max_steps, self.min_steps = max_steps, min_steps
        self.tolerance, self.decay = tolerance, decay

    def first_figures(self) -> dict[str, float]:
        """Figures that an update begins with: lambda.

        Returns:
            Numbers by name.
        """
        return {"damping": self.first_damping}

    def update(self, objective: Objective) -> None:
        """Take one step; where there is none to take, stay, and stop after too many of these.

        Args:
            objective: of the present batch, a `CurvedObjective`.
        """
        start = objective.values()
        problem = self.problem(objective, start)
        step, state, report = hessian_free_update(
            problem, HessianFreeState(
                tf.convert_to_tensor(self._direction),
                tf.convert_to_tensor(self._figures["damping"])),
            structural_damping=self.structural_damping, max_steps=self.max_steps,
            min_steps=self.min_steps, tolerance=self.tolerance, decay=self.decay,
            rule=LevenbergMarquardt())
        objective.move_to(moved(start, step))
        self._direction.assign(state.direction)
        self.report(
            report.step_length > 0, {
                "damping": state.damping, "reduction_ratio": report.ratio,
                "cg_steps": report.num_steps, "cg_chosen_step": report.chosen_step,
                "step_length": report.step_length, "gradient_norm": report.gradient_norm},
            "begin with smaller weights or more sequences, or take a larger damping",
            {"lambda": state.damping, "loss": problem.loss,
             "norm of the gradient": report.gradient_norm})

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        names = ("structural_damping", "curvature_rows", "rows_at_once", "max_steps", "min_steps",
                 "tolerance", "decay", "max_failures", "name")
        return {"damping": self.first_damping} | {name: getattr(self, name) for name in names}
