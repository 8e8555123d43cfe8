"""Hessian-free optimization: truncated Newton steps by conjugate gradients."""

import numbers
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rnnpt.optimizers._damping import LevenbergMarquardt
from rnnpt.optimizers._hessian_free_update import (
    HessianFreeProblem,
    HessianFreeState,
    hessian_free_update,
)
from rnnpt.optimizers.objective import CurvedObjective, Objective, ObjectiveOptimizer

_FIGURES = (
    "damping", "reduction_ratio", "cg_steps", "cg_chosen_step", "step_length", "gradient_norm")


@keras.saving.register_keras_serializable(package="rnnpt")
class HessianFree(ObjectiveOptimizer):
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
        for word, number, high in (
                ("damping", damping, most), ("structural_damping", structural_damping, most),
                ("tolerance", tolerance, 1), ("decay", decay, 1)):
            if not 0 <= number <= high:
                raise ValueError(
                    f"HessianFree: {word} must be from 0 to {high:.3g}, got {number}; the default "
                    "is a good start")
        for word, count in (
                ("curvature_rows", curvature_rows), ("rows_at_once", rows_at_once),
                ("max_steps", max_steps), ("min_steps", min_steps), ("max_failures", max_failures)):
            if count is not None and (not isinstance(count, numbers.Integral) or count < 1):
                raise ValueError(
                    f"HessianFree: {word} must be a positive integer, got {count!r}; "
                    "leave it out for its default")
        super().__init__(1.0, name=name)
        self.first_damping, self.structural_damping = damping, structural_damping
        self.curvature_rows, self.rows_at_once = curvature_rows, rows_at_once
        self.max_steps, self.min_steps = max_steps, min_steps
        self.tolerance, self.decay, self.max_failures = tolerance, decay, max_failures

    def build(self, variables: list[keras.Variable]) -> None:
        """Make the direction, lambda and the figures.

        Args:
            variables: that will be trained.
        """
        if not self.built:
            super().build(variables)
            size = sum(int(np.prod(variable.shape)) for variable in variables)
            self._direction = self.add_variable((size,), name="direction")
            # Set by its initializer: what is assigned while a graph is made is lost.
            first = keras.initializers.Constant(self.first_damping)
            self._figures = {
                name: self.add_variable((), first if name == "damping" else "zeros", name=name)
                for name in _FIGURES}
            self._failures = self.add_variable((), name="failures")

    @property
    def figures(self) -> dict[str, tf.Tensor]:
        """What the last update did, by name; "damping" is that of the next one."""
        return {name: tf.convert_to_tensor(variable) for name, variable in self._figures.items()}

    def update(self, objective: Objective) -> None:
        """Take one step; where there is none to take, stay, and stop after too many of these.

        Args:
            objective: of the present batch, a `CurvedObjective`.

        Raises:
            TypeError: if it has no curvature.
        """
        if not isinstance(objective, CurvedObjective):
            raise TypeError(
                "HessianFree: the model must hand over a curvature, got a loss alone; train a "
                "SequenceModel")
        start = objective.values()
        loss, gradient = objective.value_and_gradient_at(start)
        curved_loss, curved_gradient = objective.curved.value_and_gradient_at(start)
        product = objective.linearize()

        def moved(step: tf.Tensor) -> list[tf.Tensor]:
            return [value + part for value, part in zip(start, _parts(step, start))]

        problem = HessianFreeProblem(
            loss, _flat(gradient), lambda step: objective.value_at(moved(step)),
            curved_loss, _flat(curved_gradient),
            lambda step: objective.curved.value_at(moved(step)),
            lambda vector, strength: _flat(product(_parts(vector, start), strength)))
        step, state, report = hessian_free_update(
            problem, HessianFreeState(
                tf.convert_to_tensor(self._direction),
                tf.convert_to_tensor(self._figures["damping"])),
            structural_damping=self.structural_damping, max_steps=self.max_steps,
            min_steps=self.min_steps, tolerance=self.tolerance, decay=self.decay,
            rule=LevenbergMarquardt())
        failures = tf.where(report.step_length > 0, 0.0, tf.convert_to_tensor(self._failures) + 1)
        objective.move_to(moved(step))
        self._direction.assign(state.direction)
        self._failures.assign(failures)
        for name, value in zip(_FIGURES, (
                state.damping, report.ratio, report.num_steps, report.chosen_step,
                report.step_length, report.gradient_norm), strict=True):
            self._figures[name].assign(tf.cast(value, self._figures[name].dtype))
        tf.debugging.Assert(failures < self.max_failures, [
            f"HessianFree: an update must lower the loss, got {self.max_failures} in a row that "
            "did not (begin with smaller weights or more sequences, or take a larger damping); "
            "lambda =", state.damping, "loss =", loss, "norm of the gradient =",
            report.gradient_norm, "in step", self._iterations + 1])

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        names = ("structural_damping", "curvature_rows", "rows_at_once", "max_steps", "min_steps",
                 "tolerance", "decay", "max_failures", "name")
        return {"damping": self.first_damping} | {name: getattr(self, name) for name in names}


def _flat(values: list[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(value, [-1]) for value in values], axis=0)


def _parts(vector: tf.Tensor, like: list[tf.Tensor]) -> list[tf.Tensor]:
    sizes = [int(np.prod(value.shape)) for value in like]
    return [tf.reshape(part, value.shape) for part, value in zip(tf.split(vector, sizes), like)]
