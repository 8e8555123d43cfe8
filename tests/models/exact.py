"""Differentiable exact likelihoods of small models, and float64 models to compare them with."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from rnnpt import cells, models
from tests.reference import all_frames


@contextmanager
def float64() -> Iterator[None]:
    """Layers that are made inside are float64."""
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


def predict(model: models.SequenceModel, frames: tf.Tensor) -> tf.Tensor:
    """Returns the head's parameters for each frame, (T, B, P), in the frames' own dtype."""
    outputs, _ = cells.unroll(
        model.cell, frames, model.initial_state(len(frames)), time_major=True)
    return model.readout(outputs)


def rbm_log_prob(model: models.SequenceModel, frames: np.ndarray) -> tf.Tensor:
    """Returns log P of one binary sequence (T, V), each RBM's log Z summed over all frames."""
    parameters = predict(model, tf.constant(frames[None]))[:, 0]
    every = tf.constant(all_frames(frames.shape[1]), parameters.dtype)
    log_z = tf.stack([
        tf.reduce_logsumexp(-model.head.free_energy(tf.tile(row[None], [len(every), 1]), every))
        for row in tf.unstack(parameters)])
    return tf.reduce_sum(-model.head.free_energy(parameters, tf.constant(frames)) - log_z)
