"""TensorFlow Serving's REST messages for the client: what to send, and what came."""

import json
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnnpt.serving import _tensor
from rnnpt.serving._transport import Metadata, Signature, Target, TensorSpec, VersionStatus
from rnnpt.serving.error import ServingError, Unimplemented, error_class

_CODES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    409: "ABORTED", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL",
    501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
    # A proxy's word for a server that is not there.
    502: "UNAVAILABLE",
}
_DTYPES = {f"DT_{name.upper()}": _tensor.DTYPES[number] for number, name in _tensor.NAMES.items()
           if number in _tensor.DTYPES}
# (verb, path, body) -> (status, body)
Exchange = Callable[[str, str, bytes | None], tuple[int, bytes]]


class RestMessages:
    """The calls of a server.

    Args:
        url: The server, for errors.
        prefix: What stands before "/v1" in its routes.
    """

    def __init__(self, url: str, prefix: str):
        self._url = url
        self._prefix = prefix

    def predict(
        self, exchange: Exchange, target: Target, signature_name: str, signature: Signature,
        inputs: Mapping[str, np.ndarray],
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            exchange: Sends and receives.
            target: The model.
            signature_name: The signature's name.
            signature: Its tensors.
            inputs: Name -> value, of the signature's types.

        Returns:
            Output name -> value.

        Raises:
            Unimplemented: If a value is a string.
            ServingError: If the server refuses, or answers with something else.
        """
        if any(spec.dtype == object for spec in signature.inputs.values()):
            raise Unimplemented("inputs must be numbers over REST, got strings: use gRPC")
        # The row format is a third as long, but wants a common batch dimension.
        sizes = {value.shape[:1] for value in inputs.values()}
        is_row = len(sizes) == 1 and () not in sizes and all(
            value.size for value in inputs.values())
        message = {"signature_name": signature_name,
                   "instances" if is_row else "inputs": _encode(inputs, is_row)}
        body = json.dumps(message, separators=(",", ":")).encode()
        answer = self._call(exchange, "POST", _path(target) + ":predict", body)
        try:
            return _decode(answer, signature, is_row)
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(f"{type(error).__name__}: {error}") from None

    def metadata(self, exchange: Exchange, target: Target) -> Metadata:
        """Asks for the signatures.

        Args:
            exchange: Sends and receives.
            target: The model.

        Returns:
            The signatures.

        Raises:
            ServingError: If the server refuses, or answers with something else.
        """
        answer = self._call(exchange, "GET", _path(target) + "/metadata", None)
        try:
            spec = answer["model_spec"]
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            return Metadata(
                spec["name"], int(spec["version"]),
                {name: Signature(_specs(item["inputs"]), _specs(item["outputs"]))
                 for name, item in signatures.items()})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._strange(f"{type(error).__name__}: {error}") from None

    def status(self, exchange: Exchange, target: Target) -> list[VersionStatus]:
        """Asks for the versions.

        Args:
            exchange: Sends and receives.
            target: The model.

        Returns:
            The versions, newest first.

        Raises:
            ServingError: If the server refuses, or answers with something else.
        """
        answer = self._call(exchange, "GET", _path(target), None)
        try:
            return [
                VersionStatus(int(item["version"]), item["state"],
                              item.get("status", {}).get("error_message", ""))
                for item in answer["model_version_status"]]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._strange(f"{type(error).__name__}: {error}") from None

    def _call(self, exchange: Exchange, verb: str, path: str, body: bytes | None) -> Any:
        status, data = exchange(verb, self._prefix + path, body)
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            answer = None
        if status != 200:
            text = answer.get("error") if isinstance(answer, dict) else None
            raise error_class(_CODES.get(status, "UNKNOWN"))(
                text or f"{self._url} answers {status} to {verb} {path}")
        if not isinstance(answer, dict):
            raise self._strange(f"{data[:40]!r}")
        return answer

    def _strange(self, found: str) -> ServingError:
        return ServingError(f"{self._url} must answer as TensorFlow Serving does, got {found}: "
                            "is that its REST port?")


def _path(target: Target) -> str:
    name = urllib.parse.quote(target.model_name, safe="")
    version = "" if target.version is None else f"/versions/{target.version}"
    return f"/v1/models/{name}{version}"


def _encode(inputs: Mapping[str, np.ndarray], is_row: bool) -> Any:
    columns = {name: _to_lists(value) for name, value in inputs.items()}
    if not is_row:
        return columns
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _to_lists(value: np.ndarray) -> Any:
    if value.dtype != np.float32:
        return value.tolist()
    # Nine digits are enough for 32 bits; the double beside it would be written with seventeen.
    rounded = [float(f"{item:.9g}") for item in value.ravel().tolist()]
    return np.array(rounded).reshape(value.shape).tolist()


def _decode(answer: Any, signature: Signature, is_row: bool) -> dict[str, np.ndarray]:
    """An only output comes without its name, the row format as a list of objects."""
    values = answer["predictions" if is_row else "outputs"]
    specs = signature.outputs
    if len(specs) == 1:
        values = {name: values for name in specs}
    elif is_row:
        values = {name: [row[name] for row in values] for name in specs}
    return {name: _array(values[name], spec) for name, spec in specs.items()}


def _array(value: Any, spec: TensorSpec) -> np.ndarray:
    array = np.asarray(value, spec.dtype)
    if array.size or spec.shape is None:
        return array
    # JSON writes no size after one that is 0.
    sizes = [found or 0 for found in spec.shape]
    return array.reshape([*array.shape, *sizes[array.ndim:]])


def _specs(infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(_DTYPES.get(info["dtype"], np.dtype(object)), _shape(info["tensor_shape"]))
        for name, info in infos.items()}


def _shape(shape: Mapping[str, Any]) -> tuple[int | None, ...] | None:
    if shape.get("unknown_rank"):
        return None
    sizes = [int(dim["size"]) for dim in shape.get("dim", [])]
    return tuple(None if size < 0 else size for size in sizes)
