"""What `HessianFree` can be asked for beyond its usual way, and what it tells of an update."""

import csv
import json
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells, heads, models, optimizers
from rnnpt.models._curved import Curved
from rnnpt.optimizers import HessianFree, LevenbergMarquardt
from rnnpt.optimizers._conjugate_gradient import REASONS, candidate_steps
from rnnpt.optimizers.graph_error import plain_errors
from tests.catalogue import make_batch

BATCH = make_batch(batch_size=8)
ROWS = (tf.constant(BATCH["frames"]), tf.constant(BATCH["mask"]))
FULL = dict(
    damping=0.7, structural_damping=0.1, curvature_rows=4, rows_at_once=3, max_steps=9, min_steps=2,
    tolerance=1e-3, decay=0.9, max_failures=7, held_out_rows=3, preconditioner_exponent=0.75,
    damping_rule=LevenbergMarquardt(drop=4 / 5, damped_ratio=True), ratio_of="step", name="mine")


def make_model(optimizer: HessianFree, **kwargs) -> models.RNN:
    """Returns a model with a penalty on weights."""
    model = models.RNN(num_hidden=4, seed=3, **kwargs)
    model.build_for(BATCH["frames"].shape[-1])
    model.cell.kernel.regularizer = keras.regularizers.L2(0.1)
    model.compile(optimizer)
    return model


def fit(model: keras.Model, batch=BATCH, **kwargs) -> dict[str, list[float]]:
    kwargs = {"batch_size": 8, "shuffle": False, "verbose": 0} | kwargs
    return model.fit(batch, **kwargs).history


def without_seconds(figures: dict) -> dict:
    return {name: value for name, value in figures.items() if not name.endswith("_seconds")}


class Recorder(HessianFree):
    """Keeps what the model hands over of single sequences."""

    def update(self, objective: optimizers.CurvedObjective) -> None:
        start = objective.values()
        self.gradient = objective.curved.value_and_gradient_at(start)[1]
        objective.move_to(start)
        self.squares = objective.rows.mean_squared_gradient()
        self.held_out = float(objective.held_out(2).value_at(start))


def test_everything_survives_the_config():
    config = HessianFree(**FULL).get_config()
    again = HessianFree.from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert {name: again.get_config()[name] for name in FULL if name != "damping_rule"} == {
        name: value for name, value in FULL.items() if name != "damping_rule"}
    assert again.damping_rule == FULL["damping_rule"]


@pytest.mark.parametrize(("wrong", "error", "words"), [
    ({"held_out_rows": 0}, ValueError, "held_out_rows must be a positive integer, got 0"),
    ({"held_out_rows": 3}, ValueError, "held_out_rows must come with curvature_rows, got 3 and"),
    ({"preconditioner_exponent": 1.5}, ValueError, "preconditioner_exponent must be.* got 1.5"),
    ({"min_steps": 9, "max_steps": 5}, ValueError, "min_steps must be at most.* got 9 and 5"),
    ({"ratio_of": "best"}, ValueError, "ratio_of must be 'step' or 'last', got 'best'"),
    ({"damping_rule": "mine"}, TypeError, "damping_rule must be a LevenbergMarquardt, got 'mine'")])
def test_an_argument_out_of_its_range_is_told(wrong, error, words):
    with pytest.raises(error, match=words):
        HessianFree(**wrong)


def test_squares_and_held_out_loss_are_those_of_single_sequences():
    model = make_model(optimizer := Recorder(curvature_rows=3))
    optimizer.minimize(Curved(model, ROWS).objective(optimizer))

    def objective_of(rows: slice) -> optimizers.Objective:
        return Curved(model, tuple(each[rows] for each in ROWS))._objective(
            tuple(each[rows] for each in ROWS), None)

    values = [tf.convert_to_tensor(variable) for variable in model.trainable_variables]
    assert optimizer.held_out == pytest.approx(float(objective_of(slice(3, 5)).value_at(values)))
    gradients = [objective_of(slice(row, row + 1)).value_and_gradient_at(values)[1]
                 for row in range(3)]
    for place, (square, slope) in enumerate(zip(
            optimizer.squares, optimizer.gradient, strict=True)):
        each = np.array([gradient[place] for gradient in gradients])
        np.testing.assert_allclose(square, (each ** 2).mean(axis=0), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(slope, each.mean(axis=0), rtol=1e-4, atol=1e-6)


def test_with_every_option_the_loss_falls_and_a_saved_run_goes_on_bit_for_bit(tmp_path):
    model = make_model(HessianFree(**FULL))
    save = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: model.save(
        tmp_path / f"{epoch}.keras"))
    whole = fit(model, epochs=4, callbacks=[save])
    assert (np.diff(whole["loss"]) <= 1e-6).all() and whole["loss"][-1] < whole["loss"][0]
    loaded = keras.models.load_model(tmp_path / "1.keras")
    loaded.cell.kernel.regularizer = keras.regularizers.L2(0.1)
    ended = fit(loaded, epochs=2)
    assert without_seconds(ended) == {
        name: values[2:] for name, values in without_seconds(whole).items()}


def test_iterates_are_judged_by_held_out_sequences():
    model = make_model(optimizer := HessianFree(
        curvature_rows=3, held_out_rows=2, max_steps=1, damping=100.0))
    fit(model)
    held_out = tuple(each[3:5] for each in ROWS)
    loss = Curved(model, held_out)._objective(held_out, None)
    [judged] = optimizer.cg_path["loss"]
    assert optimizer.figures["step_length"] == 1
    assert judged == pytest.approx(float(loss.value_at(loss.values())), rel=1e-5)


@pytest.mark.parametrize(("start", "count"), [(0, 9), (6, 3)])
def test_a_batch_of_too_few_sequences_is_told(start, count):
    model = make_model(HessianFree())
    with pytest.raises(ValueError, match="curvature_rows and held_out_rows ask for, 9 in all, got "
                                         "8 ; drop the remainder"), plain_errors():
        tf.function(lambda: Curved(model, ROWS)._rows(start, count))()


class IdleCell(keras.layers.SimpleRNNCell):
    """Has a weight that it does not use."""

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self.idle = self.add_weight((2,), name="idle")


def test_a_variable_without_a_gradient_is_named():
    model = models.SequenceModel(cells.KerasCell(IdleCell(4)), heads.BernoulliHead())
    model.compile(HessianFree())
    with pytest.raises(ValueError, match="must hang on every variable, got no gradient for .*/idle"
                                         "; set trainable = False"):
        fit(model)


@pytest.mark.parametrize("option", ["held_out_rows", "preconditioner_exponent"])
def test_an_objective_of_no_single_sequences_is_told(option):
    variable = keras.Variable([1.0, 2.0])
    objective = optimizers.Objective([variable], lambda: tf.reduce_sum(variable.value ** 2))
    curved = optimizers.CurvedObjective(
        objective, objective, lambda kept: optimizers.Linearized(
            lambda vector, _: [2 * part for part in vector], kept))
    with pytest.raises(TypeError, match=f"{option} needs the losses of single sequences, got one"):
        HessianFree(curvature_rows=1, **{option: 1}).minimize(curved)


def test_each_update_logs_its_own_figures_to_csv_and_tensorboard_too(tmp_path):
    pytest.importorskip("tensorboard")
    model = make_model(optimizer := HessianFree(max_steps=6))
    seen = []
    history = fit(model, batch_size=4, epochs=2, callbacks=[
        keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: seen.append(
            ({name: float(logs[name]) for name in optimizer.FIGURES},
             {name: float(value) for name, value in optimizer.figures.items()}))),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TensorBoard(tmp_path / "board", update_freq=1)])
    # No running means: those of an epoch are those of its last update.
    assert len({logged["gradient_norm"] for logged, _ in seen}) == 4
    for logged, figures in seen:
        assert logged == figures
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    for name in optimizer.FIGURES:
        assert [float(row[name]) for row in rows] == history[name] == [
            seen[1][0][name], seen[3][0][name]]
    tags = {
        value.tag for path in (tmp_path / "board" / "train").iterdir()
        for record in tf.data.TFRecordDataset(str(path))
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value}
    assert tags >= {f"{when}_{name}" for name in optimizer.FIGURES for when in ("batch", "epoch")}


def test_it_tells_the_way_of_conjugate_gradients_and_the_seconds_of_each_part():
    model = make_model(optimizer := HessianFree(max_steps=6, damping_rule=LevenbergMarquardt(
        drop=0.5, boost=3.0, low=0.9, high=0.9)))
    optimizer.build(model.trainable_variables)
    assert optimizer.stop_reason is None and len(optimizer.cg_path["step"]) == 0
    dampings = [0.3]

    def check(_: int, logs: dict) -> None:
        path = optimizer.cg_path
        assert optimizer.stop_reason == REASONS[int(logs["cg_stop"])]
        steps = path["step"].tolist()
        assert steps == [*(step for step in candidate_steps(6) if step < steps[-1]), steps[-1]]
        assert steps[-1] == logs["cg_steps"] and logs["cg_chosen_step"] in steps
        assert (np.diff(path["quadratic"]) < 0).all() and np.isfinite(path["loss"]).all()
        dampings.append(float(logs["damping"]))
        assert dampings[-1] == pytest.approx(
            dampings[-2] * (0.5 if logs["reduction_ratio"] > 0.9 else 3.0))

    began = time.perf_counter()
    history = fit(model, epochs=3, callbacks=[keras.callbacks.LambdaCallback(
        on_train_batch_end=check)])
    seconds = np.array([history[f"{part}_seconds"] for part in ("gradient", "cg", "line_search")])
    assert seconds.min() > 0 and seconds.sum() < time.perf_counter() - began


def test_the_ratio_of_the_last_iterate_is_told_where_the_step_is_another():
    figures, weights = [], []
    for ratio_of in ("step", "last"):
        model = make_model(HessianFree(1e-6, curvature_rows=2, max_steps=60, ratio_of=ratio_of))
        history = fit(model, epochs=1)
        figures.append({name: values[0] for name, values in history.items()})
        weights.append(model.get_weights())
    step, last = figures
    # The first step is the same, and is not the last iterate.
    assert step["cg_chosen_step"] == last["cg_chosen_step"] < step["cg_steps"]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert last["reduction_ratio"] < step["reduction_ratio"]
