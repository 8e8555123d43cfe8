"""Runs an export through TensorFlow's C API, as TensorFlow Serving does: load it, run its session.

    python -P _c_api.py EXPORT REQUESTS.npz ANSWERS.npz

It is a process of its own without TensorFlow's Python layers: two shared libraries, the messages
of `tensorflow.core`, NumPy and ctypes. So it is run by its path: to import it as a part of rnnpt
would import TensorFlow. REQUESTS holds arrays named "NUMBER/SIGNATURE/INPUT"; ANSWERS gets
"NUMBER/OUTPUT" for each, or "NUMBER/error" with the status code and its message. What does not load
ends the process with the reason as its last line.
"""

import collections
import ctypes
import functools
import importlib.util
import pathlib
import sys
import types
from collections.abc import Mapping

import numpy as np

DTYPES = {1: np.dtype(np.float32), 3: np.dtype(np.int32)}  # TF_FLOAT, TF_INT32


class Output(ctypes.Structure):
    """TF_Output."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class Buffer(ctypes.Structure):
    """TF_Buffer."""

    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t),
                ("deallocator", ctypes.c_void_p)]


@functools.cache
def tensorflow_folder() -> pathlib.Path:
    """Finds TensorFlow without importing it.

    Returns:
        The folder of the package.
    """
    [folder] = importlib.util.find_spec("tensorflow").submodule_search_locations  # type: ignore
    return pathlib.Path(folder)


def library() -> ctypes.CDLL:
    """Opens the C API.

    Both libraries are opened for this handle alone: opened for the whole process, their symbols
    would stand in for those of NumPy's own libraries, and NumPy crash.

    Returns:
        The library.
    """
    folder = tensorflow_folder()
    ctypes.CDLL(str(next(folder.glob("libtensorflow_framework.*"))), mode=ctypes.RTLD_LOCAL)
    api = ctypes.CDLL(str(next(folder.glob("libtensorflow_cc.*"))), mode=ctypes.RTLD_LOCAL)
    for name in ("TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions", "TF_NewBuffer",
                 "TF_LoadSessionFromSavedModel", "TF_GraphOperationByName", "TF_AllocateTensor",
                 "TF_TensorData"):
        getattr(api, name).restype = ctypes.c_void_p
    api.TF_Message.restype = ctypes.c_char_p
    api.TF_Dim.restype = ctypes.c_int64
    api.TF_TensorByteSize.restype = ctypes.c_size_t
    api.TF_AllocateTensor.argtypes = [
        ctypes.c_int, ctypes.POINTER(ctypes.c_int64), ctypes.c_int, ctypes.c_size_t]
    api.TF_Dim.argtypes = [ctypes.c_void_p, ctypes.c_int]
    for name in ("TF_TensorData", "TF_TensorByteSize", "TF_TensorType", "TF_NumDims",
                 "TF_DeleteTensor", "TF_GetCode", "TF_Message", "TF_DeleteStatus"):
        getattr(api, name).argtypes = [ctypes.c_void_p]
    api.TF_GraphOperationByName.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return api


class CError(Exception):
    """What a TF_Status says."""


class SavedModel:
    """A SavedModel in a session of the C API.

    Args:
        directory: The version's folder.

    Raises:
        CError: If it does not load.
    """

    def __init__(self, directory: str) -> None:
        from tensorflow.core.protobuf import meta_graph_pb2

        self.api = library()
        self.graph = ctypes.c_void_p(self.api.TF_NewGraph())
        options = ctypes.c_void_p(self.api.TF_NewSessionOptions())
        buffer = self.api.TF_NewBuffer()
        tags = (ctypes.c_char_p * 1)(b"serve")
        with_status = Status(self.api)
        self.session = ctypes.c_void_p(self.api.TF_LoadSessionFromSavedModel(
            options, None, directory.encode(), tags, 1, self.graph, ctypes.c_void_p(buffer),
            with_status.pointer))
        with_status.check()
        found = Buffer.from_address(buffer)
        graph = meta_graph_pb2.MetaGraphDef.FromString(
            ctypes.string_at(found.data, found.length))
        self.signatures = dict(graph.signature_def)

    def run(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answers one request.

        Args:
            name: The signature.
            inputs: Input name -> array.

        Returns:
            Output name -> array.

        Raises:
            CError: If the session does not answer.
        """
        signature = self.signatures[name]
        keys = list(signature.outputs)
        feeds = self._outputs([signature.inputs[key].name for key in inputs])
        values = [self._tensor(value) for value in inputs.values()]
        fetches = self._outputs([signature.outputs[key].name for key in keys])
        fetched = (ctypes.c_void_p * len(keys))()
        status = Status(self.api)
        self.api.TF_SessionRun(
            self.session, None, feeds, (ctypes.c_void_p * len(values))(*values), len(values),
            fetches, fetched, len(keys), None, 0, None, status.pointer)
        for value in values:
            self.api.TF_DeleteTensor(value)
        status.check()
        return {key: self._array(value) for key, value in zip(keys, fetched)}

    def _outputs(self, names: list[str]) -> ctypes.Array:
        outputs = (Output * len(names))()
        for output, name in zip(outputs, names):
            operation, index = name.split(":")
            output.operation = self.api.TF_GraphOperationByName(self.graph, operation.encode())
            output.index = int(index)
        return outputs

    def _tensor(self, value: np.ndarray) -> int:
        # `np.ascontiguousarray` would turn a number into a list of one.
        value = np.array(value, order="C")
        dtype = next(number for number, dtype in DTYPES.items() if dtype == value.dtype)
        sizes = (ctypes.c_int64 * value.ndim)(*value.shape)
        tensor = self.api.TF_AllocateTensor(dtype, sizes, value.ndim, value.nbytes)
        ctypes.memmove(self.api.TF_TensorData(tensor), value.tobytes(), value.nbytes)
        return tensor

    def _array(self, tensor: int) -> np.ndarray:
        shape = [self.api.TF_Dim(tensor, axis) for axis in range(self.api.TF_NumDims(tensor))]
        content = ctypes.string_at(
            self.api.TF_TensorData(tensor), self.api.TF_TensorByteSize(tensor))
        array = np.frombuffer(content, DTYPES[self.api.TF_TensorType(tensor)]).reshape(shape)
        self.api.TF_DeleteTensor(tensor)
        return array


class Status:
    """TF_Status.

    Args:
        api: The C API.
    """

    def __init__(self, api: ctypes.CDLL) -> None:
        self.api = api
        self.pointer = ctypes.c_void_p(api.TF_NewStatus())

    def check(self) -> None:
        """Raises what went wrong, if anything did.

        Raises:
            CError: With the status code and its message.
        """
        code, message = self.api.TF_GetCode(self.pointer), self.api.TF_Message(self.pointer)
        text = message.decode(errors="replace")
        self.api.TF_DeleteStatus(self.pointer)
        if code:
            raise CError(code, text)


def answer(model: SavedModel, requests: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Answers every request.

    Args:
        model: The model.
        requests: "NUMBER/SIGNATURE/INPUT" -> array.

    Returns:
        "NUMBER/OUTPUT" -> array, or "NUMBER/error" -> code and message.
    """
    grouped: dict[tuple[str, str], dict[str, np.ndarray]] = collections.defaultdict(dict)
    for key, value in requests.items():
        number, name, argument = key.split("/")
        grouped[number, name][argument] = value
    answers: dict[str, np.ndarray] = {}
    for (number, name), inputs in grouped.items():
        try:
            outputs = model.run(name, inputs)
        except CError as error:
            outputs = {"error": np.array([str(part) for part in error.args])}
        answers.update({f"{number}/{key}": value for key, value in outputs.items()})
    return answers


def main(directory: str, requests: str, answers: str) -> str | None:
    """Answers the requests in one file into another.

    Args:
        directory: The version's folder.
        requests: The file of the requests.
        answers: The file to write.

    Returns:
        What went wrong, None where nothing did.
    """
    # A package in name alone, whose messages import without its __init__.
    stub = types.ModuleType("tensorflow")
    stub.__path__ = [str(tensorflow_folder())]
    sys.modules["tensorflow"] = stub
    try:
        model = SavedModel(directory)
    except CError as error:
        return " ".join(str(error.args[1]).split())
    with np.load(requests) as file:
        np.savez(answers, **answer(model, dict(file)))  # type: ignore[arg-type]
    layers = [name for name in sys.modules if name.startswith(("tensorflow.python", "keras"))]
    return f"Python layers were imported: {layers}" if layers else None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
