"""Starts as parts of a plan, and the start from single frames."""
from pathlib import Path

import keras
import numpy as np
import pytest

from rnnpt import cells, heads, models
from rnnpt.datasets import Sequences
from rnnpt.pretraining import (
    Phase,
    PlanError,
    PlanResult,
    RunFolderError,
    Start,
    linear_start,
    run_plan,
    start_inputs,
)
from tests.pretraining.small_plan import draw_pieces


def train(model: keras.Model, start: Start, directory: Path | None = None, data: str = "train",
          valid: Sequences | None = None) -> PlanResult:
    phase = Phase("fit", "train", 3, keras.optimizers.Adam(0.01), batch_size=4, segment_length=8)
    return run_plan(model, [phase], {"train": lambda: draw_pieces(0)}, valid, seed=1,
                    directory=directory, progress=False, start=start)


def test_a_start_comes_once_and_has_a_row_of_its_own(tmp_path):
    calls = []

    def set_weights(model: keras.Model, sequences: Sequences) -> None:
        calls.append(sequences.num_frames)
        model.readout.bias.assign(np.full(6, 5.0))

    start = Start("five", "train", set_weights)
    first = train(models.RNN(5), start, tmp_path)
    again = train(models.RNN(5), start, tmp_path)
    assert calls == [draw_pieces(0).num_frames]
    assert [(row["phase"], row["epoch"]) for row in again.history] == [
        ("five", 0), ("fit", 1), ("fit", 2), ("fit", 3)]
    assert again.history == first.history and again.history[0]["seconds"] >= 0
    # It set the weights that the first epoch began with: notes are rarer than log-odds of 5.
    assert first.history[1]["loss"] > 10


def test_a_run_that_is_stopped_after_its_start_ends_with_the_same_weights(tmp_path):
    class Stopping(Sequences):
        """Presses Ctrl-C in place of the second epoch."""

        def pieces(self, *args, **kwargs):
            if len(calls) == 1:
                calls.append(None)
                raise KeyboardInterrupt
            return super().pieces(*args, **kwargs)

    calls = [None]
    whole, stopped, resumed = (models.RNN(5) for _ in range(3))
    train(whole, linear_start())
    with pytest.raises(KeyboardInterrupt):
        train(stopped, linear_start(), tmp_path, valid=Stopping(draw_pieces(2).sequences))
    train(resumed, linear_start(), tmp_path)
    for value, expected in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_folder_of_another_start_is_refused(tmp_path):
    train(models.RNN(5), linear_start(), tmp_path)
    with pytest.raises(RunFolderError, match="start.recipe.state_size is 0.5 and not 0.25"):
        train(models.RNN(5), linear_start(state_size=0.25), tmp_path)


def test_a_start_without_data_is_named():
    with pytest.raises(PlanError, match="data='other' in 'mine', sources"):
        train(models.RNN(5), Start("mine", "other", lambda model, sequences: None))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_the_units_begin_as_the_hidden_means_of_an_rbm(activation):
    # Keys that sound in threes, which hidden units can tell.
    pieces = Sequences([np.repeat(piece[:, :2], 3, axis=1)
                        for piece in draw_pieces(3, num_pieces=40).sequences])
    model = models.SequenceModel(cells.SimpleCell(4, activation), heads.BernoulliHead())
    model.build_for(6)
    before = {weight.path: np.array(weight) for weight in model.weights}
    rbm = start_inputs(model, pieces, epochs=15, learning_rate=0.05, batch_size=10)
    frames = np.concatenate(pieces.sequences).astype(np.float32)
    pre_activations = frames @ np.array(model.cell.kernel) + np.array(model.cell.bias)
    means = rbm.hidden_mean(frames).numpy()
    units = np.array(model.cell.activation(pre_activations))
    expected = means if activation == "sigmoid" else 2 * means - 1
    np.testing.assert_allclose(units, expected, atol=1e-6)
    assert means.std(axis=0).max() > 0.2  # It has learned what goes together.
    for weight in model.weights:
        if weight.path not in (model.cell.kernel.path, model.cell.bias.path):
            np.testing.assert_array_equal(weight, before[weight.path])


def test_the_same_seed_gives_the_same_start_and_another_one_does_not():
    def kernel(seed: int) -> np.ndarray:
        model = models.RNN(4)
        model.build_for(6)
        start_inputs(model, draw_pieces(3), epochs=2, seed=seed)
        return np.array(model.cell.kernel)

    np.testing.assert_array_equal(kernel(0), kernel(0))
    assert np.abs(kernel(0) - kernel(1)).max() > 1e-3


@pytest.mark.parametrize("model, message", [
    (models.SequenceModel(cells.SimpleCell(4, "relu"), heads.BernoulliHead()),
     "must have units of sigmoid, tanh. Received: relu"),
    (models.SequenceModel(cells.LSTMCell(4), heads.BernoulliHead()), "`cell` must have a"),
], ids=["relu", "gates"])
def test_a_cell_that_cannot_hold_an_rbm_is_refused(model, message):
    model.build_for(6)
    with pytest.raises(PlanError, match=message):
        start_inputs(model, draw_pieces(0), epochs=1)


def test_counts_and_widths_are_checked():
    model = models.RNN(4)
    model.build_for(5)
    with pytest.raises(PlanError, match="must take 6 columns. Received: 5"):
        start_inputs(model, draw_pieces(0))
    with pytest.raises(PlanError, match="`epochs`"):
        start_inputs(model, draw_pieces(0), epochs=0)
