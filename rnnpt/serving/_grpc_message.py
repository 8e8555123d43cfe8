"""TensorFlow Serving's gRPC messages for the client: what to send, and what came."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rnnpt.serving import _tensor, _wire
from rnnpt.serving._transport import Metadata, Signature, Target, TensorSpec, VersionStatus
from rnnpt.serving.error import ServingError

_SIGNATURES_TYPE = "tensorflow.serving.SignatureDefMap"
# ModelVersionStatus.State and the codes of StatusProto, which travel as numbers.
_STATES = {10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}


class Method(NamedTuple):
    """A method of a service.

    Args:
        path: Its name on the wire.
        request: The message to send.
        response: The message that comes.
        read: What the client wants of that message.
    """

    path: str
    request: Any
    response: Any
    read: Callable[[Any], Any]


def predict_request(
    target: Target, signature_name: str, inputs: Mapping[str, np.ndarray]
) -> Any:
    """Makes the request to run a signature.

    Args:
        target: The model.
        signature_name: The signature's name.
        inputs: Name -> value, of the signature's types.

    Returns:
        A PredictRequest.
    """
    request = _wire.PredictRequest()
    _fill_spec(request.model_spec, target)
    request.model_spec.signature_name = signature_name
    for name, value in inputs.items():
        _tensor.fill_proto(request.inputs[name], value, as_content=True)
    return request


def metadata_request(target: Target) -> Any:
    """Makes the request for the signatures.

    Args:
        target: The model.

    Returns:
        A GetModelMetadataRequest.
    """
    request = _wire.GetModelMetadataRequest(metadata_field=["signature_def"])
    _fill_spec(request.model_spec, target)
    return request


def status_request(target: Target) -> Any:
    """Makes the request for the versions.

    Args:
        target: The model.

    Returns:
        A GetModelStatusRequest.
    """
    request = _wire.GetModelStatusRequest()
    _fill_spec(request.model_spec, target)
    return request


def _fill_spec(spec: Any, target: Target) -> None:
    spec.name = target.model_name
    if target.version is not None:
        spec.version.value = target.version


def _read_predict(response: Any) -> dict[str, np.ndarray]:
    try:
        return {name: _tensor.from_proto(proto) for name, proto in response.outputs.items()}
    except ValueError as error:
        raise ServingError(f"the answer must hold tensors, got a broken one: {error}") from None


def _read_metadata(response: Any) -> Metadata:
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


def _read_status(response: Any) -> list[VersionStatus]:
    return [
        VersionStatus(item.version, _STATES.get(item.state, "UNKNOWN"), item.status.error_message)
        for item in response.model_version_status]


def _specs(infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(_tensor.DTYPES.get(info.dtype, np.dtype(object)), _shape(info))
        for name, info in infos.items()}


def _shape(info: Any) -> tuple[int | None, ...] | None:
    if info.tensor_shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)


PREDICT = Method(
    "/tensorflow.serving.PredictionService/Predict", _wire.PredictRequest, _wire.PredictResponse,
    _read_predict)
METADATA = Method(
    "/tensorflow.serving.PredictionService/GetModelMetadata", _wire.GetModelMetadataRequest,
    _wire.GetModelMetadataResponse, _read_metadata)
STATUS = Method(
    "/tensorflow.serving.ModelService/GetModelStatus", _wire.GetModelStatusRequest,
    _wire.GetModelStatusResponse, _read_status)
METHODS = (PREDICT, METADATA, STATUS)
