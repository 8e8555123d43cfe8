"""Graphs that TensorFlow exports and TensorFlow Serving should not have."""

import pathlib
from collections.abc import Callable

import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from rnnpt.export import ExportError
from rnnpt.export._lint import lint


class Served(tf.Module):
    """One signature around a function."""

    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.counter = tf.Variable(0.0)
        self.list = tf.Variable([0.0])
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


def with_output(function: Callable) -> Callable:
    """The tensor itself, once a function that answers nothing has been called with it."""
    def call(self: Served, x: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([function(x)]):
            return tf.identity(x)

    return call


def on_a_gpu(self: Served, x: tf.Tensor) -> tf.Tensor:
    with tf.device("/GPU:0"):
        return tf.tanh(x)


def save(function: Callable, directory: pathlib.Path) -> pathlib.Path:
    served = Served(function)
    tf.saved_model.save(served, str(directory), signatures={"play": served.__call__})
    return directory


@pytest.mark.parametrize(("function", "message"), [
    (lambda self, x: tf.ensure_shape(tf.py_function(lambda y: y, [x], tf.float32), x.shape),
     "play must use no operation that needs Python, got EagerPyFunc"),
    (lambda self, x: tf.ensure_shape(tf.numpy_function(abs, [x], tf.float32), x.shape),
     "play must use no operation that needs Python, got PyFunc"),
    (in_a_loop(lambda self, x: tf.random.uniform(tf.shape(x))),
     "draws what no caller can repeat, got RandomUniform"),
    (in_a_loop(lambda self, x: self.generator.normal(tf.shape(x))),
     "draws what no caller can repeat, got (RngReadAndSkip|StatefulStandardNormal)"),
    (lambda self, x: tf.nn.dropout(x, 0.5), "no caller can repeat, got RandomUniform"),
    (lambda self, x: tf.random.shuffle(x), "no caller can repeat, got RandomShuffle"),
    (lambda self, x: x * tf.cast(tf.random.categorical(x, 1), tf.float32), "got Multinomial"),
    (lambda self, x: x + self.counter.assign_add(1.0),
     "writes a state that all callers share, got AssignAddVariableOp"),
    (lambda self, x: x + self.list.scatter_add(tf.IndexedSlices([1.0], [0])),
     "writes a state that all callers share, got ResourceScatterAdd"),
    (in_a_loop(lambda self, x: x + self.table.lookup(tf.cast(x, tf.int32))),
     "reaches outside, got (HashTableV2|LookupTableFindV2)"),
    (with_output(tf.print), "reaches outside, got PrintV2"),
    (lambda self, x: x + tf.strings.to_number(tf.io.read_file("/none")), "got ReadFile"),
    (in_a_loop(lambda self, x: tf.function(tf.tanh, jit_compile=True)(x)),
     "play must run on any CPU, got .* compiled by XLA"),
    (on_a_gpu, "play must run on any CPU, got .* or placed on a GPU"),
    (lambda self, x: tf.cast(x, tf.float16),
     r"play: y must be one float32 or int32 tensor .* got DT_HALF of \[-1, 3\]"),
    (lambda self, x: tf.cast(x, tf.bfloat16), r"play: y must be .* got DT_BFLOAT16 of"),
    (lambda self, x: tf.cast(x, tf.uint8), r"play: y must be .* got DT_UINT8 of"),
    (lambda self, x: tf.cast(x, tf.int64), r"play: y must be .* got DT_INT64 of"),
    (lambda self, x: tf.as_string(x), r"play: y must be .* got DT_STRING of"),
    (lambda self, x: tf.RaggedTensor.from_tensor(x), r"play: y must be .* got ragged or sparse"),
    (lambda self, x: tf.sparse.from_dense(x), r"play: y must be .* got ragged or sparse"),
    (lambda self, x: tf.reshape(x, [2, 3]), r"play: y must be .* got DT_FLOAT of \[2, 3\]"),
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


def test_pure_operations_with_the_names_of_writes_pass(tmp_path: pathlib.Path) -> None:
    def scatter(self: Served, x: tf.Tensor) -> tf.Tensor:
        added = tf.tensor_scatter_nd_add(x, [[0, 0]], [1.0])
        return added + tf.scatter_nd([[0, 0]], [1.0], tf.shape(x))

    lint(save(scatter, tmp_path / "1"))


@pytest.mark.parametrize(("spec", "message"), [
    (tf.TensorSpec([], tf.float32), r"signature play: x must be .* got DT_FLOAT of \[\]"),
    (tf.TensorSpec(None, tf.float32), r"signature play: x must be .* got DT_FLOAT of \[\]"),
    (tf.TensorSpec([2, 3], tf.float32), r"signature play: x must be .* got DT_FLOAT of \[2, 3\]"),
    (tf.TensorSpec([None], tf.float16), r"signature play: x must be .* got DT_HALF of \[-1\]"),
    (tf.TensorSpec([None], tf.int8), r"signature play: x must be .* got DT_INT8 of \[-1\]"),
    (tf.RaggedTensorSpec([None, None]), r"signature play: x\w* must be .* got DT_INT64 of \[-1\]"),
])
def test_inputs_that_no_row_format_can_send_are_refused(
    tmp_path: pathlib.Path, spec: tf.TypeSpec, message: str
) -> None:
    module = tf.Module()
    module.play = tf.function(
        lambda x: {"y": tf.zeros([tf.size(x), 1])}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"play": module.play})
    with pytest.raises(ExportError, match=message):
        lint(tmp_path / "1")


def test_outputs_without_names_are_refused(tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    module.play = tf.function(
        lambda x: [x, x], input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"play": module.play})
    with pytest.raises(
            ExportError, match="signature play must name what it answers, got 'output_0'; return"):
        lint(tmp_path / "1")


def test_files_that_a_graph_reads_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "words").write_text("word")
    module = tf.Module()
    module.file = tf.saved_model.Asset(str(tmp_path / "words"))
    module.play = tf.function(
        lambda x: {"y": x}, input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"play": module.play})
    with pytest.raises(
            ExportError, match="directory must hold a graph that reads no file, got 'words'; keep"):
        lint(tmp_path / "1")


@pytest.mark.parametrize(("node", "message"), [
    # Operations that only a machine with a GPU writes into a graph.
    ({"op": "CudnnRNNV3"}, "play must use no operation that needs a GPU, got CudnnRNNV3 in bad"),
    ({"op": "XlaLaunch"}, "play must use no operation that needs XLA, .* got XlaLaunch in bad"),
    ({"op": "Tanh", "device": "/job:worker/device:GPU:0"}, "play must run on any CPU, got Tanh"),
])
def test_what_a_gpu_machine_writes_is_refused(
    tmp_path: pathlib.Path, node: dict[str, str], message: str
) -> None:
    saved = saved_model_pb2.SavedModel()
    graph = saved.meta_graphs.add()
    graph.graph_def.node.add(name="bad", **node)
    graph.signature_def["play"].outputs["y"].CopyFrom(meta_graph_pb2.TensorInfo(
        name="bad:0", dtype=types_pb2.DT_FLOAT,
        tensor_shape=tf.TensorShape([None, 3]).as_proto()))
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(ExportError, match=message):
        lint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff"])
def test_a_file_that_is_no_saved_model_is_told(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(
            ExportError, match=r"directory must hold a whole saved_model.pb, got '.*': .+; export"):
        lint(tmp_path)
