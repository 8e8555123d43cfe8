"""Loading a version: the model, and the requests stored beside it, which it must answer."""

import functools
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from rnnpt.serving._batching import Batching
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._predict import refuse_examples_of, run_predict
from rnnpt.serving._servable import Servable
from rnnpt.serving.error import DataLoss, InvalidArgument, ServingError, Unimplemented

_LOGGER = logging.getLogger("rnnpt.serving")
WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
_MAX_RECORDS = 1000
_EXAMPLE_KINDS = {"classify_log": "classification", "regress_log": "regression"}


def load_servable(
    path: Path, number: int, options: ServerOptions, batching: Batching | None = None,
    observe: Callable[[str, float], None] = lambda *_: None,
) -> Servable:
    """Loads a version and plays its warm-up requests.

    Args:
        path: The version folder.
        number: Its number.
        options: How many threads TensorFlow gets, whether to warm up, and how often.
        batching: Whether and how requests are batched; not at all by default.
        observe: Told the folder and how many seconds its warm-up took.

    Returns:
        The model.

    Raises:
        ServingError: If it does not load or does not answer one of the requests.
    """
    servable = (Servable(path, number, options) if batching is None
                else Servable(path, number, options, batching.batcher))
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
    num_records = 0
    for record in _read_records(file):
        play = _player(servable, record, file)
        for _ in range(num_iterations):
            try:
                play()
            except ServingError as error:
                raise type(error)(f"warm-up request {num_records} fails: {error}") from None
        num_records += 1
        if num_records > _MAX_RECORDS:
            raise InvalidArgument(
                f"Number of warmup records exceeds the maximum ({_MAX_RECORDS}) at {file}")
    # The operator's sign that the file was found, in TensorFlow Serving's words.
    _LOGGER.info("Finished reading warmup data for model at %s. Number of warmup records read: %d.",
                 file, num_records)


def _player(servable: Servable, record: bytes, file: Path) -> Callable[[], object]:
    """What plays a record; one that says nothing is passed over, as in TensorFlow Serving."""
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError:
        raise InvalidArgument(f"Failed to parse warmup record: {record!r} from {file}") from None
    kind = log.WhichOneof("log_type")
    if kind is None:
        return lambda: None
    request = getattr(log, kind).request
    if kind == "predict_log":
        return functools.partial(run_predict, servable, request)
    if kind in _EXAMPLE_KINDS:
        return functools.partial(
            refuse_examples_of, servable, request.model_spec.signature_name, _EXAMPLE_KINDS[kind])
    raise Unimplemented(
        f"Unsupported log_type for warmup: {log.DESCRIPTOR.fields_by_name[kind].number}")


def _read_records(file: Path) -> Iterator[bytes]:
    try:
        yield from tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    except tf.errors.OpError as error:
        raise DataLoss(f"{file} must be a file of TFRecords: {error.message}") from None
