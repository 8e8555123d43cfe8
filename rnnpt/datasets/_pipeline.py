"""From a function of a step to a `tf.data.Dataset`."""
from collections.abc import Callable
from typing import Any

import tensorflow as tf

# Batches made ahead of the model.
PREFETCHED_BATCHES = 2


def untuned() -> tf.data.Options:
    """Switch off the tuner of `tf.data`, where there is nothing to tune.

    The end of a pass waits for the tuner, which wakes up after 10 ms and then after twice as long
    each time: a pass of 6 s would end after 10.24 s.

    Returns:
        Options for `Dataset.with_options`.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def computed(
    steps: tf.data.Dataset, compute: Callable[..., Any], signature: Any
) -> tf.data.Dataset:
    """Compute one batch a step in Python.

    `tf.data.Dataset.from_generator` is not for that: with Python 3.11 and later it has the C
    library give every array of more than 128 KB back to the system, for all of the process and for
    ever, after which an update of Hessian-free optimization took twice as long (TensorFlow 2.21,
    `ApplyPython311MemoryPatch`).

    Args:
        steps: What the function is called with: integers, or tuples of them.
        compute: Gives a batch of NumPy's arrays, of the structure and the types of `signature`.
        signature: Of a batch: a structure of `tf.TensorSpec`.

    Returns:
        A dataset of as many batches as there are steps.
    """
    specs = tf.nest.flatten(signature)

    def arrays(*step: Any) -> list[Any]:
        return tf.nest.flatten(compute(*(int(each) for each in step)))

    def batch(*step: tf.Tensor) -> Any:
        tensors = tf.numpy_function(arrays, step, [spec.dtype for spec in specs])
        return tf.nest.pack_sequence_as(signature, [
            tf.ensure_shape(tensor, spec.shape) for tensor, spec in zip(tensors, specs)])

    return steps.map(batch)
