"""A gRPC request's life: its deadline, a client who leaves, the threads, the server's end."""

import contextlib
import pathlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from rnnpt.serving._servable import Servable
from rnnpt.serving.server import ModelServer, ServerOptions
from tests.serving.test_server import wait_for


def start_request() -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "chorales"
    request.model_spec.signature_name = "start"
    request.inputs["session"].CopyFrom(tf.make_tensor_proto(np.zeros(2, np.int32)))
    return request


class Runs:
    """Stands before a model's `run`; holds each call until `goes_on` is set."""

    def __init__(self, run: Callable):
        self.timeouts: list[float | None] = []
        self.goes_on = threading.Event()
        self._run = run

    def __call__(self, feeds: Any, fetches: Any, timeout_s: float | None = None) -> Any:
        self.timeouts.append(timeout_s)
        assert self.goes_on.wait(20)
        return self._run(feeds, fetches, timeout_s)


@contextlib.contextmanager
def held_server(
    base_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, num_threads: int
) -> Iterator[tuple[ModelServer, Any, Runs]]:
    """A server with so many threads, a stub of it, and what is run."""
    options = ServerOptions(grpc_max_threads=num_threads, max_num_load_retries=0)
    with ModelServer("chorales", base_path, port=0, rest_api_port=0, options=options) as server:
        with server._manager.borrow(start_request().model_spec) as servable:
            runs = Runs(servable.run)
        monkeypatch.setattr(Servable, "run", lambda self, *arguments: runs(*arguments))
        try:
            with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                yield server, prediction_service_pb2_grpc.PredictionServiceStub(channel), runs
        finally:
            runs.goes_on.set()


def metadata_request() -> get_model_metadata_pb2.GetModelMetadataRequest:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "chorales"
    return request


def test_row_39_the_clients_deadline_limits_the_run(tiny_model, monkeypatch) -> None:
    with held_server(tiny_model, monkeypatch, 1) as (_, stub, runs):
        runs.goes_on.set()
        stub.Predict(start_request(), timeout=17)
        stub.Predict(start_request())
    # gRPC sends a timeout rounded up to three figures: 17 s and a moment travel as 17.1 s.
    assert 16 < runs.timeouts[0] <= 17.1
    assert runs.timeouts[1] is None


def test_row_39_the_wait_for_a_thread_counts(tiny_model, monkeypatch) -> None:
    with held_server(tiny_model, monkeypatch, 1) as (server, stub, runs):
        first = stub.Predict.future(start_request(), timeout=20)
        wait_for(lambda: len(runs.timeouts) == 1, "the first request runs")
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(start_request(), timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        runs.goes_on.set()
        first.result()
        stub.Predict(start_request(), timeout=20)
    # The one whose time was over never got as far, or came there with none left.
    assert not any(0 < timeout <= 1 for timeout in runs.timeouts)


def test_row_39_a_client_who_leaves_takes_its_request_along(tiny_model, monkeypatch) -> None:
    with held_server(tiny_model, monkeypatch, 1) as (server, stub, runs):
        first = stub.Predict.future(start_request(), timeout=20)
        wait_for(lambda: len(runs.timeouts) == 1, "the first request runs")
        waiting: list[Future] = []
        submit = server._executor.submit

        def watched(*arguments: Any) -> Future:
            waiting.append(submit(*arguments))
            return waiting[-1]

        monkeypatch.setattr(server._executor, "submit", watched)
        second = stub.Predict.future(start_request(), timeout=20)
        wait_for(lambda: len(waiting) == 1, "the second request waits")
        second.cancel()
        wait_for(waiting[0].cancelled, "the second request leaves the queue")
        runs.goes_on.set()
        first.result()
    assert len(runs.timeouts) == 1


def test_row_52_so_many_requests_run_at_once_and_status_is_told_all_the_same(
        tiny_model, monkeypatch) -> None:
    with held_server(tiny_model, monkeypatch, 2) as (server, stub, runs):
        calls = [stub.Predict.future(start_request(), timeout=20) for _ in range(5)]
        wait_for(lambda: len(runs.timeouts) == 2, "two requests run")
        stub.GetModelMetadata(metadata_request(), timeout=20)
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            request = get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = "chorales"
            model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=20)
        assert len(runs.timeouts) == 2
        runs.goes_on.set()
        assert len({call.result().outputs["state"].float_val[0] for call in calls}) == 1


def test_stopping_lets_requests_end_and_refuses_new_ones(tiny_model, monkeypatch) -> None:
    with held_server(tiny_model, monkeypatch, 1) as (server, stub, runs):
        under_way = stub.Predict.future(start_request(), timeout=20)
        wait_for(lambda: len(runs.timeouts) == 1, "the request runs")
        stopping = threading.Thread(target=server.stop)
        stopping.start()

        def is_refused() -> bool:
            try:
                stub.GetModelMetadata(metadata_request(), timeout=1)
            except grpc.RpcError as error:
                # gRPC cancels a call that comes in the very moment of the stop, and forgets one
                # in some 250 of these: nobody answers it until the grace is over.
                assert error.code() in (
                    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED,
                    grpc.StatusCode.DEADLINE_EXCEEDED)
                return error.code() is grpc.StatusCode.UNAVAILABLE
            return False

        wait_for(is_refused, "new requests are refused")
        assert not under_way.done()
        runs.goes_on.set()
        assert list(under_way.result().outputs["state"].float_val[:3]) == [0.5, 0.25, -0.5]
        stopping.join()


def test_a_server_may_be_stopped_twice(tiny_model) -> None:
    with ModelServer("chorales", tiny_model, port=0, rest_api_port=0) as server:
        server.stop()
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.Predict(start_request(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_stopping_gives_up_what_takes_too_long(tiny_model, monkeypatch) -> None:
    options = ServerOptions(stop_grace_seconds=0.1)
    server = ModelServer("chorales", tiny_model, port=0, rest_api_port=0, options=options)
    server.start()
    with server._manager.borrow(start_request().model_spec) as servable:
        runs = Runs(servable.run)
    monkeypatch.setattr(Servable, "run", lambda self, *arguments: runs(*arguments))
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        call = stub.Predict.future(start_request(), timeout=20)
        wait_for(lambda: len(runs.timeouts) == 1, "the request runs")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        # The client hears of it though the model still runs.
        assert call.exception(timeout=20).code() is grpc.StatusCode.UNAVAILABLE
        runs.goes_on.set()
        stopping.join()
