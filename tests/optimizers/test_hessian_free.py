"""Hessian-free optimization through `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import models, optimizers
from rnnpt.models._curved import Curved
from tests.catalogue import NUM_VISIBLE, make_batch

BATCH = make_batch(batch_size=8)


def fit(optimizer, epochs: int, **kwargs) -> tuple[models.RNN, dict]:
    """Returns a model after some updates on one batch, and its history."""
    model = models.RNN(num_hidden=4, seed=3, **kwargs)
    model.compile(optimizer)
    return model, go_on(model, epochs)


def go_on(model: models.RNN, epochs: int) -> dict[str, list[float]]:
    batch = BATCH | {"frames": BATCH["frames"].astype(keras.config.floatx())}
    return model.fit(batch, epochs=epochs, batch_size=8, shuffle=False, verbose=0).history


def test_the_loss_never_rises_and_falls_far():
    _, history = fit(optimizers.HessianFree(damping=1.0), 15)
    assert (np.diff(history["loss"]) <= 1e-6).all()
    _, other = fit("adam", 15)
    assert history["loss"][-1] < 0.7 * other["loss"][-1]
    assert history["log_likelihood"][-1] == pytest.approx(-history["loss"][-1])


def test_what_an_update_did_is_logged():
    model, history = fit(optimizers.HessianFree(damping=0.3, max_steps=7), 3)
    assert {"reduction_ratio", "step_length", "gradient_norm", "damping"} <= set(history)
    assert all(1 <= chosen <= steps <= 7 for chosen, steps in zip(
        history["cg_chosen_step"], history["cg_steps"], strict=True))
    dampings = [0.3, *history["damping"]]
    for ratio, before, after in zip(
            history["reduction_ratio"], dampings, dampings[1:], strict=False):
        factor = 2 / 3 if ratio > 0.75 else 1 if ratio >= 0.25 else 1.5
        assert after == pytest.approx(before * factor, rel=1e-5)


@pytest.mark.parametrize("rows_at_once", [3, 99])
def test_parts_of_the_batch_change_nothing(double_precision, rows_at_once):
    _, expected = fit(optimizers.HessianFree(), 2)
    _, found = fit(optimizers.HessianFree(rows_at_once=rows_at_once), 2)
    for name in ("loss", "gradient_norm", "damping"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-10)


def test_the_curvature_is_that_of_the_first_rows():
    _, whole = fit(optimizers.HessianFree(), 2)
    _, fewer = fit(optimizers.HessianFree(curvature_rows=3), 2)
    assert fewer["gradient_norm"][0] == whole["gradient_norm"][0]
    assert fewer["loss"][0] != whole["loss"][0]


def test_structural_damping_shortens_the_step():
    starts, moves = [], []
    for structural_damping in (0.0, 1e4):
        optimizer = optimizers.HessianFree(structural_damping=structural_damping)
        model = models.RNN(num_hidden=4, seed=3)
        model.build_for(NUM_VISIBLE)
        starts.append(model.cell.recurrent_kernel.numpy())
        model.compile(optimizer)
        go_on(model, 1)
        moves.append(np.linalg.norm(model.cell.recurrent_kernel.numpy() - starts[-1]))
    np.testing.assert_array_equal(*starts)
    assert moves[1] < 0.3 * moves[0]


def test_a_penalty_on_weights_is_in_the_product():
    model = models.RNN(num_hidden=4, seed=3)
    model.build_for(NUM_VISIBLE)
    frames, mask = tf.constant(BATCH["frames"]), tf.constant(BATCH["mask"])
    tangents = [tf.ones(variable.shape) for variable in model.trainable_variables]

    def product() -> list[tf.Tensor]:
        return Curved(model, (frames, mask))._linearize((frames, mask), []).product(
            tangents, tf.constant(0.0))

    without = product()
    model.cell.kernel.regularizer = keras.regularizers.L2(0.25)
    for variable, one, other in zip(model.trainable_variables, without, product(), strict=True):
        expected = 0.5 if variable is model.cell.kernel else 0.0
        np.testing.assert_allclose(other - one, np.full(variable.shape, expected), atol=1e-5)


def test_weights_that_are_no_numbers_stop_with_advice_and_stay():
    model = models.RNN(num_hidden=4, seed=3)
    model.build_for(NUM_VISIBLE)
    model.readout.bias.assign(np.full(NUM_VISIBLE, np.nan))
    weights = model.get_weights()
    model.compile(optimizers.HessianFree(max_failures=2))
    with pytest.raises(ValueError, match="must lower the loss, got 2 in a row.*in step 2$"):
        go_on(model, 5)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert float(model.optimizer.figures["damping"]) == pytest.approx(0.3 * 1.5 ** 2)


@pytest.mark.parametrize("wrong", [
    {"damping": -1.0}, {"structural_damping": -0.1}, {"tolerance": 1.1}, {"decay": 1.1},
    {"curvature_rows": 0}, {"rows_at_once": 1.5}, {"max_steps": 0}, {"max_failures": 0},
    {"damping": float("nan")}])
def test_a_number_out_of_range_is_told(wrong):
    with pytest.raises(ValueError, match=f"HessianFree: {next(iter(wrong))} must be"):
        optimizers.HessianFree(**wrong)


@pytest.mark.parametrize("wrong", [{"dropout": 0.5}, {"num_backward_steps": 9}])
def test_a_loss_that_is_not_that_of_whole_sequences_is_refused(wrong):
    with pytest.raises(ValueError, match="HessianFree needs dropout=0 and num_backward_steps=None"):
        fit(optimizers.HessianFree(), 1, **wrong)


def test_a_head_without_an_exact_likelihood_is_refused():
    model = models.RNNRBM(3, num_recurrent=4)
    model.compile(optimizers.HessianFree())
    with pytest.raises(ValueError, match="must do with gradients.* RBMHead .*, got HessianFree"):
        go_on(model, 1)


def test_rows_that_go_on_from_another_batch_are_refused():
    model = models.RNN(num_hidden=4)
    model.compile(optimizers.HessianFree())
    batch = {**BATCH, "starts": np.array([True] * 7 + [False])}
    with pytest.raises(ValueError, match="starts must be True in every row"):
        model.fit(batch, batch_size=8, verbose=0)


def test_a_loss_without_a_curvature_is_told():
    variable = keras.Variable([3.0])
    objective = optimizers.Objective([variable], lambda: tf.reduce_sum(variable.value ** 2))
    with pytest.raises(TypeError, match="must hand over a curvature, got a loss alone"):
        optimizers.HessianFree().minimize(objective)
