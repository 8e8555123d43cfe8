"""What the PredictionService and the ModelService do, as functions of the official messages.

Both fronts call these; the checks, their order and their words are TensorFlow Serving's.
"""

import time
from typing import Any

import numpy as np
from google.protobuf import text_format
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
)

from rnnpt.serving import _tensor
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._metrics import Metrics
from rnnpt.serving._servable import DEFAULT_SIGNATURE, Servable
from rnnpt.serving.error import FailedPrecondition, InvalidArgument, Unimplemented

# TensorFlow's status codes by name (its error_codes.proto), for status messages.
_ERROR_NUMBERS = {
    name: number for number, name in enumerate((
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
        "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
        "UNAUTHENTICATED"))
}


def predict(
    manager: ModelManager, request: predict_pb2.PredictRequest, ends_at: float | None = None,
    as_content: bool = False,
) -> predict_pb2.PredictResponse:
    """Answers a Predict call.

    Args:
        manager: The models.
        request: The call.
        ends_at: When its time is over, on the monotonic clock; None for never.
        as_content: Whether outputs are bytes in place of typed values.

    Returns:
        The outputs, with the version that computed them.
    """
    _check_spec(request)
    with manager.borrow(request.model_spec) as servable:
        response = run_predict(
            servable, request, ends_at, as_content, metrics=manager.metrics)
        response.model_spec.name = request.model_spec.name
        return response


def run_predict(
    servable: Servable, request: predict_pb2.PredictRequest, ends_at: float | None = None,
    as_content: bool = False, metrics: Metrics | None = None,
) -> predict_pb2.PredictResponse:
    """Runs a signature of a model that the caller holds.

    Args:
        servable: The model.
        request: The call; its model's name is only counted.
        ends_at: When its time is over, on the monotonic clock; None for never.
        as_content: Whether outputs are bytes in place of typed values.
        metrics: Where the run is timed, if anywhere.

    Returns:
        The outputs, with version and signature.

    Raises:
        FailedPrecondition: If the model has no such signature.
        InvalidArgument: If an input or an output's name does not fit the signature.
        Unimplemented: If an output has a type that does not travel.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(name)
    if signature is None:
        raise FailedPrecondition(f'Serving signature key "{name}" not found.')
    feeds = _feeds(signature, request.inputs)
    aliases = _aliases(signature, list(request.output_filter))
    start = time.monotonic()
    timeout_s = None if ends_at is None else ends_at - start
    values = servable.run(
        feeds, [signature.outputs[alias].name for alias in aliases], timeout_s)
    if metrics is not None:
        metrics.add_run(request.model_spec.name, time.monotonic() - start)
    response = predict_pb2.PredictResponse()
    response.model_spec.signature_name = name
    response.model_spec.version.value = servable.version
    for alias, value in zip(aliases, values, strict=True):
        try:
            _tensor.fill_proto(response.outputs[alias], np.asarray(value), as_content)
        except ValueError as error:
            raise Unimplemented(f"output {alias}: {error}") from None
    return response


def _check_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise InvalidArgument("Missing ModelSpec")


def _join(names: Any) -> str:
    return ",".join(sorted(names))


def _feeds(
    signature: meta_graph_pb2.SignatureDef, inputs: Any
) -> list[tuple[str, np.ndarray]]:
    """Pairs each input's tensor name with its value; SignatureDef.defaults stand in."""
    too_few = len(inputs) < len(signature.inputs) and not signature.defaults
    if too_few or len(inputs) > len(signature.inputs):
        sent, wanted = set(inputs), set(signature.inputs)
        raise InvalidArgument(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({{{_join(sent)}}}) != len({{{_join(wanted)}}}). "
            f"Sent extra: {{{_join(sent - wanted)}}}. "
            f"Missing but required: {{{_join(wanted - sent)}}}.")
    feeds = []
    for index, (alias, info) in enumerate(signature.inputs.items()):
        if alias not in inputs and alias not in signature.defaults:
            raise InvalidArgument(
                f"Signature input alias: {alias}(feed name: {info.name}) not found in request and "
                f"no default value provided. Inputs expected to be in the request "
                f"{{{_join(inputs)}}}, or default input alias set: {_join(signature.defaults)}")
        proto = inputs[alias] if alias in inputs else signature.defaults[alias]
        try:
            value = _tensor.from_proto(proto)
        except ValueError:
            raise InvalidArgument(f"tensor parsing error: {alias}") from None
        if proto.dtype != info.dtype:
            raise InvalidArgument(
                f"Expects arg[{index}] to be {_dtype_name(info.dtype)} but "
                f"{_dtype_name(proto.dtype)} is provided")
        feeds.append((info.name, value))
    return feeds


def _dtype_name(number: int) -> str:
    return _tensor.NAMES.get(number, str(number))


def _aliases(signature: meta_graph_pb2.SignatureDef, wanted: list[str]) -> list[str]:
    for index, alias in enumerate(wanted):
        if alias not in signature.outputs:
            raise InvalidArgument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {{{_join(signature.outputs)}}}.")
        if alias in wanted[:index]:
            raise InvalidArgument(f"duplicate output tensor alias: {alias}")
    return wanted or list(signature.outputs)


def refuse_examples(manager: ModelManager, model_spec: model_pb2.ModelSpec, kind: str) -> None:
    """Refuses a Classify or Regress call: no signature of this project takes examples.

    Args:
        manager: The models.
        model_spec: Whom the call is for.
        kind: "classification" or "regression".

    Raises:
        ServingError: Always: InvalidArgument, unless the model is unknown.
    """
    with manager.borrow(model_spec) as servable:
        refuse_examples_of(servable, model_spec.signature_name, kind)


def refuse_examples_of(servable: Servable, signature_name: str, kind: str) -> None:
    """Refuses a Classify or Regress call to a model that the caller holds.

    Args:
        servable: The model.
        signature_name: What the call names.
        kind: "classification" or "regression".

    Raises:
        InvalidArgument: Always.
    """
    name = signature_name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(name)
    if signature is None:
        raise InvalidArgument(f"No signature was found with the name: {name}")
    raise InvalidArgument(f"No {kind} inputs found in SignatureDef: "
                          f"{text_format.MessageToString(signature)}")


def refuse_tasks(manager: ModelManager, request: inference_pb2.MultiInferenceRequest) -> None:
    """Refuses a MultiInference call by its first task.

    Args:
        manager: The models.
        request: The call.

    Raises:
        Unimplemented: If the task is neither classification nor regression.
    """
    task = request.tasks[0] if request.tasks else inference_pb2.InferenceTask()
    kind = {"tensorflow/serving/classify": "classification",
            "tensorflow/serving/regress": "regression"}.get(task.method_name)
    if kind is None and task.model_spec.name:
        raise Unimplemented(f"Unsupported signature method_name: {task.method_name}")
    refuse_examples(manager, task.model_spec, str(kind))


def get_metadata(
    manager: ModelManager, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Answers a GetModelMetadata call.

    Args:
        manager: The models.
        request: The call; the one field there is, is "signature_def".

    Returns:
        The signatures, packed.

    Raises:
        InvalidArgument: If the call names no field or another one.
    """
    _check_spec(request)
    if not request.metadata_field:
        raise InvalidArgument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != "signature_def":
            raise InvalidArgument(f"Metadata field {field} is not supported")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with manager.borrow(request.model_spec) as servable:
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in servable.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        response.metadata["signature_def"].Pack(signatures)
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = servable.version
    return response


def get_status(
    manager: ModelManager, request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    """Answers a GetModelStatus call.

    Args:
        manager: The models.
        request: The call; a label in it is not looked at, as in TensorFlow Serving.

    Returns:
        The versions, newest first, or the one asked for.
    """
    _check_spec(request)
    spec = request.model_spec
    version = spec.version.value if spec.WhichOneof("version_choice") == "version" else None
    response = get_model_status_pb2.GetModelStatusResponse()
    states = get_model_status_pb2.ModelVersionStatus.State
    for status in manager.status(spec.name, version):
        message = response.model_version_status.add(
            version=status.number, state=states.Value(status.state))
        message.status.SetInParent()
        if status.error is not None:
            message.status.error_code = _ERROR_NUMBERS[status.error.code]
            message.status.error_message = str(status.error)
    return response


def reload_config(
    manager: ModelManager, request: model_management_pb2.ReloadConfigRequest
) -> model_management_pb2.ReloadConfigResponse:
    """Answers a HandleReloadConfigRequest call.

    Args:
        manager: The models.
        request: The call, with the whole new list of models.

    Returns:
        A status of OK, once the new models are loaded.

    Raises:
        InvalidArgument: If the call holds no list of models.
    """
    if request.config.WhichOneof("config") != "model_config_list":
        raise InvalidArgument(
            "ReloadConfigRequest must hold a model_config_list, got "
            f"{request.config.WhichOneof('config')}; list all models that are to be served")
    manager.reload(request.config)
    response = model_management_pb2.ReloadConfigResponse()
    response.status.SetInParent()
    return response
