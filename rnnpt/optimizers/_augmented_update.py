"""One update of augmented Hessian-free optimization."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rnnpt.optimizers._conjugate_basis import Augmentation, ConjugateVector, conjugate_basis
from rnnpt.optimizers._conjugate_gradient import CURVATURE, EXACT, LIMIT, NOT_FINITE, PROGRESS, dot
from rnnpt.optimizers._hessian_free_update import HessianFreeProblem
from rnnpt.optimizers._line_search import backtracking, infinite_if_unknown

LossAt = Callable[[tf.Tensor], tf.Tensor]

# Shares of the quadratic's coefficient between which it is taken without a search, the least and
# the greatest that the first parabola may send the search to, and the next where the loss is none.
_GOOD_SHARES, _SHARES, _NEXT_SHARE = (0.75, 4 / 3), (1 / 64, 4.0), 1 / 8
# A loss is known to so many units in its last place: less is rounding.
_NUM_ROUNDINGS = 8
# As of conjugate gradients (Martens 2010): a tenth of the steps, and 10 at least.
_LOOK_BACK_SHARE, _LEAST_LOOK_BACK = 0.1, 10


class AugmentedReport(NamedTuple):
    """What an update did; scalars.

    Args:
        loss: of the gradient batch, before the update.
        new_loss: of the same, after it.
        num_steps: vectors of the basis that were searched along, beside the last direction.
        num_evaluations: of the loss of the curvature batch that the searches took.
        reason: why they ended, an index into the reasons of `_conjugate_gradient`.
        direction_share: what the search made of the last direction's coefficient, as a share of the
            quadratic's own; 0 where it was of no use.
        step_length: of the line search; 0 where the parameters stayed.
        gradient_norm: of the gradient batch.
    """

    loss: tf.Tensor
    new_loss: tf.Tensor
    num_steps: tf.Tensor
    num_evaluations: tf.Tensor
    reason: tf.Tensor
    direction_share: tf.Tensor
    step_length: tf.Tensor
    gradient_norm: tf.Tensor


class _State(NamedTuple):
    basis: ConjugateVector
    num_steps: tf.Tensor
    delta: tf.Tensor
    # Of the curvature batch, after each step.
    losses: tf.Tensor
    # The best along the first vector by the quadratic, where the searches find nothing.
    fallback: tf.Tensor
    num_evaluations: tf.Tensor
    reason: tf.Tensor


def augmented_update(
    problem: HessianFreeProblem,
    direction: tf.Tensor,
    *,
    max_steps: int = 300,
    tolerance: float = 5e-4,
) -> tuple[tf.Tensor, AugmentedReport]:
    """One step: coefficient by coefficient over conjugate vectors, by the loss itself.

    The vectors are those of `conjugate_basis`, beginning with the last direction, for the matrix of
    the curvature batch and the gradient of the other, as in `hessian_free_update`. Along each the
    coefficient is looked for on the curvature batch, from where the searches before have led; the
    basis goes on by the quadratic's own coefficients, so that it stays conjugate. After step i > k,
    k = max(10, i / 10), it stops when the last k steps brought less than k times `tolerance` of the
    whole decrease: the rule of conjugate gradients, on the loss in place of the quadratic. A vector
    without positive curvature, or a number that is not finite, ends it too. At last the line search
    on the gradient batch shortens the step where it is too long; where the searches found nothing
    it begins with the quadratic's step along the first vector.

    Args:
        problem: the objective around the present parameters.
        direction: the step of the update before (N,), 0 at first.
        max_steps: vectors at most, beside the direction.
        tolerance: of the progress.

    Returns:
        The step away from the parameters (N,), which is the next direction, and the report.

    Source: Sutskever 2013, section 6.2; the stop, Martens 2010, section 4.4, after our change.
    """
    dtype = problem.gradient.dtype

    def loss_at(delta: tf.Tensor) -> tf.Tensor:
        return infinite_if_unknown(problem.curvature_loss_at(delta))

    def product(vector: tf.Tensor) -> tf.Tensor:
        return problem.product(vector, tf.zeros([], dtype))

    augmentation, coefficient, basis = conjugate_basis(product, problem.gradient, direction)
    share, loss, tried = tf.cond(
        augmentation.is_used(),
        lambda: search_share(
            loss_at, tf.zeros_like(direction), tf.cast(coefficient, dtype) * direction,
            problem.curvature_loss, 0.5 * coefficient ** 2 * augmentation.curvature),
        lambda: (tf.zeros([], dtype), problem.curvature_loss, tf.constant(0)))
    state = _State(
        basis=basis, num_steps=tf.constant(0),
        delta=share * tf.cast(coefficient, dtype) * direction,
        losses=tf.fill([max_steps + 1], loss), fallback=tf.zeros_like(direction),
        num_evaluations=tried, reason=tf.constant(-1))
    state = _State(*tf.while_loop(
        lambda *values: (_State(*values).num_steps < max_steps) & (_State(*values).reason < 0),
        lambda *values: _advance(
            _State(*values), augmentation, product, loss_at, problem.curvature_loss, tolerance),
        state))
    step = tf.where(
        state.losses[state.num_steps] < problem.curvature_loss, state.delta, state.fallback)
    length, new_loss = backtracking(
        lambda length: problem.loss_at(length * step), problem.loss,
        tf.cast(dot(problem.gradient, step), dtype))
    # What moves nothing may hold what is no number.
    step = tf.where(length > 0, length * step, tf.zeros_like(step))
    return step, AugmentedReport(
        loss=problem.loss, new_loss=new_loss, num_steps=state.num_steps,
        num_evaluations=state.num_evaluations, reason=tf.maximum(state.reason, LIMIT),
        direction_share=share, step_length=length, gradient_norm=tf.norm(problem.gradient))


def _advance(
    state: _State,
    augmentation: Augmentation,
    product: Callable[[tf.Tensor], tf.Tensor],
    loss_at: LossAt,
    base: tf.Tensor,
    tolerance: float,
) -> _State:
    vector = state.basis.vector
    curved = product(vector)
    curvature = dot(vector, curved)
    coefficient = state.basis.square / curvature
    failed = tf.where(
        state.basis.square == 0, EXACT, tf.where(
            ~(tf.math.is_finite(curvature) & tf.math.is_finite(state.basis.square)), NOT_FINITE,
            tf.where(curvature <= 0, CURVATURE, -1)))

    def search() -> _State:
        best = tf.cast(coefficient, vector.dtype) * vector
        share, loss, tried = search_share(
            loss_at, state.delta, best, state.losses[state.num_steps],
            0.5 * coefficient * state.basis.square)
        num_steps = state.num_steps + 1
        losses = tf.tensor_scatter_nd_update(state.losses, [[num_steps]], [loss])
        return state._replace(
            basis=state.basis.following(augmentation, coefficient, curved), num_steps=num_steps,
            delta=state.delta + share * best, losses=losses,
            fallback=tf.where(state.num_steps == 0, best, state.fallback),
            num_evaluations=state.num_evaluations + tried,
            reason=tf.where(_has_settled(losses, num_steps, base, tolerance), PROGRESS, -1))

    return tf.cond(failed >= 0, lambda: state._replace(reason=failed), search)


def search_share(
    loss_at: LossAt, start: tf.Tensor, best: tf.Tensor, loss: tf.Tensor, promised: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """How much to take of a step along one vector, the quadratic's own being 1.

    Equation: phi(t) = f(start + t best). With rho = (phi(0) - phi(1)) / promised, the parabola
    through phi(0) and phi(1) whose slope at 0 is the quadratic's has its minimum at 1 / (2 - rho).
    Where that is from 3/4 to 4/3, t is 1, after a single evaluation, as it is for every quadratic;
    and also where the promise is below the rounding of the loss and phi(1) no higher than that.
    Else phi is looked at there, from 1/64 to 4, or at 1/8 where phi(1) is no number; and at the
    minimum of the parabola through these three values, or, if this has none, at the square of the
    second share. t is the best of all, or 0.

    Args:
        loss_at: f (), by a step away from the parameters (N,).
        start: the step so far (N,).
        best: the quadratic's own part to come (N,).
        loss: f(start) ().
        promised: how much the quadratic falls ().

    Returns:
        t (); f(start + t best) (); and how often f was computed ().

    Source: our own; Sutskever 2013, section 6.2, has a search of each coefficient and no more.
    """
    dtype = loss.dtype

    def at(share: tf.Tensor) -> tf.Tensor:
        there = start + tf.cast(share, best.dtype) * best
        return infinite_if_unknown(tf.cast(loss_at(there), dtype))

    one = tf.ones([], dtype)
    first = at(one)
    promised = tf.cast(promised, dtype)
    ratio = (loss - first) / promised
    low, high = (tf.constant(share, dtype) for share in _SHARES)
    second_share = tf.where(
        tf.math.is_inf(first), tf.constant(_NEXT_SHARE, dtype), tf.where(
            ratio < 2, tf.clip_by_value(tf.math.divide_no_nan(one, 2 - ratio), low, high), high))
    rounding = _NUM_ROUNDINGS * np.finfo(dtype.as_numpy_dtype).eps * tf.abs(loss)
    is_good = (second_share >= _GOOD_SHARES[0]) & (second_share <= _GOOD_SHARES[1])
    is_small = (promised <= rounding) & (first <= loss + rounding)

    def search() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        second = at(second_share)
        third_share = _parabola_minimum(loss, first, second_share, second)
        shares = tf.stack([tf.zeros_like(one), one, second_share, third_share])
        losses = tf.stack([loss, first, second, at(third_share)])
        place = tf.argmin(losses)
        return shares[place], losses[place], tf.constant(3)

    return tf.cond(is_good | is_small, lambda: (one, first, tf.constant(1)), search)


def _parabola_minimum(
    zero: tf.Tensor, first: tf.Tensor, share: tf.Tensor, second: tf.Tensor
) -> tf.Tensor:
    """Where the parabola through three values at 0, 1 and a share has its minimum."""
    slope_to_first, slope_to_share = first - zero, (second - zero) / share
    bend = (slope_to_share - slope_to_first) / (share - 1)
    minimum = (bend - slope_to_first) / (2 * bend)
    is_known = tf.math.is_finite(minimum) & tf.math.is_finite(bend) & (bend > 0)
    limit = _SHARES[1] ** 2
    return tf.where(is_known, tf.clip_by_value(minimum, -limit, limit), share ** 2)


def _has_settled(
    losses: tf.Tensor, step: tf.Tensor, base: tf.Tensor, tolerance: float
) -> tf.Tensor:
    share = tf.cast(tf.math.ceil(_LOOK_BACK_SHARE * tf.cast(step, tf.float64)), tf.int32)
    look_back = tf.maximum(share, _LEAST_LOOK_BACK)
    now, before = losses[step], losses[tf.maximum(step - look_back, 0)]
    progress = tf.math.divide_no_nan(before - now, base - now)
    return (step > look_back) & (
        progress < tf.cast(tolerance * tf.cast(look_back, tf.float64), progress.dtype))
