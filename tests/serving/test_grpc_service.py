"""What the gRPC port offers by flag: health, reflection, TLS, a socket, the form of outputs."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    session_service_pb2,
)

from rnnpt.serving import _predict
from rnnpt.serving._grpc_option import channel_arguments
from rnnpt.serving.error import DeadlineExceeded
from rnnpt.serving.server import ModelServer, ServerOptions, StartError
from tests.serving.certificate import make_certificate
from tests.serving.fuzz import valid_protos

NOW = {"file_system_poll_wait_seconds": 0.05, "max_num_load_retries": 0, "stop_grace_seconds": 1}


@contextlib.contextmanager
def serving(tiny_model, **options) -> Iterator[ModelServer]:
    with ModelServer("chorales", tiny_model, port=0, rest_api_port=0,
                     options=ServerOptions(**NOW | options)) as server:
        yield server


def start_request(num_rows: int = 2) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "chorales"
    request.model_spec.signature_name = "start"
    request.inputs["session"].CopyFrom(tf.make_tensor_proto(np.zeros(num_rows, np.int32)))
    return request


def start_over(channel: grpc.Channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return stub.Predict(start_request(), timeout=20).outputs["state"]


def code_and_text(call, *arguments, **keywords) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, timeout=20, **keywords)
    return caught.value.code().name, caught.value.details()


@pytest.mark.parametrize("data", valid_protos())
def test_the_official_stub_drives_every_signature(server, tiny_model, data) -> None:
    request = predict_pb2.PredictRequest.FromString(data)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        outputs = stub.Predict(request, timeout=20).outputs
    signature = tf.saved_model.load(str(tiny_model / "1")).signatures[
        request.model_spec.signature_name]
    expected = signature(**{name: tf.make_ndarray(proto)
                            for name, proto in request.inputs.items()})
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(tf.make_ndarray(outputs[name]), value, rtol=1e-5, atol=1e-6)


def test_row_39_a_request_whose_time_is_over_does_not_run(server) -> None:
    with pytest.raises(DeadlineExceeded, match="^Timed out waiting for notification$"):
        _predict.predict(server._manager, start_request(), time.monotonic() - 1)


def test_row_39_a_request_that_waits_beyond_its_deadline_leaves_the_queue(tiny_model) -> None:
    with serving(tiny_model, grpc_max_threads=1) as server:
        busy = threading.Event()
        server._executor.submit(busy.wait)
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.Predict(start_request(), timeout=0.3)
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            busy.set()
            # The one thread is free for what came later.
            assert len(start_over(channel).float_val) == 6


def test_row_42_the_session_service_is_not_registered(server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        run = channel.unary_unary(
            "/tensorflow.serving.SessionService/SessionRun",
            request_serializer=session_service_pb2.SessionRunRequest.SerializeToString,
            response_deserializer=session_service_pb2.SessionRunResponse.FromString)
        assert code_and_text(run, session_service_pb2.SessionRunRequest())[0] == "UNIMPLEMENTED"


def test_row_44_outputs_are_bytes_by_flag(tiny_model) -> None:
    with serving(tiny_model, enable_serialization_as_tensor_content=True) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            state = start_over(channel)
    assert not state.float_val
    np.testing.assert_array_equal(
        np.frombuffer(state.tensor_content, "<f4"), [0.5, 0.25, -0.5] * 2)


def test_rows_46_47_52_services_and_socket_by_flag(tiny_model, tmp_path) -> None:
    path = tmp_path / "grpc"
    with serving(tiny_model, enable_grpc_healthcheck_service=True, grpc_socket_path=str(path),
                 grpc_channel_arguments="grpc.max_receive_message_length=1000") as server:
        with grpc.insecure_channel(f"unix:{path}") as channel:
            assert len(start_over(channel).float_val) == 6
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            assert code_and_text(stub.Predict, start_request(1000))[0] == "RESOURCE_EXHAUSTED"
            health = health_pb2_grpc.HealthStub(channel)
            for name in ("", "ModelService", "PredictionService"):
                answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            assert code_and_text(
                health.Check, health_pb2.HealthCheckRequest(service="x"))[0] == "NOT_FOUND"
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            assert {"grpc.health.v1.Health", "tensorflow.serving.ModelService",
                    "tensorflow.serving.PredictionService"} <= listed_services(channel)


def listed_services(channel: grpc.Channel) -> set[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answer, = stub.ServerReflectionInfo(iter([request]), timeout=20)
    return {service.name for service in answer.list_services_response.service}


def test_row_46_health_is_off_by_default(server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert code_and_text(health.Check, health_pb2.HealthCheckRequest())[0] == "UNIMPLEMENTED"
        assert "grpc.health.v1.Health" not in listed_services(channel)


def test_row_47_reflection_tells_the_messages(server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="tensorflow.serving.PredictRequest")
        answer, = stub.ServerReflectionInfo(iter([request]), timeout=20)
    assert b"model_spec" in answer.file_descriptor_response.file_descriptor_proto[0]


def test_row_50_reload_replaces_the_list_of_models(tiny_model) -> None:
    with serving(tiny_model) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            request = model_management_pb2.ReloadConfigRequest()
            config = request.config.model_config_list.config.add(
                name="other", base_path="relative", model_platform="tensorflow")
            assert code_and_text(stub.HandleReloadConfigRequest, request) == (
                "INVALID_ARGUMENT", "Expected model other to have an absolute path or URI; got "
                                    "base_path()=relative")
            assert len(start_over(channel).float_val) == 6
            config.base_path = str(tiny_model)
            assert stub.HandleReloadConfigRequest(request, timeout=20).status.error_code == 0
            wanted = get_model_status_pb2.GetModelStatusRequest()
            wanted.model_spec.name = "other"
            versions = stub.GetModelStatus(wanted, timeout=20).model_version_status
            assert [version.state for version in versions] == [30]  # AVAILABLE
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            assert code_and_text(predict, start_request()) == (
                "NOT_FOUND", "Servable not found for request: Latest(chorales)")


def ssl_config(path, **fields: str) -> str:
    lines = [f"{name}: {value}" if value == "true" else f"{name}: {value!r}"
             for name, value in fields.items()]
    path.write_text("\n".join(lines))
    return str(path)


@pytest.fixture(scope="module")
def pair() -> tuple[bytes, bytes]:
    return make_certificate()


def identity(pair: tuple[bytes, bytes]) -> dict[str, str]:
    return {"server_key": pair[0].decode(), "server_cert": pair[1].decode()}


def test_row_51_tls_is_for_grpc(tiny_model, tmp_path, pair) -> None:
    file = ssl_config(tmp_path / "ssl.config", **identity(pair))
    with serving(tiny_model, ssl_config_file=file) as server:
        with grpc.secure_channel(
                f"localhost:{server.port}", grpc.ssl_channel_credentials(pair[1])) as channel:
            assert len(start_over(channel).float_val) == 6
        with grpc.insecure_channel(f"localhost:{server.port}") as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            assert code_and_text(predict, start_request())[0] == "UNAVAILABLE"


def test_row_51_clients_prove_themselves_where_they_must(tiny_model, tmp_path, pair) -> None:
    known = make_certificate("someone")
    file = ssl_config(tmp_path / "ssl.config", **identity(pair), client_verify="true",
                      custom_ca=known[1].decode())
    with serving(tiny_model, ssl_config_file=file) as server:
        target = f"localhost:{server.port}"
        trusted = grpc.ssl_channel_credentials(pair[1], *known)
        with grpc.secure_channel(target, trusted) as channel:
            assert len(start_over(channel).float_val) == 6
        with grpc.secure_channel(target, grpc.ssl_channel_credentials(pair[1])) as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            assert code_and_text(predict, start_request())[0] == "UNAVAILABLE"


def test_row_51_a_client_of_another_authority_is_refused(tiny_model, tmp_path, pair) -> None:
    file = ssl_config(tmp_path / "ssl.config", **identity(pair), client_verify="true",
                      custom_ca=make_certificate("someone")[1].decode())
    credentials = grpc.ssl_channel_credentials(pair[1], *make_certificate("someone"))
    with serving(tiny_model, ssl_config_file=file) as server:
        with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            assert code_and_text(predict, start_request())[0] == "UNAVAILABLE"


def test_rows_51_52_the_socket_speaks_tls_too(tiny_model, tmp_path, pair) -> None:
    file = ssl_config(tmp_path / "ssl.config", **identity(pair))
    path = tmp_path / "grpc"
    with serving(tiny_model, ssl_config_file=file, grpc_socket_path=str(path)):
        with grpc.insecure_channel(f"unix:{path}") as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            assert code_and_text(predict, start_request())[0] == "UNAVAILABLE"
        credentials = grpc.ssl_channel_credentials(pair[1])
        with grpc.secure_channel(f"unix:{path}", credentials, options=(
                ("grpc.ssl_target_name_override", "localhost"),)) as channel:
            assert len(start_over(channel).float_val) == 6


@pytest.mark.parametrize(("text", "message"), [
    (None, "ssl_config_file must be .*, got .*nowhere .*No such file or directory.; mend it"),
    ("client_verify: true\nserver_key: secret",
     "ssl_config_file must be .* .Invalid protobuf file: '.*ssl.config'.; mend it"),
    (b"\xff", "ssl_config_file must be .* .Invalid protobuf file: '.*ssl.config'.; mend it"),
    ('server_key: "key.pem"', "got .*ssl.config .server_key must be a PEM text, got 7 char"),
    ('server_key: "-----BEGIN A"', "server_cert must be a PEM text, got 0 characters of "),
    ('server_key: "-----BEGIN A" server_cert: "-----BEGIN B" client_verify: true',
     "custom_ca must be a PEM text, got 0 characters of "),
    ('server_key: "-----BEGIN A" server_cert: "-----BEGIN B"',
     "ssl_config_file must hold a server_key and a server_cert that belong together, .* got .*"
     "ssl.config with others; "),
])
def test_row_51_a_wrong_file_is_told(tiny_model, tmp_path, text, message) -> None:
    file = tmp_path / ("nowhere" if text is None else "ssl.config")
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(StartError, match=message) as caught:
        with serving(tiny_model, ssl_config_file=str(file)):
            pass
    assert "secret" not in str(caught.value)


def test_row_51_a_key_of_another_certificate_is_told(tiny_model, tmp_path, pair) -> None:
    other = {"server_key": make_certificate()[0].decode()}
    file = ssl_config(tmp_path / "ssl.config", **identity(pair) | other)
    with pytest.raises(StartError, match="ssl_config_file must hold .* that belong together"):
        with serving(tiny_model, ssl_config_file=file):
            pass


def test_row_52_a_socket_that_a_dead_server_left_is_taken_over(tiny_model, tmp_path) -> None:
    path = tmp_path / "grpc"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with serving(tiny_model, grpc_socket_path=str(path)):
        with grpc.insecure_channel(f"unix:{path}") as channel:
            assert len(start_over(channel).float_val) == 6


def test_row_52_a_file_in_the_sockets_place_stays(tiny_model, tmp_path) -> None:
    path = tmp_path / "grpc"
    path.write_text("a letter")
    with pytest.raises(StartError, match="grpc_socket_path must be where a socket can be made"):
        with serving(tiny_model, grpc_socket_path=str(path)):
            pass
    assert path.read_text() == "a letter"


@pytest.mark.parametrize(("options", "message"), [
    ({"grpc_channel_arguments": "grpc.a=1,b"},
     "grpc_channel_arguments must be a list of name=value, got 'b'; "),
    ({"grpc_channel_arguments": "=1"},
     "grpc_channel_arguments must be a list of name=value, got '=1'; "),
    ({"grpc_socket_path": "/nowhere/at/all"},
     "grpc_socket_path must be where a socket can be made, got '/nowhere/at/all'; "),
])
def test_row_52_wrong_settings_are_told(tiny_model, options, message) -> None:
    with pytest.raises(StartError, match=message):
        with serving(tiny_model, **options):
            pass


def test_row_52_arguments_are_integers_of_32_bits_or_text() -> None:
    text = "grpc.a=12,grpc.b=-3,grpc.c=x,grpc.d=3000000000,grpc.e=,grpc.f=1.5"
    assert channel_arguments(ServerOptions(grpc_channel_arguments=text)) == [
        ("grpc.a", 12), ("grpc.b", -3), ("grpc.c", "x"), ("grpc.d", "3000000000"), ("grpc.e", ""),
        ("grpc.f", "1.5")]
    assert channel_arguments(ServerOptions()) == []


def test_threads_of_all_kinds_do_not_go_together() -> None:
    with pytest.raises(ValueError, match=(
            "tensorflow_session_parallelism, .* must not all be set, got 1, 2, 3; ")):
        ServerOptions(tensorflow_session_parallelism=1, tensorflow_intra_op_parallelism=2,
                      tensorflow_inter_op_parallelism=3)
