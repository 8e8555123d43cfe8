"""Functions whose graph is made once, however often they are called."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def made_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that stands once in the graph that is being made.

    A line search calls the loss in some ten places. That of a recurrent network is large, and ten
    of them take three times as long to trace and to optimise. In eager mode nothing changes.

    Args:
        function: of tensors.

    Returns:
        The same function.
    """
    if tf.executing_eagerly():
        return function
    return tf.function(function, experimental_attributes={"_noinline": True})
