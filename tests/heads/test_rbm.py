"""The RBM head against sums over every visible and hidden vector of small worlds."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import heads
from tests import reference

# Five standard errors, of draws whose chance is otherwise bounded by the seed being fixed.
NUM_ERRORS = 5


def make_rbm(num_visible: int = 4, num_hidden: int = 3, scale: float = 1.0) -> reference.RBM:
    """Returns a random RBM whose weights have the given standard deviation."""
    random = np.random.default_rng(4)
    return reference.RBM(*(random.normal(size=shape) * scale for shape in (
        [num_visible, num_hidden], [num_visible], [num_hidden])))


def make_head(rbm: reference.RBM, **options: object) -> heads.RBMHead:
    """Returns a head with the weights of an RBM."""
    head = heads.RBMHead(rbm.kernel.shape[1], **options)
    head.build((None, rbm.kernel.shape[0]))
    head.kernel.assign(rbm.kernel)
    return head


def parameters_of(rbm: reference.RBM, num_rows: int, dtype: str = "float32") -> tf.Tensor:
    """Returns the biases of an RBM, the same in every row."""
    biases = np.concatenate([rbm.visible_bias, rbm.hidden_bias])
    return tf.constant(np.tile(biases, [num_rows, 1]), dtype)


def frequencies(frames: tf.Tensor) -> np.ndarray:
    """Returns how often each frame was drawn, in the order of `all_frames`."""
    num_visible = frames.shape[-1]
    places = (frames.numpy() @ 2 ** np.arange(num_visible)[::-1]).astype(int)
    return np.bincount(places, minlength=2 ** num_visible) / len(places)


@pytest.mark.parametrize("num_visible, num_hidden", [(1, 1), (4, 3), (8, 6)])
def test_free_energy_is_the_log_sum_over_hidden_vectors(num_visible, num_hidden):
    rbm = make_rbm(num_visible, num_hidden, scale=2.0)
    frames = reference.all_frames(num_visible)
    head = make_head(rbm, dtype="float64")
    energies = head.free_energy(parameters_of(rbm, len(frames), "float64"), frames)
    np.testing.assert_allclose(
        energies, [rbm.free_energy(frame) for frame in frames], rtol=0, atol=1e-10)


def test_probabilities_of_all_frames_sum_to_one_with_the_exact_partition_function():
    rbm, frames = make_rbm(6, 5, scale=2.0), reference.all_frames(6)
    energies = make_head(rbm, dtype="float64").free_energy(
        parameters_of(rbm, 64, "float64"), frames)
    probabilities = np.exp(-energies - rbm.log_partition())
    np.testing.assert_allclose(probabilities, rbm.probabilities(), rtol=0, atol=1e-10)
    assert abs(probabilities.sum() - 1) < 1e-10


def test_log_prob_takes_frames_with_any_leading_axes():
    rbm, head = make_rbm(), make_head(make_rbm())
    frames = reference.all_frames(4).astype(np.float32)
    parameters = parameters_of(rbm, 16)
    log_prob = head.log_prob(tf.reshape(parameters, [2, 8, 7]), frames.reshape([2, 8, 4]))
    # 100 runs at this coupling have a standard error below 0.01; seven of them.
    np.testing.assert_allclose(
        np.ravel(log_prob), [rbm.log_prob(frame) for frame in frames], rtol=0, atol=0.07)


def surrogate_gradient(
    head: heads.RBMHead, rbm: reference.RBM, frame: np.ndarray, num_rows: int
) -> np.ndarray:
    """Returns the mean gradient of the loss over many chains, flat: kernel, biases."""
    parameters = parameters_of(rbm, num_rows)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        loss = tf.reduce_mean(head.loss(
            parameters, tf.tile(frame[None].astype(np.float32), [num_rows, 1]), (5, 6)))
    by_kernel, by_bias = tape.gradient(loss, [head.kernel.value, parameters])
    return np.concatenate([np.ravel(by_kernel), np.sum(by_bias, axis=0)])


@pytest.mark.parametrize("num_gibbs_steps", [1, 3])
def test_loss_has_the_gradient_of_contrastive_divergence(num_gibbs_steps):
    # 20,000 chains: a gradient's entry lies within an interval of length 1, so that its standard
    # deviation is at most 0.5.
    rbm, frame, num_rows = make_rbm(), np.array([1.0, 0.0, 1.0, 1.0]), 20_000
    gradient = surrogate_gradient(
        make_head(rbm, num_gibbs_steps=num_gibbs_steps), rbm, frame, num_rows)
    expected = rbm.contrastive_divergence(frame, num_gibbs_steps)
    assert abs(gradient - expected).max() < NUM_ERRORS * 0.5 / np.sqrt(num_rows)


def test_loss_of_a_long_chain_has_the_gradient_of_the_likelihood():
    # As above; after 60 steps what is left of the chain's start is below 1e-6 (twin's matrix).
    rbm, frame, num_rows = make_rbm(), np.array([1.0, 0.0, 1.0, 1.0]), 20_000
    expected = rbm.gradient(frame)
    assert abs(rbm.contrastive_divergence(frame, 60) - expected).max() < 1e-6
    gradient = surrogate_gradient(make_head(rbm, num_gibbs_steps=60), rbm, frame, num_rows)
    assert abs(gradient - expected).max() < NUM_ERRORS * 0.5 / np.sqrt(num_rows)


def test_one_step_of_contrastive_divergence_points_along_the_likelihood():
    rbm = make_rbm()
    for frame in reference.all_frames(4):
        gradient = surrogate_gradient(make_head(rbm, num_gibbs_steps=1), rbm, frame, 2_000)
        exact = rbm.gradient(frame)
        assert gradient @ exact > 0.3 * np.linalg.norm(gradient) * np.linalg.norm(exact)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_of_frames_follow_the_energy_over_the_temperature(temperature):
    # 20,000 chains of 60 steps: five standard errors of a frequency p, 5 sqrt(p (1 - p) / n).
    rbm, num_draws = make_rbm(), 20_000
    drawn = make_head(rbm, num_sampling_steps=60).sample(
        parameters_of(rbm, num_draws), (1, 2), temperature)
    expected = rbm.probabilities(temperature)
    bound = NUM_ERRORS * np.sqrt(expected * (1 - expected) / num_draws)
    assert (abs(frequencies(drawn) - expected) < bound).all()


def test_a_chain_of_one_step_starts_where_it_is_told():
    # As above, against the twin's matrix of Gibbs transitions from that frame.
    rbm, num_draws = make_rbm(), 20_000
    frame = np.array([0.0, 1.0, 1.0, 0.0])
    drawn = make_head(rbm).sample(
        parameters_of(rbm, num_draws), (1, 2), num_steps=1,
        start=tf.tile(frame[None].astype(np.float32), [num_draws, 1]))
    expected = rbm.transition(1)[0b0110]
    bound = NUM_ERRORS * np.sqrt(expected * (1 - expected) / num_draws)
    assert (abs(frequencies(drawn) - expected) < bound).all()


def test_a_chain_of_no_step_is_its_start():
    rbm = make_rbm()
    start = tf.constant([[0.0, 1.0, 1.0, 0.0]])
    drawn = make_head(rbm).sample(parameters_of(rbm, 1), (1, 2), start=start, num_steps=0)
    np.testing.assert_array_equal(drawn, start)


def test_mean_is_near_the_exact_one():
    # 4,000 rows; a mean over half a chain varies no more than one draw, 0.5.
    rbm, num_rows = make_rbm(), 4_000
    mean = make_head(rbm).mean(parameters_of(rbm, num_rows), (1, 2))
    expected = rbm.probabilities() @ reference.all_frames(4)
    assert abs(np.mean(mean, axis=0) - expected).max() < NUM_ERRORS * 0.5 / np.sqrt(num_rows)


@pytest.mark.parametrize("method", ["sample", "mean", "loss", "estimate_log_prob"])
def test_a_row_with_its_own_seed_has_the_same_answer_among_any_neighbours(method):
    rbm = make_rbm()
    head = make_head(rbm)
    frames = reference.all_frames(4)[:6].astype(np.float32)
    parameters = parameters_of(rbm, 6) + np.arange(6, dtype=np.float32)[:, None] / 10
    seeds = tf.constant([[i, 7] for i in range(6)])

    def answer(rows):
        rows = np.array(rows)
        inputs = [tf.gather(parameters, rows), tf.gather(seeds, rows)]
        if method in ("loss", "estimate_log_prob"):
            inputs.insert(1, frames[rows])
        schedules = [heads.AISSchedule(frames_at_once=2)] if method == "estimate_log_prob" else []
        return np.array(getattr(head, method)(*inputs, *schedules))

    axis = 1 if method == "estimate_log_prob" else 0
    together = answer([0, 1, 2, 3, 4, 5])
    for rows in ([5, 4, 3, 2, 1, 0], [3], [2, 0, 5]):
        np.testing.assert_allclose(
            answer(rows), np.take(together, rows, axis), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["num_hidden", "num_gibbs_steps", "num_sampling_steps"])
@pytest.mark.parametrize("value", [0, -3, 1.5])
def test_a_count_that_is_no_positive_integer_is_refused(name, value):
    options = {"num_hidden": 2, name: value}
    with pytest.raises(ValueError, match=f"RBMHead: {name} must be .*got {value}"):
        heads.RBMHead(**options)
