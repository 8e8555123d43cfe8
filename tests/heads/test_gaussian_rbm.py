"""The Gaussian RBM head against its twin, which integrates the visible units out."""

import math

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import heads
from tests.reference.gaussian_rbm import GaussianRBM

# Five standard errors, of draws whose chance is otherwise bounded by the seed being fixed.
NUM_ERRORS = 5

FRAME = np.array([1.5, -0.5, 2.0])


def make_rbm(num_visible: int = 3, num_hidden: int = 3, stddev: float = 0.8) -> GaussianRBM:
    """Returns a random RBM."""
    random = np.random.default_rng(4)
    return GaussianRBM(*(random.normal(size=shape) for shape in (
        [num_visible, num_hidden], [num_visible], [num_hidden])), stddev)


def make_head(rbm: GaussianRBM, **options: object) -> heads.GaussianRBMHead:
    """Returns a head with the weights of an RBM."""
    head = heads.GaussianRBMHead(rbm.kernel.shape[1], rbm.stddev, **options)
    head.build((None, rbm.kernel.shape[0]))
    head.kernel.assign(rbm.kernel)
    return head


def parameters_of(rbm: GaussianRBM, num_rows: int, dtype: str = "float32") -> tf.Tensor:
    """Returns the biases of an RBM, the same in every row."""
    biases = np.concatenate([rbm.visible_bias, rbm.hidden_bias])
    return tf.constant(np.tile(biases, [num_rows, 1]), dtype)


@pytest.mark.parametrize("num_visible, num_hidden", [(1, 1), (4, 3), (3, 6)])
def test_free_energy_is_the_log_sum_over_hidden_vectors(num_visible, num_hidden):
    rbm = make_rbm(num_visible, num_hidden)
    frames = np.random.default_rng(1).normal(size=[20, num_visible])
    energies = make_head(rbm, dtype="float64").free_energy(
        parameters_of(rbm, 20, "float64"), frames)
    np.testing.assert_allclose(
        energies, [rbm.free_energy(frame) for frame in frames], rtol=0, atol=1e-10)


def test_densities_of_all_frames_integrate_to_one():
    # A sum over a grid: exact, for a smooth density, up to what lies outside of it.
    rbm, spacing = make_rbm(num_visible=1), 0.01
    grid = np.arange(-15, 15, spacing)[:, None]
    energies = make_head(rbm, dtype="float64").free_energy(
        parameters_of(rbm, len(grid), "float64"), grid)
    assert abs(np.exp(-energies - rbm.log_partition()).sum() * spacing - 1) < 1e-10


def test_conditional_means_are_those_of_the_mixture():
    rbm = make_rbm()
    head, parameters = make_head(rbm, dtype="float64"), parameters_of(rbm, 8, "float64")
    hidden = np.array([[i // 4, i // 2 % 2, i % 2] for i in range(8)], float)
    np.testing.assert_allclose(
        head.visible_mean(parameters, hidden), rbm.means(), rtol=0, atol=1e-10)
    # The chance of unit k given v, from the free energies with its bias moved by a little: -dF/db.
    frame, step = np.array([0.3, -1.2, 0.5]), 1e-6
    expected = [
        (rbm._replace(hidden_bias=rbm.hidden_bias - shift).free_energy(frame)
         - rbm._replace(hidden_bias=rbm.hidden_bias + shift).free_energy(frame)) / (2 * step)
        for shift in step * np.eye(3)]
    np.testing.assert_allclose(
        head.hidden_mean(parameters[:1], frame[None])[0], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("scale", [0.3, 0.6])
def test_estimates_of_the_partition_function_lie_within_three_standard_errors(scale):
    # 20 RBMs that share a kernel, 100 runs each; with this seed all of them do, as 95 of 100 seeds
    # would have it. Of stronger couplings (a standard deviation of 1 and more) the default 100
    # temperatures may leave out a mode, and the standard error does not know.
    random = np.random.default_rng(3)
    kernel = random.normal(size=[4, 5]) * scale
    visible, hidden = (random.normal(size=[20, size]) * scale for size in (4, 5))
    rbms = [GaussianRBM(kernel, *biases, 0.9) for biases in zip(visible, hidden)]
    head, frames = make_head(rbms[0], dtype="float64"), np.zeros([20, 4])
    parameters = np.concatenate([visible, hidden], axis=1)
    log_prob, error = tf.function(head.estimate_log_prob)(parameters, frames, (1, 2))
    log_partition = -head.free_energy(parameters, frames) - log_prob
    exact = np.array([rbm.log_partition() for rbm in rbms])
    assert (abs(log_partition.numpy() - exact) < 3 * error.numpy()).all()
    assert np.max(error) < 0.1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_mixture_at_a_temperature(temperature):
    # 200,000 chains of 100 steps; of each unit, the share of draws below each of nine places
    # against the mixture's, five standard errors of a share.
    rbm, num_draws = make_rbm(), 200_000
    head = make_head(rbm)
    drawn = tf.function(lambda: head.sample(
        parameters_of(rbm, num_draws), (1, 2), temperature, num_steps=100))().numpy()
    tempered = rbm.at_temperature(temperature)
    for place in np.linspace(-4, 4, 9):
        scores = (place - tempered.means()) / (tempered.stddev * math.sqrt(2))
        expected = tempered.probabilities() @ (1 + np.vectorize(math.erf)(scores)) / 2
        bound = NUM_ERRORS * np.sqrt(expected * (1 - expected) / num_draws) + 1e-6
        assert (abs(np.mean(drawn < place, axis=0) - expected) < bound).all()


def test_mean_is_near_the_exact_one():
    # 4,000 rows of half a chain each: no mean over a chain varies more than one draw.
    rbm, num_rows = make_rbm(), 4_000
    mean = make_head(rbm).mean(parameters_of(rbm, num_rows), (1, 2))
    means, chances = rbm.means(), rbm.probabilities()
    expected = chances @ means
    spread = np.sqrt(chances @ means ** 2 - expected ** 2)
    assert (abs(np.mean(mean, axis=0) - expected)
            < NUM_ERRORS * spread / np.sqrt(num_rows)).all()


@pytest.mark.parametrize("negatives", ["sampled", "mean_field"])
def test_loss_of_a_long_chain_has_the_gradient_of_the_likelihood_or_of_the_means(negatives):
    # 20,000 chains; an entry, a frame's unit times a probability, varies no more than the unit.
    rbm, num_rows = make_rbm(), 20_000
    head = make_head(rbm, num_gibbs_steps=60, negatives=negatives)
    gradient = gradient_of(head, parameters_of(rbm, num_rows), FRAME)
    expected = rbm.gradient(FRAME) if negatives == "sampled" else rbm.mean_field_gradient(FRAME)
    spread = np.sqrt(rbm.probabilities() @ rbm.means() ** 2 + rbm.stddev ** 2).max()
    assert abs(gradient - expected).max() < NUM_ERRORS * spread / np.sqrt(num_rows)


def test_contrastive_divergence_points_along_the_likelihood_and_comes_nearer_with_its_steps():
    # 20,000 chains: what is left at random of each distance is about 0.02.
    rbm, distances = make_rbm(), []
    exact = rbm.gradient(FRAME)
    for num_gibbs_steps in (1, 5):
        head = make_head(rbm, num_gibbs_steps=num_gibbs_steps)
        gradient = gradient_of(head, parameters_of(rbm, 20_000), FRAME)
        assert gradient @ exact > 0.95 * np.linalg.norm(gradient) * np.linalg.norm(exact)
        distances.append(np.linalg.norm(gradient - exact))
    assert distances[0] > 0.3 and distances[1] < 0.1


def gradient_of(
    head: heads.GaussianRBMHead, parameters: tf.Tensor, frame: np.ndarray
) -> np.ndarray:
    """Returns the mean gradient of the loss over many chains, flat: kernel, biases."""
    frames = tf.tile(tf.constant(frame[None], tf.float32), [len(parameters), 1])
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        loss = tf.reduce_mean(tf.function(head.loss)(parameters, frames, (5, 6)))
    by_kernel, by_bias = tape.gradient(loss, [head.kernel.value, parameters])
    return np.concatenate([np.ravel(by_kernel), np.sum(by_bias, axis=0)])


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_a_standard_deviation_that_is_no_positive_number_is_refused(value):
    with pytest.raises(ValueError, match=f"GaussianRBMHead: stddev must be .*got {value}"):
        heads.GaussianRBMHead(3, value)


def test_a_count_is_refused_in_the_name_of_the_class():
    with pytest.raises(ValueError, match="GaussianRBMHead: num_hidden must be .*got 0"):
        heads.GaussianRBMHead(0)
