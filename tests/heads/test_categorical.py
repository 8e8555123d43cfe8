"""The categorical head against its twin and against frequencies."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import heads
from tests.reference import categorical

LOGITS = np.array([-1.5, 0.2, 1.0, 0.0])
FRAMES = np.eye(4)


def test_probabilities_of_all_symbols_sum_to_one_and_equal_the_twin():
    log_prob = heads.CategoricalHead().log_prob(np.tile(LOGITS, [4, 1]), FRAMES)
    np.testing.assert_allclose(
        np.exp(log_prob), categorical.softmax(LOGITS), rtol=0, atol=1e-10)
    assert abs(np.exp(log_prob).sum() - 1) < 1e-10
    np.testing.assert_array_equal(
        heads.CategoricalHead().loss(np.tile(LOGITS, [4, 1]), FRAMES, seed=(0, 0)), -log_prob)


def test_log_prob_of_logits_far_out_is_their_margin():
    log_prob = heads.CategoricalHead().log_prob(
        tf.constant([[500.0, -500.0], [500.0, -500.0]]), tf.eye(2))
    np.testing.assert_array_equal(log_prob, [0.0, -1000.0])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_frequencies_of_symbols_follow_the_logits_over_the_temperature(temperature):
    # 200,000 draws: five standard errors of a frequency p, 5 sqrt(p (1 - p) / n).
    num_draws = 200_000
    drawn = heads.CategoricalHead().sample(
        tf.tile(tf.constant(LOGITS[np.newaxis], tf.float32), [num_draws, 1]), (1, 2),
        temperature).numpy()
    assert ((drawn == 0) | (drawn == 1)).all() and (drawn.sum(axis=-1) == 1).all()
    expected = categorical.softmax(LOGITS / temperature)
    bound = 5 * np.sqrt(expected * (1 - expected) / num_draws)
    assert (np.abs(drawn.mean(axis=0, dtype=np.float64) - expected) < bound).all()


def test_a_temperature_and_a_seed_a_row_are_that_row_s_own():
    head, seeds = heads.CategoricalHead(), tf.constant([[1, 2], [3, 4], [5, 6]])
    logits, temperature = tf.random.stateless_normal([3, 50, 4], (1, 1)), tf.constant([1.0, 9, 2])
    rows = [head.sample(logits[:, step], seeds + step, temperature) for step in range(50)]
    alone = [head.sample(logits[1:2, step], seeds[1:2] + step, temperature[1:2])
             for step in range(50)]
    np.testing.assert_array_equal(np.stack(rows)[:, 1], np.stack(alone)[:, 0])
    # As sharp as that, the likeliest symbol is the only one; flat, all of them come up.
    sharp = head.sample(tf.tile(logits[0], [2, 1]), (1, 2), tf.repeat([1e-6, 1e6], 50))
    np.testing.assert_array_equal(
        np.argmax(sharp[:50], axis=-1), np.argmax(logits[0], axis=-1))
    assert sharp[50:].numpy().any(axis=0).all()


def test_mean_is_the_exact_probability():
    mean = heads.CategoricalHead().mean(np.tile(LOGITS, [2, 3, 1]), seed=(0, 0))
    np.testing.assert_allclose(
        mean[1, 2], categorical.softmax(LOGITS), rtol=0, atol=1e-10)
