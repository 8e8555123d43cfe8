"""Stacked TRBMs: greedy training, denoising through the top, drawing downwards."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import models
from tests.models.test_trbm import NUM_HIDDEN, NUM_VISIBLE, sequence, small_model, weights
from tests.reference import all_frames, sigmoid, trbm


def upper(num_hidden: int = 4) -> models.TRBM:
    """Returns a TRBM of the order 2 that sees the hidden units of a small model, built."""
    model = models.TRBM(num_hidden, order=2, seed=7)
    model.build_for(NUM_HIDDEN)
    random = np.random.default_rng(8)
    model.set_weights([random.normal(size=w.shape) * 0.7 for w in model.get_weights()])
    return model


def upper_weights(model: models.TRBM) -> trbm.Weights:
    """Returns what the twin takes of such a model."""
    cell, visible, hidden = model.cell, NUM_HIDDEN, model.cell.units
    shapes = {
        "kernel": (model.head.kernel, [visible, hidden]), "bias": (cell.bias, [hidden]),
        "visible_bias": (model.readout.visible_bias.bias, [visible]),
        "visible_kernel": (cell.visible_kernel, [2, visible, hidden]),
        "recurrent_kernel": (cell.recurrent_kernel, [2, hidden, hidden]),
        "autoregressive_kernel": (model.readout.visible_bias.kernel, [2, visible, visible]),
        "past_frames": (cell.initial_state[0], [2, visible]),
        "past_means": (cell.initial_state[1], [2, hidden])}
    return {name: np.reshape(variable, shape).astype(float)
            for name, (variable, shape) in shapes.items()}


def reconstruct(here: trbm.Weights, frames: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Returns E[v_t | h_t, windows before] of each step by the twin."""
    visible, means = trbm.windows(here, frames)
    return np.array([
        sigmoid(trbm.machine(here, *pair).visible_bias + here["kernel"] @ h)
        for *pair, h in zip(visible, means, hidden)])


@pytest.mark.parametrize("as_dataset", [True, False])
def test_a_level_learns_the_hidden_means_of_the_one_below(as_dataset):
    frames = np.stack([sequence(1), sequence(2)]).astype(np.float32)
    mask = np.array([[True] * 5, [True] * 3 + [False] * 2])
    batch = {"frames": frames, "mask": mask}
    data = tf.data.Dataset.from_tensors(batch) if as_dataset else batch
    lower, stacked, alone = small_model(), upper(), upper()
    for level in (lower, stacked, alone):
        level.compile(keras.optimizers.SGD(0.1))
    _, history = models.TRBMStack([lower, stacked]).fit(
        data, epochs=2, shuffle=False, verbose=0)
    expected = alone.fit(
        {"frames": lower.hidden_means(frames, mask).numpy(), "mask": mask}, epochs=2,
        shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], expected.history["loss"], rtol=1e-5)


def test_denoising_goes_through_the_top():
    lower, top, frames = small_model(), upper(), sequence()
    below, above = weights(lower), upper_weights(top)
    means = trbm.windows(below, frames)[1][1:, 0]
    expected = reconstruct(
        below, frames, reconstruct(above, means, trbm.windows(above, means)[1][1:, 0]))
    found = models.TRBMStack([lower, top]).denoise(frames[None])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_first_frame_is_drawn_by_the_chances_of_the_top():
    lower, top = small_model(), upper()
    below, above = weights(lower), upper_weights(top)
    hidden = trbm.machine(above, above["past_frames"], above["past_means"]).probabilities()
    bias = trbm.machine(below, below["past_frames"], below["past_means"]).visible_bias
    expected = hidden @ sigmoid(bias + all_frames(NUM_HIDDEN) @ below["kernel"].T)
    # 20,000 draws: a standard error of at most 0.0036; four of them.
    found = models.TRBMStack([lower, top]).generate(
        np.zeros([20_000, 0, NUM_VISIBLE]), num_steps=1, seed=3)
    np.testing.assert_allclose(found[:, 0].numpy().mean(axis=0), expected, atol=0.0145)


def test_a_prime_and_the_seed_tell_what_is_generated():
    stack = models.TRBMStack([small_model(), upper()])
    prime = np.tile(sequence()[None], [40, 1, 1])
    one, again, other = (stack.generate(prime, 6, seed).numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert (one != stack.generate(1 - prime, 6, 1).numpy()).any()
    assert stack.generate(None, 0, 1).shape == (1, 0, NUM_VISIBLE)


def test_frames_that_go_on_from_another_batch_are_refused():
    lower = small_model()
    with pytest.raises(tf.errors.InvalidArgumentError, match="starts must be True"):
        lower.lift({"frames": sequence()[None], "starts": np.array([False])})


def test_a_stack_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"levels must be at least one TRBM, got \[\]"):
        models.TRBMStack([])


def test_a_level_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="levels must be TRBMs, got RNN"):
        models.TRBMStack([models.RNN(3)])


def test_a_gaussian_level_above_is_refused():
    with pytest.raises(ValueError, match="levels above the first must .* got a level of 'gaussian"):
        models.TRBMStack([models.TRBM(3), models.TRBM(3, visible="gaussian")])


def test_an_unbuilt_stack_needs_a_prime():
    with pytest.raises(ValueError, match="prime must be frames while .* got None"):
        models.TRBMStack([models.TRBM(3)]).generate(None, 2, seed=1)
