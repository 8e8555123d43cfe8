"""The gRPC front: TensorFlow Serving's services on grpcio's asyncio server.

SessionService is not registered, as there; nor is the profiler's service, which is.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from rnnpt.serving import _predict
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._option import ServerOptions
from rnnpt.serving.error import InvalidArgument, ServingError

SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
# Longer error texts do not fit the trailers of an answer.
_MAX_ERROR_LENGTH = 1024
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Without this a second server shares the port in silence.
    ("grpc.so_reuseport", 0),
)


class _Front:
    """Runs the functions of `_predict` beside the event loop.

    A call that its client gives up, or whose time is over, is taken from the executor's queue.
    """

    def __init__(self, manager: ModelManager, executor: Executor):
        self._manager = manager
        self._executor = executor

    async def _answer(
        self, context: grpc.aio.ServicerContext, function: Callable, *args: Any,
        counted: tuple[str, str] | None = None,
    ) -> Any:
        """Answers a call, and counts it if it is given the names of a model and of a method."""
        loop = asyncio.get_running_loop()
        counting = (self._manager.metrics.request(*counted, "GRPC") if counted
                    else contextlib.nullcontext())
        try:
            with counting:
                return await loop.run_in_executor(self._executor, function, self._manager, *args)
        except ServingError as error:
            await _abort(context, error)


async def _abort(context: grpc.aio.ServicerContext, error: ServingError) -> None:
    text = str(error)
    if len(text) > _MAX_ERROR_LENGTH:
        text = text[:_MAX_ERROR_LENGTH] + "...TRUNCATED"
    await context.abort(grpc.StatusCode[error.code], text)


class PredictionService(_Front, prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the calls that take examples refuse.

    Args:
        manager: The models.
        executor: Where they run.
        as_content: Whether outputs travel as bytes in place of typed values.
    """

    def __init__(self, manager: ModelManager, executor: Executor, as_content: bool = False):
        super().__init__(manager, executor)
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
        return await self._answer(
            context, _predict.predict, request, ends_at, self._as_content,
            counted=(request.model_spec.name, "Predict"))

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
        return await self._answer(context, _predict.get_metadata, request)

    async def Classify(
        self, request: classification_pb2.ClassificationRequest, context: grpc.aio.ServicerContext
    ) -> None:
        """Refuses.

        Args:
            request: The call.
            context: Its answer's way out.
        """
        await self._answer(
            context, _predict.refuse_examples, request.model_spec, "classification",
            counted=(request.model_spec.name, "Classify"))

    async def Regress(
        self, request: regression_pb2.RegressionRequest, context: grpc.aio.ServicerContext
    ) -> None:
        """Refuses.

        Args:
            request: The call.
            context: Its answer's way out.
        """
        await self._answer(
            context, _predict.refuse_examples, request.model_spec, "regression",
            counted=(request.model_spec.name, "Regress"))

    async def MultiInference(
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.aio.ServicerContext
    ) -> None:
        """Refuses.

        Args:
            request: The call.
            context: Its answer's way out.
        """
        await self._answer(context, _predict.refuse_tasks, request)


class ModelService(_Front, model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest.

    Args:
        manager: The models.
        executor: Where they run.
    """

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
        return await self._answer(context, _predict.get_status, request)

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


def make_server(
    manager: ModelManager, executor: Executor, options: ServerOptions
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
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(manager, executor, options.enable_serialization_as_tensor_content),
        server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(manager, executor), server)
    names = [*SERVICES, reflection.SERVICE_NAME]
    if options.enable_grpc_healthcheck_service:
        health_pb2_grpc.add_HealthServicer_to_server(_health(), server)
        names.append(health.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return server


def _health() -> health.aio.HealthServicer:
    """Says that the process is up, under the short names that TensorFlow Serving uses."""
    servicer = health.aio.HealthServicer()
    for name in SERVICES:
        servicer._server_status[name.rpartition(".")[2]] = (
            health_pb2.HealthCheckResponse.SERVING)
    return servicer


def channel_arguments(options: ServerOptions) -> list[tuple[str, str | int]]:
    """Reads `grpc_channel_arguments`.

    Args:
        options: The settings.

    Returns:
        gRPC's names and values, whole numbers as such.

    Raises:
        InvalidArgument: If an argument has no value.
    """
    pairs: list[tuple[str, str | int]] = []
    for word in filter(None, options.grpc_channel_arguments.split(",")):
        name, is_pair, value = word.partition("=")
        if not is_pair or not name:
            raise InvalidArgument(
                f"grpc_channel_arguments must be a list of name=value, got {word!r}; separate them "
                "by commas")
        is_integer = value.removeprefix("-").isdecimal()
        pairs.append((name, int(value) if is_integer else value))
    return pairs
