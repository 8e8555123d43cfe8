"""Graphs that TensorFlow exports and TensorFlow Serving should not have."""

import pathlib
from collections.abc import Callable

import pytest
import tensorflow as tf

from rnnpt.export import ExportError
from rnnpt.export._lint import lint


class Served(tf.Module):
    """One signature around a function."""

    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.counter = tf.Variable(0.0)
        self.generator = tf.random.Generator.from_seed(1)
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer([1], [2.0]), 0.0)
        self.function = function

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": self.function(self, x)}


def in_a_loop(function: Callable) -> Callable:
    """The same, three functions deep."""
    return lambda self, x: tf.while_loop(
        lambda t, _: t < 2, lambda t, y: (t + 1, y + function(self, x)), (0, x))[1]


def with_a_scalar(self: Served, x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(x)


def save(function: Callable, directory: pathlib.Path) -> pathlib.Path:
    served = Served(function)
    tf.saved_model.save(served, str(directory), signatures={"play": served.__call__})
    return directory


@pytest.mark.parametrize(("function", "message"), [
    (lambda self, x: tf.ensure_shape(tf.py_function(lambda y: y, [x], tf.float32), x.shape),
     "play must use no operation that needs Python, got EagerPyFunc"),
    (in_a_loop(lambda self, x: tf.random.uniform(tf.shape(x))),
     "draws what no caller can repeat, got RandomUniform"),
    (in_a_loop(lambda self, x: self.generator.normal(tf.shape(x))),
     "draws what no caller can repeat, got (RngReadAndSkip|StatefulStandardNormal)"),
    (lambda self, x: x + self.counter.assign_add(1.0),
     "writes a state that all callers share, got AssignAddVariableOp"),
    (in_a_loop(lambda self, x: x + self.table.lookup(tf.cast(x, tf.int32))),
     "reaches outside, got (HashTableV2|LookupTableFindV2)"),
    (lambda self, x: tf.function(tf.tanh, jit_compile=True)(x),
     "play must run on any CPU, got .* compiled by XLA"),
    (lambda self, x: tf.cast(x, tf.float16),
     r"play: y must be one float32 or int32 tensor .* got DT_HALF of \[-1, 3\]"),
    (with_a_scalar, r"play: y must be one float32 or int32 tensor .* got DT_FLOAT of \[\]"),
])
def test_what_cannot_be_served_is_refused(
    tmp_path: pathlib.Path, function: Callable, message: str
) -> None:
    directory = save(function, tmp_path / "1")
    with pytest.raises(ExportError, match=message):
        lint(directory)


def test_stateless_draws_pass(tmp_path: pathlib.Path) -> None:
    draw = in_a_loop(lambda self, x: tf.random.stateless_uniform(tf.shape(x), [1, 2], alg="philox"))
    lint(save(draw, tmp_path / "1"))
