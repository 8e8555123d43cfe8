"""TensorFlow Serving's gRPC wire for the client."""

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from rnnpt.serving import _tensor, _wire
from rnnpt.serving._transport import Metadata, Signature, Target, TensorSpec, VersionStatus
from rnnpt.serving.error import InvalidArgument, ServingError, Unavailable, error_class

_PREDICTION_SERVICE = "/tensorflow.serving.PredictionService/"
_MODEL_SERVICE = "/tensorflow.serving.ModelService/"
# State and long rolls pass gRPC's default of 4 MB.
_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
_SIGNATURES_TYPE = "tensorflow.serving.SignatureDefMap"
# ModelVersionStatus.State and the codes of StatusProto, which travel as numbers.
_STATES = {10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}


class GrpcTransport:
    """One long-lived channel.

    Args:
        address: "host:port".
    """

    def __init__(self, address: str):
        self._address = address
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._predict = self._method(
            _PREDICTION_SERVICE + "Predict", _wire.PredictRequest, _wire.PredictResponse)
        self._metadata = self._method(
            _PREDICTION_SERVICE + "GetModelMetadata", _wire.GetModelMetadataRequest,
            _wire.GetModelMetadataResponse)
        self._status = self._method(
            _MODEL_SERVICE + "GetModelStatus", _wire.GetModelStatusRequest,
            _wire.GetModelStatusResponse)

    def _method(self, path: str, request: Any, response: Any) -> Any:
        return self._channel.unary_unary(
            path, request_serializer=request.SerializeToString,
            response_deserializer=response.FromString)

    def _call(self, method: Any, request: Any, timeout_s: float) -> Any:
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            code, text = error.code().name, error.details()
            if code == Unavailable.code:
                text = f"a server must answer at {self._address}, got: {text}"
            raise error_class(code)(text) from None

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
            ServingError: If the server refuses, or answers with something else.
        """
        request = _wire.PredictRequest()
        _fill_spec(request.model_spec, target)
        request.model_spec.signature_name = signature_name
        for name, value in inputs.items():
            _tensor.fill_proto(request.inputs[name], value, as_content=True)
        response = self._call(self._predict, request, timeout_s)
        try:
            return {name: _tensor.from_proto(proto) for name, proto in response.outputs.items()}
        except ValueError as error:
            raise ServingError(f"the answer must hold tensors, got a broken one: {error}") from None

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
        request = _wire.GetModelMetadataRequest(metadata_field=["signature_def"])
        _fill_spec(request.model_spec, target)
        response = self._call(self._metadata, request, timeout_s)
        packed = response.metadata["signature_def"]
        # The type's own name in the Any is TensorFlow Serving's, not that of the client's message.
        if packed.type_url.rpartition("/")[2] != _SIGNATURES_TYPE:
            raise ServingError(f"metadata must hold a {_SIGNATURES_TYPE}, got {packed.type_url!r}: "
                               "is that server TensorFlow Serving or rnnpt's?")
        signatures = _wire.SignatureDefMap.FromString(packed.value)
        return Metadata(
            response.model_spec.name, response.model_spec.version.value,
            {name: Signature(_specs(signature.inputs), _specs(signature.outputs))
             for name, signature in signatures.signature_def.items()})

    def status(self, target: Target, timeout_s: float) -> list[VersionStatus]:
        """Asks for the versions.

        Args:
            target: The model.
            timeout_s: Seconds to wait.

        Returns:
            The versions, newest first.
        """
        request = _wire.GetModelStatusRequest()
        _fill_spec(request.model_spec, target)
        response = self._call(self._status, request, timeout_s)
        return [
            VersionStatus(item.version, _STATES.get(item.state, "UNKNOWN"),
                          item.status.error_message)
            for item in response.model_version_status]

    def close(self) -> None:
        """Hangs up."""
        self._channel.close()


def _fill_spec(spec: Any, target: Target) -> None:
    spec.name = target.model_name
    if target.version is not None:
        spec.version.value = target.version


def _specs(infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(_tensor.DTYPES.get(info.dtype, np.dtype(object)), _shape(info))
        for name, info in infos.items()}


def _shape(info: Any) -> tuple[int | None, ...] | None:
    if info.tensor_shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)


def check_address(address: str) -> str:
    """Checks an address before gRPC does, which would look for it until the deadline.

    Args:
        address: "host:port".

    Returns:
        The address.

    Raises:
        InvalidArgument: If it has no host or no port.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise InvalidArgument(f"target must be host:port or http://host:port, got {address!r}: "
                              "name the port too, for example localhost:8500")
    return address
