"""The curvature that a functional model hands to the optimizer, against dense matrices."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import optimizers

NUM_ROWS, NUM_STEPS, NUM_OUTPUTS = 5, 4, 3
DRAW = np.random.default_rng(0)
FLAT = DRAW.normal(size=[NUM_ROWS, 2])
# The last rows are shorter: Keras' Masking leaves frames of zeros out.
LENGTHS = np.array([4, 4, 3, 1, 2])
REAL = np.arange(NUM_STEPS) < LENGTHS[:, np.newaxis]
SERIES = DRAW.normal(size=[NUM_ROWS, NUM_STEPS, 2]) * REAL[..., np.newaxis]
KERNEL = keras.initializers.GlorotUniform(seed=1)


def dense(activation: str | None, **kwargs: object) -> keras.layers.Layer:
    return keras.layers.Dense(
        NUM_OUTPUTS, activation, kernel_initializer=keras.initializers.GlorotUniform(seed=2),
        bias_initializer=keras.initializers.RandomNormal(seed=3), **kwargs)


def mlp(last: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([
        keras.Input([2]), keras.layers.Dense(4, "tanh", kernel_initializer=KERNEL), last])


def masked(layer: keras.layers.Layer, last: keras.layers.Layer) -> keras.Model:
    inputs = keras.Input([NUM_STEPS, 2])
    return keras.Model(inputs, last(layer(keras.layers.Masking()(inputs))))


def simple() -> keras.layers.Layer:
    return keras.layers.SimpleRNN(
        3, return_sequences=True, kernel_initializer=KERNEL, recurrent_initializer="identity")


def lstm() -> keras.layers.Layer:
    return keras.layers.LSTM(
        3, return_sequences=True, kernel_initializer=KERNEL,
        recurrent_initializer=keras.initializers.Orthogonal(seed=4))


cross_entropy = keras.losses.BinaryCrossentropy
# What makes a model and its loss, and the curvature that is due.
CASES = {
    "linear": (lambda: mlp(dense(None)), "mse", "linear"),
    "sigmoid": (lambda: mlp(dense("sigmoid")), "binary_crossentropy", "sigmoid"),
    "logits": (lambda: mlp(dense(None)), lambda: cross_entropy(from_logits=True), "sigmoid"),
    "smoothed": (
        lambda: mlp(dense("sigmoid")), lambda: cross_entropy(label_smoothing=0.2), "sigmoid"),
    "softmax": (lambda: mlp(dense("softmax")), "categorical_crossentropy", "softmax"),
    "sparse": (lambda: mlp(dense("softmax")), "sparse_categorical_crossentropy", "softmax"),
    "penalty": (
        lambda: mlp(dense("softmax", kernel_regularizer=keras.regularizers.L2(0.1))),
        "categorical_crossentropy", "softmax"),
    "masked": (
        lambda: masked(keras.layers.Dense(3, "tanh", kernel_initializer=KERNEL), dense(
            "sigmoid", bias_regularizer=keras.regularizers.L2(0.1))),
        "binary_crossentropy", "sigmoid"),
    "simple": (
        lambda: masked(simple(), dense("sigmoid")), "binary_crossentropy", "sigmoid"),
    "lstm": (
        lambda: masked(lstm(), keras.layers.TimeDistributed(dense("softmax"))),
        "sparse_categorical_crossentropy", "softmax"),
}


def make(name: str, weighted: bool) -> tuple[optimizers.SecondOrderModel, tuple]:
    """Returns a compiled model and a batch for it."""
    inner, loss, kind = CASES[name][0](), *CASES[name][1:]
    model = optimizers.SecondOrderModel(inner)
    # A loss has the floatx of when it is made.
    model.compile(optimizers.HessianFree(), loss=loss() if callable(loss) else loss)
    x = SERIES if len(inner.input_shape) == 3 else FLAT
    draw = np.random.default_rng(4)
    y = draw.integers(0, NUM_OUTPUTS, size=x.shape[:-1])
    if "sparse" not in str(loss):
        y = np.eye(NUM_OUTPUTS)[y] if kind == "softmax" else draw.uniform(
            size=[*x.shape[:-1], NUM_OUTPUTS])
    weight = draw.uniform(0.5, 2.0, size=x.shape[:-1]) if weighted else None
    return model, tuple(None if one is None else tf.constant(one) for one in (x, y, weight))


def curvature(logits: np.ndarray, kind: str) -> np.ndarray:
    """Returns the Hessian of one loss in its logits (V,): written out."""
    if kind == "linear":
        return 2 * np.eye(len(logits))
    if kind == "sigmoid":
        p = 1 / (1 + np.exp(-logits))
        return np.diag(p * (1 - p))
    p = np.exp(logits) / np.exp(logits).sum()
    return np.diag(p) - np.outer(p, p)


def dense_matrix(model: optimizers.SecondOrderModel, data: tuple, kind: str) -> np.ndarray:
    """Returns J' H J, summed row by row and step by step, and the Hessian of the penalties."""
    x, _, weight = data
    last = model.model.layers[-1]
    last = getattr(last, "layer", last)
    body = keras.Model(model.model.inputs, model.model.layers[-2].output)
    variables = [variable.value for variable in model.trainable_variables]

    @tf.function
    def jacobian() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape(persistent=True) as tape:
            logits = body(x, training=True) @ last.kernel.value + last.bias.value
        return logits, tape.jacobian(logits, variables, experimental_use_pfor=False)

    logits, parts = jacobian()
    rows = np.reshape(logits, [-1, NUM_OUTPUTS])
    slopes = np.concatenate(
        [np.reshape(part, [*rows.shape, -1]) for part in parts], axis=-1)
    # Of each row of the batch, or step of it.
    real = REAL.ravel() if len(x.shape) == 3 else np.ones(NUM_ROWS)
    factors = real * (1 if weight is None else np.ravel(weight))
    matrix = sum(
        factor * slope.T @ curvature(row, kind) @ slope
        for factor, slope, row in zip(factors, slopes, rows, strict=True)) / NUM_ROWS
    return matrix + np.diag(np.concatenate([
        np.full(np.prod(variable.shape), 0.0 if variable.regularizer is None else
                0.2 * num_outputs(data, kind)) for variable in model.trainable_variables]))


def num_outputs(data: tuple, kind: str) -> float:
    """Returns how many terms the mean of the compiled loss has, for each row."""
    terms = REAL.sum() / NUM_ROWS if len(data[0].shape) == 3 else 1
    return terms * (1 if kind == "softmax" else NUM_OUTPUTS)


def along(model: optimizers.SecondOrderModel, vector: np.ndarray) -> list[tf.Tensor]:
    variables = model.trainable_variables
    ends = np.cumsum([np.prod(variable.shape) for variable in variables])[:-1]
    return [tf.constant(part.reshape(variable.shape))
            for part, variable in zip(np.split(vector, ends), variables, strict=True)]


def flat(values: list[tf.Tensor]) -> np.ndarray:
    return np.concatenate([np.ravel(value) for value in values])


@pytest.mark.parametrize(("name", "weighted"), [
    *((name, False) for name in CASES), ("linear", True), ("sparse", True), ("masked", True)])
def test_the_product_is_that_of_the_dense_matrix(double_precision, name, weighted):
    model, data = make(name, weighted)
    kind = CASES[name][2]
    vectors = np.random.default_rng(5).normal(size=[2, model.count_params()])

    @tf.function
    def products() -> list[list[tf.Tensor]]:
        # As within an update: one linearization, its products inside a loop.
        product = model.curved_objective(data).linearize().product
        start = along(model, vectors[0])
        _, found = tf.while_loop(
            lambda step, _: step < 1,
            lambda step, values: (step + 1, product(values, tf.constant(0.0))), (0, start))
        return [found, product(along(model, vectors[1]), tf.constant(0.0))]

    matrix = dense_matrix(model, data, kind)
    for vector, found in zip(vectors, products(), strict=True):
        np.testing.assert_allclose(flat(found), matrix @ vector, atol=1e-10)


@pytest.mark.parametrize("name", [
    name for name in CASES if name not in ("simple", "lstm")])
def test_the_objective_is_the_compiled_loss_times_the_number_of_outputs(double_precision, name):
    model, data = make(name, True)
    variables = [variable.value for variable in model.trainable_variables]
    start = [tf.identity(value) for value in variables]

    @tf.function
    def both() -> tuple:
        found = model.curved_objective(data).value_and_gradient_at(start)
        with tf.GradientTape() as tape:
            loss = model.compute_loss(*data[:2], model(data[0], training=True), data[2])
        return found, (loss, tape.gradient(loss, variables))

    (loss, gradient), (keras_loss, keras_gradient) = both()
    factor = num_outputs(data, CASES[name][2])
    np.testing.assert_allclose(loss, factor * keras_loss, rtol=1e-10)
    np.testing.assert_allclose(
        flat(gradient), factor * flat(keras_gradient), rtol=1e-10, atol=1e-12)


def test_parts_of_the_batch_change_nothing_and_the_first_rows_give_the_curvature(double_precision):
    model, data = make("masked", True)
    vector = along(model, np.ones(model.count_params()))
    start = [tf.identity(variable.value) for variable in model.trainable_variables]

    @tf.function
    def evaluate(rows_at_once: int | None, curvature_rows: int | None, *data: tf.Tensor) -> tuple:
        model.optimizer.rows_at_once = rows_at_once
        model.optimizer.curvature_rows = curvature_rows
        objective = model.curved_objective(data)
        loss, gradient = objective.value_and_gradient_at(start)
        return [loss, *gradient], objective.linearize().product(vector, tf.constant(0.0))

    whole, first = evaluate(None, None, *data), evaluate(None, None, *(one[:2] for one in data))
    found = evaluate(2, 2, *data)
    np.testing.assert_allclose(flat(found[0]), flat(whole[0]), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(flat(found[1]), flat(first[1]), rtol=1e-10, atol=1e-14)


def fit(model: keras.Model, x, y, **kwargs: object) -> dict[str, list[float]]:
    kwargs = {"epochs": 1, "batch_size": len(y), "shuffle": False, "verbose": 0} | kwargs
    return model.fit(x, y, **kwargs).history


def test_one_undamped_update_solves_least_squares(double_precision):
    draw = np.random.default_rng(6)
    x, y = draw.normal(size=[2, 20, 3])
    model = optimizers.SecondOrderModel(keras.Sequential([
        keras.Input([3]), keras.layers.Dense(3, use_bias=False)]))
    model.compile(
        optimizers.HessianFree(damping=0.0, tolerance=0.0, max_steps=20), loss="mse")
    logs = fit(model, x, y)
    expected, residuals, *_ = np.linalg.lstsq(x, y, rcond=None)
    np.testing.assert_allclose(model.get_weights()[0], expected, atol=1e-10)
    # What is logged is Keras' own figure.
    np.testing.assert_allclose(logs["loss"][0], residuals.sum() / y.size, rtol=1e-10)
    np.testing.assert_allclose(logs["reduction_ratio"][0], 1.0, rtol=1e-10)


def test_the_loss_of_a_model_with_a_loop_over_time_falls():
    model, (x, y, weight) = make("simple", True)
    losses = fit(model, x.numpy(), y.numpy(), sample_weight=weight.numpy(), epochs=6)["loss"]
    # Targets are drawn anew for each step, so that most of the loss is their entropy.
    assert losses[-1] < 0.95 * losses[0]
    assert (np.diff(losses) < 1e-6).all()


def test_a_saved_model_goes_on_as_one_that_never_stopped(tmp_path):
    model, data = make("softmax", False)
    x, y = (one.numpy() for one in data[:2])
    fit(model, x, y, epochs=2)
    model.save(tmp_path / "model.keras")
    ended = fit(keras.saving.load_model(tmp_path / "model.keras"), x, y, epochs=2)
    expected = fit(model, x, y, epochs=2)
    for name in ("loss", "damping", "reduction_ratio", "cg_steps"):
        np.testing.assert_array_equal(ended[name], expected[name])


def test_the_rows_are_told_apart_and_some_are_held_out(double_precision):
    model, (x, y, weight) = make("penalty", True)
    model.optimizer.curvature_rows = 2
    objective = model.curved_objective((x, y, weight))
    values = objective.values()
    held_out = objective.held_out(2).value_at(values)
    expected = model.curved_objective((x[2:4], y[2:4], weight[2:4])).value_at(values)
    np.testing.assert_allclose(held_out, expected, rtol=1e-12)
    model.optimizer.curvature_rows = None
    squares = [
        flat(model.curved_objective(
            (x[row:row + 1], y[row:row + 1], weight[row:row + 1]))
             .value_and_gradient_at(values)[1]) ** 2 for row in range(2)]
    np.testing.assert_allclose(
        flat(objective.rows.mean_squared_gradient()), np.mean(squares, axis=0), rtol=1e-10)
