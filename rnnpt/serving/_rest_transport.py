"""TensorFlow Serving's REST wire for the client, with the standard library alone."""

import http.client
import json
import socket
import threading
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnpt.serving import _tensor
from rnnpt.serving._transport import Metadata, Signature, Target, TensorSpec, VersionStatus
from rnnpt.serving.error import (
    DeadlineExceeded,
    InvalidArgument,
    ServingError,
    Unavailable,
    Unimplemented,
    error_class,
)

_CODES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    409: "ABORTED", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL",
    501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}
_DTYPES = {f"DT_{name.upper()}": _tensor.DTYPES[number] for number, name in _tensor.NAMES.items()
           if number in _tensor.DTYPES}
# Not on every system.
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class RestTransport:
    """One connection, kept open; threads that share it take turns.

    Args:
        url: "http://host:port" or "https://host:port", with a path before "/v1" if need be.

    Raises:
        InvalidArgument: If that is no address.
    """

    def __init__(self, url: str):
        parts = urllib.parse.urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if not parts.hostname or port == -1 or parts.query or parts.fragment:
            raise InvalidArgument(f"target must be host:port or http://host:port, got {url!r}: "
                                  "leave out everything after the port")
        self._url = url
        self._prefix = parts.path.rstrip("/")
        cls = (http.client.HTTPSConnection if parts.scheme == "https"
               else http.client.HTTPConnection)
        self._connection = cls(parts.hostname, port)
        self._lock = threading.Lock()

    def predict(
        self, target: Target, signature_name: str, signature: Signature,
        inputs: Mapping[str, np.ndarray], timeout_s: float,
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            target: The model.
            signature_name: The signature's name.
            signature: Its tensors.
            inputs: Name -> value, of the signature's types.
            timeout_s: Seconds to wait.

        Returns:
            Output name -> value.

        Raises:
            Unimplemented: If a value is a string.
        """
        if any(spec.dtype == object for spec in signature.inputs.values()):
            raise Unimplemented("inputs must be numbers over REST, got strings: use gRPC")
        # The row format is a third as long, but wants a common batch dimension.
        sizes = {value.shape[:1] for value in inputs.values()}
        is_row = len(sizes) == 1 and () not in sizes and all(
            value.size for value in inputs.values())
        key = "instances" if is_row else "inputs"
        body = json.dumps({"signature_name": signature_name, key: _encode(inputs, is_row)})
        answer = self._call("POST", _path(target) + ":predict", body.encode(), timeout_s)
        return self._decode(answer, signature, is_row)

    def _decode(self, answer: Any, signature: Signature, is_row: bool) -> dict[str, np.ndarray]:
        """An only output comes without its name, the row format as a list of objects."""
        try:
            values = answer["predictions" if is_row else "outputs"]
            specs = signature.outputs
            if len(specs) == 1:
                values = {name: values for name in specs}
            elif is_row:
                values = {name: [row[name] for row in values] for name in specs}
            return {name: np.asarray(values[name], spec.dtype) for name, spec in specs.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(f"{type(error).__name__}: {error}") from None

    def metadata(self, target: Target, timeout_s: float) -> Metadata:
        """Asks for the signatures.

        Args:
            target: The model.
            timeout_s: Seconds to wait.

        Returns:
            The signatures.

        Raises:
            ServingError: If the server refuses, or answers with something else.
        """
        answer = self._call("GET", _path(target) + "/metadata", None, timeout_s)
        try:
            spec = answer["model_spec"]
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            return Metadata(
                spec["name"], int(spec["version"]),
                {name: Signature(_specs(item["inputs"]), _specs(item["outputs"]))
                 for name, item in signatures.items()})
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(f"{type(error).__name__}: {error}") from None

    def status(self, target: Target, timeout_s: float) -> list[VersionStatus]:
        """Asks for the versions.

        Args:
            target: The model.
            timeout_s: Seconds to wait.

        Returns:
            The versions, newest first.

        Raises:
            ServingError: If the server refuses, or answers with something else.
        """
        answer = self._call("GET", _path(target), None, timeout_s)
        try:
            return [
                VersionStatus(int(item["version"]), item["state"],
                              item.get("status", {}).get("error_message", ""))
                for item in answer["model_version_status"]]
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(f"{type(error).__name__}: {error}") from None

    def close(self) -> None:
        """Hangs up."""
        with self._lock:
            self._connection.close()

    def _call(self, verb: str, path: str, body: bytes | None, timeout_s: float) -> Any:
        with self._lock:
            try:
                status, data = self._exchange(verb, self._prefix + path, body, timeout_s)
            except TimeoutError:
                self._connection.close()
                raise DeadlineExceeded(f"{self._url} must answer in timeout_s, got nothing in "
                                       f"{timeout_s:g} s: wait longer or ask for less") from None
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                raise Unavailable(f"a server must answer at {self._url}, got: "
                                  f"{error or type(error).__name__}") from None
        try:
            answer = json.loads(data)
        except ValueError:
            answer = None
        if status != 200:
            text = answer.get("error") if isinstance(answer, dict) else None
            raise error_class(_CODES.get(status, "UNKNOWN"))(
                text or f"{self._url} answers {status} to {verb} {path}")
        if not isinstance(answer, dict):
            raise self._strange(f"{data[:40]!r}")
        return answer

    def _exchange(
        self, verb: str, path: str, body: bytes | None, timeout_s: float
    ) -> tuple[int, bytes]:
        """Sends and receives; a connection that the server closed while idle is opened again."""
        connection = self._connection
        was_open = connection.sock is not None
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        try:
            return self._exchange_once(verb, path, body)
        except (ConnectionResetError, BrokenPipeError, http.client.BadStatusLine):
            if not was_open:
                raise
            connection.close()
            return self._exchange_once(verb, path, body)

    def _exchange_once(self, verb: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        connection = self._connection
        connection.request(verb, path, body, {"Content-Type": "application/json"})
        if _QUICKACK is not None and connection.sock is not None:
            # TensorFlow Serving sends a long answer's tail only when its head is acknowledged,
            # which the system would put off for 40 ms.
            connection.sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        response = connection.getresponse()
        return response.status, response.read()

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


def _specs(infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(_DTYPES.get(info["dtype"], np.dtype(object)), _shape(info["tensor_shape"]))
        for name, info in infos.items()}


def _shape(shape: Mapping[str, Any]) -> tuple[int | None, ...] | None:
    if shape.get("unknown_rank"):
        return None
    sizes = [int(dim["size"]) for dim in shape.get("dim", [])]
    return tuple(None if size < 0 else size for size in sizes)
