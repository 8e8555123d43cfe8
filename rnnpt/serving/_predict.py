"""What the PredictionService and the ModelService do, as functions of the official messages.

Both fronts call these; the checks, their order and their words are TensorFlow Serving's.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
)

from rnnpt.serving._manager import ModelManager
from rnnpt.serving._metrics import Metrics
from rnnpt.serving._predict_call import PredictCall
from rnnpt.serving._servable import DEFAULT_SIGNATURE, Servable
from rnnpt.serving.error import InvalidArgument, Unimplemented

# TensorFlow's status codes by name (its error_codes.proto), for status messages.
_ERROR_NUMBERS = {
    name: number for number, name in enumerate((
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
        "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
        "UNAUTHENTICATED"))
}
_KINDS = {"tensorflow/serving/classify": "classification",
          "tensorflow/serving/regress": "regression"}


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
    """
    call = PredictCall(servable, request, ends_at)
    start = time.monotonic()
    values = call.run()
    if metrics is not None:
        metrics.add_run(request.model_spec.name, time.monotonic() - start)
    return call.response(values, as_content)


class Pending(NamedTuple):
    """A Predict call that waits for others to run with.

    Args:
        values: Its outputs to come.
        respond: Outputs -> answer; to be called once.
    """

    values: Future
    respond: Callable[[list[np.ndarray]], predict_pb2.PredictResponse]


def begin_predict(
    manager: ModelManager, request: predict_pb2.PredictRequest, ends_at: float | None,
    as_content: bool, admit: Callable[[Callable[[], Future]], Future],
) -> Pending | None:
    """Begins a Predict call that needs no thread while it waits.

    Args:
        manager: The models.
        request: The call.
        ends_at: When its time is over, on the monotonic clock; None for never.
        as_content: Whether outputs are bytes in place of typed values.
        admit: Lets in what begins a run, or refuses.

    Returns:
        The call under way; None if its model runs each request alone, for which there is `predict`.
    """
    _check_spec(request)
    name, start = request.model_spec.name, time.monotonic()
    with manager.borrow(request.model_spec) as servable:
        if not servable.is_batched:
            return None
        call = PredictCall(servable, request, ends_at)
        values = admit(call.submit)

    def respond(values: list[np.ndarray]) -> predict_pb2.PredictResponse:
        manager.metrics.add_run(name, time.monotonic() - start)
        response = call.response(values, as_content)
        response.model_spec.name = name
        return response

    return Pending(values, respond)


def _check_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise InvalidArgument("Missing ModelSpec")


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


def refuse_example_request(manager: ModelManager, request: Any, kind: str) -> None:
    """Refuses a Classify or Regress call that came over gRPC.

    Args:
        manager: The models.
        request: The call.
        kind: "classification" or "regression".
    """
    _check_spec(request)
    refuse_examples(manager, request.model_spec, kind)


def refuse_tasks(manager: ModelManager, request: inference_pb2.MultiInferenceRequest) -> None:
    """Refuses a MultiInference call by its first task.

    Args:
        manager: The models.
        request: The call.

    Raises:
        InvalidArgument: If the model has no such signature, or one that takes no examples.
        Unimplemented: If the task is neither classification nor regression.
    """
    task = request.tasks[0] if request.tasks else inference_pb2.InferenceTask()
    with manager.borrow(task.model_spec) as servable:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name not in servable.signatures:
            raise InvalidArgument(f"Requested signature not found in model graph: {name}")
        kind = _KINDS.get(task.method_name)
        if kind is None:
            raise Unimplemented(f"Unsupported signature method_name: {task.method_name}")
    refuse_examples(manager, task.model_spec, kind)


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
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported")
    manager.reload(request.config)
    response = model_management_pb2.ReloadConfigResponse()
    response.status.SetInParent()
    return response
