"""The Gaussian head against its twin, an integral and the moments of draws."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import heads
from tests.reference import gaussian

MEAN = np.array([-1.0, 0.3, 2.0])
RAW = np.array([-1.5, 0.0, 0.8])


def case(learn_variance: bool) -> tuple[heads.GaussianHead, np.ndarray, np.ndarray]:
    """Returns a head, one row of its parameters, and the variances that they stand for."""
    if learn_variance:
        head = heads.GaussianHead(learn_variance=True, minimum_std=0.5)
        return head, np.concatenate([MEAN, RAW]), gaussian.variance(RAW, 0.5)
    return heads.GaussianHead(), MEAN, np.ones(3)


@pytest.mark.parametrize("learn_variance", [False, True])
def test_log_prob_equals_its_twin_in_float64(learn_variance):
    head, parameters, variances = case(learn_variance)
    frames = np.random.default_rng(0).normal(size=[7, 3])
    log_prob = head.log_prob(np.tile(parameters, [7, 1]), frames)
    expected = np.log(gaussian.density(MEAN, frames, variances))
    np.testing.assert_allclose(log_prob, expected, rtol=0, atol=1e-10)
    assert head.exact


@pytest.mark.parametrize("learn_variance", [False, True])
def test_density_of_two_units_integrates_to_one(learn_variance):
    head, parameters, variances = case(learn_variance)
    # The trapezoid rule over ten standard deviations each way, which converges geometrically.
    axis = np.linspace(-10, 10, 81)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2) * np.sqrt(variances[:2])
    cell = (axis[1] - axis[0]) ** 2 * np.sqrt(variances[:2].prod())
    kept = parameters.reshape(-1, 3)[:, :2].reshape(-1)
    log_prob = head.log_prob(np.tile(kept, [len(points), 1]), points + MEAN[:2])
    assert abs(np.exp(log_prob).sum() * cell - 1) < 1e-10


def test_a_learned_variance_stays_above_the_square_of_its_minimum():
    head = heads.GaussianHead(learn_variance=True, minimum_std=0.1)
    raw = np.array([-1e6, -2 * np.log(10.0), 3.0])
    log_prob = head.log_prob(np.stack([np.zeros(3), raw], axis=1), np.zeros([3, 1]))
    variances = np.array([0.01, 0.02, 0.01 + np.exp(3.0)])
    np.testing.assert_allclose(
        log_prob, -0.5 * np.log(2 * np.pi * variances), rtol=0, atol=1e-10)


def test_a_parameter_far_out_has_a_finite_likelihood_and_gradient():
    head = heads.GaussianHead(learn_variance=True)
    parameters = tf.constant([[1.0, -300.0], [1.0, 300.0]])
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        log_prob = head.log_prob(parameters, tf.zeros([2, 1]))
    assert np.isfinite(log_prob).all()
    assert np.isfinite(tape.gradient(log_prob, parameters)).all()


def test_of_unit_variance_the_loss_has_the_gradient_of_half_the_squared_error():
    head, frames = heads.GaussianHead(), np.array([[0.5, 0.0, -1.0]])
    parameters = tf.constant(MEAN[np.newaxis])
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        loss = head.loss(parameters, frames, seed=(0, 0))
    np.testing.assert_allclose(
        tape.gradient(loss, parameters), MEAN - frames, rtol=0, atol=1e-10)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("learn_variance", [False, True])
def test_draws_have_the_mean_and_the_variance_times_the_temperature(learn_variance, temperature):
    # 200,000 draws of three units: five standard errors of a mean, sqrt(s / n), and of a
    # covariance, sqrt((s_i s_j + c_ij^2) / n).
    head, parameters, variances = case(learn_variance)
    num_draws, variances = 200_000, variances * temperature
    drawn = head.sample(
        tf.tile(tf.constant(parameters[np.newaxis], tf.float32), [num_draws, 1]), (1, 2),
        temperature).numpy().astype(np.float64)
    assert (np.abs(drawn.mean(axis=0) - MEAN) < 5 * np.sqrt(variances / num_draws)).all()
    covariance = np.diag(variances)
    error = np.sqrt((np.outer(variances, variances) + covariance ** 2) / num_draws)
    assert (np.abs(np.cov(drawn.T) - covariance) < 5 * error).all()


def test_a_temperature_and_a_seed_a_row_are_that_row_s_own():
    head = heads.GaussianHead()
    parameters, seeds = tf.zeros([2, 3]), tf.constant([[1, 2], [1, 2]])
    drawn = head.sample(parameters, seeds, tf.constant([1.0, 4.0]))
    np.testing.assert_allclose(drawn[1], 2 * drawn[0], rtol=1e-6)
    alone = head.sample(parameters[1:], seeds[1:], tf.constant([4.0]))
    np.testing.assert_array_equal(alone[0], drawn[1])


@pytest.mark.parametrize("learn_variance", [False, True])
def test_mean_is_exact(learn_variance):
    head, parameters, _ = case(learn_variance)
    np.testing.assert_array_equal(head.mean(parameters[np.newaxis], seed=(0, 0))[0], MEAN)
    assert head.num_parameters(3) == len(parameters)


@pytest.mark.parametrize("minimum_std", [0, -0.1, float("inf"), float("nan")])
def test_a_minimum_that_is_no_positive_number_is_refused(minimum_std):
    with pytest.raises(ValueError, match=f"minimum_std must be a positive.* got {minimum_std};"):
        heads.GaussianHead(learn_variance=True, minimum_std=minimum_std)
