"""All variables as one vector."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def flat(values: Sequence[tf.Tensor]) -> tf.Tensor:
    """One vector of several tensors.

    Args:
        values: of any shapes.

    Returns:
        A vector (N,).
    """
    return tf.concat([tf.reshape(value, [-1]) for value in values], axis=0)


def parts(vector: tf.Tensor, like: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The tensors that one vector holds.

    Args:
        vector: (N,).
        like: tensors of their shapes.

    Returns:
        A tensor a shape.
    """
    sizes = [int(np.prod(value.shape)) for value in like]
    return [tf.reshape(part, value.shape) for part, value in zip(tf.split(vector, sizes), like)]
