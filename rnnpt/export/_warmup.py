"""Requests that TensorFlow Serving plays when it loads a version, before any caller waits.

A version that does not answer them never becomes available.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from rnnpt.export._signature import INPUTS

FILE = Path("assets.extra") / "tf_serving_warmup_requests"

#: One row and more than one take different paths through matrix products.
_BATCH_SIZES = (1, 2)


def write_warmup(directory: Path, specs: dict[str, tf.TensorSpec]) -> None:
    """Writes one cheap request for every signature and batch size beside a SavedModel.

    Args:
        directory: Folder of the SavedModel.
        specs: Name -> what a signature declares of the input of that name.
    """
    file = directory / FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for name in INPUTS:
            for batch_size in _BATCH_SIZES:
                request = _request(name, batch_size, specs)
                log = prediction_log_pb2.PredictLog(request=request)
                writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def _request(
    name: str, batch_size: int, specs: dict[str, tf.TensorSpec]
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = name
    for key in INPUTS[name]:
        spec = specs[key]
        sizes = [batch_size, *(1 if size is None else size for size in spec.shape[1:])]
        # One step of silence, all of it heard, one drawn, at temperature 1.
        fill = np.ones if key in ("length", "num_steps", "temperature") else np.zeros
        request.inputs[key].CopyFrom(
            tf.make_tensor_proto(fill(sizes, spec.dtype.as_numpy_dtype)))
    return request
