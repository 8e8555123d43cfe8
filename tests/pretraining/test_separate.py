"""Each phase trains its part of the model, and leaves the rest as it was."""

import keras
import numpy as np
import pytest

from rnnpt import cells, heads, models, optimizers
from rnnpt.datasets import Sequences
from rnnpt.pretraining import Phase, PlanError, SeparateParts, part_of, run_plan
from tests.pretraining.small_plan import draw_pieces, small_model

WIDTH = 6


def values(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns the weights of an RNN-RBM under the names of the paper."""
    kernel, bias = np.array(model.readout.kernel), np.array(model.readout.bias)
    return {
        "W": np.array(model.head.kernel), "b_v": bias[:WIDTH], "b_h": bias[WIDTH:],
        "W''": kernel[:, :WIDTH], "W'": kernel[:, WIDTH:], "W_2": np.array(model.cell.kernel),
        "W_3": np.array(model.cell.recurrent_kernel), "b": np.array(model.cell.bias),
        "h(0)": np.array(model.cell.initial_state[0])}


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    """Returns which weights have changed."""
    return {name for name in before if not np.array_equal(before[name], after[name])}


@pytest.fixture
def small() -> SeparateParts:
    """Two epochs of each."""
    return SeparateParts(frame_epochs=2, epochs=2, frames_at_once=10, batch_size=4)


@pytest.mark.parametrize("place, expected", [
    (0, {"W", "b_v", "b_h"}), (1, {"b_v", "W''", "W_2", "W_3", "b", "h(0)"})])
def test_each_phase_trains_the_weights_of_the_paper(small, place, expected):
    model, pieces = small_model(), draw_pieces(0)
    model.build_for(WIDTH)
    before = values(model)
    run_plan(model, [small.phases()[place]], small.sources(pieces), None, 0, progress=False)
    assert moved(before, values(model)) == expected
    # The next phase may train everything again.
    assert len(model.trainable_variables) == 7


def test_the_recurrence_is_trained_as_a_network_of_visible_biases_alone(small):
    pieces, model = draw_pieces(0), small_model()
    model.build_for(WIDTH)
    first = values(model)
    run_plan(model, small.phases()[1:], small.sources(pieces), None, 0, progress=False)
    alone = models.SequenceModel(small_model().cell, heads.BernoulliHead())
    alone.build_for(WIDTH)
    alone.readout.kernel.assign(first["W''"])
    alone.readout.bias.assign(first["b_v"])
    run_plan(alone, [Phase("alone", "train", 2, small.optimizer, 4)], {"train": lambda: pieces},
             None, 0, progress=False)
    np.testing.assert_array_equal(values(model)["W''"], np.array(alone.readout.kernel))
    np.testing.assert_array_equal(values(model)["W_3"], np.array(alone.cell.recurrent_kernel))


def test_pre_training_improves_the_likelihood_of_the_data():
    # Each key twice, for the head to learn.
    pieces, valid = (Sequences([
        np.concatenate([piece[:, :3], piece[:, :3]], axis=1)
        for piece in draw_pieces(seed, num_pieces=40).sequences]) for seed in (0, 1))
    model = models.RNNNADE(num_hidden=4, num_recurrent=6)
    model.build_for(WIDTH)
    model.compile()
    before = model.evaluate(valid.pieces(), verbose=0, return_dict=True)["log_likelihood"]
    rate = keras.optimizers.Adam(0.02)
    result = SeparateParts(
        10, 15, frame_optimizer=rate, optimizer=rate, frames_at_once=10, batch_size=8).run(
            model, pieces, valid, progress=False)
    frames, recurrence = ([row for row in result.history if row["phase"] == name]
                          for name in ("frames", "recurrence"))
    assert frames[-1]["val_log_likelihood"] > before + 0.5
    assert recurrence[-1]["val_log_likelihood"] > recurrence[0]["val_log_likelihood"] + 0.1


def test_the_recurrence_may_take_a_curvature():
    phases = SeparateParts(epochs=2, optimizer=optimizers.HessianFree(), batch_size=12).phases()
    pieces = draw_pieces(0)
    model = small_model()
    history = run_plan(
        model, phases[1:], {"train": lambda: pieces}, None, 0, progress=False).history
    assert history[1]["loss"] < history[0]["loss"]


def test_a_stopped_run_ends_like_an_unbroken_one(tmp_path, small):
    pieces = draw_pieces(0)
    whole = small_model()
    run_plan(whole, small.phases(), small.sources(pieces), None, 0, progress=False)
    ends = iter([False] * 3 + [True])

    class Stop(Exception):
        """In place of a kill, in the second epoch of the recurrence."""

    stopped = small_model()
    with pytest.MonkeyPatch.context() as patch:
        fit = models.SequenceModel.fit

        def fit_or_stop(*args: object, **kwargs: object) -> object:
            if next(ends):
                raise Stop
            return fit(*args, **kwargs)

        patch.setattr(models.SequenceModel, "fit", fit_or_stop)
        with pytest.raises(Stop):
            small.run(stopped, pieces, directory=tmp_path, progress=False)
    resumed = small_model()
    small.run(resumed, pieces, directory=tmp_path, progress=False)
    assert not moved(values(whole), values(resumed))


@pytest.mark.parametrize("part, model, message", [
    ("frames", models.SequenceModel(cells.SimpleCell(3), heads.BernoulliHead()),
     "'frames' needs a head with weights. Received: SequenceModel with a BernoulliHead"),
    ("frames", models.RTRBM(num_hidden=3),
     "'frames' needs a readout of its own. Received: RTRBM with a RBMHead"),
    ("recurrence", models.RTRBM(num_hidden=3), "'recurrence' needs a cell of its own"),
    ("recurrence", models.SequenceModel(cells.SimpleCell(3), heads.CategoricalHead()),
     "'recurrence' needs visible biases")])
def test_models_without_the_weights_of_a_part_are_refused(part, model, message):
    model.build_for(WIDTH)
    with pytest.raises(PlanError, match=message), part_of(model, part):
        pass


def test_a_phase_of_no_part_is_refused():
    with pytest.raises(PlanError, match="one of model, frames, .* Received: part='cell'"):
        Phase("x", "train", 1, keras.optimizers.Adam(), part="cell")
