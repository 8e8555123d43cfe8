"""Loading a version: the model, and the requests stored beside it, which it must answer."""

import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from rnnpt.serving._option import ServerOptions
from rnnpt.serving._predict import run_predict
from rnnpt.serving._servable import Servable
from rnnpt.serving.error import DataLoss, InvalidArgument, ServingError, Unimplemented

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
_MAX_RECORDS = 1000


def load_servable(
    path: Path, number: int, options: ServerOptions,
    observe: Callable[[str, float], None] = lambda *_: None,
) -> Servable:
    """Loads a version and plays its warm-up requests.

    Args:
        path: The version folder.
        number: Its number.
        options: Whether to warm up, and how often.
        observe: Told the folder and how many seconds its warm-up took.

    Returns:
        The model.

    Raises:
        ServingError: If it does not load or does not answer one of the requests.
    """
    servable = Servable(path, number)
    try:
        if options.enable_model_warmup and (path / WARMUP_FILE).is_file():
            start = time.monotonic()
            _warm_up(servable, path / WARMUP_FILE, options.num_request_iterations_for_warmup)
            observe(str(path), time.monotonic() - start)
    except BaseException:
        servable.retire()
        raise
    return servable


def _warm_up(servable: Servable, file: Path, num_iterations: int) -> None:
    for index, record in enumerate(_read_records(file)):
        if index >= _MAX_RECORDS:
            raise InvalidArgument(f"{file.name} must hold at most {_MAX_RECORDS} records; cut it")
        log = prediction_log_pb2.PredictionLog()
        try:
            log.ParseFromString(record)
        except DecodeError:
            raise InvalidArgument(f"record {index} of {file} must be a PredictionLog") from None
        kind = log.WhichOneof("log_type")
        if kind != "predict_log":
            raise Unimplemented(f"record {index} of {file} must be a predict_log, got {kind}")
        for _ in range(num_iterations):
            try:
                run_predict(servable, log.predict_log.request)
            except ServingError as error:
                raise type(error)(f"warm-up request {index} fails: {error}") from None


def _read_records(file: Path) -> list[bytes]:
    try:
        return list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    except tf.errors.OpError as error:
        raise DataLoss(f"{file} must be a file of TFRecords: {error.message}") from None
