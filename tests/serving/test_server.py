"""The embedded server's life: ports, versions that come and go, warm-up, the end."""

import contextlib
import dataclasses
import gc
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_service_pb2_grpc

from rnnpt import export, models
from rnnpt.serving.client import Client, DeadlineExceeded, NotFound, ServingError
from rnnpt.serving.server import ModelServer, ServerOptions, StartError, serve
from tests.serving.conftest import OPTIONS
from tests.serving.tiny_model import TinyModel, save, save_tiny, write_warmup


def model_server(base_path: pathlib.Path, **changes) -> ModelServer:
    arguments = {"port": 0, "rest_api_port": 0, "options": OPTIONS} | changes
    return ModelServer("chorales", base_path, **arguments)


def client_of(server: ModelServer, **arguments) -> Client:
    return Client(f"127.0.0.1:{server.port}", timeout_s=20, **arguments)


def wait_for(condition, what: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"never saw that {what}"
        time.sleep(0.02)


@pytest.fixture
def base_path(tiny_model: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the tiny model to play with."""
    shutil.copytree(tiny_model, tmp_path / "chorales")
    return tmp_path / "chorales"


@pytest.mark.parametrize("flag", ["port", "rest_api_port"])
def test_port_in_use_names_the_flag_and_the_way_out(tiny_model, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=(
                f"^{flag} must be free, got {port}, which another program uses; .*--{flag}$")):
            with model_server(tiny_model, **{flag: port}):
                pass


def test_port_must_be_a_port(tiny_model) -> None:
    with pytest.raises(StartError, match="rest_api_port must be from 0 to 65535, got 65536"):
        model_server(tiny_model, rest_api_port=65536).start()


def test_host_must_be_of_this_machine(tiny_model) -> None:
    with pytest.raises(StartError, match="rest_api_port and host must be .*got 192.0.2.1:0"):
        model_server(tiny_model, host="192.0.2.1").start()


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(),
                                  lambda path: (path / "v1").mkdir(parents=True)])
def test_a_base_path_without_a_version_is_told(tmp_path, make) -> None:
    make(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="model_base_path must hold .*got .*nowhere"):
        model_server(tmp_path / "nowhere").start()


@pytest.mark.parametrize("make", [
    lambda folder: folder.mkdir(),
    lambda folder: (folder.mkdir(), (folder / "saved_model.pb").write_bytes(b"\xff" * 40)),
])
def test_row_65_a_model_that_does_not_load_is_told(tmp_path, make) -> None:
    (tmp_path / "m").mkdir()
    make(tmp_path / "m" / "1")
    with pytest.raises(StartError, match=(
            r"^model_base_path must hold a model that loads, got .*m \(Failed to start server. "
            r"Error: UNKNOWN: 1 servable\(s\) did not become available: {{{name: chorales version: "
            r"1} due to error: [A-Z_]+: .*}, }\); export it again$")) as caught:
        with model_server(tmp_path / "m"):
            pass
    assert "\n" not in str(caught.value)


def test_a_truncated_variables_file_does_not_load(base_path) -> None:
    data = base_path / "1" / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(StartError, match="name: chorales version: 1} due to error: "):
        with model_server(base_path):
            pass


def test_row_59_version_folders_are_numbers(base_path) -> None:
    os.rename(base_path / "1", base_path / "00000005")
    (base_path / "v6").mkdir()
    (base_path / ".tmp").mkdir()
    with model_server(base_path) as server, client_of(server) as client:
        assert [status.version for status in client.status()] == [5]


def test_row_61_a_model_is_replaced_ten_times_under_load_without_a_failed_request(
        tmp_path) -> None:
    # One signature only, so that a version loads in a blink.
    base_path = tmp_path / "chorales"
    base_path.mkdir()
    save(base_path / "1", TinyModel(), ("start",))
    errors: list[ServingError] = []
    num_answers = [0] * 4
    stopping = threading.Event()

    def ask(index: int, target: str) -> None:
        with Client(target, timeout_s=20) as client:
            while not stopping.is_set():
                try:
                    client.start()
                    num_answers[index] += 1
                except ServingError as error:
                    errors.append(error)

    with model_server(base_path) as server, client_of(server) as client:
        targets = [f"127.0.0.1:{server.port}", f"http://127.0.0.1:{server.rest_api_port}"] * 2
        askers = [threading.Thread(target=ask, args=pair) for pair in enumerate(targets)]
        for asker in askers:
            asker.start()
        try:
            for version in range(2, 12):
                shutil.copytree(base_path / "1", base_path / f".{version}")
                os.rename(base_path / f".{version}", base_path / str(version))
                wait_for(lambda: client.metadata().version == version, f"{version} is served")
        finally:
            stopping.set()
            for asker in askers:
                asker.join()
        wait_for(lambda: client.status()[1].state == "END", "the old version is dropped")
        assert not errors
        assert min(num_answers) > 10
        assert [(s.version, s.state) for s in client.status()] == [
            (11, "AVAILABLE"), *((version, "END") for version in range(10, 0, -1))]


def test_row_62_a_broken_version_stays_out_and_is_told(base_path, caplog) -> None:
    with model_server(base_path) as server, client_of(server) as client:
        (base_path / "2").mkdir()
        wait_for(lambda: client.status()[0].state == "END", "version 2 is given up")
        broken, serving = client.status()
        assert (broken.version, serving.version, serving.state) == (2, 1, "AVAILABLE")
        assert "no SavedModel in" in broken.error
        assert "model chorales: version 2 is given up" in caplog.text
        assert client.metadata().version == 1
        shutil.rmtree(base_path / "2")
        client.start()


def test_a_broken_version_is_tried_again(base_path) -> None:
    options = ServerOptions(file_system_poll_wait_seconds=0.05, max_num_load_retries=1000,
                            load_retry_interval_micros=10_000)
    with model_server(base_path, options=options) as server, client_of(server) as client:
        (base_path / "2").mkdir()
        wait_for(lambda: client.status()[0].state == "LOADING", "version 2 is tried")
        shutil.copytree(base_path / "1", base_path / "2", dirs_exist_ok=True)
        wait_for(lambda: client.metadata().version == 2, "version 2 is served")
        assert client.status()[0].error == ""


def test_row_64_without_version_folders_nothing_is_served(base_path) -> None:
    with model_server(base_path) as server, client_of(server) as client:
        os.rename(base_path, base_path.with_name("elsewhere"))
        watch = server._manager._watch
        look = watch.num_looks + 2
        wait_for(lambda: watch.num_looks >= look, "the folder is seen to be gone")
        client.start()  # the base path itself may go
        base_path.mkdir()
        wait_for(lambda: client.status()[0].state == "END", "the version is dropped")
        with pytest.raises(NotFound, match=r"Latest\(chorales\)"):
            client.start()
        with pytest.raises(NotFound):
            client.metadata()  # row 58
        os.rename(base_path.with_name("elsewhere") / "1", base_path / "1")
        wait_for(lambda: client.status()[0].state == "AVAILABLE", "it is served again")


def test_row_65_ports_open_when_the_first_version_comes(base_path) -> None:
    os.rename(base_path, base_path.with_name("later"))
    server = model_server(base_path)
    starting = threading.Thread(target=server.start, kwargs={"wait_for_versions": True})
    starting.start()
    time.sleep(0.2)
    assert starting.is_alive()
    os.rename(base_path.with_name("later"), base_path)
    starting.join()
    with client_of(server) as client:
        client.start()
    server.stop()


def test_row_76_warm_up_requests_are_played(base_path) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "of another name"
    request.model_spec.signature_name = "start"
    request.inputs["session"].CopyFrom(tf.make_tensor_proto(np.zeros(1, np.int32)))
    write_warmup(base_path / "1", request)
    with model_server(base_path) as server, client_of(server) as client:
        client.start()
        request.model_spec.signature_name = "nosuch"
        save_tiny(base_path.with_name("2"))
        write_warmup(base_path.with_name("2"), request)
        os.rename(base_path.with_name("2"), base_path / "2")
        wait_for(lambda: client.status()[0].state == "END", "the failing record fails the load")
        assert client.status()[0].error == (
            'warm-up request 0 fails: Serving signature key "nosuch" not found.')


def test_a_broken_warm_up_file_fails_the_load(base_path) -> None:
    (base_path / "1" / "assets.extra").mkdir()
    file = base_path / "1" / "assets.extra" / "tf_serving_warmup_requests"
    file.write_bytes(b"no record" * 20)
    with pytest.raises(StartError, match="tf_serving_warmup_requests must be a file of TFRecords"):
        model_server(base_path).start()


def write_config(file: pathlib.Path, *models: str) -> ServerOptions:
    """Writes a file of models and returns options that name it."""
    file.write_text("model_config_list {%s}" % "".join(
        "config { model_platform: 'tensorflow' %s }" % model for model in models))
    return dataclasses.replace(
        OPTIONS, model_config_file=str(file), allow_version_labels_for_unavailable_models=True)


@pytest.fixture
def two_models(base_path: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[ModelServer]:
    """A server of chorales, versions 1 and 2 with labels, and of folk, version 7."""
    for path in (base_path / "2", tmp_path / "f" / "7"):
        shutil.copytree(base_path / "1", path)
    options = write_config(
        tmp_path / "models.config",
        f"name: 'chorales' base_path: '{base_path}' model_version_policy {{ all {{}} }} "
        "version_labels { key: 'stable' value: 1 } version_labels { key: 'later' value: 9 }",
        f"name: 'folk' base_path: '{tmp_path}/f'")
    with model_server(tmp_path / "passed_over", options=options) as server:  # row 70
        yield server


def get(server: ModelServer, path: str, body: dict | None = None) -> tuple[int, dict]:
    """Asks over REST with the path as it is written."""
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_api_port, timeout=20)
    with contextlib.closing(connection):
        if body is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.load(answer)


def test_rows_29_43_and_70_the_models_of_a_file_over_grpc(two_models) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = "start"
    request.inputs["session"].CopyFrom(tf.make_tensor_proto(np.zeros(1, np.int32)))
    with grpc.insecure_channel(f"127.0.0.1:{two_models.port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for name, choice, version in (
                ("chorales", {}, 2), ("chorales", {"version": {"value": 1}}, 1),
                ("chorales", {"version_label": "stable"}, 1), ("folk", {}, 7)):
            spec = model_pb2.ModelSpec(name=name, signature_name="start", **choice)
            request.model_spec.CopyFrom(spec)
            answered = stub.Predict(request, timeout=20).model_spec
            # The version stands where the label stood.
            assert answered == model_pb2.ModelSpec(
                name=name, signature_name="start", version={"value": version})
        for choice, code, text in (
                ({"version_label": "zzz"}, grpc.StatusCode.INVALID_ARGUMENT,
                 "Unrecognized servable version label: zzz"),
                ({"version_label": "later"}, grpc.StatusCode.NOT_FOUND,
                 "Servable not found for request: Specific(chorales, 9)")):
            request.model_spec.CopyFrom(model_pb2.ModelSpec(name="chorales", **choice))
            with pytest.raises(grpc.RpcError) as caught:
                stub.Predict(request, timeout=20)
            assert (caught.value.code(), caught.value.details()) == (code, text)


def test_rows_29_53_55_and_58_the_models_of_a_file_over_rest(two_models) -> None:
    body = {"signature_name": "start", "inputs": [0]}
    started = (200, {"outputs": [[0.5, 0.25, -0.5]]})
    for path in ("chorales", "chorales/labels/stable", "chorales/versions/2", "folk"):
        assert get(two_models, f"/v1/models/{path}:predict", body) == started
    for path, status, text in (
            ("chorales/labels/zzz", 400, "Unrecognized servable version label: zzz"),
            ("chorales/labels/later", 404, "Servable not found for request: Specific(chorales, 9)"),
            ("folk/labels/stable", 400, "Unrecognized servable version label: stable"),
            ("passed_over", 404, "Servable not found for request: Latest(passed_over)"),
            ("..%2Ff", 404, "Servable not found for request: Latest(../f)")):
        assert get(two_models, f"/v1/models/{path}:predict", body) == (status, {"error": text})
        assert get(two_models, f"/v1/models/{path}/metadata") == (status, {"error": text})
    # The status does not look at labels.
    listed = [{"version": version, "state": "AVAILABLE",
               "status": {"error_code": "OK", "error_message": ""}} for version in "21"]
    for path in ("chorales", "chorales/labels/zzz"):
        assert get(two_models, f"/v1/models/{path}") == (200, {"model_version_status": listed})
    assert get(two_models, "/v1/models/chorales/versions/1")[1] == {
        "model_version_status": listed[1:]}
    # row 54
    for path, text in (("nope", "Could not find any versions of model nope"),
                       ("nope/versions/3", "Could not find version 3 of model nope"),
                       ("folk/versions/3", "Could not find version 3 of model folk")):
        assert get(two_models, f"/v1/models/{path}") == (404, {"error": text})


def test_a_file_whose_models_have_no_version_is_told(tmp_path) -> None:
    options = write_config(tmp_path / "models.config", f"name: 'a' base_path: '{tmp_path}/a'")
    with pytest.raises(FileNotFoundError, match=(
            f"^base_path of model a must hold a version folder .*, got {tmp_path}/a without one; "
            f"export a model to {tmp_path}/a/1$")):
        model_server(tmp_path, options=options).start()


@pytest.mark.parametrize(("text", "told"), [
    # row 67
    ("model_config_list {", "INVALID_ARGUMENT: Invalid protobuf file: '.*models.config'"),
    ("model_config_list { config { name: 'a' base_path: 'rel/fa' model_platform: 'tensorflow' } }",
     "INVALID_ARGUMENT: Expected model a to have an absolute path or URI; got "
     "base_path..=rel/fa"),
    ("custom_model_config {}",
     "UNIMPLEMENTED: ModelServer does not yet support custom model config."),
    (None, "NOT_FOUND: .*models.config; No such file or directory"),
])
def test_row_67_a_file_of_models_that_is_refused_is_told(tmp_path, text, told) -> None:
    file = tmp_path / "models.config"
    if text is not None:
        file.write_text(text)
    options = ServerOptions(model_config_file=str(file))
    with pytest.raises(StartError, match=(
            f"^model_config_file must name models that can be served, got {file} .Failed to start "
            f"server. Error: {told}.; mend what it tells of$")):
        model_server(tmp_path, options=options).start(wait_for_versions=True)


def test_row_69_a_label_at_startup_without_its_flag_is_told(base_path, tmp_path) -> None:
    options = write_config(
        tmp_path / "models.config",
        f"name: 'chorales' base_path: '{base_path}' version_labels {{ key: 's' value: 1 }}")
    options = dataclasses.replace(options, allow_version_labels_for_unavailable_models=False)
    with pytest.raises(StartError, match="Error: FAILED_PRECONDITION: Request to assign label to "
                                         "version 1 of model chorales, which is not currently"):
        model_server(tmp_path, options=options).start()


def test_a_server_of_no_models_starts(tmp_path) -> None:
    (tmp_path / "models.config").write_text("")
    options = dataclasses.replace(OPTIONS, model_config_file=str(tmp_path / "models.config"))
    with model_server(tmp_path, options=options) as server:
        assert get(server, "/v1/models/a") == (
            404, {"error": "Could not find any versions of model a"})


@pytest.mark.parametrize(("name", "value"), [
    ("max_num_load_retries", -1), ("rest_api_timeout_in_ms", 0), ("grpc_max_threads", 0)])
def test_options_have_ranges(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least .*, got {value}"):
        ServerOptions(**{name: value})


def test_requests_run_side_by_side(server) -> None:
    answers: list[int] = []

    def ask() -> None:
        with client_of(server) as client:
            for _ in range(5):
                answers.append(int(client.generate(num_steps=20).length[0]))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [20] * 40


def test_row_15_a_rest_request_ends_at_its_time_limit(tiny_model) -> None:
    options = ServerOptions(rest_api_timeout_in_ms=1, grpc_max_threads=1)
    with model_server(tiny_model, options=options) as server:
        busy = threading.Event()
        server._executor.submit(busy.wait)
        with Client(f"http://127.0.0.1:{server.rest_api_port}") as client:
            with pytest.raises(ServingError, match="Timed out waiting for notification") as caught:
                client.status()
        busy.set()
    assert caught.value.code == "DEADLINE_EXCEEDED"


def test_row_15_a_rest_request_is_answered_at_its_limit_while_its_run_goes_on(tmp_path) -> None:
    model = models.RNN(num_hidden=3)
    model.build_for(4)
    export.save(model, tmp_path / "chorales" / "1", max_steps=20_000, max_num_steps=20_000)
    options = ServerOptions(rest_api_timeout_in_ms=100)
    with model_server(tmp_path / "chorales", options=options) as server:
        with Client(f"http://127.0.0.1:{server.rest_api_port}", timeout_s=20) as client:
            client.generate(num_steps=1)
            with pytest.raises(DeadlineExceeded, match="Timed out waiting for notification"):
                client.generate(num_steps=20_000)
            assert server._executor._num_unfinished


def test_stopping_lets_a_request_under_way_end(tiny_model) -> None:
    server = model_server(tiny_model, options=ServerOptions(grpc_max_threads=1))
    server.start()
    busy = threading.Event()
    answers: list[float] = []
    with client_of(server) as client:
        client.metadata()
        server._executor.submit(busy.wait)
        asking = threading.Thread(target=lambda: answers.extend(client.start()[0]))
        asking.start()
        wait_for(lambda: server._executor._work_queue.qsize(), "the request waits for its turn")
        threading.Timer(0.2, busy.set).start()
        server.stop()
        asking.join()
    assert answers == [0.5, 0.25, -0.5]


SERVE = """
import sys
from rnnpt.serving.server import ServerOptions, serve
serve("chorales", sys.argv[1], port=0, rest_api_port=0,
      options=ServerOptions(stop_grace_seconds=1, file_system_poll_wait_seconds=0.05))
"""


def test_serve_ends_on_sigterm(tiny_model) -> None:
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(tiny_model)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert select.select([process.stdout], [], [], 60)[0]
        line = process.stdout.readline()
        port = re.search(r"gRPC at 127.0.0.1:(\d+)", line)[1]
        with Client(f"127.0.0.1:{port}") as client:
            assert client.start().tolist() == [[0.5, 0.25, -0.5]]
        process.terminate()
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "Traceback" not in errors
    finally:
        process.kill()


def test_serve_waits_for_a_model_until_sigint(tmp_path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(tmp_path / "none")],
                               stderr=subprocess.PIPE, text=True)
    try:
        assert select.select([process.stderr], [], [], 60)[0]
        warnings = ""
        while "base_path of model chorales must be a folder" not in warnings:
            warnings += process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.stderr.close()


def test_serve_refuses_a_port_in_use(tiny_model) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(StartError, match="--port$"):
            serve("chorales", tiny_model, port=taken.getsockname()[1], rest_api_port=0)


def test_serve_serves_the_models_of_a_file(base_path, tmp_path, capsys, monkeypatch) -> None:
    options = write_config(tmp_path / "m.config", f"name: 'a' base_path: '{base_path}'")
    start = ModelServer.start

    def start_and_stop(server: ModelServer, wait_for_versions: bool) -> bool:
        is_started = start(server, wait_for_versions)
        os.kill(os.getpid(), signal.SIGTERM)
        return is_started

    monkeypatch.setattr(ModelServer, "start", start_and_stop)
    serve("x", tmp_path / "none", port=0, rest_api_port=0, options=options)
    assert re.fullmatch(
        rf"Serving the models of {tmp_path}/m.config: gRPC at 127.0.0.1:\d+, REST at "
        r"http://127.0.0.1:\d+/v1/models; stop with Ctrl-C.\n", capsys.readouterr().out)


def test_what_was_imported_is_not_looked_through_for_garbage(tiny_model, monkeypatch) -> None:
    num_frozen: list[int] = []

    def start(self: ModelServer, wait_for_versions: bool) -> bool:
        num_frozen.append(gc.get_freeze_count())
        return False

    monkeypatch.setattr(ModelServer, "start", start)
    serve("chorales", tiny_model, port=0, rest_api_port=0)
    assert num_frozen[0] > 100_000 and gc.get_freeze_count() == 0
