"""Limited-memory BFGS on the loss of a batch."""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from rnnpt.optimizers._minimizer import lbfgs_results, minimizer
from rnnpt.optimizers._subgraph import made_once
from rnnpt.optimizers._vector import flat, parts
from rnnpt.optimizers.objective import Objective
from rnnpt.optimizers.reporting_optimizer import ReportingOptimizer


class LBFGSState(NamedTuple):
    """What the method knows of the curvature; zeros at first.

    Args:
        position_deltas: the last differences of the parameters (M, N), the newest at the end.
        gradient_deltas: of the gradient (M, N).
    """

    position_deltas: tf.Tensor
    gradient_deltas: tf.Tensor


class LBFGSReport(NamedTuple):
    """What an update did; scalars.

    Args:
        loss: before the update.
        new_loss: after it.
        num_iterations: of the method.
        num_evaluations: of the loss and its gradient.
        converged: whether the gradient was small enough at last, or the loss did not change.
        has_moved: whether the loss fell.
        gradient_norm: before the update.
    """

    loss: tf.Tensor
    new_loss: tf.Tensor
    num_iterations: tf.Tensor
    num_evaluations: tf.Tensor
    converged: tf.Tensor
    has_moved: tf.Tensor
    gradient_norm: tf.Tensor


def lbfgs_update(
    value_and_gradient_at: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    start: tf.Tensor,
    state: LBFGSState,
    *,
    max_iterations: int = 20,
    tolerance: float = 1e-5,
    relative_tolerance: float = 0.0,
) -> tuple[tf.Tensor, LBFGSState, LBFGSReport]:
    """Some iterations of L-BFGS with the line search of Hager and Zhang.

    It goes on from the differences of the update before: on one batch, two updates of five
    iterations are one of ten. Where the loss did not fall, the parameters stay and the differences
    are forgotten, so that the next update begins along the gradient.

    Args:
        value_and_gradient_at: the loss () and its gradient (N,) at parameters (N,).
        start: the parameters (N,).
        state: after the update before.
        max_iterations: at most.
        tolerance: of the greatest part of the gradient.
        relative_tolerance: of the change of the loss in an iteration; 0 for no such end.

    Returns:
        The parameters (N,), the next state and the report.

    Source: Nocedal and Wright 2006, algorithm 7.5; Hager and Zhang 2005.
    """
    num_pairs = state.position_deltas.shape[0]
    loss, gradient = value_and_gradient_at(start)
    is_finite = tf.math.is_finite(loss) & tf.reduce_all(tf.math.is_finite(gradient))
    # Differences that are not there yet are 0 and count for nothing.
    num_before = tf.where(tf.reduce_any(state.position_deltas[-1] != 0), num_pairs, 0)
    first = lbfgs_results()(
        converged=is_finite & (tf.reduce_max(tf.abs(gradient)) <= tolerance), failed=~is_finite,
        num_iterations=num_before, num_objective_evaluations=tf.constant(1), position=start,
        objective_value=loss, objective_gradient=gradient, **state._asdict())
    found = minimizer("lbfgs_minimize")(
        value_and_gradient_at, None, first, num_correction_pairs=num_pairs, tolerance=tolerance,
        f_relative_tolerance=relative_tolerance, max_iterations=num_before + max_iterations)
    has_moved = (found.objective_value < loss) & tf.reduce_all(tf.math.is_finite(found.position))
    return (
        tf.where(has_moved, found.position, start),
        LBFGSState(*(tf.where(has_moved | found.converged, deltas, tf.zeros_like(deltas))
                     for deltas in (found.position_deltas, found.gradient_deltas))),
        LBFGSReport(
            loss=loss, new_loss=tf.where(has_moved, found.objective_value, loss),
            num_iterations=found.num_iterations - num_before,
            num_evaluations=found.num_objective_evaluations, converged=found.converged,
            has_moved=has_moved, gradient_norm=tf.norm(gradient)))


@keras.saving.register_keras_serializable(package="rnnpt")
class LBFGS(ReportingOptimizer):
    """Minimises the loss of a batch by limited-memory BFGS.

    Use it with one fixed batch, all of the data, and a smooth loss without dropout: there it is
    hard to beat for small models, and needs no rate. It takes the loss itself, so it trains a
    `SequenceModel` of an exact head, or any Keras model inside `SecondOrderModel`.

    Equation: as of `lbfgs_update`.

    `fit` logs what the last update did: "lbfgs_iterations", and the "lbfgs_evaluations" of loss and
    gradient that these took; "converged", 0 or 1; and "gradient_norm", before it. Where it has
    converged, it stays.

    Args:
        max_iterations: an update.
        num_correction_pairs: differences that are kept, each of the size of the parameters, twice.
        tolerance: it ends where no part of the gradient is greater.
        relative_tolerance: it ends where an iteration changes the loss by no greater share; 0 for
            none.
        max_failures: updates in a row that move nothing, and have not converged, before it stops.
        name: of the optimizer.

    Raises:
        ValueError: if a number is out of its range.

    Example:
        >>> from rnnpt.optimizers import SecondOrderModel
        >>> model = SecondOrderModel(keras.Sequential([keras.Input([2]), keras.layers.Dense(1)]))
        >>> model.compile(LBFGS(), loss="mse")
        >>> history = model.fit(tf.ones([4, 2]), tf.ones([4]), verbose=0)
        >>> bool(model.optimizer.figures["converged"])
        True

    Source: Nocedal and Wright 2006, section 7.2.
    """

    FIGURES = ("lbfgs_iterations", "lbfgs_evaluations", "converged", "gradient_norm")

    def __init__(
        self,
        max_iterations: int = 20,
        num_correction_pairs: int = 10,
        tolerance: float = 1e-5,
        relative_tolerance: float = 0.0,
        max_failures: int = 20,
        name: str | None = None,
    ) -> None:
        self.check_ranges(
            tolerance=(tolerance, sys.float_info.max), relative_tolerance=(relative_tolerance, 1))
        self.check_counts(max_iterations=max_iterations, num_correction_pairs=num_correction_pairs)
        super().__init__(max_failures, name=name)
        self.max_iterations, self.num_correction_pairs = max_iterations, num_correction_pairs
        self.tolerance, self.relative_tolerance = tolerance, relative_tolerance

    def build(self, variables: list[keras.Variable]) -> None:
        """Make the differences and the figures.

        Args:
            variables: that will be trained.
        """
        if not self.built:
            super().build(variables)
            shape = (
                self.num_correction_pairs, sum(int(np.prod(each.shape)) for each in variables))
            self._deltas = LBFGSState(
                self.add_variable(shape, dtype=self._dtype, name="position_deltas"),
                self.add_variable(shape, dtype=self._dtype, name="gradient_deltas"))

    def update(self, objective: Objective) -> tf.Tensor:
        """Minimise; where there is nothing to gain, stay, and stop after too many of these.

        Args:
            objective: of the present batch.

        Returns:
            The loss of the batch where it leaves the variables ().
        """
        start = objective.values()

        def value_and_gradient_at(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            loss, gradient = objective.value_and_gradient_at(parts(values, start))
            # The loss of Keras is of its floatx, whatever the layers are of.
            return tf.cast(loss, start[0].dtype), flat(gradient)

        values, state, report = lbfgs_update(
            made_once(value_and_gradient_at), flat(start),
            LBFGSState(*(tf.convert_to_tensor(deltas) for deltas in self._deltas)),
            max_iterations=self.max_iterations, tolerance=self.tolerance,
            relative_tolerance=self.relative_tolerance)
        objective.move_to(parts(values, start))
        for variable, deltas in zip(self._deltas, state):
            variable.assign(deltas)
        self.report(
            report.has_moved | report.converged, {
                "lbfgs_iterations": report.num_iterations,
                "lbfgs_evaluations": report.num_evaluations, "converged": report.converged,
                "gradient_norm": report.gradient_norm},
            "begin with smaller weights, or take one fixed batch without randomness",
            {"loss": report.loss, "norm of the gradient": report.gradient_norm})
        return report.new_loss

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        names = ("max_iterations", "num_correction_pairs", "tolerance", "relative_tolerance",
                 "max_failures", "name")
        return {name: getattr(self, name) for name in names}
