"""Annealed importance sampling against exact partition functions and against another package."""

import re
import warnings

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import heads
from rnnpt.heads import _ais
from tests import reference


def make_biases(
    scale: float, num_rbms: int = 40, symmetric: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns a kernel (8, 6) and biases (N, 8), (N, 6) of RBMs that share it.

    Args:
        scale: Standard deviation of weights and biases.
        num_rbms: N.
        symmetric: Whether the biases lie around those that make v and 1 - v equally likely, where
            the couplings matter most.
    """
    random = np.random.default_rng(8)
    kernel = random.normal(size=[8, 6]) * scale
    visible = random.normal(size=[num_rbms, 8]) * (0.5 if symmetric else scale)
    hidden = random.normal(size=[num_rbms, 6]) * (0.5 if symmetric else scale)
    if symmetric:
        visible, hidden = visible - kernel.sum(axis=1) / 2, hidden - kernel.sum(axis=0) / 2
    return tuple(values.astype(np.float32) for values in (kernel, visible, hidden))


def exact_log_partition(
    kernel: np.ndarray, visible: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    """Returns log Z of each RBM."""
    return np.array([
        reference.RBM(*(np.float64(part) for part in (kernel, *biases))).log_partition()
        for biases in zip(visible, hidden)])


def estimate(
    kernel: np.ndarray, visible: np.ndarray, hidden: np.ndarray,
    schedule: heads.AISSchedule | None = None, dtype: str = "float32",
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the head subtracts for log Z, and its standard error."""
    head = heads.RBMHead(kernel.shape[1], dtype=dtype)
    head.build((None, kernel.shape[0]))
    head.kernel.assign(kernel)
    parameters = np.concatenate([visible, hidden], axis=1).astype(dtype)
    frames = np.zeros_like(visible, dtype)
    log_prob, error = tf.function(head.estimate_log_prob)(parameters, frames, (3, 4), schedule)
    return np.array(-head.free_energy(parameters, frames) - log_prob), np.array(error)


@pytest.mark.parametrize("scale, symmetric", [
    (0.1, False), (2.0, False), (2.0, True), (8.0, True)])
def test_estimates_lie_within_their_standard_errors(scale, symmetric):
    # 40 RBMs, 100 runs each. The squares of 40 errors over their standard errors have the mean 1
    # and, were they normal, a standard deviation of sqrt(2 / 40) = 0.22: five of these, and as much
    # again for the standard errors being estimates from 100 skewed weights.
    rbms = make_biases(scale, symmetric=symmetric)
    log_partition, error = estimate(*rbms)
    # What float32 leaves of sums of some ten nats over a hundred steps.
    ratio = (log_partition - exact_log_partition(*rbms)) / np.hypot(error, 1e-4)
    assert np.mean(ratio ** 2) < 3.2
    assert np.abs(ratio).max() < 6


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
def test_estimates_of_twenty_lie_within_three_standard_errors(scale):
    # With these seeds all of them do, as with 95 of 100 were the errors normal.
    rbms = make_biases(scale, num_rbms=20)
    log_partition, error = estimate(*rbms, dtype="float64")
    assert (abs(log_partition - exact_log_partition(*rbms)) < 3 * error).all()


def test_estimates_are_precise_where_couplings_are_weak():
    rbms = make_biases(0.5)
    log_partition, error = estimate(*rbms)
    assert error.max() < 0.02
    np.testing.assert_allclose(log_partition, exact_log_partition(*rbms), rtol=0, atol=0.05)


def test_more_temperatures_make_the_standard_error_smaller():
    rbms = make_biases(1.0)
    errors = [estimate(*rbms, heads.AISSchedule(num_temperatures=steps))[1].mean()
              for steps in (10, 100)]
    assert errors[1] < errors[0] / 2


def test_given_temperatures_are_those_of_the_chain():
    rbms = make_biases(1.0, num_rbms=5)
    even, given, uneven = (
        estimate(*rbms, heads.AISSchedule(num_runs=20, **options)) for options in (
            {"num_temperatures": 4}, {"inverse_temperatures": [0, 0.25, 0.5, 0.75, 1]},
            {"inverse_temperatures": (0.0, 0.01, 0.02, 0.03, 1.0)}))
    np.testing.assert_array_equal(even, given)
    assert not np.array_equal(uneven, even)


@pytest.mark.parametrize("ladder", [
    (), (0.0,), (0.1, 1.0), (0.0, 0.9), (0.0, 0.5, 0.5, 1.0), (0.0, 0.6, 0.4, 1.0),
    (0.0, float("nan"), 1.0), (1.0, 0.0)])
def test_temperatures_that_do_not_climb_from_zero_to_one_are_refused(ladder):
    message = "AISSchedule: inverse_temperatures must start at 0, .*got "
    with pytest.raises(ValueError, match=message + re.escape(str(ladder))):
        heads.AISSchedule(inverse_temperatures=ladder)


def test_an_estimate_of_one_run_knows_no_error():
    _, error = estimate(*make_biases(1.0, num_rbms=2), heads.AISSchedule(num_runs=1))
    assert np.isnan(error).all()


def test_both_modes_of_strong_couplings_are_found():
    # All off and all on are equally likely: a base near one of them misses log 2 of log Z, and its
    # standard error does not tell.
    kernel = np.full([8, 6], 3.0, np.float32)
    visible, hidden = np.full([20, 8], -9.0, np.float32), np.full([20, 6], -12.0, np.float32)
    log_partition, error = estimate(kernel, visible, hidden)
    exact = exact_log_partition(kernel, visible, hidden)
    # 20 RBMs, five standard errors each.
    assert (np.abs(log_partition - exact) < 5 * error).all()


def test_estimates_do_not_depend_on_how_many_are_annealed_together():
    # With one seed an RBM; 7 of them in blocks of 3 leave an uneven last one.
    kernel, visible, hidden = make_biases(1.0, num_rbms=7)
    seeds = tf.constant([[i, 1] for i in range(7)])
    blocked, whole = (
        _ais.log_partition(kernel, visible, hidden, seeds,
                           heads.AISSchedule(num_runs=10, frames_at_once=at_once))
        for at_once in (3, 50))
    np.testing.assert_allclose(blocked, whole, rtol=1e-5, atol=1e-5)


def test_no_frames_have_no_estimates():
    log_partition, error = tf.function(estimate_nothing)()
    assert log_partition.shape == error.shape == (0,)


def estimate_nothing() -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the estimates for a batch in which every frame is padding."""
    none = tf.zeros([], tf.int32)
    biases = tf.ones([1, 3])[:none], tf.ones([1, 2])[:none]
    return _ais.log_partition(tf.ones([3, 2]), *biases, (0, 0))


def test_estimate_agrees_with_tensorflow_probability():
    # 400 chains of 200 steps that flip one unit at a time, against 100 runs of ours: four standard
    # errors of the difference.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its own imports
        import tensorflow_probability as tfp

    kernel, visible, hidden = make_biases(1.0, num_rbms=1)
    num_chains, num_steps = 400, 200

    def unnormalised(frames):
        fields = hidden[0] + frames @ kernel
        return tf.linalg.matvec(frames, visible[0]) + tf.reduce_sum(tf.nn.softplus(fields), -1)

    class OneFlip(tfp.mcmc.RandomWalkMetropolis):
        def one_step(self, state, results, seed=None):
            # The results hold the state's log-probability at the temperature before.
            return super().one_step(state, self.bootstrap_results(state), seed)

    def flip(states, seed):
        place = tf.random.stateless_uniform([num_chains], seed, 0, 8, tf.int32)
        return [tf.abs(states[0] - tf.one_hot(place, 8))]

    _, log_weights, _ = tfp.mcmc.sample_annealed_importance_chain(
        num_steps=num_steps,
        proposal_log_prob_fn=lambda frames: tf.zeros(tf.shape(frames)[0]) - 8 * np.log(2.0),
        target_log_prob_fn=unnormalised,
        current_state=tf.cast(
            tf.random.stateless_uniform([num_chains, 8], (1, 2)) < 0.5, tf.float32),
        make_kernel_fn=lambda log_prob: OneFlip(log_prob, flip),
        seed=(5, 6))
    theirs = tf.reduce_logsumexp(log_weights) - np.log(num_chains)
    weights = np.exp(log_weights - theirs)
    their_error = weights.std() / np.sqrt(num_chains)
    ours, our_error = estimate(kernel, visible, hidden)
    assert their_error < 0.2
    assert abs(ours[0] - theirs) < 4 * np.hypot(their_error, our_error[0])


@pytest.mark.parametrize("name", ["num_runs", "num_temperatures", "frames_at_once"])
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_work_that_is_no_positive_integer_is_refused(name, value):
    with pytest.raises(ValueError, match=f"AISSchedule: {name} must be .*got {value}"):
        heads.AISSchedule(**{name: value})
