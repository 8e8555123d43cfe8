"""Real-time recurrent learning equals back-propagation through time, and its on-line twin."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells, heads, models
from tests.catalogue import NUM_VISIBLE, make_batch, with_random_weights
from tests.reference.real_time import OnlineRNN

LENGTHS = [6, 3, 0]


@pytest.fixture
def float64() -> Iterator[None]:
    """Everything that is built meanwhile is in float64."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


def make_model(activation: str, head: heads.Head, **options: object) -> models.SequenceModel:
    """Returns a model of four simple units with random weights."""
    return with_random_weights(
        models.SequenceModel(cells.SimpleCell(4, activation, **options), head))


def make_frames() -> tuple[np.ndarray, np.ndarray]:
    """Returns frames (3, 6, V) and a mask of the lengths 6, 3 and 0."""
    return make_batch()["frames"], np.arange(6) < np.array(LENGTHS)[:, None]


def gradients_through_time(
    model: models.SequenceModel, frames: np.ndarray, mask: np.ndarray
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Returns the loss of the model's parts unrolled, and the tape's gradients."""
    with tf.GradientTape() as tape:
        outputs, _ = cells.unroll(
            model.cell, tf.cast(frames, model.cell.compute_dtype), model.initial_state(3), mask)
        losses = model.head.loss(
            model.readout(outputs), tf.cast(frames, outputs.dtype), seed=(0, 0))
        losses += model.cell.activity_l1 * tf.reduce_sum(tf.abs(outputs), axis=-1)
        loss = tf.reduce_sum(tf.boolean_mask(losses, mask)) / mask.sum()
    return loss, tape.gradient(loss, model.trainable_variables)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("activation, head, options", [
    ("tanh", heads.BernoulliHead, {}),
    ("sigmoid", heads.BernoulliHead, {"activity_l1": 0.3}),
    ("relu", heads.BernoulliHead, {}),
    ("tanh", lambda: heads.NADEHead(3), {})])
def test_the_gradient_equals_back_propagation_through_time(activation, head, options):
    model, (frames, mask) = make_model(activation, head(), **options), make_frames()
    loss, gradients = tf.function(models.real_time_gradients)(model, frames, mask)
    expected_loss, expected = gradients_through_time(model, frames, mask)
    np.testing.assert_allclose(loss, expected_loss, rtol=0, atol=1e-10)
    assert all(np.abs(gradient).max() > 1e-4 for gradient in expected)
    for gradient, value in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, value, rtol=0, atol=1e-10)


def test_the_loss_and_the_update_are_those_of_fit():
    model, (frames, mask) = with_random_weights(models.RNN(4)), make_frames()
    loss, gradients = tf.function(models.real_time_gradients)(model, frames, mask)
    expected = [variable.numpy() - 0.5 * gradient
                for variable, gradient in zip(model.trainable_variables, gradients)]
    model.compile(keras.optimizers.SGD(0.5))
    logs = model.fit({"frames": frames, "mask": mask}, shuffle=False, verbose=0).history
    np.testing.assert_allclose(loss, logs["loss"][0], rtol=1e-5)
    for variable, value in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-5, atol=1e-6)


def test_weights_that_are_frozen_have_no_gradient():
    model, (frames, mask) = with_random_weights(models.RNN(4)), make_frames()
    every = models.real_time_gradients(model, frames, mask)[1]
    model.readout.trainable = False
    some = models.real_time_gradients(model, frames, mask)[1]
    assert len(some) == len(model.trainable_variables) == 4
    for one, other in zip(some, every):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("float64")
def test_on_line_training_equals_its_twin():
    model = make_model("tanh", heads.BernoulliHead())
    # A rate that float32, in which Keras keeps it, holds exactly.
    model.compile(keras.optimizers.SGD(0.25))
    frames, mask = make_frames()
    weights = [model.cell.kernel, model.cell.recurrent_kernel, model.cell.bias,
               model.cell.initial_state[0], model.readout.kernel, model.readout.bias]
    twin = OnlineRNN([weight.numpy() for weight in weights], learning_rate=0.25)
    twin.run(frames, LENGTHS)
    models.train_online(model, frames, mask)
    for weight, value in zip(weights, twin.weights, strict=True):
        np.testing.assert_allclose(weight, value, rtol=0, atol=1e-10)


def test_on_line_training_logs_the_loss_before_each_update_and_lowers_it():
    model = with_random_weights(models.RNN(4))
    frames = np.tile(np.eye(NUM_VISIBLE), [1, 20, 1])
    first, _ = tf.function(models.real_time_gradients)(model, frames)
    model.compile(keras.optimizers.SGD(0.0))
    np.testing.assert_allclose(models.train_online(model, frames), first, rtol=1e-5)
    model.compile(keras.optimizers.SGD(0.1))
    assert models.train_online(model, frames) < 0.9 * first


@pytest.mark.parametrize("learn", [models.real_time_gradients, models.train_online])
@pytest.mark.parametrize("model, error, message", [
    (models.EchoStateNetwork(4), TypeError, "cell must be a SimpleCell, got ReservoirCell"),
    (models.RNN(4, dropout=0.5), ValueError, "dropout must be 0, got 0.5"),
    (models.RNNRBM(3, 4), ValueError, "head must be exact, got RBMHead"),
    (models.RNN(4), ValueError, "frames must be 0 or 1 for BernoulliHead.*got 0.5")])
def test_what_does_not_fit_is_refused_by_name_and_value(learn, model, error, message):
    model.compile("sgd")
    with pytest.raises(error, match=message):
        learn(model, np.full([2, 3, NUM_VISIBLE], 0.5))


def test_on_line_training_without_an_optimizer_is_refused():
    with pytest.raises(ValueError, match="model must be compiled.*got none"):
        models.train_online(models.RNN(4), make_frames()[0])
