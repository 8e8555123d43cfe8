"""Seconds that a part of a graph takes."""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

Result = TypeVar("Result")


def timed(compute: Callable[[], Result], after: object = ()) -> tuple[Result, tf.Tensor]:
    """What a computation gives, and how long it took.

    In a graph it begins when everything before it is known, and ends when all that it gives is
    known. XLA has no clock, so what is timed cannot be compiled by it.

    Args:
        compute: gives tensors, in a structure or a dataclass.
        after: what comes first, likewise.

    Returns:
        The tensors, and seconds (), float64.
    """
    with tf.control_dependencies(_tensors(after)):
        start = tf.timestamp()
    with tf.control_dependencies([start]):
        result = compute()
    with tf.control_dependencies(_tensors(result)):
        return result, tf.timestamp() - start


def _tensors(structure: object) -> list[tf.Tensor]:
    if dataclasses.is_dataclass(structure):
        structure = list(vars(structure).values())
    return [each for each in tf.nest.flatten(structure) if tf.is_tensor(each)]
