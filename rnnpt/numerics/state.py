"""The tensors of a recurrent state as one."""

from collections.abc import Sequence

import tensorflow as tf


def pack(state: Sequence[tf.Tensor]) -> tf.Tensor:
    """A flat list of state tensors as one tensor, the form that travels between calls.

    Args:
        state: tensors of shape (B, S_i).

    Returns:
        One tensor (B, S), S the sum of the S_i.
    """
    return tf.concat(list(state), axis=-1)


def unpack(packed: tf.Tensor, sizes: Sequence[int]) -> list[tf.Tensor]:
    """Undo `pack`.

    Args:
        packed: one tensor (B, S).
        sizes: the S_i, whose sum is S.

    Returns:
        Tensors of shape (B, S_i).
    """
    return tf.split(packed, list(sizes), axis=-1)
