"""Whether a batch has the rows that an optimizer asks for."""

from typing import Any

import tensorflow as tf


def with_asked_rows(data: Any, num_rows: tf.Tensor, num_asked: int) -> Any:
    """Some of a batch, once it is known that the batch is large enough.

    Args:
        data: tensors and None in any nest.
        num_rows: of the batch ().
        num_asked: how many it must have, those of the curvature and those held out.

    Returns:
        The same; reading it fails if the batch has fewer rows.

    Example:
        >>> rows = with_asked_rows(tf.constant([1.0, 2.0]), tf.constant(2), 2)
        >>> rows.numpy().tolist()
        [1.0, 2.0]
    """
    check = tf.debugging.Assert(num_rows >= num_asked, [
        "a batch must hold the rows that curvature_rows and held_out_rows ask for, "
        f"{num_asked} in all, got", num_rows, "; drop the remainder of the data, or ask for fewer"])
    with tf.control_dependencies([check]):
        return tf.nest.map_structure(
            lambda value: None if value is None else tf.identity(value), data)
