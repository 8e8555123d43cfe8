"""Which losses match which last layers, and what a model computes before its activation."""

import re

import keras
import numpy as np
import pytest

from rnnpt.optimizers._matching_loss import MatchingLoss

X = np.random.default_rng(0).normal(size=[6, 3]).astype("float32")
KERNEL = keras.initializers.GlorotUniform(seed=1)
layers, losses = keras.layers, keras.losses


def dense(activation: str | None = None, units: int = 2) -> keras.layers.Layer:
    return layers.Dense(units, activation, kernel_initializer=KERNEL)


def sequential(*last: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input([3]), *last])


def functional(*last: keras.layers.Layer) -> keras.Model:
    inputs = outputs = keras.Input([3])
    for layer in last:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize(("activation", "loss"), [
    ("softmax", "categorical_crossentropy"), ("sigmoid", "binary_crossentropy")])
def test_whichever_layer_activates_the_outputs_are_logits(activation, loss):
    last = (layers.Softmax() if activation == "softmax" else layers.Activation(activation))
    expected = sequential(dense())(X)
    for inner in (
            sequential(dense(activation)), functional(dense(activation)), sequential(dense(), last),
            functional(dense(), last), functional(sequential(dense(), last)),
            functional(layers.Reshape([1, 3]), layers.TimeDistributed(dense(activation)))):
        found = MatchingLoss(inner, loss).outputs(X)
        np.testing.assert_allclose(np.reshape(found, [6, 2]), expected, rtol=1e-6)
        # The layer has its activation again.
        outputs = np.reshape(inner(X), [6, 2])
        np.testing.assert_allclose(
            outputs, getattr(keras.activations, activation)(expected), rtol=1e-6)


def test_a_change_of_shape_may_come_after_a_sigmoid():
    inner = sequential(dense("sigmoid", 4), layers.Reshape([2, 2]), layers.Permute([2, 1]))
    expected = np.reshape(sequential(dense(None, 4))(X), [6, 2, 2]).transpose(0, 2, 1)
    found = MatchingLoss(inner, "binary_crossentropy").outputs(X)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_loss_is_a_sum_and_its_weight_scales_it():
    inner, y, weight = sequential(dense()), np.ones([6, 2]), np.linspace(0, 1, 6)
    expected = np.sum((inner(X) - y) ** 2 * weight[:, np.newaxis])
    for loss_weights, factor in ((None, 1), ([0.5], 0.5)):
        loss = MatchingLoss(inner, losses.MeanSquaredError(), loss_weights)
        outputs = loss.outputs(X)
        np.testing.assert_allclose(
            loss.total(outputs, y, weight), factor * expected, rtol=1e-5)
        assert loss.count(outputs, y) == 12


def test_a_class_that_is_ignored_counts_for_nothing():
    loss = MatchingLoss(
        sequential(dense()),
        losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1))
    outputs, y = loss.outputs(X), np.array([0, 1, -1, 0, -1, 1])
    rows = np.arange(6)[y >= 0]
    scores = np.array(outputs)[rows]
    expected = np.sum(np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(4), y[rows]])
    np.testing.assert_allclose(loss.total(outputs, y, None), expected, rtol=1e-5)
    assert loss.count(outputs, y) == 4


PAIRS = "take MeanSquaredError with linear, BinaryCrossentropy with sigmoid"


def shared() -> keras.Model:
    layer, inputs = dense("sigmoid", 3), keras.Input([3])
    return keras.Model(inputs, layer(layer(inputs)))


@pytest.mark.parametrize(("last", "loss", "got"), [
    ([dense("sigmoid")], "mse", "MeanSquaredError with sigmoid"),
    ([dense("relu")], "mse", "MeanSquaredError with keras.relu"),
    ([dense()], "binary_crossentropy", "BinaryCrossentropy with linear"),
    ([dense()], "mae", "mean_absolute_error with linear"),
    ([dense()], None, "NoneType with linear"),
    ([dense("softmax")], losses.CategoricalCrossentropy(from_logits=True),
     "CategoricalCrossentropy(from_logits=True, axis=-1) with softmax"),
    ([dense(), layers.Softmax(0)], "categorical_crossentropy", "with Softmax(axis=0)"),
    ([dense("softmax", 4), layers.Reshape([2, 2])], "categorical_crossentropy",
     "with softmax before Reshape"),
    ([layers.Reshape([3, 1]), layers.LSTM(2)], "mse", "MeanSquaredError with the layer LSTM"),
    ([dense(), layers.LeakyReLU()], "mse", "MeanSquaredError with the layer LeakyReLU"),
])
def test_a_loss_that_does_not_match_is_told_which_pairs_do(last, loss, got):
    with pytest.raises(ValueError, match=re.escape(got)) as caught:
        MatchingLoss(sequential(*last), loss)
    assert "loss must match the activation" in str(caught.value) and PAIRS in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_layer_that_is_used_twice_is_refused():
    with pytest.raises(ValueError, match="with sigmoid of a layer used 2 times"):
        MatchingLoss(shared(), "binary_crossentropy")


def test_a_loss_that_is_no_mean_over_the_batch_is_refused():
    with pytest.raises(ValueError, match="reduction of the loss must be .*, got 'sum'; leave it"):
        MatchingLoss(sequential(dense()), losses.MeanSquaredError(reduction="sum"))


def test_several_outputs_are_refused():
    inputs = keras.Input([3])
    inner = keras.Model(inputs, [dense()(inputs), dense()(inputs)])
    with pytest.raises(ValueError, match="model must have one output, .* got 2; concatenate"):
        MatchingLoss(inner, "mse")


def test_several_losses_are_refused():
    with pytest.raises(ValueError, match="loss must be one, .* got 2; compile"):
        MatchingLoss(sequential(dense()), ["mse", "mse"])


def test_a_model_of_unknown_layers_is_refused():
    class Inner(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match="model must be functional or Sequential, .* got Inner;"):
        MatchingLoss(Inner(), "mse")
