"""Log-probabilities of logits, their curvature, and sums over what a mask leaves."""

import tensorflow as tf


def bernoulli_log_prob(logits: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
    """Log-likelihood of binary frames whose units are independent.

    Equation: sum over v of frames log sigmoid(logits) + (1 - frames) log sigmoid(-logits).
    Written on the logits, so that no logarithm of a rounded probability is taken.

    Args:
        logits: log-odds of each unit (..., V).
        frames: what was observed (..., V), in {0, 1}.

    Returns:
        Nats a frame (...).
    """
    return -tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(frames, logits), axis=-1)


def bernoulli_log_probs(logits: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
    """Log-likelihood of binary frames under each of several products of Bernoullis.

    Equation: for each s, sum over v of frames logits_s - log(1 + exp(logits_s)), which is
    `bernoulli_log_prob` of every pair, for all of them in one matrix product.

    Args:
        logits: log-odds of each unit (S, V).
        frames: what was observed (..., V), in {0, 1}.

    Returns:
        Nats a frame (..., S).
    """
    logits = tf.convert_to_tensor(logits)
    products = tf.tensordot(frames, logits, axes=[[-1], [1]])
    return products - tf.reduce_sum(tf.nn.softplus(logits), axis=-1)


def bernoulli_curvature(logits: tf.Tensor, tangents: tf.Tensor) -> tf.Tensor:
    """The Hessian of -`bernoulli_log_prob` at its logits, times a direction.

    Equation: p (1 - p) tangents, with p = sigmoid(logits).

    Args:
        logits: log-odds of each unit (..., V).
        tangents: the direction (..., V).

    Returns:
        (..., V).
    """
    return tf.sigmoid(logits) * tf.sigmoid(-logits) * tangents


def categorical_curvature(probabilities: tf.Tensor, tangents: tf.Tensor) -> tf.Tensor:
    """The Hessian of the cross-entropy of a softmax at its logits, times a direction.

    Equation: p (tangents - p'tangents).

    Args:
        probabilities: p, the softmax of the logits (..., V).
        tangents: the direction (..., V).

    Returns:
        (..., V).
    """
    mean = tf.reduce_sum(probabilities * tangents, axis=-1, keepdims=True)
    return probabilities * (tangents - mean)


def masked_sum(values: tf.Tensor, mask: tf.Tensor, axis: int | None = None) -> tf.Tensor:
    """Sum of the values on real frames; a padded value may be anything, NaN too.

    Args:
        values: one number a frame (B, T).
        mask: True on real frames (B, T).
        axis: the axis to sum over; all of them by default.

    Returns:
        The sum over `axis`.
    """
    return tf.reduce_sum(tf.where(mask, values, tf.zeros_like(values)), axis=axis)
