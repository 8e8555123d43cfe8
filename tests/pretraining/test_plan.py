"""A plan says what it does, does it, and refuses what it cannot do."""
import dataclasses
import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnnpt import models, optimizers
from rnnpt.optimizers import _hessian_free_update
from rnnpt.pretraining import DivergenceError, Phase, PlanError, RunFolderError, run_plan
from rnnpt.pretraining._penalty import penalty_on_kernels
from rnnpt.pretraining.record import Progress
from tests.pretraining.small_plan import draw_pieces

ADAM = {"class_name": "Adam", "config": {"learning_rate": 0.01}}


def phase(**changes) -> Phase:
    return Phase(**({"name": "only", "data": "train", "epochs": 2, "optimizer": ADAM,
                     "batch_size": 4, "segment_length": 8} | changes))


def run(model=None, phases=None, valid=None, seed=0, directory=None, progress=False):
    return run_plan(model or models.RNN(num_hidden=5), phases or [phase()],
                    {"train": lambda: draw_pieces(0)}, valid, seed, directory, progress)


def test_phase_survives_json():
    original = phase(optimizer=keras.optimizers.SGD(0.25, momentum=0.5), patience=3)
    copy = Phase(**json.loads(json.dumps(dataclasses.asdict(original))))
    assert copy == original
    assert copy.new_optimizer().get_config() == original.new_optimizer().get_config()


def test_plan_of_one_phase_gives_the_weights_of_keras_fit():
    planned, fitted = models.RNN(num_hidden=5), models.RNN(num_hidden=5)
    run(planned, [phase(epochs=1)])
    seed = int(np.random.SeedSequence([0, 0]).generate_state(1)[0])
    fitted.compile(optimizer=keras.optimizers.Adam(0.01))
    fitted.fit(draw_pieces(0).segments(8, 4, seed=seed), shuffle=False, verbose=0)
    for value, expected in zip(planned.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_pieces_are_cut_for_an_optimizer_that_takes_a_curvature():
    planned, fitted = models.RNN(num_hidden=5), models.RNN(num_hidden=5)
    run(planned, [phase(epochs=1, optimizer=optimizers.HessianFree(), batch_size=50)])
    cut = draw_pieces(0).cut(8)
    assert len(draw_pieces(0)) < len(cut) < 50
    seed = int(np.random.SeedSequence([0, 0]).generate_state(1)[0])
    fitted.compile(optimizer=optimizers.HessianFree())
    fitted.fit(cut.segments(8, 50, seed=seed), shuffle=False, verbose=0)
    for value, expected in zip(planned.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_penalty_adds_itself_to_the_gradient_of_kernels_and_to_no_other():
    changed, rate = [], 0.5
    for kernel_l2 in (0.0, 0.25):
        model = models.RNN(num_hidden=5, seed=3)
        model.build_for(6)
        first = [np.array(variable) for variable in model.trainable_variables]
        # All pieces in one batch, one update.
        run(model, [phase(epochs=1, optimizer=keras.optimizers.SGD(rate), batch_size=12,
                          segment_length=20, kernel_l2=kernel_l2)])
        changed.append([
            np.array(each) - old for each, old in zip(model.trainable_variables, first)])
        assert all(variable.regularizer is None for variable in model.trainable_variables)
    for free, held, old in zip(*changed, first):
        pull = rate * 0.25 * old if old.ndim == 2 else 0
        np.testing.assert_allclose(held, free - pull, atol=1e-6)


def test_a_penalty_is_of_a_sequence_for_an_optimizer_that_takes_a_curvature():
    model, pieces = models.RNN(num_hidden=5, seed=3), draw_pieces(0)
    model.build_for(6)
    model.compile(optimizer=optimizers.HessianFree())
    batch = next(iter(pieces.pieces(len(pieces))))
    batch["starts"] = np.ones(len(pieces), bool)
    # Of a sequence: summed over its frames.
    alone = -np.mean(model.log_prob(batch["frames"], batch["mask"]))
    squares = sum(np.square(each).sum() for each in model.trainable_variables
                  if len(each.shape) == 2)
    for kernel_l2 in (0.0, 3.0):
        with penalty_on_kernels(model, kernel_l2):
            value = float(model.curved_objective(batch).value())
        np.testing.assert_allclose(value, alone + kernel_l2 / 2 * squares, rtol=1e-5)


def test_a_large_penalty_leaves_the_biases_to_an_optimizer_that_takes_a_curvature():
    model, bound = models.RNN(num_hidden=5, seed=3), models.RNN(num_hidden=5, seed=3)
    for each, kernel_l2 in ((model, 0.0), (bound, 1e3)):
        run(each, [phase(epochs=5, optimizer=optimizers.HessianFree(), batch_size=12,
                         segment_length=20, kernel_l2=kernel_l2)])
    free, held = ([np.square(each).sum() for each in one.trainable_variables
                   if len(each.shape) == 2] for one in (model, bound))
    assert max(held) < 1e-3 * min(free)
    # Its biases still tell how often each key sounds.
    rate = np.concatenate(draw_pieces(0).sequences).mean(axis=0)
    np.testing.assert_allclose(1 / (1 + np.exp(-bound.readout.bias)), rate, atol=0.02)


def test_kernels_get_their_own_regularizers_back():
    model = models.RNN(num_hidden=5)
    model.build_for(6)
    own = model.cell.kernel.regularizer = keras.regularizers.L1(0.1)
    run(model, [phase(epochs=1, kernel_l2=0.5)])
    assert model.cell.kernel.regularizer is own


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_phase_refuses_a_penalty_that_is_none(value):
    with pytest.raises(PlanError, match=f"`kernel_l2`.*kernel_l2={value}"):
        phase(kernel_l2=value)


def test_each_phase_begins_with_a_fresh_optimizer():
    model, momentum = models.RNN(num_hidden=5), keras.optimizers.SGD(0.1, momentum=0.9)
    run(model, [phase(name="one", optimizer=momentum), phase(name="two", optimizer=momentum)])
    num_batches = len(list(draw_pieces(0).segments(8, 4)))
    assert int(model.optimizer.iterations) == 2 * num_batches


def test_history_counts_epochs_a_phase_and_updates_over_all():
    history = run(phases=[phase(name="one"), phase(name="two", epochs=1)]).history
    num_batches = len(list(draw_pieces(0).segments(8, 4)))
    assert [(row["phase"], row["epoch"], row["updates"]) for row in history] == [
        ("one", 1, num_batches), ("one", 2, 2 * num_batches), ("two", 1, 3 * num_batches)]


def test_patience_ends_the_phase_and_brings_the_best_weights_back(tmp_path):
    model, valid = models.RNN(num_hidden=5), draw_pieces(1)
    # Ten is far too high a learning rate, so that the best epoch comes early.
    result = run(model, [phase(epochs=50, optimizer=keras.optimizers.SGD(10.0), patience=3)],
                 valid, directory=tmp_path)
    scores = [row["val_log_likelihood"] for row in result.history]
    assert len(scores) == np.argmax(scores) + 1 + 3 < 50
    assert result.best == result.history[np.argmax(scores)]
    logs = model.evaluate(valid.pieces(), verbose=0, return_dict=True)
    assert logs["log_likelihood"] == pytest.approx(max(scores), abs=1e-5)
    saved = models.RNN(num_hidden=5)
    saved.build_for(6)
    saved.load_weights(tmp_path / "best.weights.h5")
    for value, expected in zip(saved.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_without_patience_the_last_weights_stay_and_the_best_are_in_the_folder(tmp_path):
    model, valid = models.RNN(num_hidden=5), draw_pieces(1)
    # Three epochs that learn, and three that spoil it.
    num_batches = len(list(draw_pieces(0).segments(8, 4)))
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([3 * num_batches], [0.1, 100.0])
    result = run(model, [phase(epochs=6, optimizer=keras.optimizers.SGD(rate))], valid,
                 directory=tmp_path)
    scores = [row["val_log_likelihood"] for row in result.history]
    assert max(scores) > scores[-1]
    logs = model.evaluate(valid.pieces(), verbose=0, return_dict=True)
    assert logs["log_likelihood"] == pytest.approx(scores[-1], abs=1e-5)
    model.load_weights(tmp_path / "best.weights.h5")
    logs = model.evaluate(valid.pieces(), verbose=0, return_dict=True)
    assert logs["log_likelihood"] == pytest.approx(max(scores), abs=1e-5)


def test_events_hold_the_history_for_tensorboard(tmp_path):
    history = run(directory=tmp_path).history
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    losses = [(event.step, float(tf.make_ndarray(event.tensor_proto)))
              for event in events.Tensors("loss")]
    assert losses == [(i + 1, pytest.approx(row["loss"])) for i, row in enumerate(history)]


def test_output_is_one_line_a_phase_where_there_is_no_terminal(capsys):
    run(phases=[phase(name="one"), phase(name="two")], progress=None)
    assert re.fullmatch(r"one: epoch 2, .*\ntwo: epoch 2, .*\n", capsys.readouterr().out)


def test_output_is_a_bar_a_phase_on_a_terminal(capsys):
    run(progress=True)
    assert "2/2" in capsys.readouterr().out


@pytest.mark.parametrize("field", ["epochs", "batch_size", "segment_length", "patience"])
@pytest.mark.parametrize("value", [0, 1.5, True])
def test_phase_refuses_a_count_that_is_none(field, value):
    with pytest.raises(PlanError, match=f"`{field}`.*{field}={value}"):
        phase(**{field: value})


@pytest.mark.parametrize("optimizer", ["adam", {"learning_rate": 1}, None])
def test_phase_refuses_what_is_no_optimizer(optimizer):
    with pytest.raises(PlanError, match=f"`optimizer`.*{re.escape(repr(optimizer))}"):
        phase(optimizer=optimizer)


def test_plan_refuses_no_phases():
    with pytest.raises(PlanError, match="`phases`.*none"):
        run_plan(models.RNN(num_hidden=5), [], {}, None, 0)


def test_plan_refuses_a_negative_seed():
    with pytest.raises(PlanError, match="`seed`.*seed=-1"):
        run(seed=-1)


def test_plan_refuses_one_name_for_two_phases():
    with pytest.raises(PlanError, match=r"`phases`.*\['only', 'only'\]"):
        run(phases=[phase(), phase()])


def test_plan_refuses_data_without_a_source():
    with pytest.raises(PlanError, match=r"`data`.*data='music'.*\['train'\]"):
        run(phases=[phase(data="music")])


def test_plan_refuses_patience_without_validation():
    with pytest.raises(PlanError, match="`patience`.*patience=2.*'only'"):
        run(phases=[phase(patience=2)])


def test_plan_stops_when_the_loss_is_no_number(tmp_path):
    with pytest.raises(DivergenceError, match=(
            r"^`loss` must stay finite\. Received: loss=(nan|inf) in step \d, batch \d of epoch 1 "
            r"of phase 'only'\. Lower the learning rate or clip gradients; no epoch before it is")):
        run(phases=[phase(optimizer=keras.optimizers.SGD(1e38))], directory=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_a_figure_of_the_optimizers_own_may_be_no_number(monkeypatch, tmp_path):
    monkeypatch.setattr(_hessian_free_update, "reduction_ratio",
                        lambda *_: tf.constant(np.nan, tf.float64))
    whole = phase(optimizer=optimizers.HessianFree(), batch_size=12, segment_length=20)
    for _ in range(2):  # the second call reads what the first has left
        history = run(phases=[whole], directory=tmp_path).history
        assert np.isnan([row["reduction_ratio"] for row in history]).all()
        assert np.isfinite([row["loss"] for row in history]).all()


@keras.saving.register_keras_serializable(package="rnnpt.tests")
class Resigned(optimizers.HessianFree):
    """Says after some updates that another one failed."""

    num_updates = 0

    def report(self, has_moved: tf.Tensor, *rest: object) -> None:
        super().report(self._iterations < self.num_updates, *rest)


@pytest.mark.parametrize("patience, num_epochs", [(None, 1), (5, 2)])
def test_plan_goes_back_where_the_optimizer_gets_no_farther(
        monkeypatch, tmp_path, patience, num_epochs):
    kept, add = [], Progress.add

    def first_is_best(self, row, score, weights, optimizer):
        kept.append(weights)
        return add(self, row, -row["epoch"], weights, optimizer)

    monkeypatch.setattr(Progress, "add", first_is_best)
    num_batches = int(draw_pieces(0).cut(8).segments(8, 8).cardinality())
    # One that moves the weights of the last epoch, and one that fails.
    monkeypatch.setattr(Resigned, "num_updates", num_epochs * num_batches + 1)
    model = models.RNN(num_hidden=5)
    whole = phase(epochs=9, optimizer=Resigned(max_failures=1), batch_size=8, patience=patience)
    with pytest.raises(PlanError, match=(
            r"^`optimizer` must get farther in every epoch\. Received: Resigned: an update must "
            rf"lower the loss, got 1 in a row.* of epoch {num_epochs + 1} of phase 'only'\. Give "
            rf"the phase fewer epochs or .* as it was after epoch {num_epochs} in")):
        run(model, [whole], draw_pieces(1, 4), directory=tmp_path)
    assert num_batches > 1 and len(kept) == num_epochs
    for value, expected in zip(model.variables, kept[0], strict=True):
        np.testing.assert_array_equal(value, expected)


def test_plan_says_where_no_rate_of_nesterovs_method_lowers_the_loss():
    optimizer = optimizers.Nesterov1983(learning_rate=1e6, max_halvings=0)
    with pytest.raises(PlanError, match=(
            "must get farther in every epoch.* Nesterov1983: an update must lower the loss in at "
            "most 0 halvings .* no epoch before it is kept")):
        run(phases=[phase(optimizer=optimizer)])


def test_plan_of_an_optimizer_with_a_curvature_does_not_see_idle_rows():
    # The pieces leave rows of the last batch without one, and are fewer there than those asked for.
    num_rows = 12
    cut = draw_pieces(0).cut(8)
    assert 0 < len(cut) % num_rows < num_rows - 2
    for options in ({"curvature_rows": 10}, {"curvature_rows": 10, "held_out_rows": 2}):
        result = run(phases=[phase(
            epochs=4, optimizer=optimizers.HessianFree(**options), batch_size=num_rows)])
        losses = [row["loss"] for row in result.history]
        assert np.isfinite(losses).all() and losses[-1] < losses[0]


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("finished")
    run(directory=directory)
    return directory


@pytest.fixture
def folder(finished_run, tmp_path):
    """The folder of a finished run, to spoil."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


@pytest.mark.parametrize("other, where", [
    ({"num_hidden": 6}, "model.config.num_hidden is 5 and not 6"),
    ({"phases": [phase(epochs=3)]}, "phases[0].epochs is 2 and not 3"),
    ({"phases": [phase(recipe={"num_states": 5})]}, "phases[0].recipe is {}"),
    ({"phases": [phase(name="a"), phase(name="b")]}, "phases is [{"),
    ({"seed": 1}, "seed is 0 and not 1")])
def test_folder_of_another_run_is_refused_and_left_as_it_is(folder, other, where):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    settings = {"num_hidden": 5} | other
    model = models.RNN(num_hidden=settings.pop("num_hidden"))
    with pytest.raises(RunFolderError, match=re.escape(f"{folder}, where {where}")) as error:
        run(model, directory=folder, **settings)
    assert "--overwrite" in str(error.value) and "\n" not in str(error.value)
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.parametrize("content", ["{", "[]"])
def test_folder_with_another_plan_file_is_refused(folder, content):
    (folder / "plan.json").write_text(content)
    with pytest.raises(RunFolderError, match=f"`directory`.*{re.escape(str(folder))}"):
        run(directory=folder)


def test_folder_with_a_checkpoint_and_no_plan_is_refused(folder):
    (folder / "plan.json").unlink()
    with pytest.raises(RunFolderError, match=f"`directory`.*{folder}, without plan.json"):
        run(directory=folder)


@pytest.mark.parametrize("content", [b"", b"half", b"PK\x03\x04"])
def test_folder_with_a_broken_checkpoint_is_refused(folder, content):
    (folder / "checkpoint.npz").write_bytes(content)
    with pytest.raises(RunFolderError, match=f"`directory`.*checkpoint.npz.*{folder}"):
        run(directory=folder)
