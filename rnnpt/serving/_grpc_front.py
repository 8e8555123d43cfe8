"""The gRPC front: TensorFlow Serving's services on grpcio's asyncio server.

SessionService is not registered, as there; nor is the profiler's service, which is.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from rnnpt.serving import _predict, _tensor
from rnnpt.serving._bounded_executor import BoundedExecutor
from rnnpt.serving._grpc_option import OPTIONS, channel_arguments
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._offload import Offload
from rnnpt.serving._option import ServerOptions
from rnnpt.serving.error import Internal, ServingError

SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
# Longer error texts do not fit the trailers of an answer.
_MAX_ERROR_BYTES = 1024
# What is read in some 50 microseconds, while nobody else is answered.
_MAX_BYTES_IN_LOOP = 64 * 1024
# A few bytes may stand for many values, all equal.
_MAX_VALUES_IN_LOOP = _MAX_BYTES_IN_LOOP


async def _abort(context: grpc.aio.ServicerContext, error: ServingError) -> None:
    text = str(error)
    encoded = text.encode("utf-8", "surrogateescape")
    if len(encoded) > _MAX_ERROR_BYTES:
        text = encoded[:_MAX_ERROR_BYTES].decode("utf-8", "ignore") + "...TRUNCATED"
    await context.abort(grpc.StatusCode[error.code], text)


async def _answer(context: grpc.aio.ServicerContext, function: Callable, *args: Any) -> Any:
    """Answers a call that is faster done than handed to another thread."""
    try:
        return function(*args)
    except ServingError as error:
        await _abort(context, error)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the calls that take examples refuse.

    To be made in the event loop that answers. A call that is run together with others waits there;
    one that runs alone, or would take long to read, is a thread's.

    Args:
        manager: The models.
        executor: The threads.
        as_content: Whether outputs travel as bytes in place of typed values.
    """

    def __init__(self, manager: ModelManager, executor: BoundedExecutor, as_content: bool = False):
        self._manager = manager
        self._executor = executor
        self._offload = Offload(executor)
        self._as_content = as_content

    async def Predict(
        self, request: predict_pb2.PredictRequest, context: grpc.aio.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Runs a signature.

        Args:
            request: The call.
            context: Its answer's way out.

        Returns:
            The outputs.
        """
        left_s = context.time_remaining()
        ends_at = None if left_s is None else time.monotonic() + left_s
        try:
            with self._manager.metrics.request(request.model_spec.name, "Predict", "GRPC"):
                pending = self._begin(request, ends_at)
                if pending is not None:
                    return pending.respond(await self._offload.wait(pending.values))
                return await self._offload.run(
                    _predict.predict, self._manager, request, ends_at, self._as_content)
        except ServingError as error:
            await _abort(context, error)

    def _begin(
        self, request: predict_pb2.PredictRequest, ends_at: float | None
    ) -> _predict.Pending | None:
        if request.ByteSize() > _MAX_BYTES_IN_LOOP:
            return None
        if sum(map(_tensor.count_values, request.inputs.values())) > _MAX_VALUES_IN_LOOP:
            return None
        return _predict.begin_predict(
            self._manager, request, ends_at, self._as_content, self._executor.admit)

    async def GetModelMetadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.aio.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Tells the signatures.

        Args:
            request: The call.
            context: Its answer's way out.

        Returns:
            The signatures.
        """
        return await _answer(context, _predict.get_metadata, self._manager, request)

    async def Classify(
        self, request: classification_pb2.ClassificationRequest, context: grpc.aio.ServicerContext
    ) -> None:
        """Refuses.

        Args:
            request: The call.
            context: Its answer's way out.
        """
        await _answer(context, self._refuse, request, "Classify", "classification")

    async def Regress(
        self, request: regression_pb2.RegressionRequest, context: grpc.aio.ServicerContext
    ) -> None:
        """Refuses.

        Args:
            request: The call.
            context: Its answer's way out.
        """
        await _answer(context, self._refuse, request, "Regress", "regression")

    def _refuse(self, request: Any, api: str, kind: str) -> None:
        with self._manager.metrics.request(request.model_spec.name, api, "GRPC"):
            _predict.refuse_example_request(self._manager, request, kind)

    async def MultiInference(
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.aio.ServicerContext
    ) -> None:
        """Refuses.

        Args:
            request: The call.
            context: Its answer's way out.
        """
        await _answer(context, _predict.refuse_tasks, self._manager, request)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest.

    Args:
        manager: The models.
    """

    def __init__(self, manager: ModelManager):
        self._manager = manager

    async def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest,
        context: grpc.aio.ServicerContext,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Tells the versions.

        Args:
            request: The call.
            context: Its answer's way out.

        Returns:
            The versions.
        """
        return await _answer(context, _predict.get_status, self._manager, request)

    async def HandleReloadConfigRequest(
        self, request: model_management_pb2.ReloadConfigRequest, context: grpc.aio.ServicerContext
    ) -> model_management_pb2.ReloadConfigResponse:
        """Replaces the list of models.

        Args:
            request: The whole new list.
            context: Its answer's way out.

        Returns:
            A status of OK, when the new models are loaded; an error is the call's own.
        """
        # A thread of its own: it may wait for long, and requests need the executor meanwhile.
        try:
            return await asyncio.to_thread(_predict.reload_config, self._manager, request)
        except ServingError as error:
            await _abort(context, error)


async def make_server(
    manager: ModelManager, executor: BoundedExecutor, options: ServerOptions
) -> grpc.aio.Server:
    """Makes a server with both services; to be called in the event loop that runs it.

    Args:
        manager: The models.
        executor: Where they run.
        options: Which further services there are, and gRPC's own settings.

    Returns:
        The server, without a port.
    """
    settings = dict(OPTIONS) | dict(channel_arguments(options))
    server = grpc.aio.server(options=tuple(settings.items()))
    as_content = options.enable_serialization_as_tensor_content
    server.add_generic_rpc_handlers((
        _handlers(PredictionService(manager, executor, as_content),
                  prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"]),
        _handlers(ModelService(manager),
                  model_service_pb2.DESCRIPTOR.services_by_name["ModelService"])))
    names = [*SERVICES, reflection.SERVICE_NAME]
    if options.enable_grpc_healthcheck_service:
        health_pb2_grpc.add_HealthServicer_to_server(await _health(), server)
        names.append(health.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return server


def _handlers(servicer: Any, service: ServiceDescriptor) -> grpc.GenericRpcHandler:
    """Does what generated code would, but for bytes that are no message.

    These grpcio counts as a fault of the server: UNKNOWN, and a traceback in the log for each.
    """
    return grpc.method_handlers_generic_handler(
        service.full_name, {method.name: _handler(getattr(servicer, method.name), method)
                            for method in service.methods})


def _handler(answer: Callable, method: MethodDescriptor) -> grpc.RpcMethodHandler:
    request_class = GetMessageClass(method.input_type)

    async def decode_and_answer(message: bytes, context: grpc.aio.ServicerContext) -> Any:
        try:
            request = request_class.FromString(message)
        except DecodeError:
            await _abort(context, Internal(
                f"the request must be a {method.input_type.full_name}, got bytes that are none"))
        return await answer(request, context)

    return grpc.unary_unary_rpc_method_handler(
        decode_and_answer,
        response_serializer=GetMessageClass(method.output_type).SerializeToString)


async def _health() -> health.aio.HealthServicer:
    """Says that the process is up, under the short names that TensorFlow Serving uses."""
    servicer = health.aio.HealthServicer()
    for name in SERVICES:
        await servicer.set(name.rpartition(".")[2], health_pb2.HealthCheckResponse.SERVING)
    return servicer
