"""The Bernoulli head against its twin and against frequencies."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells, heads, metrics, models
from tests import reference

FRAMES = reference.all_frames(3)
LOGITS = np.array([-1.5, 0.2, 1.0])


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Returns the probability of each frame by the twin."""
    return np.exp([reference.bernoulli_log_prob(logits, frame) for frame in FRAMES])


def test_probabilities_of_all_frames_sum_to_one():
    log_prob = heads.BernoulliHead().log_prob(np.tile(LOGITS, [8, 1]), FRAMES)
    np.testing.assert_allclose(np.exp(log_prob), probabilities(LOGITS), rtol=0, atol=1e-10)
    assert abs(np.exp(log_prob).sum() - 1) < 1e-10


def test_loss_is_the_negative_log_likelihood_and_its_error_is_none():
    head, parameters = heads.BernoulliHead(), np.tile(LOGITS, [8, 1])
    log_prob, error = head.estimate_log_prob(parameters, FRAMES, seed=(0, 0))
    np.testing.assert_array_equal(-head.loss(parameters, FRAMES, seed=(0, 0)), log_prob)
    np.testing.assert_array_equal(error, 0)
    assert head.exact


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_frequencies_of_frames_follow_the_logits_over_the_temperature(temperature):
    # 20,000 draws: five standard errors of a frequency p, 5 sqrt(p (1 - p) / n).
    num_draws = 20_000
    drawn = heads.BernoulliHead().sample(
        tf.tile(tf.constant(LOGITS[None], tf.float32), [num_draws, 1]), (1, 2), temperature)
    places = (drawn.numpy() @ [4, 2, 1]).astype(int)
    expected = probabilities(LOGITS / temperature)
    bound = 5 * np.sqrt(expected * (1 - expected) / num_draws)
    assert (abs(np.bincount(places, minlength=8) / num_draws - expected) < bound).all()


def test_a_temperature_a_row_is_that_row_s_own():
    logits = tf.constant([[8.0] * 1000, [8.0] * 1000])
    drawn = heads.BernoulliHead().sample(logits, (1, 2), tf.constant([0.5, 1e6]))
    # 1,000 units: all on where sharp; half of them, within five standard errors, where flat.
    assert drawn[0].numpy().all()
    assert abs(drawn[1].numpy().mean() - 0.5) < 5 * 0.5 / np.sqrt(1000)


def test_mean_is_the_exact_probability():
    mean = heads.BernoulliHead().mean(LOGITS[None], seed=(0, 0))
    np.testing.assert_allclose(
        mean[0], probabilities(LOGITS) @ FRAMES, rtol=0, atol=1e-10)


def test_the_loss_of_real_frames_has_the_slope_and_curvature_of_their_divergence():
    head, logits = heads.BernoulliHead(support="unit"), tf.constant(LOGITS)[None]
    frames = np.array([[0.0, 0.3, 1.0]])
    with tf.GradientTape() as outer:
        outer.watch(logits)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = head.loss(logits, frames, seed=(0, 0))
        slope = tape.gradient(loss, logits)
    p, q = 1 / (1 + np.exp(-LOGITS)), frames[0]
    divergence = -np.log(1 - p[0]) - np.log(p[2]) + q[1] * np.log(q[1] / p[1]) + (
        1 - q[1]) * np.log((1 - q[1]) / (1 - p[1]))
    np.testing.assert_allclose(
        metrics.kl_divergence(-loss, frames), [divergence], rtol=0, atol=1e-10)
    np.testing.assert_allclose(slope[0], p - q, rtol=0, atol=1e-10)
    tangents = tf.constant([[0.5, -1.0, 2.0]], tf.float64)
    np.testing.assert_allclose(
        head.curvature(logits, tangents, frames),
        outer.gradient(slope, logits, output_gradients=tangents), rtol=0, atol=1e-10)


@pytest.mark.parametrize("support, value", [("binary", 0.5), ("unit", 1.5)])
def test_a_model_trains_on_the_frames_of_its_support_and_refuses_others(support, value):
    frames = np.full([2, 3, 4], 0.5 if support == "unit" else 1.0, np.float32)
    model = models.SequenceModel(cells.SimpleCell(3), heads.BernoulliHead(support=support))
    model.compile("sgd")
    assert np.isfinite(model.fit({"frames": frames}, verbose=0).history["loss"])
    copy = models.SequenceModel.from_config(model.get_config())
    assert copy.head.support == support
    rule = {"binary": "0 or 1", "unit": "from 0 to 1"}[support]
    frames[1, 2, 0] = value
    with pytest.raises(ValueError, match=f"frames must be {rule} for BernoulliHead.*got {value}"):
        model.fit({"frames": frames}, verbose=0)


def test_another_support_is_refused():
    with pytest.raises(ValueError, match="support must be 'binary' or 'unit', got 'real'"):
        heads.BernoulliHead(support="real")
