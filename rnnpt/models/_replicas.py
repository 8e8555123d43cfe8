"""Sums over the replicas of a `tf.distribute` strategy."""

from typing import TypeVar

import tensorflow as tf

Values = TypeVar("Values", tf.Tensor, list[tf.Tensor])


def sum_over_replicas(values: Values) -> Values:
    """Adds up what each replica has.

    Args:
        values: a tensor, or several; of one device they stay as they are.

    Returns:
        The sums, the same on each replica.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce("SUM", values)
