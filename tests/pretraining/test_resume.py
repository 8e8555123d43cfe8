"""A training that is stopped, in whatever way, ends like one that is not."""
import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import models
from rnnpt.datasets import Sequences
from rnnpt.pretraining import DivergenceError, Phase, PlanResult, TrainingInterrupted, run_plan
from rnnpt.pretraining.record import RunFolder
from tests.pretraining.small_plan import NUM_EPOCHS, draw_pieces, run_small_plan, small_model

REPOSITORY = Path(__file__).resolve().parents[2]


class StoppedAt(Sequences):
    """Sequences that press Ctrl-C when an epoch asks for them."""

    def __init__(self, sequences: Sequences, epoch: int | None) -> None:
        super().__init__(sequences.sequences)
        self.epoch = epoch

    def segments(self, length: int, batch_size: int = 16, seed: int = 0,
                 first_epoch: int = 0) -> tf.data.Dataset:
        if first_epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGINT)
        return super().segments(length, batch_size, seed, first_epoch)


def train(model: keras.Model, directory: Path | None,
          stop: tuple[str, int] | None = None) -> PlanResult:
    """Train in two phases; Ctrl-C at the epoch `stop` of the named data."""
    phases = [
        Phase("first", "one", 3, keras.optimizers.Adam(0.01), batch_size=4, segment_length=8),
        Phase("second", "two", 9, keras.optimizers.SGD(1.0, momentum=0.9), batch_size=4,
              segment_length=8, patience=2)]
    sources = {}
    for seed, name in enumerate(("one", "two")):
        epoch = stop[1] if stop is not None and stop[0] == name else None
        sources[name] = lambda seed=seed, epoch=epoch: StoppedAt(draw_pieces(seed), epoch)
    return run_plan(model, phases, sources, draw_pieces(2), seed=5, directory=directory,
                    progress=False)


@pytest.fixture(scope="module")
def unbroken() -> tuple[keras.Model, list[dict]]:
    """The model and the history of a training that nothing stops."""
    model = models.RNN(num_hidden=5)
    return model, without_seconds(train(model, None).history)


def without_seconds(history: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if not name.endswith("seconds")}
            for row in history]


def assert_same_weights(model: keras.Model, other: keras.Model) -> None:
    for value, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def read_log(directory: Path) -> list[dict[str, str]]:
    with (directory / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def kill_in_phase(directory: Path, phase: str) -> None:
    """Run the small plan in another process and kill it some epochs into a phase."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.pretraining.small_plan", str(directory)], cwd=REPOSITORY,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        rows = read_log(directory) if (directory / "log.csv").exists() else []
        if sum(row["phase"] == phase for row in rows) >= 2:
            break
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    rows = read_log(directory)
    assert rows[-1]["phase"] == phase and int(rows[-1]["epoch"]) < NUM_EPOCHS


@pytest.mark.slow
def test_killed_in_each_phase_ends_with_the_weights_of_an_unbroken_run(tmp_path):
    directory = tmp_path / "run"
    kill_in_phase(directory, "hmm")
    kill_in_phase(directory, "fine-tune")
    resumed, unbroken = small_model(), small_model()
    history = run_small_plan(directory, resumed).history
    expected = run_small_plan(None, unbroken).history
    assert without_seconds(history) == without_seconds(expected)
    assert_same_weights(resumed, unbroken)
    rows = read_log(directory)
    assert [(row["phase"], row["epoch"]) for row in rows] == [
        (row["phase"], str(row["epoch"])) for row in expected]


@pytest.mark.parametrize("stop", [("one", 1), ("two", 0), ("two", 2)])
def test_interrupt_stops_with_a_message_and_resumes_to_the_same_weights(tmp_path, unbroken, stop):
    phase = {"one": "first", "two": "second"}[stop[0]]
    with pytest.raises(TrainingInterrupted, match=f"phase '{phase}' after epoch {stop[1]} of"):
        train(models.RNN(num_hidden=5), tmp_path, stop)
    resumed = models.RNN(num_hidden=5)
    assert without_seconds(train(resumed, tmp_path).history) == unbroken[1]
    assert_same_weights(resumed, unbroken[0])


def test_interrupt_without_a_run_folder_says_that_nothing_is_kept():
    with pytest.raises(TrainingInterrupted, match="nothing is kept"):
        train(models.RNN(num_hidden=5), None, ("one", 0))


def test_early_stopping_counts_on_over_a_resume(tmp_path, unbroken):
    # The learning rate is far too high: the phase ends before its epochs do.
    last = unbroken[1][-1]["epoch"]
    assert 2 < last < 9
    with pytest.raises(TrainingInterrupted):
        train(models.RNN(num_hidden=5), tmp_path, ("two", last - 1))
    resumed = models.RNN(num_hidden=5)
    assert without_seconds(train(resumed, tmp_path).history) == unbroken[1]
    assert_same_weights(resumed, unbroken[0])


def test_finished_run_returns_its_history_and_weights_without_training(tmp_path, unbroken):
    expected = train(models.RNN(num_hidden=5), tmp_path)
    last, again = expected.history[-1]["epoch"], models.RNN(num_hidden=5)
    assert train(again, tmp_path, ("two", last)) == expected
    assert_same_weights(again, unbroken[0])


def test_stop_while_writing_leaves_the_files_of_the_epoch_before(tmp_path, unbroken, monkeypatch):
    save, calls = np.savez, []

    def half_a_file(path: Path, **arrays: np.ndarray) -> None:
        calls.append(path)
        if len(calls) == 3:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        save(path, **arrays)

    monkeypatch.setattr(np, "savez", half_a_file)
    with pytest.raises(TrainingInterrupted):
        train(models.RNN(num_hidden=5), tmp_path)
    monkeypatch.undo()
    assert not list(tmp_path.glob("writing.*"))
    resumed = models.RNN(num_hidden=5)
    assert without_seconds(train(resumed, tmp_path).history) == unbroken[1]
    assert_same_weights(resumed, unbroken[0])


@keras.saving.register_keras_serializable(package="tests")
class Explosion(keras.optimizers.schedules.LearningRateSchedule):
    """A rate of 0.1, but from step `begins` on an infinite one."""

    begins: int | None = None

    def __call__(self, step):
        return tf.where(step < (2**31 - 1 if self.begins is None else self.begins), 0.1, np.inf)

    def get_config(self):
        return {}


def explode(directory: Path | None, begins: int | None, monkeypatch,
            validated: bool = True) -> tuple[keras.Model, PlanResult | None, str]:
    """Train four epochs, and return the model, the result, and what was said of a divergence."""
    monkeypatch.setattr(Explosion, "begins", begins)
    model, optimizer = models.RNN(num_hidden=5), keras.optimizers.SGD(Explosion(), momentum=0.9)
    phase = Phase("fit", "train", 4, optimizer, batch_size=4, segment_length=8)
    try:
        return model, run_plan(model, [phase], {"train": lambda: draw_pieces(0)},
                               draw_pieces(1) if validated else None, 3, directory, False), ""
    except DivergenceError as error:
        return model, None, str(error)


# In the middle of the third epoch; at its last update, which its own losses do not see.
@pytest.mark.parametrize("left, validated", [(2, True), (1, True), (1, False)])
def test_a_training_that_diverges_keeps_the_last_good_epoch_and_goes_on_from_it(
        tmp_path, monkeypatch, left, validated):
    num_batches = len(list(draw_pieces(0).segments(8, 4)))
    model, _, message = explode(tmp_path, 3 * num_batches - left, monkeypatch, validated)
    assert f"of phase 'fit'. Lower the learning rate or clip gradients; the run stays as it was " \
        f"after epoch 2 in {tmp_path}." in message and "epoch 3" in message
    assert ("step" in message) == (left == 2)
    saved = RunFolder(tmp_path).load()
    assert saved.epoch == len(saved.history) == 2
    for variable, value in zip(model.variables, saved.weights, strict=True):
        np.testing.assert_array_equal(variable, value)
    best = models.RNN(num_hidden=5)
    best.build_for(6)
    best.load_weights(tmp_path / "best.weights.h5")
    for weight, value in zip(best.variables, saved.best_weights, strict=True):
        np.testing.assert_array_equal(weight, value)
    # Without what made it diverge, the same call ends like a run that never diverged.
    resumed, result, _ = explode(tmp_path, None, monkeypatch, validated)
    unbroken, expected, _ = explode(None, None, monkeypatch, validated)
    assert without_seconds(result.history) == without_seconds(expected.history)
    for one, other in zip(resumed.get_weights(), unbroken.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
