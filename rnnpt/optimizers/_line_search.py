"""How far to go along a direction, and which iterate of conjugate gradients gives it."""

import math
from collections.abc import Callable

import tensorflow as tf

#: Share of the slope's promise that a step must keep (Armijo), and how a step is shortened.
SUFFICIENT_SHARE, SHORTENING = 1e-2, 0.8


def backtracking(
    loss_at: Callable[[tf.Tensor], tf.Tensor],
    start_loss: tf.Tensor,
    slope: tf.Tensor,
    max_steps: int = 60,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The longest of the steps 1, 0.8, 0.8^2, ... that lowers the loss enough.

    Equation: f(theta + a d) <= f(theta) + 0.01 min(a slope, 0). A direction that leads uphill must
    at least not raise the loss.

    Args:
        loss_at: f(theta + a d) for a step length a; no number counts as too high.
        start_loss: f(theta) ().
        slope: gradient'd ().
        max_steps: how many lengths are tried.

    Returns:
        The length (), 0 where none is short enough; and the loss there ().

    Source: Nocedal and Wright 1999, algorithm 3.1.
    """
    def known_loss(length: tf.Tensor) -> tf.Tensor:
        return infinite_if_unknown(loss_at(length))

    def is_enough(length: tf.Tensor, loss: tf.Tensor) -> tf.Tensor:
        promise = SUFFICIENT_SHARE * tf.minimum(length * slope, 0)
        return loss <= start_loss + tf.cast(promise, start_loss.dtype)

    def search(
        tried: tf.Tensor, length: tf.Tensor, _: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        length = tf.where(tried > 0, SHORTENING * length, length)
        return tried + 1, length, known_loss(length)

    _, length, loss = tf.while_loop(
        lambda tried, length, loss: (tried < max_steps) & ~is_enough(length, loss), search,
        (tf.constant(0), tf.ones([], slope.dtype), tf.constant(math.inf, start_loss.dtype)))
    return tf.cond(
        is_enough(length, loss), lambda: (length, loss),
        lambda: (tf.zeros_like(length), start_loss))


def walk_back(losses: tf.Tensor, start_loss: tf.Tensor) -> tf.Tensor:
    """Which of the kept iterates to take: from the last one back, for as long as the loss falls.

    Later iterates are better for the quadratic, and often too far for the objective. Where the walk
    ends with one that is no better than no step at all, the best of all the iterates is taken.

    Args:
        losses: at the C iterates, at least 1; no number counts as the worst (C,).
        start_loss: f(theta), without a step ().

    Returns:
        The index of the iterate (); of equal losses that of the shorter step.

    Source: Martens 2010, section 4.6; the last rule is ours.
    """
    losses = infinite_if_unknown(losses)
    rises = tf.where(losses[:-1] > losses[1:], tf.range(1, tf.size(losses)), 0)
    chosen = tf.reduce_max(tf.concat([[0], rises], axis=0))
    return tf.where(
        losses[chosen] < start_loss, chosen, tf.argmin(losses, output_type=tf.int32))


def infinite_if_unknown(loss: tf.Tensor) -> tf.Tensor:
    """The worst of losses in place of what is no number.

    TensorFlow's graph optimizer makes `a > b` of `not a <= b`, which is another thing where one of
    them is no number.

    Args:
        loss: of any shape.

    Returns:
        The loss.
    """
    return tf.where(tf.math.is_nan(loss), tf.constant(float("inf"), loss.dtype), loss)
