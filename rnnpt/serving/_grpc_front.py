"""The gRPC front: TensorFlow Serving's services on grpcio's asyncio server."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import grpc
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
from rnnpt.serving.error import ServingError

# Longer error texts do not fit the trailers of an answer.
_MAX_ERROR_LENGTH = 1024
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Without this a second server shares the port in silence.
    ("grpc.so_reuseport", 0),
)


class _Front:
    """Runs the functions of `_predict` beside the event loop."""

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
            text = str(error)
            if len(text) > _MAX_ERROR_LENGTH:
                text = text[:_MAX_ERROR_LENGTH] + "...TRUNCATED"
            await context.abort(grpc.StatusCode[error.code], text)


class PredictionService(_Front, prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; Classify and Regress refuse; MultiInference is not there.

    Args:
        manager: The models.
        executor: Where they run.
    """

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
        return await self._answer(
            context, _predict.predict, request, counted=(request.model_spec.name, "Predict"))

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
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "MultiInference is not implemented")


class ModelService(_Front, model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; HandleReloadConfigRequest is not there.

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
    ) -> None:
        """Refuses.

        Args:
            request: The call.
            context: Its answer's way out.
        """
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED, "HandleReloadConfigRequest is not implemented")


def make_server(manager: ModelManager, executor: Executor) -> grpc.aio.Server:
    """Makes a server with both services; to be called in the event loop that runs it.

    Args:
        manager: The models.
        executor: Where they run.

    Returns:
        The server, without a port.
    """
    server = grpc.aio.server(options=OPTIONS)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(manager, executor), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(manager, executor), server)
    return server
