"""One update of Hessian-free optimization, as a function of what it must know of an objective."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from rnnpt.optimizers._conjugate_gradient import ConjugatePath, conjugate_gradients, dot
from rnnpt.optimizers._damping import LevenbergMarquardt, reduction_ratio
from rnnpt.optimizers._line_search import backtracking, walk_back
from rnnpt.optimizers._preconditioner import gradient_preconditioner
from rnnpt.optimizers._stopwatch import timed


class HessianFreeState(NamedTuple):
    """What goes from one update to the next.

    Args:
        direction: the last iterate of the last run of conjugate gradients, or the step that came of
            it (N,); 0 at first.
        damping: lambda ().
    """

    direction: tf.Tensor
    damping: tf.Tensor


class HessianFreeReport(NamedTuple):
    """What an update did; scalars but for the path.

    Args:
        loss: of the gradient batch, before the update.
        new_loss: of the same, after it.
        damping: lambda that it was made with.
        ratio: the reduction ratio rho of the whole step, or of the last iterate, on the curvature
            batch; no number where the quadratic promised nothing.
        num_steps: of conjugate gradients.
        chosen_step: after which of them the step was taken.
        reason: why they ended, an index into the reasons of `_conjugate_gradient`.
        step_length: of the line search; 0 where the parameters stayed.
        gradient_norm: of the gradient batch.
        path: the way of conjugate gradients.
        cg_seconds: that conjugate gradients took, and the losses they looked at.
        line_search_seconds: that the choice of the iterate, its ratio and the line search took.
    """

    loss: tf.Tensor
    new_loss: tf.Tensor
    damping: tf.Tensor
    ratio: tf.Tensor
    num_steps: tf.Tensor
    chosen_step: tf.Tensor
    reason: tf.Tensor
    step_length: tf.Tensor
    gradient_norm: tf.Tensor
    path: ConjugatePath
    cg_seconds: tf.Tensor
    line_search_seconds: tf.Tensor


@dataclasses.dataclass(frozen=True)
class HessianFreeProblem:
    """An objective around the present parameters, by functions of a step away from them (N,).

    Args:
        loss: of the gradient batch where the parameters are ().
        gradient: of it (N,).
        loss_at: of the gradient batch after a step ().
        curvature_loss: of the curvature batch where the parameters are ().
        curvature_gradient: the gradient of the curvature batch (N,).
        curvature_loss_at: the loss of the curvature batch after a step ().
        product: the Gauss-Newton matrix of the curvature batch, with structural damping of a given
            strength, times a vector: (vector (N,), strength ()) -> (N,).
        held_out_loss: of the sequences by which iterates are judged, where the parameters are ();
            None for the curvature batch.
        held_out_loss_at: of these, after a step ().
        gradient_squares: mean over sequences of the squared gradient (N,), for the preconditioner.
    """

    loss: tf.Tensor
    gradient: tf.Tensor
    loss_at: Callable[[tf.Tensor], tf.Tensor]
    curvature_loss: tf.Tensor
    curvature_gradient: tf.Tensor
    curvature_loss_at: Callable[[tf.Tensor], tf.Tensor]
    product: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    held_out_loss: tf.Tensor | None = None
    held_out_loss_at: Callable[[tf.Tensor], tf.Tensor] | None = None
    gradient_squares: tf.Tensor | None = None


def hessian_free_update(
    problem: HessianFreeProblem,
    state: HessianFreeState,
    *,
    structural_damping: float = 0.0,
    max_steps: int = 300,
    min_steps: int = 1,
    tolerance: float = 5e-4,
    decay: float = 0.95,
    rule: LevenbergMarquardt = LevenbergMarquardt(),
    exponent: float = 0.75,
    ratio_of_last: bool = False,
) -> tuple[tf.Tensor, HessianFreeState, HessianFreeReport]:
    """One step.

    Conjugate gradients minimise delta'(G + lambda I + lambda mu S) delta / 2 + gradient'delta from
    the decayed end of the last update's run. Of their iterates the walk back takes one, by the loss
    of the curvature batch or of held-out sequences; the reduction ratio of that step on the
    curvature batch sets the next lambda; and the line search on the gradient batch shortens it
    where it is too long. Where no length lowers the loss, lambda grows whatever the ratio.

    With `ratio_of_last` the ratio is that of the last iterate instead. Lambda then grows where the
    run went farther than the quadratic holds, although an iterate on its way was good. A last
    iterate that broke its promise in this way is no place to begin the next run at, which then
    begins at the step that was taken: from far outside, conjugate gradients spend a hundred steps
    on the way back to where the objective falls.

    Args:
        problem: the objective around the present parameters; preconditioned where it has squared
            gradients.
        state: after the update before.
        structural_damping: mu.
        max_steps: of conjugate gradients.
        min_steps: of them.
        tolerance: of their progress.
        decay: of the direction that they begin with.
        rule: of the damping.
        exponent: of the preconditioner.
        ratio_of_last: whether the last iterate is judged, and not the step.

    Returns:
        The step away from the parameters (N,), the next state, and the report.

    Source: Martens 2010; Sutskever 2013, algorithm 5 and section 4.2.
    """
    dtype = problem.gradient.dtype
    damping = tf.cast(state.damping, dtype)
    structural = structural_damping * damping
    loss_at, judged_from = problem.curvature_loss_at, problem.curvature_loss
    if problem.held_out_loss_at is not None:
        loss_at, judged_from = problem.held_out_loss_at, problem.held_out_loss
    precondition = None if problem.gradient_squares is None else gradient_preconditioner(
        problem.gradient_squares, damping, exponent)

    def damped_product(vector: tf.Tensor) -> tf.Tensor:
        return problem.product(vector, structural) + damping * vector

    def ratio_at(place: tf.Tensor | int) -> tf.Tensor:
        step = path.candidates[place]
        loss = path.losses[place] if problem.held_out_loss_at is None else (
            problem.curvature_loss_at(step))
        curved = damped_product(step) if rule.damped_ratio else problem.product(
            step, tf.zeros([], dtype))
        promised = -dot(problem.curvature_gradient, step) - 0.5 * dot(step, curved)
        return reduction_ratio(tf.cast(problem.curvature_loss - loss, tf.float64), promised)

    def search() -> tuple[tf.Tensor, ...]:
        chosen = walk_back(path.losses, judged_from)
        step = path.candidates[chosen]
        ratio = ratio_at(-1 if ratio_of_last else chosen)
        length, new_loss = backtracking(
            lambda length: problem.loss_at(length * step), problem.loss,
            tf.cast(dot(problem.gradient, step), dtype))
        return length * step, path.candidate_steps[chosen], ratio, length, new_loss

    path, cg_seconds = timed(lambda: conjugate_gradients(
        damped_product, problem.gradient, decay * state.direction, max_steps=max_steps,
        min_steps=min_steps, tolerance=tolerance, precondition=precondition, objective=loss_at,
        start_loss=judged_from), after=problem)
    (step, chosen_step, ratio, length, new_loss), search_seconds = timed(search, after=path)
    report = HessianFreeReport(
        loss=problem.loss, new_loss=new_loss, damping=state.damping,
        ratio=tf.cast(ratio, state.damping.dtype), num_steps=path.num_steps,
        chosen_step=chosen_step, reason=path.reason, step_length=length,
        gradient_norm=tf.norm(problem.gradient), path=path, cg_seconds=cg_seconds,
        line_search_seconds=search_seconds)
    # A direction that led nowhere has proved of no use, and its quadratic of none.
    has_moved = length > 0
    direction = path.solution
    if ratio_of_last:
        direction = tf.where(ratio >= rule.low, direction, step)
    direction = tf.where(has_moved, direction, tf.zeros_like(direction))
    damping = rule.adjusted(state.damping, tf.where(has_moved, ratio, math.nan))
    return step, HessianFreeState(direction, damping), report
