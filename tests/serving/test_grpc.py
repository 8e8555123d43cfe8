"""The official stubs against the embedded server, and their messages against the client's."""

import subprocess
import sys
import textwrap

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import unknown_fields
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from rnnpt.serving import _tensor, _wire
from rnnpt.serving.client import Client


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


@pytest.fixture
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def start_request(**inputs) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "chorales"
    request.model_spec.signature_name = "start"
    for name, value in (inputs or {"session": np.zeros(2, np.int32)}).items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def test_rows_43_44_the_official_client_gets_typed_values_and_the_spec(stub) -> None:
    response = stub.Predict(start_request(), timeout=20)
    assert (response.model_spec.name, response.model_spec.version.value,
            response.model_spec.signature_name) == ("chorales", 1, "start")
    state = response.outputs["state"]
    assert list(state.float_val) == [0.5, 0.25, -0.5] * 2
    assert not state.tensor_content
    np.testing.assert_array_equal(tf.make_ndarray(state), [[0.5, 0.25, -0.5]] * 2)


def refusal(call, request) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=20)
    return caught.value.code().name, caught.value.details()


def changed(change) -> predict_pb2.PredictRequest:
    request = start_request()
    change(request)
    return request


@pytest.mark.parametrize(("request_", "code", "text"), [
    (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),  # row 25
    (changed(lambda r: r.model_spec.ClearField("name")), "INVALID_ARGUMENT",
     "ModelSpec has no name specified."),  # row 26
    (changed(lambda r: setattr(r.model_spec, "name", "nope")), "NOT_FOUND",
     "Servable not found for request: Latest(nope)"),  # row 27
    (changed(lambda r: setattr(r.model_spec.version, "value", 9)), "NOT_FOUND",
     "Servable not found for request: Specific(chorales, 9)"),  # row 28
    (changed(lambda r: setattr(r.model_spec, "version_label", "zzz")), "INVALID_ARGUMENT",
     "Unrecognized servable version label: zzz"),  # row 29
    (changed(lambda r: setattr(r.model_spec, "signature_name", "nosuch")), "FAILED_PRECONDITION",
     'Serving signature key "nosuch" not found.'),  # row 30
    (changed(lambda r: r.inputs.pop("session")), "INVALID_ARGUMENT",  # row 31
     "input size does not match signature: 0!=1 len({}) != len({session}). Sent extra: {}. "
     "Missing but required: {session}."),
    (start_request(x=np.zeros(2, np.int32)), "INVALID_ARGUMENT",  # row 32
     "Signature input alias: session(feed name: start_session:0) not found in request and no "
     "default value provided. Inputs expected to be in the request {x}, or default input alias "
     "set: "),
    (start_request(session=np.zeros(2, np.float32)), "INVALID_ARGUMENT",  # row 33
     "Expects arg[0] to be int32 but float is provided"),
    (changed(lambda r: setattr(r.inputs["session"], "tensor_content", b"12345")),
     "INVALID_ARGUMENT", "tensor parsing error: session"),  # row 35
    (changed(lambda r: r.output_filter.append("nope")), "INVALID_ARGUMENT",  # row 37
     "output tensor alias not found in signature: nope Outputs expected to be in the set "
     "{state}."),
    (changed(lambda r: r.output_filter.extend(["state", "state"])), "INVALID_ARGUMENT",
     "duplicate output tensor alias: state"),
])
def test_rows_25_to_37_refusals_of_predict(stub, request_, code, text) -> None:
    assert refusal(stub.Predict, request_) == (code, text)


def test_row_36_one_value_fills_the_shape(stub) -> None:
    request = start_request()
    session = request.inputs["session"]
    session.Clear()
    session.dtype = tf.int32.as_datatype_enum
    session.tensor_shape.dim.add(size=5)
    session.int_val.append(1)
    assert len(tf.make_ndarray(stub.Predict(request, timeout=20).outputs["state"])) == 5


def test_a_shape_beyond_any_message_is_refused_before_it_is_filled(stub) -> None:
    request = start_request()
    request.inputs["session"].tensor_shape.dim[0].size = 2**40
    assert refusal(stub.Predict, request) == ("INVALID_ARGUMENT", "tensor parsing error: session")


def test_row_40_a_long_error_is_cut(stub) -> None:
    request = start_request()
    request.model_spec.name = "x" * 2000
    text = refusal(stub.Predict, request)[1]
    assert text.endswith("xxx...TRUNCATED")
    assert len(text) == 1024 + len("...TRUNCATED")


def test_row_40_the_cut_counts_bytes_and_breaks_no_letter(stub) -> None:
    request = start_request()
    request.model_spec.name = "\N{MUSICAL SYMBOL G CLEF}" * 1000
    text = refusal(stub.Predict, request)[1].removesuffix("...TRUNCATED")
    assert set(text.removeprefix("Servable not found for request: Latest(")) == {
        "\N{MUSICAL SYMBOL G CLEF}"}
    assert 1021 <= len(text.encode()) <= 1024


def test_row_38_classify_and_regress_refuse(stub) -> None:
    for call, request, kind in (
            (stub.Classify, classification_pb2.ClassificationRequest(), "classification"),
            (stub.Regress, regression_pb2.RegressionRequest(), "regression")):
        assert refusal(call, request) == ("INVALID_ARGUMENT", "Missing ModelSpec")
        request.model_spec.name = "chorales"
        request.model_spec.signature_name = "start"
        code, text = refusal(call, request)
        assert code == "INVALID_ARGUMENT"
        assert text.startswith(f"No {kind} inputs found in SignatureDef: ")


def tasks(name: str, method: str, signature_name: str = "") -> inference_pb2.MultiInferenceRequest:
    request = inference_pb2.MultiInferenceRequest()
    task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
    task.model_spec.name, task.model_spec.signature_name = name, signature_name
    return request


@pytest.mark.parametrize(("request_", "code", "text"), [
    (inference_pb2.MultiInferenceRequest(), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    (tasks("nope", "predict"), "NOT_FOUND", "Servable not found for request: Latest(nope)"),
    (tasks("chorales", "classify", "nosuch"), "INVALID_ARGUMENT",
     "Requested signature not found in model graph: nosuch"),
    (tasks("chorales", "predict"), "UNIMPLEMENTED",
     "Unsupported signature method_name: tensorflow/serving/predict"),
    (tasks("chorales", "classify", "start"), "INVALID_ARGUMENT",
     "No classification inputs found in SignatureDef: "),
    (tasks("chorales", "regress", "start"), "INVALID_ARGUMENT",
     "No regression inputs found in SignatureDef: "),
])
def test_row_41_multi_inference_refuses_by_its_first_task(stub, request_, code, text) -> None:
    found, words = refusal(stub.MultiInference, request_)
    assert found == code
    assert words.startswith(text)


def test_row_49_metadata_wants_its_one_field(stub) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    assert refusal(stub.GetModelMetadata, request) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    request.model_spec.name = "chorales"
    assert refusal(stub.GetModelMetadata, request) == (
        "INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field")
    request.metadata_field.append("other")
    assert refusal(stub.GetModelMetadata, request) == (
        "INVALID_ARGUMENT", "Metadata field other is not supported")
    request.metadata_field[:] = ["signature_def"]
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert stub.GetModelMetadata(request, timeout=20).metadata["signature_def"].Unpack(signatures)
    assert "generate" in signatures.signature_def


def test_rows_53_54_status_over_grpc(channel) -> None:
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "chorales"
    status, = stub.GetModelStatus(request, timeout=20).model_version_status
    assert (status.version, status.state) == (
        1, get_model_status_pb2.ModelVersionStatus.State.AVAILABLE)
    request.model_spec.version.value = 3
    assert refusal(stub.GetModelStatus, request) == (
        "NOT_FOUND", "Could not find version 3 of model chorales")


def test_client_messages_are_the_official_ones_byte_for_byte() -> None:
    arrays = {
        "float": np.array([[0.1, -2.5]], np.float32), "double": np.array([1e300]),
        "int": np.array([-3, 2**31 - 1], np.int32), "long": np.array([-(2**63)], np.int64),
        "bool": np.array([True, False]), "half": np.array([1.5, -2], np.float16),
        "small": np.array([-1, 127], np.int8), "unsigned": np.array([2**64 - 1], np.uint64),
        "text": np.array([b"a", b"\xff"], object), "scalar": np.array(3, np.int32),
        "empty": np.zeros((0, 4), np.float32),
    }
    for as_content in (True, False):
        own = _wire.PredictRequest(output_filter=["y"])
        own.model_spec.name = "m"
        own.model_spec.version.value = 7
        for name, array in arrays.items():
            _tensor.fill_proto(own.inputs[name], array, as_content)
        official = predict_pb2.PredictRequest.FromString(own.SerializeToString())
        assert official.model_spec.version.value == 7
        assert list(official.output_filter) == ["y"]
        assert len(unknown_fields.UnknownFieldSet(official)) == 0
        for name, array in arrays.items():
            np.testing.assert_array_equal(tf.make_ndarray(official.inputs[name]), array)
            again = _tensor.from_proto(official.inputs[name])
            assert again.dtype == array.dtype
            np.testing.assert_array_equal(again, array)


def test_client_in_a_process_without_tensorflow_speaks_with_the_official_messages(server) -> None:
    code = f"""
        import sys
        from rnnpt.serving.client import Client
        with Client("127.0.0.1:{server.port}") as client:
            client.wait_until_ready()
            assert client.status()[0].state == "AVAILABLE"
            assert client.metadata().signatures["start"].outputs["state"].shape == (None, 3)
            print(client.start(1).tolist(), client.generate(num_steps=2).length.tolist())
        assert "tensorflow" not in sys.modules
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True,
                         capture_output=True, text=True)
    assert ran.stdout == "[[0.5, 0.25, -0.5]] [2]\n"


@pytest.mark.parametrize("as_content", [True, False])
def test_row_44_requests_may_take_either_form(stub, as_content) -> None:
    arrays = {
        "frame": np.zeros((1, 88), np.float32), "seed": np.zeros((1, 2), np.int32),
        "state": np.full((1, 3), 0.25, np.float32), "temperature": np.ones(1, np.float32)}
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "chorales"
    request.model_spec.signature_name = "step"
    for name, array in arrays.items():
        _tensor.fill_proto(request.inputs[name], array, as_content)
    assert bool(request.inputs["state"].tensor_content) == as_content
    state = tf.make_ndarray(stub.Predict(request, timeout=20).outputs["state"])
    np.testing.assert_allclose(state, np.tanh(arrays["state"]), rtol=1e-6)


def test_row_45_a_client_that_raises_no_limit_takes_4_mb(stub) -> None:
    code, text = refusal(stub.Predict, start_request(session=np.zeros(500_000, np.int32)))
    assert code == "RESOURCE_EXHAUSTED"
    assert "4194304" in text


def test_row_45_messages_beyond_4_mb_pass(server) -> None:
    with Client(f"127.0.0.1:{server.port}") as client:
        assert client.start(500_000).shape == (500_000, 3)
