"""The door by which a model hands its loss to the optimizer."""

import itertools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import models, optimizers
from tests.catalogue import MODELS, make_batch
from tests.reference.nesterov_1983 import nesterov_1983

INPUTS = np.random.default_rng(0).normal(size=[16, 3])
TARGETS = np.random.default_rng(1).normal(size=[16, 2])


def make_inner(*layers: keras.Layer) -> keras.Model:
    """Returns a functional model of one hidden layer with a penalty, and others after it."""
    inputs = keras.Input([3])
    hidden = keras.layers.Dense(
        4, "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed=1),
        kernel_regularizer=keras.regularizers.L2(1 / 128))(inputs)
    for layer in layers:
        hidden = layer(hidden)
    outputs = keras.layers.Dense(
        2, kernel_initializer=keras.initializers.GlorotUniform(seed=2))(hidden)
    return keras.Model(inputs, outputs)


def wrapped(optimizer: keras.optimizers.Optimizer, *layers: keras.Layer) -> keras.Model:
    model = optimizers.SecondOrderModel(make_inner(*layers))
    model.compile(optimizer, loss="mse", metrics=["mae"])
    return model


def fit(model: keras.Model, **kwargs: object) -> dict[str, list[float]]:
    kwargs = {"batch_size": 16, "epochs": 1} | kwargs
    return model.fit(INPUTS, TARGETS, shuffle=False, verbose=0, **kwargs).history


def values(model: keras.Model) -> list[np.ndarray]:
    """Returns everything that a run of the model depends on."""
    return [np.array(variable) for variable in [*model.variables, *model.optimizer.variables]]


def twin_losses(variables: list[keras.Variable], loss, rate: float, num_updates: int):
    """Returns the loss after each update of the twin, `loss` being that at the variables."""
    start = [np.array(variable, np.float64) for variable in variables]
    ends = np.cumsum([one.size for one in start])[:-1]
    objective = optimizers.Objective(variables, loss)
    compute = tf.function(lambda *values: objective.value_and_gradient_at(values))

    def evaluate(theta: np.ndarray) -> tuple[float, np.ndarray]:
        parts = [
            tf.constant(part.reshape(one.shape), variable.dtype)
            for part, one, variable in zip(np.split(theta, ends), start, variables, strict=True)]
        found, gradient = compute(*parts)
        return float(found), np.concatenate([np.ravel(one) for one in gradient]).astype(np.float64)

    steps = nesterov_1983(
        lambda theta: evaluate(theta)[0], lambda theta: evaluate(theta)[1],
        np.concatenate([one.ravel() for one in start]), rate)
    losses = [evaluate(theta)[0] for theta, _ in itertools.islice(steps, num_updates)]
    objective.move_to(start)
    return losses


def test_a_functional_model_falls_as_the_twin(double_precision):
    model = wrapped(optimizers.Nesterov1983(learning_rate=8.0))
    inner = model.model

    def loss() -> tf.Tensor:
        # Written out: the mean square, and the penalty of the hidden kernel.
        error = tf.reduce_mean((inner(INPUTS) - TARGETS) ** 2)
        return error + tf.reduce_sum(tf.convert_to_tensor(inner.layers[1].kernel) ** 2) / 128

    expected = twin_losses(model.trainable_variables, loss, 8.0, 100)
    found = fit(model, epochs=100)["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert found[-1] < 0.6 * found[0]


def test_a_sequence_model_falls_as_the_twin():
    batch = make_batch()
    model = models.RNN(num_hidden=4, seed=3)
    model.build_for(batch["frames"].shape[-1])
    num_frames = batch["mask"].sum()
    variables = model.trainable_variables
    expected = twin_losses(
        variables,
        lambda: -tf.reduce_sum(
            model.head.log_prob(model(batch), batch["frames"]) * batch["mask"]) / num_frames,
        64.0, 12)
    model.compile(optimizers.Nesterov1983(learning_rate=64.0))
    found = model.fit(batch, epochs=12, shuffle=False, verbose=0).history
    # float32: the loss to 1e-5.
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["log_likelihood"], -np.array(expected), rtol=1e-5)
    assert found["loss"][-1] < 0.8 * found["loss"][0]


@pytest.mark.parametrize("num_backward_steps", [None, 9])
def test_the_state_that_goes_over_to_the_next_batch_moves_once_an_update(num_backward_steps):
    # The first update finds no better point than its start where the rate is next to nothing:
    # the second batch must then begin with the state that the first one leaves.
    first, second = make_batch(seed=1), make_batch(seed=2)
    second["starts"] = np.zeros([3], bool)
    losses = []
    for optimizer in (optimizers.Nesterov1983(learning_rate=1e-30), keras.optimizers.SGD(0.0)):
        model = models.RNN(num_hidden=4, seed=3, num_backward_steps=num_backward_steps)
        model.compile(optimizer)
        losses.append([model.fit(batch, shuffle=False, verbose=0).history["loss"]
                       for batch in (first, second)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_random_layers_draw_alike_within_an_update_and_anew_in_the_next():
    model = wrapped(optimizers.Nesterov1983(learning_rate=1e-30), keras.layers.Dropout(0.5, seed=1))
    losses = fit(model, epochs=3)["loss"]
    assert len(set(losses)) == 3
    # And where the rate matters, the loss of one draw can be lowered: no search fails.
    fit(wrapped(optimizers.Nesterov1983(), keras.layers.Dropout(0.5, seed=1)), epochs=20)


def test_moving_averages_move_once_an_update():
    layer = keras.layers.BatchNormalization(momentum=0.75)
    model = wrapped(optimizers.Nesterov1983(learning_rate=1e-30), layer)
    hidden = np.array(model.model.layers[1](INPUTS))
    fit(model)
    np.testing.assert_allclose(layer.moving_mean, 0.25 * hidden.mean(axis=0), rtol=1e-5, atol=1e-7)


def test_weights_of_samples_and_metrics_count():
    weights = np.linspace(0, 1, 16)
    model = wrapped(optimizers.Nesterov1983())
    logs = fit(model, sample_weight=weights, epochs=5)
    error = np.array(model(INPUTS)) - TARGETS
    penalty = np.sum(np.array(model.model.layers[1].kernel) ** 2) / 128
    np.testing.assert_allclose(
        logs["loss"][-1], np.mean(weights * (error ** 2).mean(axis=1)) + penalty, rtol=1e-5)
    np.testing.assert_allclose(logs["mae"][-1], np.abs(error).mean(), rtol=1e-5)
    evaluated = model.evaluate(INPUTS, TARGETS, sample_weight=weights, verbose=0, return_dict=True)
    np.testing.assert_allclose(evaluated["loss"], logs["loss"][-1], rtol=1e-5)


def test_a_first_order_optimizer_trains_as_without_the_wrapper():
    alone, model = make_inner(), wrapped(keras.optimizers.SGD(0.1, momentum=0.9))
    alone.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss="mse")
    fit(model, epochs=5)
    fit(alone, epochs=5)
    for one, other in zip(model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_saved_model_goes_on_bit_for_bit(tmp_path):
    model = wrapped(optimizers.Nesterov1983(restart=True))
    fit(model, epochs=7)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        fit(each, epochs=7)
    for one, other in zip(values(model), values(loaded), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model.model(INPUTS), loaded.model(INPUTS))
    np.testing.assert_array_equal(model.predict(INPUTS, verbose=0), model.model.predict(
        INPUTS, verbose=0))


def test_a_model_that_is_not_built_is_built_by_fit():
    model = optimizers.SecondOrderModel(keras.Sequential([keras.layers.Dense(2)]))
    model.compile(optimizers.Nesterov1983(), loss="mse")
    losses = fit(model, epochs=3)["loss"]
    assert losses[2] < losses[0]


@pytest.mark.parametrize("compile_arguments", [{}, {"run_eagerly": True}])
def test_a_model_without_the_wrapper_is_told_so_in_one_line(compile_arguments):
    model = make_inner()
    model.compile(optimizers.Nesterov1983(), loss="mse", **compile_arguments)
    with pytest.raises(TypeError, match=re.escape(
            "Nesterov1983: the model must hand over its loss, got gradients alone; wrap it in "
            "optimizers.SecondOrderModel(model), or take a SequenceModel")) as caught:
        fit(model)
    assert "\n" not in str(caught.value)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="model must be a Keras model, got Dense"):
        optimizers.SecondOrderModel(keras.layers.Dense(1))


@pytest.mark.parametrize("name", ["RNNRBM", "RTRBM"])
def test_a_head_with_a_surrogate_for_a_loss_is_refused(name):
    model = MODELS[name]()
    model.compile(optimizers.Nesterov1983())
    with pytest.raises(ValueError, match=r"loss of \w*RBM\w* is but a surrogate, got Nesterov1983"):
        model.fit(make_batch(), verbose=0)


def test_several_replicas_are_refused():
    devices = tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        pytest.skip("one logical device: TensorFlow was set up before this test")
    with tf.distribute.MirroredStrategy([device.name for device in devices[:2]]).scope():
        model = wrapped(optimizers.Nesterov1983())
    with pytest.raises(ValueError, match="the strategy must have one replica, got 2"):
        fit(model)


def test_a_loss_that_is_not_finite_stops_fit_in_one_line():
    for model, data in ((wrapped(optimizers.Nesterov1983()), (INPUTS * np.inf, TARGETS)),
                        (models.RNN(4), (make_batch(),))):
        if isinstance(model, models.RNN):
            model.build_for(5)
            model.set_weights([np.full_like(one, np.nan) for one in model.get_weights()])
            model.compile(optimizers.Nesterov1983())
        with pytest.raises(ValueError, match="^Nesterov1983: .* be finite.* loss = -?nan .* 1$"):
            model.fit(*data, verbose=0)
