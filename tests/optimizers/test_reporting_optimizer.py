"""What the optimizers of second order have in common, through `fit` of a sequence model."""

import functools

import keras
import numpy as np
import pytest

from rnnpt import models, optimizers
from tests.catalogue import NUM_VISIBLE, make_batch

BATCH = make_batch(batch_size=8)
OPTIMIZERS = {
    "AugmentedHessianFree": lambda **kwargs: optimizers.AugmentedHessianFree(
        **{"max_steps": 30, "curvature_rows": 6} | kwargs),
    "KrylovDescent": lambda **kwargs: optimizers.KrylovDescent(
        **{"num_vectors": 6, "max_iterations": 10, "rows_at_once": 5} | kwargs),
    "LBFGS": lambda **kwargs: optimizers.LBFGS(**{"max_iterations": 5} | kwargs),
}


@functools.cache
def make_model(name: str) -> models.RNN:
    """Returns a model whose graph is made once, since that takes seconds."""
    model = models.RNN(num_hidden=4, seed=3)
    model.build_for(NUM_VISIBLE)
    model.compile(OPTIMIZERS[name](max_failures=2))
    model.optimizer.build(model.trainable_variables)
    return model


def snapshot(model: models.RNN) -> list[np.ndarray]:
    return [np.array(variable) for variable in [*model.weights, *model.optimizer.variables]]


def restore(model: models.RNN, values: list[np.ndarray]) -> None:
    for variable, value in zip(
            [*model.weights, *model.optimizer.variables], values, strict=True):
        variable.assign(value)


def go_on(model: models.RNN, epochs: int) -> dict[str, list[float]]:
    return model.fit(BATCH, epochs=epochs, batch_size=8, shuffle=False, verbose=0).history


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_loss_falls_far_and_a_run_goes_on_from_its_variables(name):
    model = make_model(name)
    start = snapshot(model)
    assert getattr(model.optimizer, "stop_reason", None) is None
    begun, middle = go_on(model, 2), snapshot(model)
    ended = go_on(model, 2)
    losses = begun["loss"] + ended["loss"]
    assert (np.diff(losses) <= 1e-6).all() and losses[-1] < 0.8 * losses[0]
    assert losses[-1] == pytest.approx(
        model.evaluate(BATCH, batch_size=8, verbose=0, return_dict=True)["loss"], rel=1e-6)
    assert set(model.optimizer.FIGURES) <= set(begun)
    if name == "AugmentedHessianFree":
        assert model.optimizer.stop_reason == "the most steps that were allowed"
    assert np.isfinite(list(begun.values())).all() and min(begun["gradient_norm"]) > 0
    restore(model, middle)
    assert go_on(model, 2) == ended
    restore(model, start)
    assert go_on(model, 2) == begun
    restore(model, start)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_that_are_no_numbers_stop_with_advice_and_stay(name):
    model = make_model(name)
    start = snapshot(model)
    model.readout.bias.assign(np.full(NUM_VISIBLE, np.nan))
    weights = model.get_weights()
    with pytest.raises(
            ValueError, match=f"{name}: an update must lower the loss, got 2 in a row.*in step 2$"):
        go_on(model, 5)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    restore(model, start)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_config_has_every_argument(name):
    optimizer = OPTIMIZERS[name](max_failures=7)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer) and again.max_failures == 7
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize("name, wrong", [
    ("AugmentedHessianFree", {"tolerance": 1.5}), ("AugmentedHessianFree", {"max_steps": 0}),
    ("AugmentedHessianFree", {"curvature_rows": 0}), ("KrylovDescent", {"num_vectors": 2.5}),
    ("KrylovDescent", {"max_iterations": 0}), ("KrylovDescent", {"tolerance": -1e-3}),
    ("KrylovDescent", {"rows_at_once": -1}), ("LBFGS", {"max_iterations": 0}),
    ("LBFGS", {"num_correction_pairs": 0}), ("LBFGS", {"tolerance": float("nan")}),
    ("LBFGS", {"relative_tolerance": 2}), ("LBFGS", {"max_failures": 0})])
def test_a_number_out_of_range_is_told(name, wrong):
    (word, value), = wrong.items()
    with pytest.raises(ValueError, match=f"{name}: {word} must be .*got {value}"):
        OPTIMIZERS[name](**wrong)


@pytest.mark.parametrize("name", ["AugmentedHessianFree", "KrylovDescent"])
def test_an_optimizer_with_a_curvature_is_told_where_there_is_none(name):
    optimizer = OPTIMIZERS[name]()
    weight = keras.Variable([1.0])
    with pytest.raises(TypeError, match=f"{name}: .* must hand over a curvature, got a loss alone"):
        optimizer.minimize(optimizers.Objective([weight], lambda: weight.value ** 2))
    model = models.RNN(num_hidden=4, dropout=0.5)
    model.compile(optimizer)
    with pytest.raises(ValueError, match=f"{name} needs dropout=0 .*got 0.5 and None"):
        go_on(model, 1)


@pytest.mark.parametrize("name", ["AugmentedHessianFree", "KrylovDescent"])
def test_a_linear_keras_model_is_solved_in_one_update(name):
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((16, 3)), rng.standard_normal((16, 1))
    inner = keras.Sequential([keras.Input([3]), keras.layers.Dense(1, use_bias=False)])
    model = optimizers.SecondOrderModel(inner)
    model.compile(OPTIMIZERS[name](curvature_rows=None), loss="mse")
    history = model.fit(inputs, targets, batch_size=16, verbose=0).history
    expected, (square,), *_ = np.linalg.lstsq(inputs, targets, rcond=None)
    np.testing.assert_allclose(inner.layers[0].kernel, expected, atol=1e-4)
    assert history["loss"][0] == pytest.approx(square / 16, rel=1e-5)
    assert history["step_length"] == [1.0]
