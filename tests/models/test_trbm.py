"""The TRBM against its twin: the likelihood, the learning rule, filtering and denoising."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import models
from tests.models.exact import float64, rbm_log_prob
from tests.reference import sigmoid, trbm

NUM_VISIBLE, NUM_HIDDEN, ORDER, NUM_STEPS = 3, 2, 2, 5
VARIANTS = ["full", "-VV", "-HH", "-VH"]
SHAPES = {
    "kernel": [NUM_VISIBLE, NUM_HIDDEN], "bias": [NUM_HIDDEN], "visible_bias": [NUM_VISIBLE],
    "visible_kernel": [ORDER, NUM_VISIBLE, NUM_HIDDEN],
    "recurrent_kernel": [ORDER, NUM_HIDDEN, NUM_HIDDEN],
    "autoregressive_kernel": [ORDER, NUM_VISIBLE, NUM_VISIBLE],
    "past_frames": [ORDER, NUM_VISIBLE], "past_means": [ORDER, NUM_HIDDEN],
}


def small_model(variant: str = "full") -> models.TRBM:
    """Returns a model with weights of a visible size, the learned past included."""
    model = models.TRBM(NUM_HIDDEN, ORDER, variant)
    model.build_for(NUM_VISIBLE)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=w.shape) * 0.7 for w in model.get_weights()])
    return model


def variables(model: models.TRBM) -> dict[str, keras.Variable]:
    """Returns the variables of a model under the twin's names."""
    cell, visible_bias = model.cell, model.readout.visible_bias
    found = {
        "kernel": model.head.kernel, "bias": cell.bias, "visible_bias": visible_bias.bias,
        "visible_kernel": cell.visible_kernel, "recurrent_kernel": cell.recurrent_kernel,
        "autoregressive_kernel": visible_bias.kernel,
        **dict(zip(["past_frames", "past_means"], cell.initial_state))}
    return {name: value for name, value in found.items() if value is not None}


def weights(model: models.TRBM) -> trbm.Weights:
    """Returns what the twin takes, zero where the variant has none."""
    found = variables(model)
    return {name: np.reshape(found[name], shape).astype(float) if name in found
            else np.zeros(shape) for name, shape in SHAPES.items()}


def sequence(seed: int = 2, num_steps: int = NUM_STEPS) -> np.ndarray:
    """Returns one binary sequence (T, V), float64."""
    return (np.random.default_rng(seed).random([num_steps, NUM_VISIBLE]) < 0.5).astype(float)


@pytest.mark.parametrize("num_steps", [1, NUM_STEPS])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gradient_is_the_update_of_the_equations_with_exact_rbms(variant, num_steps):
    with float64():
        model, frames = small_model(variant), sequence(num_steps=num_steps)
    by_name = variables(model)
    with tf.GradientTape() as tape:
        log_prob = rbm_log_prob(model, frames)
    gradients = tape.gradient(log_prob, [v.value for v in by_name.values()])
    expected = trbm.update(weights(model), frames)
    np.testing.assert_allclose(log_prob, trbm.log_prob(weights(model), frames), rtol=1e-10)
    for name, found in zip(by_name, gradients):
        np.testing.assert_allclose(
            np.reshape(found, SHAPES[name]), expected[name], rtol=1e-10, atol=1e-12, err_msg=name)


def test_without_hidden_links_the_update_is_the_slope_of_the_likelihood():
    here, frames = weights(small_model("-HH")), sequence()
    random = np.random.default_rng(3)
    direction = {name: random.normal(size=shape) for name, shape in SHAPES.items()}
    direction["recurrent_kernel"][:] = 0
    ends = [trbm.log_prob(
        {name: value + step * direction[name] for name, value in here.items()}, frames)
        for step in (1e-5, -1e-5)]
    slope = sum((trbm.update(here, frames)[name] * direction[name]).sum() for name in here)
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-7)


def test_log_prob_is_the_exact_one_within_its_error():
    model, frames = small_model(), sequence()
    estimate, error = model.estimate_log_prob(frames[None], seed=4)
    assert abs(estimate[0] - trbm.log_prob(weights(model), frames)) < 4 * error[0] + 1e-4


@pytest.mark.parametrize("variant", VARIANTS)
def test_hidden_means_are_the_approximate_filter(variant):
    model, frames = small_model(variant), sequence()
    visible, hidden = trbm.windows(weights(model), frames)
    np.testing.assert_allclose(
        model.hidden_means(frames[None])[0], hidden[1:, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_denoising_reconstructs_each_frame_from_its_means(variant):
    model, frames = small_model(variant), sequence()
    visible, hidden = trbm.windows(weights(model), frames)
    expected = np.array([
        sigmoid(trbm.machine(weights(model), visible[t], hidden[t]).visible_bias
                + weights(model)["kernel"] @ hidden[t + 1, 0]) for t in range(NUM_STEPS)])
    np.testing.assert_allclose(model.denoise(frames[None])[0], expected, rtol=1e-5, atol=1e-6)


def test_denoising_knows_nothing_of_later_frames_nor_of_padding():
    model, frames = small_model(), sequence()
    padded = np.concatenate([frames[:3], np.full([2, NUM_VISIBLE], np.nan)])
    mask = np.arange(NUM_STEPS) < 3
    found = model.denoise(padded[None], mask[None])[0]
    np.testing.assert_allclose(found[:3], model.denoise(frames[None])[0, :3], rtol=1e-5)
    assert not found[3:].numpy().any()


def test_drawn_visible_units_have_the_chances_that_the_hidden_ones_give():
    model = small_model()
    hidden = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    rows = 20_000
    frames = model.draw_visible(
        np.tile(hidden, [rows, 1, 1]), model.initial_state(rows), seed=5).numpy()
    here = weights(model)
    first = sigmoid(trbm.machine(here, here["past_frames"], here["past_means"]).visible_bias
                    + here["kernel"] @ hidden[0])
    # 20,000 draws: a standard error of at most 0.0036; four of them.
    np.testing.assert_allclose(frames[:, 0].mean(axis=0), first, atol=0.0145)
    for frame in np.unique(frames[:, 0], axis=0):
        window = np.stack([frame, here["past_frames"][0]])
        chances = sigmoid(trbm.machine(here, window, here["past_means"]).visible_bias
                          + here["kernel"] @ hidden[1])
        after = frames[(frames[:, 0] == frame).all(axis=1), 1]
        np.testing.assert_allclose(
            after.mean(axis=0), chances, atol=4 * 0.5 / np.sqrt(len(after)))


def test_gaussian_frames_are_denoised_to_means_without_bounds():
    model = models.TRBM(NUM_HIDDEN, ORDER, visible="gaussian")
    model.build_for(NUM_VISIBLE)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=w.shape) * 0.7 for w in model.get_weights()])
    frames = 3 * random.normal(size=[NUM_STEPS, NUM_VISIBLE])
    visible, hidden = trbm.windows(weights(model), frames)
    expected = np.array([
        trbm.machine(weights(model), visible[t], hidden[t]).visible_bias
        + weights(model)["kernel"] @ hidden[t + 1, 0] for t in range(NUM_STEPS)])
    np.testing.assert_allclose(model.denoise(frames[None])[0], expected, rtol=1e-4, atol=1e-5)
    drawn = model.draw_visible(hidden[None, 1:, 0], model.initial_state(1), seed=1)
    np.testing.assert_allclose(drawn[0, 0], expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_kernel_is_one_variable_of_the_model(variant):
    model = small_model(variant)
    assert model.cell.kernel is (None if variant == "-HH" else model.head.kernel)
    assert len(model.trainable_variables) == len(variables(model))


def test_fit_learns_what_follows_what():
    cycle = np.tile(np.eye(NUM_VISIBLE, dtype=np.float32), [6, 1])[None]
    model = models.TRBM(NUM_HIDDEN, ORDER)
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(tf.data.Dataset.from_tensors({"frames": cycle}).repeat(100), verbose=0)
    # Independent fair units have -2.08 nats a frame.
    assert trbm.log_prob(weights(model), cycle[0]) / 18 > -0.5
