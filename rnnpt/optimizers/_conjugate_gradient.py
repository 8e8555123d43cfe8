"""Linear conjugate gradients, stopped where the quadratic makes no more progress."""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from rnnpt.optimizers._line_search import infinite_if_unknown

Vector = Callable[[tf.Tensor], tf.Tensor]

#: Why a run ended, by `ConjugatePath.reason`.
REASONS = (
    "the most steps that were allowed",
    "no more progress of the quadratic",
    "the objective rose again",
    "a direction without positive curvature",
    "a number that is not finite",
    "the exact solution")
LIMIT, PROGRESS, OBJECTIVE, CURVATURE, NOT_FINITE, EXACT = range(len(REASONS))

# Martens 2010: iterates to go back to lie at powers of this.
_CANDIDATE_RATIO = 1.3
# The relative progress is looked at over a tenth of the steps, and over 10 at least.
_LOOK_BACK_SHARE, _LEAST_LOOK_BACK = 0.1, 10


class ConjugatePath(NamedTuple):
    """Where a run of conjugate gradients went.

    Args:
        solution: the last iterate (N,).
        candidates: iterates of the way (C, N), the last of them being the solution.
        candidate_steps: after how many steps each was reached (C,).
        models: the quadratic at each (C,), float64.
        losses: the objective at each (C,), infinite where it is no number; no numbers without one.
        num_steps: how many there were ().
        reason: why it ended, an index into `REASONS` ().
    """

    solution: tf.Tensor
    candidates: tf.Tensor
    candidate_steps: tf.Tensor
    models: tf.Tensor
    losses: tf.Tensor
    num_steps: tf.Tensor
    reason: tf.Tensor


class _State(NamedTuple):
    step: tf.Tensor
    solution: tf.Tensor
    residual: tf.Tensor
    direction: tf.Tensor
    # Residual times preconditioned residual.
    square: tf.Tensor
    models: tf.Tensor
    candidates: tf.TensorArray
    num_candidates: tf.Tensor
    # Of the objective, at the candidates.
    losses: tf.Tensor
    # Beside that of no step.
    most_decrease: tf.Tensor
    reason: tf.Tensor


def conjugate_gradients(
    product: Vector,
    gradient: tf.Tensor,
    start: tf.Tensor,
    *,
    max_steps: int,
    min_steps: int = 1,
    tolerance: float = 5e-4,
    precondition: Vector | None = None,
    objective: Vector | None = None,
    start_loss: tf.Tensor | None = None,
    kept_share: float = 0.9,
) -> ConjugatePath:
    """Minimise q(x) = x'Ax / 2 + gradient'x, partly.

    It stops after step i > k, k = max(10, i / 10), when q is below 0 and its progress over the last
    k steps is less than k times `tolerance` of it; with an `objective`, also when that has risen
    so far above its minimum that less than `kept_share` of the best decrease is left; iterates
    before the first decrease, near a start that serves no more, do not end it. A direction
    without positive curvature, or a number that is not finite, ends the run with the last iterate
    before it.

    In eager mode the loop is one of Python, so that `product` may run on several replicas.

    Args:
        product: A times a vector (N,); A is symmetric and positive.
        gradient: (N,).
        start: the first iterate (N,).
        max_steps: at most.
        min_steps: before neither progress nor objective may end the run.
        tolerance: of the progress, relative to q and to one step.
        precondition: the inverse of a matrix near A, times a vector (N,).
        objective: what q stands for, at an iterate (N,); a scalar. It is looked at where iterates
            are kept to go back to: after 1, 2, 3, 4, 5, 7, 9, ... steps, by powers of 1.3.
        start_loss: the objective at 0, where it is known.
        kept_share: of the best decrease of the objective.

    Returns:
        The way; without a single step its only candidate is the start.

    Source: Martens 2010, sections 4.4 and 4.6; Sutskever 2013, section 4.4.
    """
    precondition = precondition or tf.identity
    kept_at = tf.constant(candidate_steps(max_steps))
    residual = product(start) + gradient
    preconditioned = precondition(residual)
    if start_loss is None:
        start_loss = tf.zeros([], start.dtype) if objective is None else objective(
            tf.zeros_like(start))

    def loss_of(solution: tf.Tensor) -> tf.Tensor:
        if objective is None:
            return tf.constant(math.nan, start_loss.dtype)
        return infinite_if_unknown(objective(solution))

    state = _State(
        step=tf.constant(0), solution=start, residual=residual, direction=-preconditioned,
        square=dot(residual, preconditioned),
        models=tf.tensor_scatter_nd_update(
            tf.zeros([max_steps + 1], tf.float64), [[0]], [_model(start, residual, gradient)]),
        candidates=tf.TensorArray(start.dtype, kept_at.shape[0], element_shape=start.shape),
        num_candidates=tf.constant(0), losses=tf.zeros(kept_at.shape, start_loss.dtype),
        most_decrease=tf.zeros_like(start_loss), reason=tf.constant(-1))

    def advance(*values: tf.Tensor) -> _State:
        state = _State(*values)
        curved = product(state.direction)
        curvature = dot(state.direction, curved)
        length = tf.cast(state.square / curvature, start.dtype)
        step = state.step + 1
        solution = state.solution + length * state.direction
        residual = state.residual + length * curved
        preconditioned = precondition(residual)
        square = dot(residual, preconditioned)
        model = _model(solution, residual, gradient)
        failed = tf.where(
            state.square == 0, EXACT, tf.where(
                ~(tf.math.is_finite(curvature) & tf.math.is_finite(square)
                  & tf.math.is_finite(model)), NOT_FINITE, tf.where(
                    curvature <= 0, CURVATURE, -1)))
        return tf.cond(
            failed >= 0,
            lambda: state._replace(reason=failed),
            lambda: keep(state._replace(
                step=step, solution=solution, residual=residual,
                direction=tf.cast(square / state.square, start.dtype) * state.direction
                - preconditioned,
                square=square,
                models=tf.tensor_scatter_nd_update(state.models, [[step]], [model]))))

    def keep(state: _State) -> _State:
        looked_at = tf.reduce_any(kept_at == state.step)
        return judge(tf.cond(looked_at, lambda: look(state), lambda: state))

    def look(state: _State) -> _State:
        loss = loss_of(state.solution)
        state = state._replace(
            candidates=state.candidates.write(state.num_candidates, state.solution),
            losses=tf.tensor_scatter_nd_update(state.losses, [[state.num_candidates]], [loss]),
            num_candidates=state.num_candidates + 1)
        decrease = start_loss - loss
        # Without an objective both are no numbers, and no comparison holds.
        risen = (state.most_decrease > 0) & (state.step >= min_steps) & (
            decrease < kept_share * state.most_decrease)
        return state._replace(
            most_decrease=tf.maximum(state.most_decrease, decrease),
            reason=tf.where(risen, OBJECTIVE, state.reason))

    def judge(state: _State) -> _State:
        return state._replace(reason=tf.where(
            (state.reason < 0) & (state.step >= min_steps) & _has_settled(
                state.models, state.step, tolerance), PROGRESS, state.reason))

    state = _State(*tf.while_loop(
        lambda *values: (_State(*values).step < max_steps) & (_State(*values).reason < 0),
        advance, state))
    return _path(state, kept_at, loss_of)


def candidate_steps(max_steps: int) -> list[int]:
    """After how many steps an iterate is kept to go back to.

    Args:
        max_steps: that there may be.

    Returns:
        The powers of 1.3, rounded up, each once.
    """
    powers = range(1 + math.ceil(math.log(max(max_steps, 1), _CANDIDATE_RATIO)))
    steps = {math.ceil(_CANDIDATE_RATIO ** power) for power in powers}
    return sorted(step for step in steps if step <= max_steps)


def _path(state: _State, kept_at: tf.Tensor, loss_of: Vector) -> ConjugatePath:
    """The kept iterates, and the last one if it is none of them."""
    steps = kept_at[:state.num_candidates]
    candidates = state.candidates.stack()[:state.num_candidates]
    losses = state.losses[:state.num_candidates]

    def with_last() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return tuple(tf.concat([kept, last[tf.newaxis]], axis=0) for kept, last in (
            (steps, state.step), (candidates, state.solution), (losses, loss_of(state.solution))))

    steps, candidates, losses = tf.cond(
        tf.reduce_all(steps != state.step), with_last, lambda: (steps, candidates, losses))
    return ConjugatePath(
        state.solution, candidates, steps, tf.gather(state.models, steps), losses, state.step,
        tf.maximum(state.reason, LIMIT))


def _has_settled(models: tf.Tensor, step: tf.Tensor, tolerance: float) -> tf.Tensor:
    share = tf.cast(tf.math.ceil(_LOOK_BACK_SHARE * tf.cast(step, tf.float64)), tf.int32)
    look_back = tf.maximum(share, _LEAST_LOOK_BACK)
    now, before = models[step], models[tf.maximum(step - look_back, 0)]
    progress = tf.math.divide_no_nan(now - before, now)
    return (step > look_back) & (now < 0) & (
        progress < tolerance * tf.cast(look_back, tf.float64))


def _model(solution: tf.Tensor, residual: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    """q, without another product: A x is the residual less the gradient."""
    return 0.5 * dot(solution, residual + gradient)


def dot(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """A product of vectors in float64: sums of a million terms decide about lengths and stops.

    Args:
        left: (N,).
        right: (N,).

    Returns:
        A scalar, float64.
    """
    return tf.tensordot(tf.cast(left, tf.float64), tf.cast(right, tf.float64), 1)
