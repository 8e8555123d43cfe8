"""Hessian-free optimization: truncated Newton steps by conjugate gradients."""

import dataclasses
import math
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rnnpt.optimizers._conjugate_gradient import REASONS, ConjugatePath, candidate_steps
from rnnpt.optimizers._damping import LevenbergMarquardt
from rnnpt.optimizers._hessian_free_update import (
    HessianFreeProblem,
    HessianFreeState,
    hessian_free_update,
)
from rnnpt.optimizers._stopwatch import timed
from rnnpt.optimizers._subgraph import made_once
from rnnpt.optimizers._vector import flat
from rnnpt.optimizers.curvature_optimizer import CurvatureOptimizer, moved
from rnnpt.optimizers.objective import CurvedObjective, Objective


@keras.saving.register_keras_serializable(package="rnnpt")
class HessianFree(CurvatureOptimizer):
    """Minimises the Gauss-Newton quadratic around the parameters, as far as it can be trusted.

    Use it where a gradient alone gets nowhere: dependencies over hundreds of steps, deep networks
    from a plain start. An update costs as much as tens to hundreds of gradients of
    `curvature_rows` sequences, and goes far; give it large batches of whole sequences. It trains a
    `SequenceModel` or `Transducer` of an exact head, an `Autoencoder`, and functional models in
    `SecondOrderModel`; structural damping needs a recurrence. The objective is the loss summed over
    time, and its mean over sequences: that is the scale of the damping.

    Equation: as of `hessian_free_update`.

    `fit` logs what the last update did: "damping", lambda of the next one; "reduction_ratio", rho;
    "cg_steps" of conjugate gradients, the "cg_chosen_step" among them and "cg_stop", why they ended
    (`stop_reason` puts it in words); "step_length" of the line search, 0 where the parameters
    stayed; "gradient_norm"; and the seconds of the gradients, "gradient_seconds", of conjugate
    gradients and the losses that they look at, "cg_seconds", and of the choice of the step,
    "line_search_seconds". `cg_path` has the quadratic and the loss along the way.

    Args:
        damping: the first lambda. The thesis has 0.1 with structural damping and 0.3 without.
        structural_damping: mu; 0 for none. The thesis has 1/30.
        curvature_rows: how many sequences of a batch, its first, give the curvature; None: all.
        rows_at_once: sequences whose gradient and loss are computed at once; None for all.
        max_steps: of conjugate gradients.
        min_steps: of them; as many as `max_steps` for a fixed number.
        tolerance: of their progress.
        decay: of the direction that they begin with.
        max_failures: updates in a row that move nothing before it stops.
        held_out_rows: how many sequences after those of the curvature judge the iterates of
            conjugate gradients; None: those of the curvature, which they may come to fit too well.
        preconditioner_exponent: of the mean squared gradient of a sequence, which costs a gradient
            of one sequence after the other; 0 for no preconditioner. Martens has 0.75.
        damping_rule: how lambda follows the reduction ratio; None for that of the thesis.
        ratio_of: what the reduction ratio judges, the "last" iterate of conjugate gradients or the
            "step", at which the walk back from it ended. By the last one lambda grows as soon as
            conjugate gradients go farther than the quadratic holds, and the next run does not begin
            out there; by the step lambda may fall until most of their work is walked back from. The
            thesis leaves it open.
        name: of the optimizer.

    Raises:
        ValueError: if a number is out of its range.
        TypeError: if `damping_rule` is no `LevenbergMarquardt`.

    Example:
        >>> optimizer = HessianFree(damping=0.1, structural_damping=1 / 30, curvature_rows=1000)
        >>> optimizer.max_steps
        300

    Source: Martens 2010; Sutskever 2013, section 4.2.
    """

    FIGURES = (
        "damping", "reduction_ratio", "cg_steps", "cg_chosen_step", "cg_stop", "step_length",
        "gradient_norm", "gradient_seconds", "cg_seconds", "line_search_seconds")

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
        held_out_rows: int | None = None,
        preconditioner_exponent: float = 0.0,
        damping_rule: LevenbergMarquardt | None = None,
        ratio_of: str = "last",
        name: str | None = None,
    ) -> None:
        most = sys.float_info.max
        self.check_ranges(
            damping=(damping, most), structural_damping=(structural_damping, most),
            tolerance=(tolerance, 1), decay=(decay, 1),
            preconditioner_exponent=(preconditioner_exponent, 1))
        self.check_counts(max_steps=max_steps, min_steps=min_steps, held_out_rows=held_out_rows)
        if min_steps > max_steps:
            raise ValueError(
                f"HessianFree: min_steps must be at most max_steps, got {min_steps} and "
                f"{max_steps}; as many of both are a fixed number")
        if held_out_rows is not None and curvature_rows is None:
            raise ValueError(
                "HessianFree: held_out_rows must come with curvature_rows, got "
                f"{held_out_rows} and None; give the sequences of a batch that make the curvature")
        if not isinstance(damping_rule, LevenbergMarquardt | None):
            raise TypeError(
                f"HessianFree: damping_rule must be a LevenbergMarquardt, got {damping_rule!r}; "
                "take for example LevenbergMarquardt(drop=4 / 5)")
        if ratio_of not in ("step", "last"):
            raise ValueError(
                f"HessianFree: ratio_of must be 'step' or 'last', got {ratio_of!r}; 'last' is "
                "the default")
        super().__init__(curvature_rows, rows_at_once, max_failures, name=name)
        self.first_damping, self.structural_damping = damping, structural_damping
        self.max_steps, self.min_steps = max_steps, min_steps
        self.tolerance, self.decay = tolerance, decay
        self.held_out_rows = held_out_rows
        self.preconditioner_exponent = preconditioner_exponent
        self.damping_rule = damping_rule or LevenbergMarquardt()
        self.ratio_of = ratio_of

    def build(self, variables: list[keras.Variable]) -> None:
        """Make the direction of the last update, the figures, and the way that it came.

        Args:
            variables: that will be trained.
        """
        if not self.built:
            super().build(variables)
            rows = len(candidate_steps(self.max_steps)) + 1
            self._way = self.add_variable(
                (rows, 3), keras.initializers.Constant(math.nan), dtype="float64", name="way")

    def first_figures(self) -> dict[str, float]:
        """Figures that an update begins with: lambda; and that there was none yet.

        Returns:
            Numbers by name.
        """
        return {"damping": self.first_damping, "cg_stop": -1.0}

    @property
    def stop_reason(self) -> str | None:
        """Why conjugate gradients ended in the last update, in words; None before the first."""
        reason = int(self.figures["cg_stop"])
        return REASONS[reason] if reason >= 0 else None

    @property
    def cg_path(self) -> dict[str, np.ndarray]:
        """Of the last update: at which "step" of conjugate gradients an iterate was kept to go back
        to, the damped "quadratic" there, and the "loss" that judged it; one number an iterate."""
        way = np.array(self._way)
        step, quadratic, loss = way[~np.isnan(way[:, 0])].T
        return {"step": step.astype(int), "quadratic": quadratic, "loss": loss}

    def problem(self, objective: Objective, start: list[tf.Tensor]) -> HessianFreeProblem:
        """The objective as a function of a step.

        Args:
            objective: of the present batch, a `CurvedObjective`.
            start: where the parameters are.

        Returns:
            What an update must know.

        Raises:
            TypeError: if the objective cannot tell the sequences of the batch apart, and an option
                needs them.
        """
        problem = super().problem(objective, start)
        assert isinstance(objective, CurvedObjective)
        options: dict[str, Any] = {}
        if self.held_out_rows is not None:
            held_out = self._known("held_out_rows", objective.held_out)(self.held_out_rows)
            options |= {
                "held_out_loss": held_out.value_at(start),
                "held_out_loss_at": made_once(lambda step: held_out.value_at(moved(start, step)))}
        if self.preconditioner_exponent:
            rows = self._known("preconditioner_exponent", objective.rows)
            objective.move_to(start)
            options["gradient_squares"] = flat(rows.mean_squared_gradient())
        return dataclasses.replace(problem, **options)

    def _known(self, name: str, source: Any) -> Any:
        if source is None:
            raise TypeError(
                f"HessianFree: {name} needs the losses of single sequences, got one of the whole "
                "batch; leave it out, or train a SequenceModel or a model in SecondOrderModel")
        return source

    def update(self, objective: Objective) -> tf.Tensor:
        """Take one step; where there is none to take, stay, and stop after too many of these.

        Args:
            objective: of the present batch, a `CurvedObjective`.

        Returns:
            The loss of the batch where it leaves the variables ().
        """
        start = objective.values()
        problem, gradient_seconds = timed(lambda: self.problem(objective, start), after=start)
        step, state, report = hessian_free_update(
            problem, HessianFreeState(
                tf.convert_to_tensor(self._direction),
                tf.convert_to_tensor(self._figures["damping"])),
            structural_damping=self.structural_damping, max_steps=self.max_steps,
            min_steps=self.min_steps, tolerance=self.tolerance, decay=self.decay,
            rule=self.damping_rule, exponent=self.preconditioner_exponent,
            ratio_of_last=self.ratio_of == "last")
        objective.move_to(moved(start, step))
        self._direction.assign(state.direction)
        self._keep_way(report.path)
        self.report(
            report.step_length > 0, {
                "damping": state.damping, "reduction_ratio": report.ratio,
                "cg_steps": report.num_steps, "cg_chosen_step": report.chosen_step,
                "cg_stop": report.reason, "step_length": report.step_length,
                "gradient_norm": report.gradient_norm, "gradient_seconds": gradient_seconds,
                "cg_seconds": report.cg_seconds,
                "line_search_seconds": report.line_search_seconds},
            "begin with smaller weights or more sequences, or take a larger damping",
            {"lambda": state.damping, "loss": problem.loss,
             "norm of the gradient": report.gradient_norm})
        return report.new_loss

    def _keep_way(self, path: ConjugatePath) -> None:
        way = tf.stack([tf.cast(column, tf.float64) for column in (
            path.candidate_steps, path.models, path.losses)], axis=1)
        missing = self._way.shape[0] - tf.shape(way)[0]
        self._way.assign(tf.pad(way, [[0, missing], [0, 0]], constant_values=math.nan))

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        names = ("structural_damping", "curvature_rows", "rows_at_once", "max_steps", "min_steps",
                 "tolerance", "decay", "max_failures", "held_out_rows", "preconditioner_exponent",
                 "ratio_of", "name")
        return {
            "damping": self.first_damping,
            "damping_rule": keras.saving.serialize_keras_object(self.damping_rule),
            **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "HessianFree":
        """The optimizer that `get_config` describes.

        Args:
            config: what `get_config` gave.
            custom_objects: classes by name that Keras does not know.

        Returns:
            An optimizer without a past.
        """
        rule = keras.saving.deserialize_keras_object(config["damping_rule"], custom_objects)
        return cls(**config | {"damping_rule": rule})
