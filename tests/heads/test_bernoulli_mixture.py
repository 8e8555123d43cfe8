"""The mixture head against its sum over components, and against frequencies."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import heads
from tests import reference

FRAMES = reference.all_frames(3)
LOG_WEIGHTS = np.array([0.3, 1.5])  # not normalised
LOGITS = np.array([[-1.5, 0.2, 1.0], [2.0, -0.7, -3.0]])


def make_head(dtype: str = "float64") -> heads.BernoulliMixtureHead:
    """Returns a head with two components."""
    head = heads.BernoulliMixtureHead(2, dtype=dtype)
    head.build((None, 3))
    head.component_logits.assign(LOGITS)
    return head


def probabilities(temperature: float = 1.0) -> np.ndarray:
    """Returns the probability of each frame by the twin."""
    weights = np.exp(LOG_WEIGHTS / temperature)
    each = [[np.exp(reference.bernoulli_log_prob(logits / temperature, frame))
             for frame in FRAMES] for logits in LOGITS]
    return weights / weights.sum() @ np.array(each)


def test_probabilities_of_all_frames_are_the_twin_s_and_sum_to_one():
    log_prob = make_head().log_prob(np.tile(LOG_WEIGHTS, [8, 1]), FRAMES)
    np.testing.assert_allclose(np.exp(log_prob), probabilities(), rtol=0, atol=1e-10)
    assert abs(np.exp(log_prob).sum() - 1) < 1e-10


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_frequencies_follow_weights_and_log_odds_over_the_temperature(temperature):
    # 200,000 draws: five standard errors of a frequency p, 5 sqrt(p (1 - p) / n).
    num_draws = 200_000
    drawn = make_head("float32").sample(
        tf.tile(tf.constant(LOG_WEIGHTS[None], tf.float32), [num_draws, 1]), (1, 2), temperature)
    places = (drawn.numpy() @ [4, 2, 1]).astype(int)
    expected = probabilities(temperature)
    bound = 5 * np.sqrt(expected * (1 - expected) / num_draws)
    assert (abs(np.bincount(places, minlength=8) / num_draws - expected) < bound).all()


def test_a_temperature_and_a_seed_a_row_are_that_row_s_own():
    head, parameters = make_head(), np.tile(LOG_WEIGHTS, [3, 1])
    seeds, temperature = tf.constant([[1, 2], [3, 4], [5, 6]]), tf.constant([0.5, 1.0, 2.0])
    together = head.sample(parameters, seeds, temperature)
    for row in range(3):
        alone = head.sample(parameters[:1], seeds[row:row + 1], temperature[row:row + 1])
        np.testing.assert_array_equal(alone[0], together[row])


def test_mean_is_the_exact_probability():
    mean = make_head().mean(LOG_WEIGHTS[None], seed=(0, 0))
    np.testing.assert_allclose(mean[0], probabilities() @ FRAMES, rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", [(), (0,), (2, 5)])
def test_parameters_may_have_any_leading_shape(shape):
    head, parameters = make_head(), np.broadcast_to(LOG_WEIGHTS, [*shape, 2])
    frames = np.broadcast_to(FRAMES[3], [*shape, 3])
    np.testing.assert_allclose(
        head.log_prob(parameters, frames), np.full(shape, np.log(probabilities()[3])), rtol=1e-12)
    assert head.sample(parameters, (1, 2)).shape == head.mean(parameters, (1, 2)).shape == (
        *shape, 3)


@pytest.mark.parametrize("num_components", [0, -1, 2.5])
def test_a_number_of_components_that_is_none_is_refused(num_components):
    with pytest.raises(ValueError, match=f"num_components must be .* got {num_components}"):
        heads.BernoulliMixtureHead(num_components)
