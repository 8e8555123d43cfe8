"""A look through an exported graph for what stock TensorFlow Serving cannot run, or not honestly.

Such a graph exports and loads, and then fails, or answers differently, at the first call.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow.core.framework import function_pb2, graph_pb2, node_def_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from rnnpt.export._option import ExportError

#: Pattern of an operation's name -> what is wrong with it.
_REFUSED = {
    r".*Py_?Func.*": "needs Python",
    r"Cudnn.*": "needs a GPU",
    r"Xla.*": "needs XLA, which the server has switched off",
    r"Random(Uniform|UniformInt|StandardNormal|Gamma|GammaGrad|Poisson|PoissonV2|Shuffle|Crop)|"
    r"(Parameterized)?TruncatedNormal|Multinomial|StatefulRandomBinomial|RngReadAndSkip|RngSkip|"
    r"Stateful(Uniform|UniformInt|UniformFullInt|StandardNormal|StandardNormalV2|TruncatedNormal)|"
    r"NonDeterministicInts|.*CandidateSampler|SampleDistortedBoundingBox.*":
    "draws what no caller can repeat",
    r"Assign.*|(Resource|Batch)?Scatter(Nd)?(Add|Sub|Mul|Div|Min|Max|Update)|"
    r"Resource(Sparse)?Apply.*|ResourceStridedSliceAssign|ResourceCountUpTo|DestroyResourceOp":
    "writes a state that all callers share",
    r"ReadFile|WriteFile|.*Reader.*V2|.*HashTable.*|(Initialize|Lookup)Table.*|PrintV2?|Print|"
    r".*Queue.*|.*Dataset.*|.*Summary.*": "reaches outside",
}
#: TensorFlow adds this signature itself.
_INITIALISATION = "__saved_model_init_op"
_DTYPES = (types_pb2.DT_FLOAT, types_pb2.DT_INT32)


def lint(directory: Path) -> None:
    """Refuses an export that TensorFlow Serving could not run as it should.

    Args:
        directory: Folder with `saved_model.pb`.

    Raises:
        ExportError: If a signature has a tensor that is not float32 or int32 or has no batch
            dimension first, or reaches an operation that must not be served; or if the file is
            damaged.
    """
    graph = _read_graph(directory)
    for asset in graph.asset_file_def:
        raise ExportError(
            f"directory must hold a graph that reads no file, got {asset.filename!r}; keep what it "
            "holds in a weight of the model")
    for name, signature in sorted(graph.signature_def.items()):
        if name != _INITIALISATION:
            _lint_tensors(name, signature)
            for node in _reached(graph.graph_def, signature):
                _lint_node(name, node)


def _read_graph(directory: Path) -> meta_graph_pb2.MetaGraphDef:
    file = directory / "saved_model.pb"
    try:
        return saved_model_pb2.SavedModel.FromString(file.read_bytes()).meta_graphs[0]
    except (DecodeError, IndexError) as error:
        raise ExportError(
            f"directory must hold a whole saved_model.pb, got {str(directory)!r}: {error}; export "
            "it again") from None


def _lint_tensors(name: str, signature: meta_graph_pb2.SignatureDef) -> None:
    for key, info in [*signature.inputs.items(), *signature.outputs.items()]:
        sizes = [dim.size for dim in info.tensor_shape.dim]
        if not info.name or info.dtype not in _DTYPES or sizes[:1] != [-1]:
            kind = "" if info.name else "ragged or sparse "
            raise ExportError(
                f"signature {name}: {key} must be one float32 or int32 tensor with the batch "
                f"first, got {kind}{types_pb2.DataType.Name(info.dtype)} of {sizes}; change the "
                "model's cell or head")
    for key in sorted(signature.outputs):
        if re.fullmatch(r"output_\d+", key):
            raise ExportError(
                f"signature {name} must name what it answers, got {key!r}; return a dict")


def _lint_node(name: str, node: node_def_pb2.NodeDef) -> None:
    for pattern, reason in _REFUSED.items():
        if re.fullmatch(pattern, node.op):
            raise ExportError(
                f"signature {name} must use no operation that {reason}, got {node.op} in "
                f"{node.name}; change the model's cell or head")
    is_compiled = any(node.attr[key].b for key in ("_XlaMustCompile", "_XlaCompile"))
    if is_compiled or "GPU" in node.device:
        raise ExportError(
            f"signature {name} must run on any CPU, got {node.op} in {node.name} compiled by XLA "
            "or placed on a GPU; leave out jit_compile and tf.device in the model's cell or head")


def _reached(
    graph: graph_pb2.GraphDef, signature: meta_graph_pb2.SignatureDef
) -> Iterator[node_def_pb2.NodeDef]:
    """Every node that an answer of a signature can depend on, those of functions too."""
    nodes = {node.name: node for node in graph.node}
    functions = {function.signature.name: function for function in graph.library.function}
    waiting = [_node_name(info.name) for info in signature.outputs.values()]
    seen: set[str] = set()
    called: list[str] = []
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            node = nodes[name]
            waiting.extend(_node_name(tensor) for tensor in node.input)
            called.extend(_called(node))
            yield node
    yield from _reached_functions(functions, called)


def _reached_functions(
    functions: dict[str, function_pb2.FunctionDef], called: list[str]
) -> Iterator[node_def_pb2.NodeDef]:
    seen: set[str] = set()
    while called:
        name = called.pop()
        if name not in seen:
            seen.add(name)
            # What is asked of a function holds for a call of it.
            yield node_def_pb2.NodeDef(op="PartitionedCall", name=name, attr=functions[name].attr)
            for node in functions[name].node_def:
                called.extend(_called(node))
                yield node


def _called(node: node_def_pb2.NodeDef) -> list[str]:
    """Functions that a node calls."""
    values = node.attr.values()
    single = [value.func.name for value in values if value.HasField("func")]
    return single + [function.name for value in values for function in value.list.func]


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").split(":")[0]
