"""Requests made one and answers taken apart again, along the first dimension.

The checks and their words are TensorFlow Serving's.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnpt.serving.error import FailedPrecondition, InvalidArgument

Arrays = Sequence[np.ndarray]


def count_rows(inputs: Arrays) -> int:
    """Counts the rows of a request.

    Args:
        inputs: Its inputs.

    Returns:
        The size of the first dimension, which all have.

    Raises:
        InvalidArgument: If there is no input, one is a scalar, or their sizes differ.
    """
    if not inputs:
        raise InvalidArgument("Batching Run() must have at least one input tensor")
    if any(value.ndim == 0 for value in inputs):
        raise InvalidArgument("Batching Run() input tensors must have at least one dimension")
    size = inputs[0].shape[0]
    if any(value.shape[0] != size for value in inputs):
        raise InvalidArgument("Batching Run() input tensors must have equal 0th-dimension size")
    return size


def merge(requests: Sequence[Arrays], num_more: int = 0) -> list[np.ndarray]:
    """Makes one request of several.

    Where the other dimensions differ, the shorter ones are padded at their ends with their own
    first element, as TensorFlow Serving does.

    Args:
        requests: The inputs of each, in one order.
        num_more: How many rows to add, each equal to the first row of the last request.

    Returns:
        The inputs of all.

    Raises:
        InvalidArgument: If an input is to be padded and has no element.
    """
    merged = []
    for values in zip(*requests, strict=True):
        shape = _common_shape(values)
        values = tuple(_pad(value, shape) for value in values)
        more = [values[-1][:1]] * num_more
        merged.append(np.concatenate([*values, *more]) if len(values) + num_more > 1 else values[0])
    return merged


def _common_shape(values: Arrays) -> tuple[int, ...]:
    """The longest of each dimension but the first."""
    shapes = {value.shape[1:] for value in values}
    return tuple(max(sizes) for sizes in zip(*shapes, strict=True))


def _pad(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if value.shape[1:] == shape:
        return value
    if not value.size:
        raise InvalidArgument("Got empty tensor in batch of non-empty tensors.")
    return _fill_up(value, shape, value.flat[0])


def _fill_up(value: np.ndarray, shape: tuple[int, ...], filler: Any) -> np.ndarray:
    filled = np.full((value.shape[0], *shape), filler, value.dtype)
    filled[tuple(slice(size) for size in value.shape)] = value
    return filled


def join(answers: Sequence[Arrays]) -> list[np.ndarray]:
    """Makes the answers to the parts of a request the answer to all of it.

    A part's neighbours decide how long `generate` makes its frames: the shorter ones are filled up
    with zeros, which is what stands past a row's own `length` anyway.

    Args:
        answers: The outputs of each part, in the order of their rows.

    Returns:
        The outputs of all.
    """
    joined = []
    for values in zip(*answers, strict=True):
        shape = _common_shape(values)
        joined.append(np.concatenate([
            value if value.shape[1:] == shape else
            _fill_up(value, shape, b"" if value.dtype == object else 0) for value in values]))
    return joined


def split(outputs: Arrays, sizes: Sequence[int], num_more: int = 0) -> list[list[np.ndarray]]:
    """Takes the answer to several requests apart.

    Args:
        outputs: The outputs of all.
        sizes: The rows of each request.
        num_more: Rows at the end that nobody asked for.

    Returns:
        The outputs of each request.

    Raises:
        FailedPrecondition: If an output is a scalar, or has not a row for each of the inputs'.
    """
    for value in outputs:
        if np.ndim(value) == 0:
            raise FailedPrecondition("Batched output tensor has 0 dimensions")
        if value.shape[0] != sum(sizes) + num_more:
            raise FailedPrecondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                "dimension sizes of the input tensors")
    ends = list(itertools.accumulate(sizes))
    return [[value[end - size:end] for value in outputs]
            for end, size in zip(ends, sizes, strict=True)]
