"""`Autoencoder` against its twin, its initial weights, its stack of RBMs, and what it refuses."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import numerics
from rnnpt.initializers import NUM_CONNECTIONS
from rnnpt.models import RBM, Autoencoder
from rnnpt.models._code_rbm import CodeRBM, Layer
from tests.reference import autoencoder as reference
from tests.reference import sigmoid

NUM_PIXELS = 6
KINDS = [(activation, objective) for activation in ("sigmoid", "tanh")
         for objective in ("cross_entropy", "squared_error")]


def draw_images(number: int = 7, seed: int = 0) -> np.ndarray:
    """Returns random images with pixels of just 0 and just 1 among them, exact in float32."""
    images = np.random.default_rng(seed).integers(257, size=[number, NUM_PIXELS]) / 256
    images[0], images[1] = 0, 1
    return images


def random_model(activation: str, objective: str) -> Autoencoder:
    """Returns a float64 network of two hidden layers a side with weights of about 1."""
    model = Autoencoder((5, 4, 3), activation, objective, dtype="float64")
    model.build((None, NUM_PIXELS))
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("activation, objective", KINDS)
def test_codes_outputs_and_figures_equal_those_of_the_twin(activation, objective):
    model, images = random_model(activation, objective), draw_images()
    units = reference.layers(model.get_weights(), images, activation)
    np.testing.assert_allclose(model.encode(images), units[3], rtol=0, atol=1e-10)
    np.testing.assert_allclose(model(images), units[-1], rtol=0, atol=1e-10)
    again = reference.pixels(units[-1], objective)
    np.testing.assert_allclose(model.reconstruct(images), again, rtol=0, atol=1e-10)
    model.compile("sgd")
    figures = model.evaluate(images, batch_size=3, verbose=0, return_dict=True)
    # Keras averages in float32.
    assert figures["loss"] == pytest.approx(
        reference.losses(units[-1], images, objective).mean(), rel=1e-5)
    assert figures["reconstruction_error"] == pytest.approx(
        ((again - images) ** 2).sum(axis=1).mean(), rel=1e-5)


@pytest.mark.parametrize("activation, objective", KINDS)
def test_an_update_of_fit_is_the_twins_gradient(activation, objective):
    model, images = random_model(activation, objective), draw_images()
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(1.0))
    model.fit(images, batch_size=len(images), epochs=1, verbose=0)
    slopes = reference.gradient(before, images, activation, objective)
    for old, new, slope in zip(before, model.get_weights(), slopes, strict=True):
        np.testing.assert_allclose(old - new, slope, rtol=0, atol=1e-10)


def test_the_twins_gradient_is_the_difference_quotient_of_its_loss():
    weights, images = random_model("tanh", "cross_entropy").get_weights(), draw_images()
    slopes = reference.gradient(weights, images, "tanh", "cross_entropy")
    for place, slope in enumerate(slopes):
        values = []
        for step in (-1e-5, 1e-5):
            moved = [weight.copy() for weight in weights]
            moved[place].flat[-1] += step
            outputs = reference.layers(moved, images, "tanh")[-1]
            values.append(reference.losses(outputs, images, "cross_entropy").mean())
        # A central difference errs by the square of its step.
        assert slope.flat[-1] == pytest.approx((values[1] - values[0]) / 2e-5, abs=1e-7)


def test_far_log_odds_have_a_finite_loss_and_gradient():
    model, images = Autoencoder((2,), dtype="float64"), np.ones([2, 1])
    model.build((None, 1))
    model.set_weights([np.zeros([1, 2]), np.zeros(2), np.zeros([2, 1]), np.array([-2_000.0])])
    model.compile(keras.optimizers.SGD(1.0))
    history = model.fit(images, verbose=0).history
    assert history["loss"] == [2_000.0] and history["reconstruction_error"] == [1.0]
    assert model.get_weights()[-1] == -1_999.0


@pytest.mark.parametrize("name, units, objective", [
    ("curves", [784, 400, 200, 100, 50, 25, 6], "cross_entropy"),
    ("mnist", [784, 1000, 500, 250, 30], "cross_entropy"),
    ("faces", [625, 2000, 1000, 500, 30], "squared_error")])
def test_a_named_network_has_the_layers_of_table_7_1_and_their_mirror(name, units, objective):
    model = Autoencoder.for_data(name, initialization="variance_preserving")
    model.build((None, units[0]))
    sizes = units + units[-2::-1]
    assert [layer.kernel.shape for layer in model.dense_layers] == list(zip(sizes, sizes[1:]))
    assert model.objective == objective


@pytest.mark.parametrize("activation, factor, bias", [("sigmoid", 1.0, 0.0), ("tanh", 0.25, -0.5)])
def test_a_sparse_start_has_15_gaussian_weights_a_unit(activation, factor, bias):
    model = Autoencoder((400, 300, 200), activation, scale=2.0, seed=3)
    model.build((None, 400))
    drawn = []
    for layer in model.dense_layers:
        kernel, linear = layer.kernel.numpy(), layer.activation is keras.activations.linear
        np.testing.assert_array_equal(np.count_nonzero(kernel, axis=0), NUM_CONNECTIONS)
        np.testing.assert_array_equal(layer.bias.numpy(), 0.0 if linear else bias)
        drawn.append(kernel[kernel != 0])
    drawn = np.concatenate(drawn) / (2 * factor)
    # 30,000 draws: five standard errors of the mean and of the variance.
    assert len(drawn) == 30_000
    assert abs(drawn.mean()) < 5 * 30_000 ** -0.5
    assert abs((drawn ** 2).mean() - 1) < 5 * (2 / 30_000) ** 0.5


def test_a_variance_preserving_start_is_uniform_within_its_bound():
    model = Autoencoder((300, 200), "tanh", initialization="variance_preserving", seed=1)
    model.build((None, 400))
    for layer in model.dense_layers:
        kernel, bound = layer.kernel.numpy(), (6 / sum(layer.kernel.shape)) ** 0.5
        assert 0.99 * bound < np.abs(kernel).max() <= bound * (1 + 1e-6)
        # Uniform: variance bound^2 / 3, of the square 4 bound^4 / 45; at least 60,000 draws.
        error = (4 / 45 / kernel.size) ** 0.5
        assert abs((kernel ** 2).mean() / bound ** 2 - 1 / 3) < 5 * error
        np.testing.assert_array_equal(layer.bias.numpy(), 0.0)


def test_no_two_seeds_share_a_kernel():
    kernels = []
    for seed in (0, 1):
        model = Autoencoder((6, 6), seed=seed)
        model.build((None, 6))
        kernels += [layer.kernel.numpy().tobytes() for layer in model.dense_layers]
    assert len(set(kernels)) == len(kernels) == 8


@pytest.mark.parametrize("activation, objective", KINDS)
def test_a_saved_model_loads_and_trains_on_as_it_would_have(activation, objective, tmp_path):
    model = Autoencoder(
        (5, 2), activation, objective, "variance_preserving", scale=1.5, seed=4)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(draw_images(), shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    images = draw_images()
    np.testing.assert_array_equal(loaded.reconstruct(images), model.reconstruct(images))
    first, second = (each.fit(draw_images(), epochs=2, shuffle=False, verbose=0).history
                     for each in (model, loaded))
    assert first == second


def test_training_reconstructs_what_a_code_can_hold():
    images = np.repeat(np.eye(NUM_PIXELS), 5, axis=0)
    model = Autoencoder((8, 3), initialization="variance_preserving")
    model.compile(keras.optimizers.Adam(0.05))
    data = tf.data.Dataset.from_tensors(images.astype("float32")).repeat(200)
    history = model.fit(data, steps_per_epoch=100, epochs=2, verbose=0).history
    # Of constant pixels of 1/6 the error is 5/6.
    assert history["reconstruction_error"][-1] < 0.05


def test_a_stack_is_unrolled_into_the_encoder_and_its_mirror():
    model, images = random_model("sigmoid", "cross_entropy"), draw_images()
    random, sizes = np.random.default_rng(2), [NUM_PIXELS, 5, 4, 3]
    stack = [Layer(random.normal(size=(below, above)), random.normal(size=below),
                   random.normal(size=above)) for below, above in zip(sizes, sizes[1:])]
    model._unroll(stack)
    units = images
    for layer in stack[:-1]:
        units = sigmoid(units @ layer.kernel + layer.hidden_bias)
    units = units @ stack[-1].kernel + stack[-1].hidden_bias
    for layer in reversed(stack):
        units = sigmoid(units @ layer.kernel.T + layer.visible_bias)
    np.testing.assert_allclose(model.reconstruct(images), units, rtol=0, atol=1e-10)


@pytest.mark.parametrize("objective", ["cross_entropy", "squared_error"])
def test_pretraining_trains_the_layers_one_after_the_other(objective):
    images = np.repeat(np.eye(NUM_PIXELS, dtype="float32"), 10, axis=0)
    model = Autoencoder((5, 2), objective=objective, seed=3)
    model.pretrain(images, keras.optimizers.Adam(0.02), epochs=3, batch_size=20)
    visible = "binary" if objective == "cross_entropy" else "gaussian"
    lower, upper = RBM(5, visible, seed=6), CodeRBM(2, "binary", seed=7)
    frames = tf.constant(images)
    for rbm in (lower, upper):
        rbm.compile(keras.optimizers.Adam(0.02))
        batches = tf.data.Dataset.from_tensor_slices(frames).shuffle(60, rbm.seed).batch(20)
        rbm.fit(batches, epochs=3, shuffle=False, verbose=0)
        frames = rbm(frames)
    first, code, mirrored_code, last = model.dense_layers
    np.testing.assert_array_equal(model.encode(images), frames)
    np.testing.assert_array_equal(first.kernel, lower.head.kernel)
    np.testing.assert_array_equal(last.kernel, np.transpose(lower.head.kernel))
    np.testing.assert_array_equal(last.bias, lower.visible_bias)
    np.testing.assert_array_equal(mirrored_code.kernel, np.transpose(upper.kernel))
    np.testing.assert_array_equal(mirrored_code.bias, upper.visible_bias)


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_an_update_of_the_code_is_contrastive_divergence(visible):
    frames = draw_images().astype("float32")
    rbm = CodeRBM(2, visible, seed=5)
    rbm.build((None, NUM_PIXELS))
    random = np.random.default_rng(1)
    rbm.set_weights([random.normal(size=weight.shape) for weight in rbm.get_weights()])
    kernel, visible_bias, hidden_bias = before = [
        weight.astype("float64") for weight in rbm.get_weights()]
    noise = numerics.normal(numerics.fold_in(numerics.as_seed(5), 0), [len(frames), 2]).numpy()
    rbm.compile(keras.optimizers.SGD(1.0))
    rbm.fit(tf.data.Dataset.from_tensors(frames), shuffle=False, verbose=0)
    mean = frames @ kernel + hidden_bias
    again = (mean + noise) @ kernel.T + visible_bias
    again = sigmoid(again) if visible == "binary" else again
    mean_again = again @ kernel + hidden_bias
    steps = [(frames.T @ mean - again.T @ mean_again) / len(frames),
             (frames - again).mean(axis=0), (mean - mean_again).mean(axis=0)]
    for old, new, step in zip(before, rbm.get_weights(), steps, strict=True):
        # Float32, of sums of a few hundred.
        np.testing.assert_allclose(new - old, step, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("arguments, message", [
    ({"units": ()}, "units must be positive integers, at least one, got ()"),
    ({"units": (5, 0)}, "units must be positive integers, at least one, got (5, 0)"),
    ({"units": (5, 2.5)}, "units must be positive integers, at least one, got (5, 2.5)"),
    ({"activation": "relu"}, "activation must be one of sigmoid, tanh, got 'relu'"),
    ({"objective": "mse"}, "objective must be one of cross_entropy, squared_error, got 'mse'"),
    ({"initialization": "he"},
     "initialization must be one of sparse, variance_preserving, got 'he'"),
    ({"scale": 0.0}, "scale must be a positive number, got 0.0"),
    ({"scale": float("nan")}, "scale must be a positive number, got nan"),
    ({"seed": -1}, "seed must be an integer from 0 on, got -1")])
def test_a_constructor_refuses_bad_input_by_name_and_value(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Autoencoder(**arguments)


def test_an_unknown_data_set_is_refused():
    with pytest.raises(ValueError, match="name must be one of curves, mnist, faces, got 'cifar'"):
        Autoencoder.for_data("cifar")


@pytest.mark.parametrize("objective, value, message", [
    ("cross_entropy", 1.5, "pixels must be from 0 to 1 for the objective cross_entropy.* got 1.5"),
    ("cross_entropy", -0.5, "pixels must be from 0 to 1 .* got -0.5"),
    ("cross_entropy", np.nan, "pixels must be from 0 to 1 .* got nan"),
    ("squared_error", np.inf, "pixels must be finite .* got inf")])
@pytest.mark.parametrize("as_dataset", [False, True])
def test_pixels_that_the_objective_does_not_know_change_no_weight(
        objective, value, message, as_dataset):
    model, images = Autoencoder((3, 2), objective=objective), draw_images().astype("float32")
    model.build((None, NUM_PIXELS))
    model.compile("sgd")
    images[3, 2] = value
    before = model.get_weights()
    data = tf.data.Dataset.from_tensors(images) if as_dataset else images
    with pytest.raises(ValueError, match=message):
        model.fit(data, verbose=0)
    with pytest.raises(ValueError, match=message):
        model.evaluate(data, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("call, message", [
    (lambda model: model.fit(np.zeros([2, 2, 2])), r"shape \(images, pixels\), got shape \(2, 2,"),
    (lambda model: model.fit(np.array([["a"]])), "images must be numbers .* of type <U1"),
    (lambda model: model.fit(np.zeros([2, 6]), np.zeros([2, 6])),
     "fit must be given no target, got one of type ndarray"),
    (lambda model: model.fit(tf.data.Dataset.from_tensors((np.zeros([2, 6]), np.zeros([2, 6])))),
     r"a dataset must be of batches of images \(B, V\) and no targets, got \(TensorSpec"),
    (lambda model: model.encode(np.zeros([2, 7])),
     "images must have 6 pixels, as the model was built, got 7"),
    (lambda model: model.pretrain(np.full([2, 6], 2.0)), "pixels must be from 0 to 1 .* got 2.0")])
def test_data_of_another_kind_is_refused(call, message):
    model = Autoencoder((3, 2))
    model.build((None, NUM_PIXELS))
    model.compile("sgd")
    with pytest.raises(ValueError, match=message):
        call(model)


def test_a_loss_of_keras_is_refused():
    model = Autoencoder((3, 2))
    model.compile("sgd", loss="mse")
    with pytest.raises(ValueError, match="compile must be given no loss and no metrics, got .*mse"):
        model.fit(draw_images())


def test_pretraining_of_tanh_units_is_refused():
    with pytest.raises(ValueError, match="pretrain needs sigmoid units, got activation='tanh'"):
        Autoencoder((3, 2), "tanh").pretrain(draw_images())
