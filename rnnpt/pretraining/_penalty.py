"""A penalty on the kernels of what a phase trains."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def penalty_on_kernels(model: keras.Model, kernel_l2: float) -> Iterator[None]:
    """Add half the sum of the squares of a model's kernels, times a number, to its loss.

    It stands in the place of regularizers that the kernels have, which come back afterwards.
    Biases and initial states are free.

    Args:
        model: Built; compiled within.
        kernel_l2: The number; 0 changes nothing.

    Yields:
        Nothing, while it holds.
    """
    kernels = [each for each in model.trainable_variables if len(each.shape) > 1]
    before = [kernel.regularizer for kernel in kernels]
    if kernel_l2:
        for kernel in kernels:
            kernel.regularizer = keras.regularizers.L2(kernel_l2 / 2)
    try:
        yield
    finally:
        for kernel, regularizer in zip(kernels, before):
            kernel.regularizer = regularizer
