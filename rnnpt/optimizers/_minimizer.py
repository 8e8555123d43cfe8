"""The minimizers of TensorFlow Probability, which is imported where one is first needed."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import tensorflow as tf


@functools.cache
def minimizer(name: str) -> Callable[..., Any]:
    """A function of `tfp.optimizer`.

    Args:
        name: of it.

    Returns:
        The function; the first call takes seconds.
    """
    # A graph that is being made has no part in the import.
    with tf.init_scope(), warnings.catch_warnings():
        # Version 0.25 looks at TensorFlow's version by means that are deprecated, at first use.
        warnings.simplefilter("ignore", DeprecationWarning)
        import tensorflow_probability as tfp

        return getattr(tfp.optimizer, name)


@functools.cache
def lbfgs_results() -> Any:
    """The class of what `tfp.optimizer.lbfgs_minimize` gives and goes on from.

    Returns:
        A named tuple, which the library has no public name for.
    """
    with tf.init_scope():
        return type(minimizer("lbfgs_minimize")(
            lambda values: (values[0], values), tf.zeros([1]), max_iterations=0))
