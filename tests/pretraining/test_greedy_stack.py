"""A stack of cells learns from the frames up, a layer at a time."""
from pathlib import Path

import keras
import numpy as np
import pytest

from rnnpt import cells, heads, models
from rnnpt.datasets import Sequences
from rnnpt.pretraining import GreedyStack, PlanError, PlanResult, part_of, run_plan
from tests.pretraining.small_plan import draw_pieces

UNITS = 5


def make_stack(sizes=(UNITS, UNITS), cell=keras.layers.SimpleRNNCell) -> keras.Model:
    def uniform(place: int) -> keras.initializers.Initializer:
        return keras.initializers.GlorotUniform(seed=place)

    model = models.SequenceModel(keras.layers.StackedRNNCells([
        cell(size, kernel_initializer=uniform(place), recurrent_initializer=uniform(place + 9))
        for place, size in enumerate(sizes)]), heads.BernoulliHead(),
        readout_initializer=uniform(20))
    model.build_for(6)
    return model


def weights(model: keras.Model) -> dict[str, list[np.ndarray]]:
    """Returns copies of what each layer has, and of the readout."""
    first, second = ([np.array(weight) for weight in cell.weights]
                     for cell in model.cell.cell.cells)
    starts = [np.array(state) for state in model.cell.initial_state]
    half = len(starts) // 2
    return {"first": [*first, *starts[:half]], "second": [*second, *starts[half:]],
            "readout": [np.array(weight) for weight in model.readout.weights]}


def moved(before: dict, after: dict) -> dict[str, bool]:
    return {name: [not np.array_equal(one, other) for one, other in zip(
        before[name], after[name])] for name in before}


@pytest.fixture
def greedy() -> GreedyStack:
    return GreedyStack(2, epochs=2, optimizer=keras.optimizers.Adam(0.01), batch_size=4)


@pytest.mark.parametrize("cell", [keras.layers.SimpleRNNCell, keras.layers.LSTMCell])
def test_each_phase_trains_its_layer_and_the_readout(greedy, cell):
    model, pieces = make_stack(cell=cell), draw_pieces(0)
    count = len(model.trainable_variables)
    for place, (trained, other) in enumerate((("first", "second"), ("second", "first"))):
        before = weights(model)
        run_plan(model, [greedy.phases()[place]], {"train": lambda: pieces}, None, 0,
                 progress=False)
        changed = moved(before, weights(model))
        assert all(changed[trained]) and all(changed["readout"]) and not any(changed[other])
    # The next phase may train everything again.
    assert len(model.trainable_variables) == count


def test_the_lowest_layer_is_trained_as_a_network_of_its_own(greedy):
    model, pieces = make_stack(), draw_pieces(0)
    readout = [np.array(weight) for weight in model.readout.weights]
    alone = models.SequenceModel(keras.layers.SimpleRNNCell(
        UNITS, kernel_initializer=keras.initializers.GlorotUniform(seed=0)), heads.BernoulliHead())
    alone.build_for(6)
    alone.cell.cell.set_weights(model.cell.cell.cells[0].get_weights())
    for weight, value in zip(alone.readout.weights, readout):
        weight.assign(value)
    run_plan(model, greedy.phases()[:1], {"train": lambda: pieces}, None, 0, progress=False)
    whole = GreedyStack(1, 2, greedy.optimizer, 4).phases()[0]
    phase = type(whole)("alone", "train", 2, greedy.optimizer, 4)
    run_plan(alone, [phase], {"train": lambda: pieces}, None, 0, progress=False)
    for own, other in zip(model.cell.cell.cells[0].weights, alone.cell.cell.weights):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)


def test_pre_training_improves_the_likelihood_of_the_whole_stack():
    model, pieces, valid = make_stack(), draw_pieces(0, num_pieces=40), draw_pieces(1)
    model.compile()
    before = model.evaluate(valid.pieces(), verbose=0, return_dict=True)["log_likelihood"]
    GreedyStack(2, 15, keras.optimizers.Adam(0.02), 8).run(model, pieces, progress=False)
    model.compile()
    after = model.evaluate(valid.pieces(), verbose=0, return_dict=True)["log_likelihood"]
    assert after > before + 0.5


def test_a_run_that_is_stopped_in_its_second_layer_ends_with_the_same_weights(greedy, tmp_path):
    class Stopping(Sequences):
        """Presses Ctrl-C when the second layer asks for its second epoch."""

        asked = 0

        def segments(self, *args, **kwargs):
            self.asked += 1
            if self.asked == 4:
                raise KeyboardInterrupt
            return super().segments(*args, **kwargs)

    def train(pieces: Sequences, folder: Path) -> tuple[keras.Model, PlanResult]:
        model = make_stack()
        return model, greedy.run(model, pieces, directory=folder, progress=False)

    whole, _ = train(draw_pieces(0), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(Stopping(draw_pieces(0).sequences), tmp_path / "stopped")
    resumed, result = train(draw_pieces(0), tmp_path / "stopped")
    assert [row["phase"] for row in result.history] == ["layer_1"] * 2 + ["layer_2"] * 2
    for value, expected in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("make, message", [
    (lambda: models.RNN(4), "`part` 'layer_2' needs a stack of 2 cells or more. Received: RNN"),
    (lambda: make_stack([3]), "needs a stack of 2 cells or more"),
    (lambda: make_stack([3, 4]), "needs layers of one size, which hand on their readout"),
    (lambda: models.SequenceModel(keras.layers.StackedRNNCells(
        [keras.layers.SimpleRNNCell(3) for _ in range(2)]), heads.CategoricalHead()),
     "needs visible biases"),
], ids=["no stack", "one layer", "sizes", "head"])
def test_a_model_without_the_layer_is_refused(make, message):
    model = make()
    model.build_for(6)
    with pytest.raises(PlanError, match=message):
        with part_of(model, "layer_2"):
            pass


@pytest.mark.parametrize("name", ["layer_0", "layer", "layer_x", "..."])
def test_what_is_no_part_is_refused(greedy, name):
    phase = greedy.phases()[0]
    with pytest.raises(PlanError, match="`part` must be one of model, .*, or layer_1 and so on"):
        type(phase)("a", "train", 1, phase.optimizer, part=name)


def test_a_cell_of_rnnpt_is_no_stack():
    model = models.SequenceModel(cells.SimpleCell(3), heads.BernoulliHead())
    model.build_for(6)
    with pytest.raises(PlanError, match="'layer_1' needs a stack of 1 cells or more"):
        with part_of(model, "layer_1"):
            pass
