"""What a model must be for its curvature to be handed over, and what it is frozen at."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import models, optimizers


def objective_of(
    *last: keras.layers.Layer, optimizer: keras.optimizers.Optimizer | None = None
) -> tuple[optimizers.SecondOrderModel, optimizers.OutputObjective]:
    """Returns a model of one hidden layer, others and a linear one, and what it hands over."""
    model = optimizers.SecondOrderModel(
        keras.Sequential([keras.Input([2]), keras.layers.Dense(4), *last, keras.layers.Dense(3)]))
    model.compile(optimizer or optimizers.HessianFree(), loss="mse")
    x = np.random.default_rng(0).normal(size=[5, 2]).astype("float32")
    return model, model.curved_objective((tf.constant(x), tf.ones([5, 3]), None))


def test_random_layers_draw_alike_within_an_update():
    model, objective = objective_of(
        keras.layers.Dropout(0.5, seed=1), keras.layers.GaussianNoise(1.0, seed=2))
    states = [np.array(one) for one in model.non_trainable_variables]
    values = objective.values()
    vector = [tf.ones_like(value) for value in values]
    loss = objective.value_at(values)
    found = objective.linearize().product(vector, tf.constant(0.0))
    assert loss == objective.value_at(values)
    again = objective.linearize().product(vector, tf.constant(0.0))
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(states, model.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_that_are_not_there_are_told():
    # Asked for and there; the batch has five.
    rule = r"curvature_rows and held_out_rows ask for, {} in all, got'\n5\n"
    _, objective = objective_of(optimizer=optimizers.HessianFree(curvature_rows=4))
    objective.held_out(1)
    with pytest.raises(tf.errors.InvalidArgumentError, match=rule.format(6)):
        objective.held_out(2)
    with pytest.raises(tf.errors.InvalidArgumentError, match=rule.format(1000)):
        objective_of(optimizer=optimizers.HessianFree(curvature_rows=1000))


def test_a_batch_smaller_than_the_rows_of_the_curvature_stops_fit_in_one_line():
    images = np.random.default_rng(0).uniform(size=[8, 6]).astype("float32")
    model = models.Autoencoder((4, 2))
    model.compile(optimizers.HessianFree(curvature_rows=1000))
    with pytest.raises(ValueError, match="held_out_rows ask for, 1000 in all, got 8 ; drop the"):
        model.fit(images, batch_size=8, verbose=0)


def test_structural_damping_is_that_of_the_hidden_units_that_are_given(double_precision):
    random = np.random.default_rng(0)
    kernel = keras.Variable(random.normal(size=[2, 3]))
    data, metric = (tf.constant(random.uniform(size=[5, size])) for size in (2, 3))

    def hidden(data: tf.Tensor) -> tf.Tensor:
        return tf.matmul(data, kernel)

    objective = optimizers.OutputObjective(
        optimizers.HessianFree(structural_damping=0.25), [kernel], data,
        lambda data: 0.0 * hidden(data), lambda outputs, _: tf.reduce_sum(outputs ** 2),
        hidden_of=lambda data: (0.0 * hidden(data), [(hidden(data), metric)]))
    vector = random.normal(size=[2, 3])
    [found] = objective.linearize().product([tf.constant(vector)], tf.constant(0.5))
    expected = 0.5 * np.transpose(data) @ (np.array(metric) * (data @ vector)) / 5
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_structural_damping_without_hidden_units_is_refused():
    with pytest.raises(ValueError, match="structural_damping must be 0 for a model .*, got 0.25;"):
        objective_of(optimizer=optimizers.HessianFree(structural_damping=0.25))


def test_batch_normalization_is_refused_unless_it_is_frozen():
    with pytest.raises(ValueError, match="each row alone, .* got BatchNormalization 'norm'; set"):
        objective_of(keras.layers.BatchNormalization(name="norm"))
    objective_of(keras.layers.BatchNormalization(trainable=False))


def test_a_penalty_on_activities_is_refused():
    with pytest.raises(ValueError, match="must add no loss .* activity_regularizer, got 1, whose"):
        objective_of(keras.layers.Dense(2, activity_regularizer="l2"))[1].linearize()


def test_a_variable_without_a_gradient_is_named():
    class Idle(keras.layers.Layer):
        def build(self, input_shape):
            self.idle = self.add_weight(shape=[2], name="idle")

        def call(self, inputs):
            return inputs

    _, objective = objective_of(Idle())
    with pytest.raises(ValueError, match="hang on every variable, got no gradient for .*idle; set"):
        objective.value_and_gradient_at(objective.values())


def test_an_operation_without_a_second_derivative_is_named():
    class Pool(keras.layers.Layer):
        def call(self, inputs):
            images = inputs[:, tf.newaxis, :, tf.newaxis]
            pooled, *_ = tf.nn.fractional_max_pool(images, [1, 1, 1.5, 1], seed=1)
            return tf.reshape(pooled, [-1, 2])

    _, objective = objective_of(Pool())
    values = objective.values()
    with pytest.raises(ValueError, match="second derivative, got none for FractionalMaxPoolGrad;"):
        objective.linearize().product(values, tf.constant(0.0))
