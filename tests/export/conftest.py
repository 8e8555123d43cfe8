"""Small models, exported once, and the two ways in which the tests play them."""

import pathlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import export, models
from rnnpt.export.verification import replay
from rnnpt.heads import AISSchedule

NUM_VISIBLE, MAX_STEPS, MAX_NUM_STEPS = 6, 12, 10
SCHEDULE = AISSchedule(num_runs=50, num_temperatures=30, frames_at_once=4)
MODELS = {
    "RNN": lambda: models.RNN(num_hidden=7),
    "RNNRBM": lambda: models.RNNRBM(num_hidden=5, num_recurrent=4),
}

Arrays = Mapping[str, np.ndarray]
Request = tuple[str, Arrays]


class Exported(NamedTuple):
    """A model and its export; `call` runs a signature in this process."""

    model: models.SequenceModel
    directory: pathlib.Path
    call: Callable[..., dict[str, np.ndarray]]
    answer: Callable[[list[Request]], list[dict[str, np.ndarray]]]


def make_model(name: str) -> models.SequenceModel:
    """A model whose frames are neither sure nor even, and whose first state is not zero."""
    model = MODELS[name]()
    model.build_for(NUM_VISIBLE)
    random = np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.7, weight.shape))
    return model


@pytest.fixture(scope="session", params=list(MODELS))
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    """Each model in turn."""
    model = make_model(request.param)
    base = tmp_path_factory.mktemp(request.param)
    directory = base / "1"
    export.save(model, directory, MAX_STEPS, MAX_NUM_STEPS, SCHEDULE, seed=3)
    signatures = tf.saved_model.load(str(directory)).signatures

    def call(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        return {key: value.numpy() for key, value in signatures[name](**tensors).items()}

    def answer(requests: list[Request]) -> list[dict[str, np.ndarray]]:
        return run_c_api(directory, requests, tmp_path_factory.mktemp("c_api"))

    return Exported(model, directory, call, answer)


def run_c_api(
    directory: pathlib.Path, requests: list[Request], folder: pathlib.Path
) -> list[dict[str, np.ndarray]]:
    """Answers in a process without TensorFlow's Python layers."""
    np.savez(folder / "requests.npz", **{
        f"{number}/{name}/{key}": value
        for number, (name, inputs) in enumerate(requests) for key, value in inputs.items()})
    answers: list[dict[str, np.ndarray]] = [{} for _ in requests]
    for key, value in replay(directory, folder / "requests.npz").items():
        number, output = key.split("/")
        answers[int(number)][output] = value
    return answers


def draw_frames(num_rows: int, num_steps: int, seed: int = 0) -> np.ndarray:
    """Frames (B, T, V) of coin tosses."""
    random = np.random.default_rng(seed)
    return random.integers(0, 2, (num_rows, num_steps, NUM_VISIBLE)).astype(np.float32)


def int32(*values: object) -> np.ndarray:
    return np.array(values, np.int32)


def make_inputs(exported: Exported, name: str, num_rows: int, num_steps: int) -> Arrays:
    """Inputs of a signature, all rows different."""
    start = exported.call("start", session=np.zeros(num_rows, np.int32))["state"]
    noise = np.random.default_rng(num_rows).normal(0, 0.3, start.shape)
    inputs = {
        "session": np.arange(num_rows, dtype=np.int32),
        "frames": draw_frames(num_rows, num_steps),
        "frame": draw_frames(num_rows, 1, seed=1)[:, 0],
        "state": (start + noise).astype(np.float32),
        "length": (num_steps - np.arange(num_rows) % 3).clip(0).astype(np.int32),
        "num_steps": (7 - 2 * np.arange(num_rows)).clip(0).astype(np.int32),
        "seed": np.stack([np.arange(num_rows) + 11, np.full(num_rows, -4)], 1).astype(np.int32),
        "temperature": np.geomspace(0.2, 3.0, num_rows, dtype=np.float32),
    }
    return {key: inputs[key] for key in INPUTS[name]}


INPUTS = {
    "serving_default": ["frames", "length"],
    "start": ["session"],
    "step": ["frame", "state", "seed", "temperature"],
    "draw": ["state", "seed", "temperature"],
    "generate": ["state", "frames", "length", "num_steps", "seed", "temperature"],
    "score": ["frames", "length"],
}
