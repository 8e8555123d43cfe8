"""The example of table 4.1: equal clocks, rows beside the thesis, runs that go on."""

import itertools
import sys
import types
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

from rnnpt import datasets
from rnnpt.music.piano_roll import PianoRoll, onsets_of
from rnnpt.music.pianoroll_midi import pianoroll_to_midi
from tests.examples.script import load, rows


@pytest.fixture
def example(monkeypatch) -> ModuleType:
    """The example, its sets small, and by its clock a second for every point."""
    module = load("bouncing_balls")
    monkeypatch.setattr(module, "UPDATES_A_POINT", {"hf": 1, "lstm": 5})
    monkeypatch.setattr(module, "NUM_VALIDATION", 20)
    monkeypatch.setattr(
        module, "time", types.SimpleNamespace(perf_counter=itertools.count().__next__))
    test_set = datasets.BouncingBalls.test_set
    monkeypatch.setattr(datasets.BouncingBalls, "test_set", lambda balls: test_set(balls, 50))
    return module


@pytest.fixture
def call(example, monkeypatch) -> Callable[..., None]:
    """Runs the example with its tables and checkpoints in a folder."""
    def call_in(folder: Path, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [
            "bouncing_balls.py", "--smoke", "--output", str(folder / "table.csv"), "--checkpoints",
            str(folder / "runs"), *arguments])
        example.main()

    return call_in


@pytest.fixture
def midi_folder(tmp_path) -> Path:
    """Five files of a second and a half."""
    (tmp_path / "midi").mkdir()
    random = np.random.default_rng(0)
    for number in range(5):
        frames = (random.random((3, 88)) < 0.1).astype(np.uint8)
        frames[-1, 0] = 1
        (tmp_path / "midi" / f"{number}.mid").write_bytes(
            pianoroll_to_midi(PianoRoll(frames, onsets_of(frames))))
    return tmp_path / "midi"


@pytest.mark.slow
def test_both_methods_learn_for_the_same_time_beside_the_thesis(call, tmp_path, capsys):
    call(tmp_path)
    table, curve = rows(tmp_path / "table.csv"), rows(tmp_path / "table_curves.csv")
    assert [(row["method"], row["seconds"], row["updates"], row["thesis_error"])
            for row in table] == [("hf", "3", "3", "22"), ("lstm", "3", "15", "35")]
    assert int(table[0]["num_parameters"]) <= int(table[1]["num_parameters"])
    for method in ("hf", "lstm"):
        errors = [float(row["error"]) for row in curve if row["method"] == method]
        assert len(errors) == 3 and errors[-1] < errors[0]
    assert not list((tmp_path / "runs").iterdir())
    assert "| balls 5 x 5 | hf |" in capsys.readouterr().out
    before = (tmp_path / "table.csv").read_bytes()
    call(tmp_path)
    assert (tmp_path / "table.csv").read_bytes() == before


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_errors(
        example, call, tmp_path, midi_folder, monkeypatch):
    class Stop(Exception):
        pass

    class Stopping(example.Recorder):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            super().on_epoch_begin(epoch, logs)
            if epoch == 2:
                raise Stop

    words = ["--method", "lstm", "--data", "midi", "--midi_folder", str(midi_folder)]
    with monkeypatch.context() as context:
        context.setattr(example, "Recorder", Stopping)
        with pytest.raises(Stop):
            call(tmp_path / "stopped", *words)
    for folder in ("stopped", "whole"):
        call(tmp_path / folder, *words)
    stopped, whole = (rows(tmp_path / folder / "table_curves.csv")
                      for folder in ("stopped", "whole"))
    assert [row["seconds"] for row in stopped] == ["1.0", "2.0", "3.0"]
    assert {row["pieces"] for row in stopped} == {"midi"}
    assert stopped == whole


def test_the_error_is_the_divergence_of_predictions_summed_from_the_second_frame_on(example):
    run = example.Run("balls", "", 4, "hf", 1, 6, 0.1, 0.001, 1.0, 0)
    model = run.model(16)
    balls = datasets.BouncingBalls(4, num_steps=5)
    batch = balls.draw(7, seed=0)
    figures = example.measure(model, batch)
    q, p = batch["frames"], keras.ops.convert_to_numpy(keras.ops.sigmoid(model(batch)))
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(q > 0, q * np.log(q / p), 0) + np.where(
            q < 1, (1 - q) * np.log((1 - q) / (1 - p)), 0)
    expected = parts.sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(
        [figures["error"], figures["error_of_a_frame"], figures["error_of_first_frame"]],
        [expected[1:].sum(), expected[1:].mean(), expected[0]], rtol=1e-4)


@pytest.mark.parametrize("units, num_visible", [(8, 25), (30, 128), (300, 324)])
def test_the_lstm_is_the_smallest_that_is_no_smaller_than_the_rnn(units, num_visible):
    example, counts = load("bouncing_balls_run"), []
    for method in ("hf", "lstm"):
        model = example.Run("balls", "", 5, method, 1, units, 0.1, 0.001, 1.0, 0).model(num_visible)
        model.build_for(num_visible)
        counts.append(model.count_params())
    number = example.lstm_units(units, num_visible)
    assert model.cell.units == model.cell.num_memory == number
    # What one unit more of each kind adds.
    last = 5 * (num_visible + 1) + 10 * (2 * number - 1) + 3 + 2 * num_visible
    assert counts[1] - last < counts[0] <= counts[1]


@pytest.mark.parametrize("name, value", [("share", "0"), ("minutes", "-1")])
def test_a_share_or_a_time_that_is_none_is_refused(call, tmp_path, capsys, name, value):
    with pytest.raises(SystemExit):
        call(tmp_path, f"--{name}", value)
    assert f"--{name} must be" in capsys.readouterr().err
