"""Requests over gRPC that are run together: they wait in the event loop, not in threads."""

import contextlib
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from rnnpt.serving._batching import Batcher
from rnnpt.serving._grpc_front import _MAX_BYTES_IN_LOOP, _MAX_VALUES_IN_LOOP
from rnnpt.serving.server import ModelServer, ServerOptions
from tests.serving.test_grpc_life import start_request
from tests.serving.test_server import wait_for


class HeldModel:
    """Stands before the runs of a server's model; holds each until `goes_on` is set."""

    def __init__(self, batcher: Batcher):
        self.sizes: list[int] = []
        self.goes_on = threading.Event()
        self.batcher = batcher
        self._run = batcher._run
        batcher._run = self

    def __call__(self, feeds: Any, fetches: Any, timeout_s: float | None) -> list[np.ndarray]:
        self.sizes.append(len(feeds[0][1]))
        assert self.goes_on.wait(20)
        return self._run(feeds, fetches, timeout_s)

    def waiting(self) -> list[Any]:
        """The tasks that wait in queues."""
        threads = self.batcher._threads
        with threads._changed:
            return [task for queue, _ in threads._queues.values()
                    for batch in queue._batches for task in batch.tasks]


@contextlib.contextmanager
def batched_server(
    base_path: pathlib.Path, tmp_path: pathlib.Path, **options: Any
) -> Iterator[tuple[ModelServer, Any, HeldModel]]:
    """A server with one thread for requests and one for batches, a stub of it, and its model."""
    file = tmp_path / "batching.config"
    file.write_text("num_batch_threads { value: 1 }")
    flags = ServerOptions(
        enable_batching=True, batching_parameters_file=str(file), grpc_max_threads=1, **options)
    with ModelServer("chorales", base_path, port=0, rest_api_port=0, options=flags) as server:
        with server._manager.borrow(start_request().model_spec) as servable:
            model = HeldModel(servable._runner)
        try:
            with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                yield server, prediction_service_pb2_grpc.PredictionServiceStub(channel), model
        finally:
            model.goes_on.set()


def ask(stub: Any, request: predict_pb2.PredictRequest | None = None) -> grpc.Future:
    return stub.Predict.future(request or start_request(), timeout=20)


def state(call: grpc.Future) -> list[float]:
    return list(call.result().outputs["state"].float_val[:3])


def test_requests_that_are_batched_need_no_threads(tiny_model, tmp_path) -> None:
    with batched_server(tiny_model, tmp_path) as (server, stub, model):
        first = ask(stub)
        wait_for(lambda: model.sizes, "the first request runs")
        others = [ask(stub) for _ in range(5)]
        wait_for(lambda: len(model.waiting()) == 5, "the others wait")
        model.goes_on.set()
        assert [state(call) for call in (first, *others)] == [[0.5, 0.25, -0.5]] * 6
        assert model.sizes == [2, 10]
        assert not server._executor._threads


def test_a_request_that_takes_long_to_read_is_a_threads(tiny_model, tmp_path) -> None:
    request = start_request()
    request.inputs["session"].CopyFrom(
        tf.make_tensor_proto(np.zeros(_MAX_BYTES_IN_LOOP // 4 + 1, np.int32)))
    with batched_server(tiny_model, tmp_path) as (server, stub, model):
        model.goes_on.set()
        error = ask(stub, request).exception()
        assert "is larger than maximum input batch size 1000" in error.details()
        assert server._executor._threads


def test_few_bytes_that_stand_for_many_values_are_a_threads(tiny_model, tmp_path) -> None:
    request = start_request()
    request.inputs["session"].CopyFrom(tensor_pb2.TensorProto(dtype=3, int_val=[0]))
    request.inputs["session"].tensor_shape.dim.add(size=_MAX_VALUES_IN_LOOP + 1)
    with batched_server(tiny_model, tmp_path) as (server, stub, model):
        model.goes_on.set()
        error = ask(stub, request).exception()
        assert "is larger than maximum input batch size 1000" in error.details()
        assert server._executor._threads


def test_as_many_may_wait_as_for_threads(tiny_model, tmp_path) -> None:
    with batched_server(tiny_model, tmp_path, max_waiting_requests=1) as (_, stub, model):
        calls = [ask(stub)]
        wait_for(lambda: model.sizes, "the first request runs")
        calls.append(ask(stub))
        wait_for(lambda: len(model.waiting()) == 1, "the second request waits")
        error = ask(stub).exception()
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "at most 1 requests may wait (max_waiting_requests)" in error.details()
        model.goes_on.set()
        assert [len(state(call)) for call in calls] == [3, 3]
        # Their places are free again, as are those of requests that are refused.
        request = start_request()
        request.inputs["session"].CopyFrom(tf.make_tensor_proto(np.int32(0)))
        for _ in range(3):
            assert ask(stub, request).exception().code() is grpc.StatusCode.INVALID_ARGUMENT
        assert len(state(ask(stub))) == 3


def test_a_client_who_leaves_takes_its_request_along(tiny_model, tmp_path) -> None:
    with batched_server(tiny_model, tmp_path, max_waiting_requests=1) as (_, stub, model):
        first = ask(stub)
        wait_for(lambda: model.sizes, "the first request runs")
        second = ask(stub)
        wait_for(lambda: len(model.waiting()) == 1, "the second request waits")
        [task] = model.waiting()
        assert task.inputs
        second.cancel()
        wait_for(task.outputs.cancelled, "the second request is given up")
        assert not task.inputs
        third = ask(stub)
        wait_for(lambda: len(model.waiting()) == 2, "its place is another's")
        model.goes_on.set()
        assert state(first) == state(third)
    assert model.sizes == [2, 2]


def test_stopping_lets_batched_requests_end(tiny_model, tmp_path) -> None:
    with batched_server(tiny_model, tmp_path) as (server, stub, model):
        calls = [ask(stub)]
        wait_for(lambda: model.sizes, "the first request runs")
        calls.append(ask(stub))
        wait_for(model.waiting, "the second request waits")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        model.goes_on.set()
        assert [state(call) for call in calls] == [[0.5, 0.25, -0.5]] * 2
        stopping.join()


def test_a_model_that_is_retired_answers_what_waits(tiny_model, tmp_path) -> None:
    with batched_server(tiny_model, tmp_path) as (server, stub, model):
        with server._manager.borrow(start_request().model_spec) as servable:
            calls = [ask(stub)]
            wait_for(lambda: model.sizes, "the first request runs")
            calls.append(ask(stub))
            wait_for(model.waiting, "the second request waits")
        closed = threading.Event()
        servable.retire(closed.set)
        assert not closed.is_set()
        model.goes_on.set()
        assert [state(call) for call in calls] == [[0.5, 0.25, -0.5]] * 2
        assert closed.wait(20)


def test_what_a_batched_request_raises_is_counted_and_told(tiny_model, tmp_path) -> None:
    request = start_request()
    request.model_spec.signature_name = "nope"
    with batched_server(tiny_model, tmp_path) as (server, stub, model):
        model.goes_on.set()
        assert ask(stub, request).exception().code() is grpc.StatusCode.FAILED_PRECONDITION
        ask(stub).result()
        page = server._manager.metrics.page()
    assert ':request_count{model_name="chorales",status="FAILED_PRECONDITION"} 1' in page
    assert ':request_count{model_name="chorales",status="OK"} 1' in page
    assert ':runtime_latency_count{model_name="chorales",API="Predict",runtime="TF1"} 1' in page
