"""A diagonal that evens out the scales of parameters for conjugate gradients."""

import tensorflow as tf

from rnnpt.optimizers._conjugate_gradient import Vector


def gradient_preconditioner(
    squares: tf.Tensor, damping: tf.Tensor, exponent: float = 0.75
) -> Vector:
    """The inverse of the diagonal that squared gradients of single sequences give.

    Equation: v / (squares + damping)^exponent. With a damping of 0, what no sequence has a gradient
    for stays where it is.

    Args:
        squares: mean over sequences of the square of the gradient (N,).
        damping: lambda of this update ().
        exponent: 1 for the diagonal itself; less takes its extremes back.

    Returns:
        A function of a vector (N,).

    Source: Martens 2010, section 4.7.
    """
    scale = (squares + tf.cast(damping, squares.dtype)) ** exponent
    return lambda vector: tf.math.divide_no_nan(vector, scale)
