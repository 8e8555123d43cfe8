"""Row 76 of the specification: the requests stored beside a model."""

import logging
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from rnnpt.serving import _warmup
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._warmup import WARMUP_FILE, load_servable
from rnnpt.serving.error import InvalidArgument, ServingError, Unimplemented


@pytest.fixture
def version(tiny_model: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "1"
    shutil.copytree(tiny_model / "1", folder)
    return folder


def start_log(signature_name: str = "start") -> prediction_log_pb2.PredictionLog:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "of another name"
    request.model_spec.signature_name = signature_name
    request.inputs["session"].CopyFrom(tf.make_tensor_proto(np.zeros(1, np.int32)))
    return prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request))


def write(version: pathlib.Path, *records: bytes) -> None:
    (version / WARMUP_FILE).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(version / WARMUP_FILE)) as file:
        for record in records:
            file.write(record)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The signatures that were played."""
    names: list[str] = []

    def run(servable, request):
        names.append(request.model_spec.signature_name)
        return run_predict(servable, request)

    run_predict = _warmup.run_predict
    monkeypatch.setattr(_warmup, "run_predict", run)
    return names


def load(version: pathlib.Path, **options) -> None:
    load_servable(version, 1, ServerOptions(**options)).retire()


def test_row_76_records_are_played_as_often_as_told(version, played, caplog) -> None:
    write(version, start_log().SerializeToString(), start_log().SerializeToString())
    with caplog.at_level(logging.INFO, "rnnpt.serving"):
        load(version, num_request_iterations_for_warmup=3)
    assert played == ["start"] * 6
    assert "Finished reading warmup data for model at " in caplog.text
    assert "Number of warmup records read: 2." in caplog.text


def test_row_76_warm_up_may_be_switched_off(version, played) -> None:
    write(version, b"no record")
    load(version, enable_model_warmup=False)
    assert not played


def test_row_76_a_failing_record_fails_the_load(version) -> None:
    write(version, start_log().SerializeToString(), start_log("nosuch").SerializeToString())
    with pytest.raises(ServingError) as caught:
        load(version)
    assert str(caught.value) == 'warm-up request 1 fails: Serving signature key "nosuch" not found.'
    assert caught.value.code == "FAILED_PRECONDITION"


def test_row_76_a_thousand_records_and_no_more(version, monkeypatch) -> None:
    monkeypatch.setattr(_warmup, "run_predict", lambda *_: None)
    write(version, *[start_log().SerializeToString()] * 1000)
    load(version)
    write(version, *[start_log().SerializeToString()] * 1001)
    with pytest.raises(InvalidArgument) as caught:
        load(version)
    assert str(caught.value) == (
        f"Number of warmup records exceeds the maximum (1000) at {version / WARMUP_FILE}")


@pytest.mark.parametrize(("kind", "words"), [
    ("classify_log", "No classification inputs found in SignatureDef: "),
    ("regress_log", "No regression inputs found in SignatureDef: "),
])
def test_row_76_examples_meet_no_signature(version, kind: str, words: str) -> None:
    log = prediction_log_pb2.PredictionLog()
    getattr(log, kind).request.model_spec.signature_name = "start"
    write(version, log.SerializeToString())
    with pytest.raises(InvalidArgument, match=f"warm-up request 0 fails: {words}"):
        load(version)
    getattr(log, kind).request.model_spec.signature_name = "nosuch"
    write(version, log.SerializeToString())
    with pytest.raises(InvalidArgument, match="No signature was found with the name: nosuch"):
        load(version)


@pytest.mark.parametrize("kind", [
    "multi_inference_log", "session_run_log", "predict_streamed_log"])
def test_row_76_other_records_are_unimplemented(version, kind: str) -> None:
    log = prediction_log_pb2.PredictionLog()
    if kind not in log.DESCRIPTOR.fields_by_name:
        pytest.skip("the installed messages do not have it")
    getattr(log, kind).SetInParent()
    write(version, log.SerializeToString())
    number = log.DESCRIPTOR.fields_by_name[kind].number
    with pytest.raises(Unimplemented, match=f"^Unsupported log_type for warmup: {number}$"):
        load(version)


def test_row_76_a_record_that_says_nothing_is_passed_over(version, played) -> None:
    write(version, b"", start_log().SerializeToString())
    load(version)
    assert played == ["start"]


def test_row_76_a_record_must_be_a_prediction_log(version) -> None:
    write(version, b"malformed")
    with pytest.raises(InvalidArgument, match="^Failed to parse warmup record: b'malformed' from "):
        load(version)


def test_the_time_of_the_warm_up_is_told(version) -> None:
    write(version, start_log().SerializeToString())
    told: list[tuple[str, float]] = []
    load_servable(version, 1, ServerOptions(), observe=lambda *args: told.append(args)).retire()
    [(path, seconds)] = told
    assert path == str(version) and seconds > 0
