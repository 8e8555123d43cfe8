"""One update of Hessian-free optimization, as a function of what it must know of an objective."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from rnnpt.optimizers._conjugate_gradient import conjugate_gradients, dot
from rnnpt.optimizers._damping import LevenbergMarquardt, reduction_ratio
from rnnpt.optimizers._line_search import backtracking, infinite_if_unknown, walk_back


class HessianFreeState(NamedTuple):
    """What goes from one update to the next.

    Args:
        direction: the last iterate of the last run of conjugate gradients (N,), 0 at first.
        damping: lambda ().
    """

    direction: tf.Tensor
    damping: tf.Tensor


class HessianFreeReport(NamedTuple):
    """What an update did; scalars.

    Args:
        loss: of the gradient batch, before the update.
        new_loss: of the same, after it.
        damping: lambda that it was made with.
        ratio: the reduction ratio rho of the whole step on the curvature batch; no number where the
            quadratic promised nothing.
        num_steps: of conjugate gradients.
        chosen_step: after which of them the step was taken.
        reason: why they ended, an index into the reasons of `_conjugate_gradient`.
        step_length: of the line search; 0 where the parameters stayed.
        gradient_norm: of the gradient batch.
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
    """

    loss: tf.Tensor
    gradient: tf.Tensor
    loss_at: Callable[[tf.Tensor], tf.Tensor]
    curvature_loss: tf.Tensor
    curvature_gradient: tf.Tensor
    curvature_loss_at: Callable[[tf.Tensor], tf.Tensor]
    product: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


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
    damped_ratio: bool = False,
) -> tuple[tf.Tensor, HessianFreeState, HessianFreeReport]:
    """One step.

    Conjugate gradients minimise delta'(G + lambda I + lambda mu S) delta / 2 + gradient'delta from
    the decayed end of the last update's run. Of their iterates the walk back takes one, by the loss
    of the curvature batch; the reduction ratio of that step sets the next lambda; and the line
    search on the gradient batch shortens it where it is too long.

    Args:
        problem: the objective around the present parameters.
        state: after the update before.
        structural_damping: mu.
        max_steps: of conjugate gradients.
        min_steps: of them.
        tolerance: of their progress.
        decay: of the direction that they begin with.
        rule: of the damping.
        damped_ratio: whether the quadratic of the reduction ratio has the damping in it.

    Returns:
        The step away from the parameters (N,), the next state, and the report.

    Source: Martens 2010; Sutskever 2013, algorithm 5 and section 4.2.
    """
    dtype = problem.gradient.dtype
    damping = tf.cast(state.damping, dtype)
    structural = structural_damping * damping

    def damped_product(vector: tf.Tensor) -> tf.Tensor:
        return problem.product(vector, structural) + damping * vector

    def curvature_loss_at(step: tf.Tensor) -> tf.Tensor:
        return infinite_if_unknown(problem.curvature_loss_at(step))

    base = problem.curvature_loss
    path = conjugate_gradients(
        damped_product, problem.gradient, decay * state.direction, max_steps=max_steps,
        min_steps=min_steps, tolerance=tolerance, objective=curvature_loss_at)
    chosen, chosen_loss = walk_back(
        lambda index: curvature_loss_at(path.candidates[index]),
        tf.shape(path.candidates)[0], base)
    step = path.candidates[chosen]
    curved = damped_product(step) if damped_ratio else problem.product(step, tf.zeros([], dtype))
    promised = -dot(problem.curvature_gradient, step) - 0.5 * dot(step, curved)
    ratio = reduction_ratio(tf.cast(base - chosen_loss, tf.float64), promised)
    length, new_loss = backtracking(
        lambda length: problem.loss_at(length * step), problem.loss,
        tf.cast(dot(problem.gradient, step), dtype))
    report = HessianFreeReport(
        loss=problem.loss, new_loss=new_loss, damping=state.damping,
        ratio=tf.cast(ratio, state.damping.dtype), num_steps=path.num_steps,
        chosen_step=path.candidate_steps[chosen], reason=path.reason, step_length=length,
        gradient_norm=tf.norm(problem.gradient))
    # After no step the direction has proved of no use.
    direction = tf.where(length > 0, path.solution, tf.zeros_like(path.solution))
    return (length * step, HessianFreeState(direction, rule.adjusted(state.damping, ratio)), report)
