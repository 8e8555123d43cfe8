"""Broken messages over gRPC: each is answered, none with OK, and the server goes on."""

import math

import grpc
import numpy as np
import pytest
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2

from rnnpt.serving import _tensor

# What a wrong request may be told; INTERNAL is gRPC's own word for bytes that are no message.
CODES = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "INTERNAL", "UNIMPLEMENTED"}
METHODS = {
    "PredictionService": ["Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata"],
    "ModelService": ["GetModelStatus", "HandleReloadConfigRequest"],
}


def step_request(as_content: bool) -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "chorales"
    request.model_spec.signature_name = "step"
    for name, array in {
            "frame": np.zeros((1, 88), np.float32), "seed": np.zeros((1, 2), np.int32),
            "state": np.zeros((1, 3), np.float32), "temperature": np.ones(1, np.float32)}.items():
        _tensor.fill_proto(request.inputs[name], array, as_content)
    return request.SerializeToString(deterministic=True)


def mutate(message: bytes, random: np.random.Generator) -> bytes:
    """Changes, drops or adds a few bytes."""
    bytes_ = bytearray(message)
    for _ in range(random.integers(1, 5)):
        at = int(random.integers(0, len(bytes_)))
        match random.integers(0, 4):
            case 0:
                bytes_[at] = int(random.integers(0, 256))
            case 1:
                bytes_[at] ^= 1 << int(random.integers(0, 8))
            case 2:
                del bytes_[at:at + int(random.integers(1, 9))]
            case 3:
                bytes_[at:at] = random.bytes(int(random.integers(1, 9)))
    return bytes(bytes_)


def is_huge(message: bytes) -> bool:
    """Whether an input asks for more memory than a test may take; TensorFlow Serving gives it."""
    try:
        request = predict_pb2.PredictRequest.FromString(message)
    except DecodeError:
        return False
    sizes = [math.prod(max(dim.size, 1) for dim in proto.tensor_shape.dim)
             for proto in request.inputs.values()]
    return any(10**6 < size < 2**31 for size in sizes)


def caller(channel: grpc.Channel, service: str, method: str):
    """A method that takes and gives bytes."""
    return channel.unary_unary(f"/tensorflow.serving.{service}/{method}")


def answer(call, message: bytes) -> str:
    try:
        call(message, timeout=20)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def test_mutated_requests_are_answered_and_broken_ones_refused(server) -> None:
    random = np.random.default_rng(0)
    originals = [step_request(True), step_request(False)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        predict = caller(channel, "PredictionService", "Predict")
        for index in range(400):
            message = mutate(originals[index % 2], random)
            if is_huge(message):
                continue
            code = answer(predict, message)
            assert code in CODES | {"OK"}, (index, message)
            try:
                predict_pb2.PredictRequest.FromString(message)
            except DecodeError:
                assert code == "INTERNAL", (index, message)
        assert [answer(predict, original) for original in originals] == ["OK", "OK"]


@pytest.mark.parametrize(("service", "method"), [
    (service, method) for service, methods in METHODS.items() for method in methods])
def test_random_bytes_are_refused_by_every_method(server, service: str, method: str) -> None:
    random = np.random.default_rng(1)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = caller(channel, service, method)
        codes = {answer(call, random.bytes(int(size))) for size in random.integers(1, 300, 40)}
    assert codes <= CODES
