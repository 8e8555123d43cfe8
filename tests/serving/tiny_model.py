"""A SavedModel with the six signatures of a served model and hardly any arithmetic."""

import os
import pathlib

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

NUM_VISIBLE, NUM_STATES, MAX_STEPS = 88, 3, 64
FRAMES = tf.TensorSpec([None, None, NUM_VISIBLE], tf.float32, name="frames")
STATE = tf.TensorSpec([None, NUM_STATES], tf.float32, name="state")
SEED = tf.TensorSpec([None, 2], tf.int32, name="seed")
INTEGER = {name: tf.TensorSpec([None], tf.int32, name=name)
           for name in ("length", "num_steps", "session")}
TEMPERATURE = tf.TensorSpec([None], tf.float32, name="temperature")


def check_frames(frames: tf.Tensor) -> tf.Tensor:
    """Refuses a prime that is too long, too wide or holds a NaN."""
    longest = tf.debugging.assert_less_equal(
        tf.shape(frames)[1], MAX_STEPS, message=f"frames must have at most {MAX_STEPS} steps")
    with tf.control_dependencies([longest]):
        return check_frame(frames, "frames")


def check_frame(frame: tf.Tensor, name: str = "frame") -> tf.Tensor:
    """Refuses what is too wide or holds a NaN."""
    wide = tf.debugging.assert_equal(
        tf.shape(frame)[-1], NUM_VISIBLE, message=f"{name} must be {NUM_VISIBLE} wide")
    with tf.control_dependencies([wide]):
        return tf.debugging.assert_all_finite(frame, f"{name} must be finite")


def draw(probabilities: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Samples each row with its own seed."""
    uniform = tf.map_fn(
        lambda pair: tf.random.stateless_uniform([NUM_VISIBLE], pair, alg="philox"), seed,
        fn_output_signature=tf.TensorSpec([NUM_VISIBLE], tf.float32))
    return tf.cast(uniform < probabilities, tf.float32)


class TinyModel(tf.Module):
    """state' = tanh(state + frame U); probabilities = sigmoid(state W / temperature)."""

    def __init__(self, scale: float = 1.0):
        super().__init__()
        random = np.random.default_rng(0)
        self.inward = tf.Variable(
            random.normal(0, 0.3, (NUM_VISIBLE, NUM_STATES)), dtype=tf.float32)
        self.outward = tf.Variable(
            scale * random.normal(-1, 2, (NUM_STATES, NUM_VISIBLE)), dtype=tf.float32)
        self.initial = tf.Variable([0.5, 0.25, -0.5], dtype=tf.float32)

    def advance(self, frame: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        return tf.tanh(state + frame @ self.inward)

    def probabilities(self, state: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(state @ self.outward / temperature[:, tf.newaxis])

    def read(self, state: tf.Tensor, frames: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        for step in tf.range(tf.shape(frames)[1]):
            real = (step < length)[:, tf.newaxis]
            state = tf.where(real, self.advance(frames[:, step], state), state)
        return state

    def first(self, num_rows: tf.Tensor) -> tf.Tensor:
        return tf.tile(self.initial[tf.newaxis], [num_rows, 1])

    @tf.function(input_signature=[FRAMES, INTEGER["length"]])
    def serving_default(self, frames: tf.Tensor, length: tf.Tensor) -> dict:
        state = self.read(self.first(tf.shape(frames)[0]), check_frames(frames), length)
        return {"probabilities": self.probabilities(state, tf.ones_like(state[:, 0]))}

    @tf.function(input_signature=[INTEGER["session"]])
    def start(self, session: tf.Tensor) -> dict:
        return {"state": self.first(tf.shape(session)[0])}

    @tf.function(input_signature=[
        tf.TensorSpec([None, NUM_VISIBLE], tf.float32, name="frame"), STATE, SEED, TEMPERATURE])
    def step(self, frame, state, seed, temperature) -> dict:
        state = self.advance(check_frame(frame), state)
        probabilities = self.probabilities(state, temperature)
        return {"probabilities": probabilities, "sample": draw(probabilities, seed), "state": state}

    @tf.function(input_signature=[STATE, SEED, TEMPERATURE])
    def draw(self, state, seed, temperature) -> dict:
        sample = draw(self.probabilities(state, temperature), seed)
        return {"sample": sample, "state": self.advance(sample, state)}

    @tf.function(input_signature=[
        STATE, FRAMES, INTEGER["length"], INTEGER["num_steps"], SEED, TEMPERATURE])
    def generate(self, state, frames, length, num_steps, seed, temperature) -> dict:
        state = self.read(state, check_frames(frames), length)
        longest = tf.reduce_max(num_steps)
        made = tf.TensorArray(
            tf.float32, tf.maximum(longest, 1), element_shape=[None, NUM_VISIBLE])
        # TensorFlow cannot stack an array of nothing, when no row draws.
        made = made.write(0, tf.zeros([tf.shape(num_steps)[0], NUM_VISIBLE]))
        for step in tf.range(longest):
            real = tf.cast(step < num_steps, tf.float32)[:, tf.newaxis]
            probabilities = self.probabilities(state, temperature)
            frame = draw(probabilities, seed + tf.stack([0, step])) * real
            made = made.write(step, frame)
            state = tf.where(real > 0, self.advance(frame, state), state)
        frames = tf.transpose(made.stack()[:longest], [1, 0, 2])
        return {"frames": frames, "length": num_steps, "state": state}

    @tf.function(input_signature=[FRAMES, INTEGER["length"]])
    def score(self, frames: tf.Tensor, length: tf.Tensor) -> dict:
        total = tf.reduce_sum(check_frames(frames), [1, 2])
        return {"log_likelihood": -total, "standard_error": tf.zeros_like(total),
                "frames_scored": length}


def save(folder: pathlib.Path, model: tf.Module, names: tuple[str, ...]) -> pathlib.Path:
    """Writes a version beside its place and moves it in."""
    beside = folder.parent / f".{folder.name}"
    tf.saved_model.save(model, str(beside), signatures={name: getattr(model, name)
                                                        for name in names})
    os.replace(beside, folder)
    return folder


def save_tiny(folder: pathlib.Path, scale: float = 1.0) -> pathlib.Path:
    """Writes a version of the tiny model."""
    return save(folder, TinyModel(scale),
                ("serving_default", "start", "step", "draw", "generate", "score"))


def write_warmup(folder: pathlib.Path, request) -> None:
    """Stores a Predict request beside a model."""
    log = prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request))
    (folder / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as file:
        file.write(log.SerializeToString())
