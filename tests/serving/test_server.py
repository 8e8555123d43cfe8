"""The embedded server's life: ports, versions that come and go, warm-up, the end."""

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

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from rnnpt.serving.client import Client, NotFound, ServingError
from rnnpt.serving.server import ModelServer, ServerOptions, StartError, serve
from tests.serving.conftest import OPTIONS
from tests.serving.tiny_model import save_tiny, write_warmup


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


def test_row_61_a_new_version_replaces_the_old_one_without_a_failed_request(base_path) -> None:
    failures: list[ServingError] = []
    stopping = threading.Event()

    def ask(client: Client) -> None:
        while not stopping.is_set():
            try:
                client.start()
            except ServingError as error:
                failures.append(error)

    with model_server(base_path) as server, client_of(server) as client:
        asking = threading.Thread(target=ask, args=(client,))
        asking.start()
        try:
            for version in (2, 3, 4):
                shutil.copytree(base_path / "1", base_path / f".{version}")
                os.rename(base_path / f".{version}", base_path / str(version))
                wait_for(lambda: client.metadata().version == version, f"{version} is served")
        finally:
            stopping.set()
            asking.join()
        wait_for(lambda: client.status()[1].state == "END", "the old version is dropped")
        assert not failures
        assert [(s.version, s.state) for s in client.status()] == [
            (4, "AVAILABLE"), (3, "END"), (2, "END"), (1, "END")]


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
        time.sleep(0.2)
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
