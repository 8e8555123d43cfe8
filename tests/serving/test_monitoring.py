"""Metrics for Prometheus: when there are any, their names, and that they stay few."""

import re
import shutil
import threading

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, predict_pb2, prediction_service_pb2_grpc

from rnnpt.serving import _rest
from rnnpt.serving._metrics import LONGEST_UNKNOWN_NAME, MAX_UNKNOWN_LABEL_SETS, OTHER, Metrics
from rnnpt.serving._monitoring import metrics_path
from rnnpt.serving.client import Client
from rnnpt.serving.error import InvalidArgument, NotFound
from rnnpt.serving.server import ModelServer, ServerOptions, StartError
from tests.serving.rest_stub import rest_stub
from tests.serving.tiny_model import write_warmup

PATH = "/monitoring/prometheus/metrics"
# Each line is a type, or a name with labels and a number: Prometheus' text format.
LINE = re.compile(
    r'# TYPE [a-z_:]+ (counter|histogram)|[a-z_:]+\{(\w+="(?:[^"\\\n]|\\["\\n])*",?)*\} '
    r'[0-9.e+]+')


def write(folder, text: str) -> str:
    (folder / "monitoring.config").write_text(text)
    return str(folder / "monitoring.config")


@pytest.mark.parametrize(("text", "path"), [
    ("prometheus_config { enable: true }", PATH),
    ('prometheus_config: { enable: true, path: "/metrics" }  # comment', "/metrics"),
    ("prometheus_config { enable: false }", None), ('prometheus_config { path: "/a" }', None),
    ("", None)])
def test_row_77_the_file_says_whether_and_where(tmp_path, text, path) -> None:
    assert metrics_path(write(tmp_path, text)) == path
    assert metrics_path(None) is None


@pytest.mark.parametrize("text", ["prometheus_config {", "nonsense", "prometheus_config { x: 1 }",
                                  "prometheus_config { enable: 7 }", "\x80"])
def test_a_file_that_is_no_config_is_refused(tmp_path, text) -> None:
    file = tmp_path / "monitoring.config"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidArgument) as caught:
        metrics_path(str(file))
    assert str(caught.value) == f"Invalid protobuf file: '{file}'"


def test_a_file_that_is_not_there_is_told(tmp_path, tiny_model) -> None:
    with pytest.raises(NotFound, match="^/nowhere/m.config; No such file or directory$"):
        metrics_path("/nowhere/m.config")
    options = ServerOptions(monitoring_config_file="/nowhere/m.config")
    with pytest.raises(StartError, match="^monitoring_config_file must hold a MonitoringConfig, "
                                         "got /nowhere/m.config .*; mend it$"):
        with ModelServer("chorales", tiny_model, port=0, rest_api_port=0, options=options):
            pass


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    file = write(tmp_path_factory.mktemp("config"), "prometheus_config { enable: true }")
    with rest_stub(monitoring_config_file=file, rest_api_enable_cors_support=True) as stub:
        yield stub


def test_row_77_the_page_is_plain_text_and_takes_no_query(stub) -> None:
    status, headers, body = stub.call("GET", PATH)
    assert (status, headers["content-type"]) == (200, "text/plain")
    assert body.startswith(b"# TYPE :tensorflow:serving:batching_session:queuing_latency histogram")
    assert "access-control-allow-origin" not in headers
    status, headers, body = stub.call("GET", PATH + "?x=1")
    assert (status, headers["content-type"]) == (400, "text/plain")
    assert body == f"Unexpected path: {PATH}?x=1. Should be {PATH}".encode()
    assert stub.call("GET", PATH + "/")[0] == 404


def test_row_77_without_the_file_there_is_no_page() -> None:
    with rest_stub() as stub:
        assert stub.call("GET", PATH)[0] == 404


def values(page: str, name: str) -> dict[str, str]:
    """Labels -> number of a metric's lines."""
    found = re.findall(rf"^:tensorflow:serving:{name}\{{(.*)\}} (.*)$", page, re.MULTILINE)
    return dict(found)


def test_row_78_rest_calls_are_counted_with_the_name_of_the_url(stub) -> None:
    for verb, path in (("GET", "/v1/models/m"), ("GET", "/v1/models/m"), ("GET", "/v1/models/n%22"),
                       ("POST", "/v1/models/m:predict"), ("POST", "/v1/models/m:predict?x"),
                       ("GET", "/healthz"), ("OPTIONS", "/v1/models/m")):
        stub.call(verb, path)
    page = stub.manager.metrics.page()
    assert values(page, "request_count") == {
        'model_name="m",status="OK"': "2", 'model_name="n\\"",status="NOT_FOUND"': "1",
        'model_name="m",status="INVALID_ARGUMENT"': "1",
        'model_name="",status="INVALID_ARGUMENT"': "1",
        'model_name="",status="FAILED_PRECONDITION"': "1"}
    # Only what went well is timed, and the status page has no name there.
    assert values(page, "request_latency_count") == {
        'model_name="m",API="",entrypoint="REST"': "2"}


def test_rows_15_78_a_request_that_timed_out_is_counted() -> None:
    with rest_stub(num_threads=1, rest_api_timeout_in_ms=50) as stub:
        assert stub.call("GET", "/v1/models/slow")[0] == 504
        assert values(stub.manager.metrics.page(), "request_count") == {
            'model_name="slow",status="DEADLINE_EXCEEDED"': "1"}


def test_row_78_names_labels_and_buckets() -> None:
    metrics = Metrics()
    metrics.add_request("m", "predict", "REST", "OK", 9e-6)
    metrics.add_request("m", "predict", "REST", "OK", 10e-6)
    metrics.add_request("m", "predict", "REST", "OK", 1e6)
    metrics.add_request("m", "predict", "REST", "NOT_FOUND", 1)
    lines = metrics.page().splitlines()
    start = lines.index("# TYPE :tensorflow:serving:request_latency histogram") + 1
    name = ":tensorflow:serving:request_latency"
    labels = 'model_name="m",API="predict",entrypoint="REST"'
    assert lines[start:start + 5] == [
        f'{name}_bucket{{{labels},le="10"}} 1', f'{name}_bucket{{{labels},le="18"}} 2',
        f'{name}_bucket{{{labels},le="32.4"}} 2', f'{name}_bucket{{{labels},le="58.32"}} 2',
        f'{name}_bucket{{{labels},le="104.976"}} 2']
    assert lines[start + 32:start + 36] == [
        f'{name}_bucket{{{labels},le="1.47476e+09"}} 2', f'{name}_bucket{{{labels},le="+Inf"}} 3',
        f"{name}_sum{{{labels}}} 1e+12", f"{name}_count{{{labels}}} 3"]
    assert [line for line in lines if "request_count" in line] == [
        "# TYPE :tensorflow:serving:request_count counter",
        ':tensorflow:serving:request_count{model_name="m",status="NOT_FOUND"} 1',
        ':tensorflow:serving:request_count{model_name="m",status="OK"} 3']
    assert "HELP" not in metrics.page()


def test_row_78_all_metrics_have_their_types_from_the_start() -> None:
    name = ":tensorflow:serving:"
    assert Metrics().page() == "".join(f"# TYPE {name}{line}\n" for line in (
        "batching_session:queuing_latency histogram", "model_warmup_latency histogram",
        "request_count counter", "request_latency histogram", "runtime_latency histogram"))


def test_row_78_the_wait_for_a_batch_has_its_own_buckets() -> None:
    metrics = Metrics()
    metrics.add_queuing("threads", [110e-6])
    found = values(metrics.page(), "batching_session:queuing_latency_bucket")
    assert list(found.items())[:3] == [
        ('thread_pool_name="threads",le="100"', "0"), ('thread_pool_name="threads",le="120"', "1"),
        ('thread_pool_name="threads",le="144"', "1")]
    assert len(found) == 53


def test_rows_76_78_both_fronts_runs_and_warm_up_are_counted(tiny_model, tmp_path) -> None:
    shutil.copytree(tiny_model, tmp_path / "chorales")
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = "start"
    request.inputs["session"].CopyFrom(tf.make_tensor_proto([0]))
    write_warmup(tmp_path / "chorales" / "1", request)
    options = ServerOptions(
        stop_grace_seconds=1,
        monitoring_config_file=write(tmp_path, "prometheus_config { enable: true }"))
    with ModelServer("chorales", tmp_path / "chorales", port=0, rest_api_port=0,
                     options=options) as server:
        with Client(f"127.0.0.1:{server.port}", "chorales") as client:
            client.start()
            client.start()
            client.status()
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            official = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            for call, request in ((official.Predict, predict_pb2.PredictRequest()),
                                  (official.Classify, classification_pb2.ClassificationRequest())):
                request.model_spec.name = "nope"
                with pytest.raises(grpc.RpcError):
                    call(request, timeout=20)
        with Client(f"http://127.0.0.1:{server.rest_api_port}", "chorales") as client:
            client.start()
        page = server._manager.metrics.page()
    counts = values(page, "request_count")
    # Over gRPC two, over REST also the metadata; those of gRPC are not counted, as there.
    assert counts == {'model_name="chorales",status="OK"': "4",
                      'model_name="nope",status="NOT_FOUND"': "2"}
    latencies = values(page, "request_latency_count")
    assert latencies['model_name="chorales",API="Predict",entrypoint="GRPC"'] == "2"
    assert latencies['model_name="chorales",API="predict",entrypoint="REST"'] == "1"
    assert values(page, "runtime_latency_count") == {
        'model_name="chorales",API="Predict",runtime="TF1"': "3"}
    path = tmp_path / "chorales" / "1"
    assert values(page, "model_warmup_latency_count") == {f'model_path="{path}",status="OK"': "1"}
    assert all(LINE.fullmatch(line) for line in page.splitlines())


def test_row_78_waits_for_a_batch_are_timed_by_the_servers_metrics(tiny_model) -> None:
    options = ServerOptions(enable_batching=True, stop_grace_seconds=1)
    with ModelServer(
            "chorales", tiny_model, port=0, rest_api_port=0, options=options) as server:
        with Client(f"127.0.0.1:{server.port}") as client:
            client.start()
        page = server._manager.metrics.page()
    count = values(page, "batching_session:queuing_latency_count")
    assert sum(float(number) for number in count.values()) == 1


def test_row_39_a_rest_request_hands_its_time_to_the_model(monkeypatch) -> None:
    ends = []

    def predict(manager, request, ends_at):
        ends.append(ends_at)
        raise NotFound("enough")

    monkeypatch.setattr(_rest._predict, "predict", predict)
    monkeypatch.setattr(_rest, "fill_request", lambda *_: True)
    call = _rest.route("POST", "/v1/models/m:predict", "")
    assert _rest.run_call(None, call, b"{}", 5.0).status == 404
    assert ends == [5.0]


def test_row_79_names_that_are_no_models_share_few_labels() -> None:
    metrics = Metrics()
    for index in range(MAX_UNKNOWN_LABEL_SETS + 40):
        metrics.add_request(f"junk {index}", "predict", "REST", "NOT_FOUND", 0.1)
    counts = values(metrics.page(), "request_count")
    assert len(counts) == MAX_UNKNOWN_LABEL_SETS + 1
    assert counts[f'model_name="{OTHER}",status="NOT_FOUND"'] == "40"
    # A model that runs is counted by its name even now; so is one that was counted before.
    metrics.add_run("late", 0.1)
    metrics.add_request("late", "predict", "REST", "OK", 0.1)
    metrics.add_request("junk 3", "predict", "REST", "NOT_FOUND", 0.1)
    counts = values(metrics.page(), "request_count")
    assert counts['model_name="late",status="OK"'] == "1"
    assert counts['model_name="junk 3",status="NOT_FOUND"'] == "2"


def test_long_names_that_are_no_models_are_not_kept() -> None:
    metrics = Metrics()
    names = [length * "n" for length in (LONGEST_UNKNOWN_NAME, LONGEST_UNKNOWN_NAME + 1, 300)]
    metrics.add_run(names[2], 0.1)
    for name in names:
        metrics.add_request(name, "predict", "REST", "NOT_FOUND", 0.1)
    assert values(metrics.page(), "request_count") == {
        f'model_name="{name}",status="NOT_FOUND"': "1" for name in (names[0], OTHER, names[2])}


def test_a_name_writes_no_line_of_its_own(stub) -> None:
    stub.call("GET", "/v1/models/" + "%0A%23 TYPE evil%22%5C".replace(" ", "%20"))
    page = stub.call("GET", PATH)[2].decode()
    assert 'model_name="\\n# TYPE evil\\"\\\\",status="NOT_FOUND"' in page
    assert all(LINE.fullmatch(line) for line in page.splitlines())


def test_threads_lose_no_count() -> None:
    metrics = Metrics()

    def count() -> None:
        for _ in range(500):
            with metrics.request("m", "Predict", "GRPC"):
                pass

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values(metrics.page(), "request_count") == {'model_name="m",status="OK"': "4000"}


@pytest.mark.parametrize(("error", "code"), [
    (NotFound("x"), "NOT_FOUND"), (ValueError("x"), "UNKNOWN")])
def test_what_a_request_raises_is_its_status(error, code) -> None:
    metrics = Metrics()
    with pytest.raises(type(error)):
        with metrics.request("m", "Predict", "GRPC"):
            raise error
    assert values(metrics.page(), "request_count") == {f'model_name="m",status="{code}"': "1"}
    assert values(metrics.page(), "request_latency_count") == {}
