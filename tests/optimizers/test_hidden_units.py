"""Structural damping of functional models, against dense matrices and sequence models."""

import re
from collections.abc import Sequence

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rnnpt import cells, heads, models, optimizers
from rnnpt.optimizers._hidden_units import recorded_units, recurrent_layers

NUM_ROWS, NUM_STEPS, NUM_INPUTS, NUM_OUTPUTS, STRENGTH = 3, 4, 2, 2, 0.7
DRAW = np.random.default_rng(0)
# Keras' Masking leaves frames of zeros out: behind the end of rows, and one in between.
REAL = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0]], bool)
INPUTS = DRAW.normal(size=[NUM_ROWS, NUM_STEPS, NUM_INPUTS]) * REAL[..., np.newaxis]
TARGETS = DRAW.uniform(size=[NUM_ROWS, NUM_STEPS, NUM_OUTPUTS])


def simple(activation: str = "tanh", **kwargs: object) -> layers.Layer:
    return layers.SimpleRNN(3, activation, **{"return_sequences": True} | kwargs)


def chain(
    *recurrent: layers.Layer, masked: bool = True
) -> tuple[keras.Model, list[keras.KerasTensor]]:
    """Returns a model of sequences with random weights, and what its recurrent layers give out."""
    inputs = keras.Input([NUM_STEPS, NUM_INPUTS])
    outputs, hidden = layers.Masking()(inputs) if masked else inputs, []
    for layer in recurrent:
        outputs = layer(outputs)
        hidden.append(outputs)
    model = keras.Model(inputs, layers.Dense(NUM_OUTPUTS, "sigmoid")(outputs))
    draw = np.random.default_rng(1)
    model.set_weights([draw.normal(size=weight.shape) for weight in model.get_weights()])
    return model, hidden


def wrapped(model: keras.Model, **kwargs: object) -> optimizers.SecondOrderModel:
    model = optimizers.SecondOrderModel(model)
    model.compile(
        optimizers.HessianFree(**{"structural_damping": 0.25} | kwargs),
        loss="binary_crossentropy")
    return model


def moves(variable: keras.Variable) -> bool:
    """Returns whether a functional model has a variable of a sequence model: not its start."""
    return "initial_state" not in variable.path


def products(
    model: keras.Model, vector: np.ndarray, *strengths: float, data: tuple = (INPUTS, TARGETS),
) -> list[np.ndarray]:
    """Returns products with the matrix, compiled as within an update, at some strengths."""
    variables = model.trainable_variables
    ends = np.cumsum([np.prod(variable.shape) if moves(variable) else 0 for variable in variables])
    tangents = [
        tf.reshape(part, variable.shape) if moves(variable) else tf.zeros(variable.shape, "float64")
        for part, variable in zip(np.split(vector, ends[:-1]), variables, strict=True)]

    @tf.function
    def compute() -> list[list[tf.Tensor]]:
        product = model.curved_objective(tuple(map(tf.constant, data))).linearize().product
        return [product(tangents, tf.constant(strength, tf.float64)) for strength in strengths]

    return [np.concatenate([
        np.ravel(part) for part, variable in zip(found, variables) if moves(variable)])
        for found in compute()]


def slope(units: np.ndarray, activation: str) -> np.ndarray:
    return {"sigmoid": units * (1 - units), "tanh": 1 - units ** 2}.get(
        activation, np.ones_like(units))


# What makes layers, whether frames are masked, and the nonlinearity whose distance is due.
CASES = {
    "stacked": (lambda: [simple("sigmoid"), simple("tanh")], True, ["sigmoid", "tanh"]),
    "lstm": (lambda: [layers.LSTM(2, return_sequences=True)], True, [None]),
    "both ways": (lambda: [layers.Bidirectional(simple())], True, ["tanh"]),
    "nested": (lambda: [keras.Sequential([simple()])], False, ["tanh"]),
    "stacked cells": (lambda: [layers.RNN(layers.StackedRNNCells(
        [layers.SimpleRNNCell(2), layers.SimpleRNNCell(3)]), return_sequences=True)], True, [None]),
}


def dense_matrices(
    model: keras.Model, real: np.ndarray, hidden: Sequence[keras.KerasTensor],
    activations: Sequence[str | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns J' H J and J_h' D J_h, built row by row and step by step."""
    last = model.layers[-1]
    body = keras.Model(model.input, [last.input, *hidden])
    variables = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape(persistent=True) as tape:
        features, *units = body(INPUTS, training=True)
        logits = features @ last.kernel.value + last.bias.value
    (logits, parts), *rest = [(np.array(value), tape.jacobian(
        value, variables, experimental_use_pfor=False,
        unconnected_gradients=tf.UnconnectedGradients.ZERO)) for value in (logits, *units)]

    def matrix(parts: list, diagonal: np.ndarray) -> np.ndarray:
        weights = np.ravel(diagonal * real[..., np.newaxis])
        rows = np.concatenate([np.reshape(part, [weights.size, -1]) for part in parts], axis=-1)
        return sum(weight * np.outer(row, row)
                   for weight, row in zip(weights, rows, strict=True)) / NUM_ROWS

    p = 1 / (1 + np.exp(-logits))
    return matrix(parts, p * (1 - p)), sum(
        matrix(parts, 1 / slope(units, activation))
        for (units, parts), activation in zip(rest, activations, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_the_product_is_that_of_the_matrix_built_row_by_row(double_precision, name):
    make, masked, activations = CASES[name]
    model, hidden = chain(*make(), masked=masked)
    vector = np.random.default_rng(2).normal(size=model.count_params())
    undamped, damped = products(wrapped(model), vector, 0.0, STRENGTH)
    curved, structure = dense_matrices(
        model, REAL if masked else np.ones_like(REAL), hidden, activations)
    np.testing.assert_allclose(undamped, curved @ vector, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        damped, (curved + STRENGTH * structure) @ vector, rtol=1e-10, atol=1e-10)


def test_without_structural_damping_nothing_is_recorded(double_precision):
    model, _ = chain(simple())
    vector = np.random.default_rng(2).normal(size=model.count_params())
    undamped, never_damped = products(
        wrapped(model, structural_damping=0.0), vector, 0.0, STRENGTH)
    np.testing.assert_array_equal(never_damped, undamped)


def test_a_layer_that_returns_its_last_step_is_damped_at_all(double_precision):
    whole, last = (chain(simple(), simple("sigmoid", return_sequences=keeps), *picks)[0]
                   for keeps, picks in (
                       (True, [layers.Lambda(lambda units: units[:, -1], mask=lambda *_: None)]),
                       (False, [])))
    vector = np.random.default_rng(2).normal(size=last.count_params())
    expected, found = (
        products(wrapped(model), vector, STRENGTH, data=(INPUTS, TARGETS[:, -1]))[0]
        for model in (whole, last))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert not last.layers[3].return_sequences


@pytest.mark.parametrize("kind", ["tanh", "sigmoid", "relu", "gru"])
def test_the_product_is_that_of_a_sequence_model(double_precision, kind):
    layer = layers.GRU(3, return_sequences=True) if kind == "gru" else simple(kind)
    model, _ = chain(layer)
    twin = models.Transducer(
        layers.GRUCell(3) if kind == "gru" else cells.SimpleCell(3, kind), heads.BernoulliHead(),
        NUM_OUTPUTS)
    twin.build([None, NUM_STEPS, NUM_INPUTS])
    twin.compile(optimizers.HessianFree())
    weights = iter(model.get_weights())
    for variable in twin.trainable_variables:  # It starts from zeros as well.
        variable.assign(next(weights) if moves(variable) else np.zeros(variable.shape))
    vector = np.random.default_rng(2).normal(size=model.count_params())
    # Without the gap, which no sequence model has.
    real = np.arange(NUM_STEPS) < np.array([[4], [2], [1]])
    inputs, targets = INPUTS * real[..., np.newaxis], TARGETS.round()
    [found] = products(wrapped(model), vector, STRENGTH, data=(inputs, targets))
    [expected] = products(twin, vector, STRENGTH, data=(inputs, targets, real * 1.0))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_saturated_units_are_none_the_worse():
    model = keras.Sequential([
        keras.Input([NUM_STEPS, NUM_INPUTS]), simple("tanh", kernel_initializer="ones"),
        layers.Dense(NUM_OUTPUTS, "sigmoid")])
    model.layers[0].cell.kernel.assign(tf.fill([NUM_INPUTS, 3], 1e3))
    whole = wrapped(model)
    product = whole.curved_objective(
        (tf.constant(INPUTS, tf.float32), tf.constant(TARGETS, tf.float32))).linearize().product
    for part in product([tf.ones(v.shape) for v in whole.trainable_variables], tf.constant(1.0)):
        assert np.isfinite(part).all()


def test_fit_lowers_the_loss_another_way_than_without():
    ways = []
    for structural_damping in (0.0, 1.0):
        keras.utils.set_random_seed(0)
        model = wrapped(
            chain(layers.LSTM(2), masked=False)[0], structural_damping=structural_damping,
            rows_at_once=2)
        start = model.evaluate(INPUTS, TARGETS[:, -1], verbose=0)
        ways.append([start, *model.fit(
            INPUTS, TARGETS[:, -1], batch_size=NUM_ROWS, epochs=2, verbose=0).history["loss"]])
    assert (np.diff(ways) < 0).all()
    assert ways[0][0] == ways[1][0] and ways[0][1] != ways[1][1]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.recurrent, self.last = simple(), layers.Dense(NUM_OUTPUTS, "sigmoid")

    def call(self, inputs):
        return self.last(self.recurrent(inputs))


class Loop(layers.Layer):
    """A recurrent layer that takes one row after the other."""

    def __init__(self):
        super().__init__()
        self.inner = simple(name="inner", return_sequences=False)

    def build(self, input_shape):
        self.inner.build(input_shape[1:])

    def call(self, inputs):
        return tf.map_fn(self.inner, inputs)

    def compute_output_shape(self, input_shape):
        return *input_shape[:2], 3


def test_a_model_without_recurrent_layers_is_refused():
    model = wrapped(keras.Sequential([
        keras.Input([NUM_STEPS, NUM_INPUTS]), layers.Dense(NUM_OUTPUTS, "sigmoid")]))
    with pytest.raises(ValueError, match=re.escape(
            "HessianFree: structural_damping must be 0 for a model without recurrent layers, got "
            "0.25; leave it out, or take")) as caught:
        model.fit(INPUTS, TARGETS, verbose=0)
    assert "\n" not in str(caught.value)


def test_a_subclassed_model_is_refused():
    inner = Subclassed()
    inner(INPUTS)
    with pytest.raises(ValueError, match="model must be functional .* got Subclassed; build it"):
        wrapped(inner).fit(INPUTS, TARGETS, verbose=0)


def test_a_layer_in_a_loop_is_refused_and_stays_as_it_was():
    model = wrapped(keras.Sequential([
        keras.Input([NUM_STEPS, NUM_INPUTS, 1]), Loop(), layers.Dense(NUM_OUTPUTS, "sigmoid")]))
    with pytest.raises(ValueError, match=(
            "structural_damping must be 0 where .* within a loop, .* got inner; let the shape")
            ) as caught:
        model.fit(INPUTS[..., np.newaxis], TARGETS, verbose=0)
    assert "\n" not in str(caught.value)
    [layer] = recurrent_layers(model)
    assert not layer.return_sequences and "inner_loop" not in vars(layer)


def test_a_layer_in_a_loop_of_known_length_is_in_sight():
    model = keras.Sequential([
        keras.Input([NUM_STEPS, NUM_INPUTS, 1]),
        layers.TimeDistributed(simple(return_sequences=False))])
    with recorded_units(recurrent_layers(model)) as found:
        model(INPUTS[..., np.newaxis])
    assert [units.shape for units, _ in found] == [(NUM_ROWS, NUM_INPUTS, 3)] * NUM_STEPS
