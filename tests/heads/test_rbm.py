"""The RBM head against sums over every visible and hidden vector of small worlds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import heads
from tests import reference

# Five standard errors, of draws whose chance is otherwise bounded by the seed being fixed.
NUM_ERRORS = 5

Piecewise = keras.optimizers.schedules.PiecewiseConstantDecay


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


def test_conditional_means_are_sums_over_the_joint_distribution():
    rbm, frames = make_rbm(), reference.all_frames(4)
    head, hidden = make_head(rbm, dtype="float64"), reference.all_frames(3)
    joint = np.exp(-rbm.energies(frames))
    on = joint / joint.sum(axis=1, keepdims=True) @ hidden
    np.testing.assert_allclose(
        head.hidden_mean(parameters_of(rbm, 16, "float64"), frames), on, rtol=0, atol=1e-10)
    on = (joint / joint.sum(axis=0)).T @ frames
    np.testing.assert_allclose(
        head.visible_mean(parameters_of(rbm, 8, "float64"), hidden), on, rtol=0, atol=1e-10)


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


@pytest.mark.parametrize("num_gibbs_steps", [1, 60])
def test_mean_field_negatives_are_means_given_the_last_hidden_vector(num_gibbs_steps):
    # As above; the twin sums over the last hidden vector, which a chain one shorter leads to.
    rbm, frame, num_rows = make_rbm(), np.array([1.0, 0.0, 1.0, 1.0]), 20_000
    head = make_head(rbm, num_gibbs_steps=num_gibbs_steps, negatives="mean_field")
    frames, hidden = reference.all_frames(4), reference.all_frames(3)
    on = reference.sigmoid(frames @ rbm.kernel + rbm.hidden_bias)
    to_hidden = np.prod(np.where(hidden[None] == 1, on[:, None], 1 - on[:, None]), axis=2)
    chances = (rbm.transition(num_gibbs_steps - 1) @ to_hidden)[0b1011]
    means = reference.sigmoid(hidden @ rbm.kernel.T + rbm.visible_bias)
    expected = rbm.energy_gradient(frame[None])[0] - chances @ rbm.energy_gradient(means)
    gradient = surrogate_gradient(head, rbm, frame, num_rows)
    assert abs(gradient - expected).max() < NUM_ERRORS * 0.5 / np.sqrt(num_rows)


def test_contrastive_divergence_comes_nearer_to_the_likelihood_with_its_steps():
    # 20,000 chains: 19 entries of a standard error of at most 0.5 / sqrt(20,000), so that what is
    # left at random of a distance is about 0.015 at most. Exact ones: 1.165, 0.165, 0.000.
    rbm, frame = make_rbm(scale=3.0), np.array([1.0, 1.0, 0.0, 0.0])
    exact, distances, cosines = rbm.gradient(frame), [], []
    for num_gibbs_steps in (1, 5, 25):
        gradient = surrogate_gradient(
            make_head(rbm, num_gibbs_steps=num_gibbs_steps), rbm, frame, 20_000)
        distances.append(np.linalg.norm(gradient - exact))
        cosines.append(gradient @ exact / np.linalg.norm(gradient) / np.linalg.norm(exact))
    assert distances[0] > 1.0 and 0.1 < distances[1] < 0.25 and distances[2] < 0.05
    assert 0.85 < cosines[0] < 0.95 and 0.995 < cosines[1] < cosines[2]


def test_persistent_chains_of_one_step_come_to_the_gradient_of_the_likelihood():
    # 20,000 chains from zero, 80 updates of one step: as long a chain as above.
    rbm, frame, num_rows = make_rbm(), np.array([1.0, 0.0, 1.0, 1.0]), 20_000
    head = make_head(rbm, num_gibbs_steps=1, num_chains=num_rows)
    parameters = parameters_of(rbm, num_rows)
    frames = tf.tile(tf.constant(frame[None], tf.float32), [num_rows, 1])
    update = tf.function(head.loss)
    for step in range(80):
        update(parameters, frames, tf.constant([8, step]), tf.constant(step))
    gradient = surrogate_gradient(head, rbm, frame, num_rows)
    expected = rbm.gradient(frame)
    assert abs(gradient - expected).max() < NUM_ERRORS * 0.5 / np.sqrt(num_rows)
    # The step of contrastive divergence that it would be without the chains is another.
    assert abs(rbm.contrastive_divergence(frame, 1) - expected).max() > 0.05


def still_head(num_chains: int) -> tuple[heads.RBMHead, np.ndarray]:
    """Returns a head whose chains stay where they are, and the biases that make them."""
    rbm = reference.RBM(200 * np.eye(4), np.full([4], -100.0), np.full([4], -100.0))
    head = make_head(rbm, num_gibbs_steps=2, num_chains=num_chains)
    head.chains.assign(reference.all_frames(4)[5:5 + num_chains])
    return head, parameters_of(rbm, 1)


@pytest.mark.parametrize("shape", [[2], [3], [2, 4]])
def test_a_frame_goes_on_from_the_chain_of_its_number(shape):
    head, biases = still_head(num_chains=3)
    parameters = tf.broadcast_to(biases[0], [*shape, 8])
    frames, chains = tf.ones([*shape, 4]), head.chains.numpy()
    numbers = np.arange(np.prod(shape)).reshape(shape) % 3
    expected = (head.free_energy(parameters, frames)
                - head.free_energy(parameters, chains[numbers]))
    np.testing.assert_allclose(head.loss(parameters, frames, (1, 2)), expected, rtol=1e-5)
    np.testing.assert_array_equal(head.chains, chains)  # no update: None was trained


@pytest.mark.parametrize("num_frames", [0, 2, 3, 5])
def test_chains_that_were_used_go_to_the_end_of_the_queue(num_frames):
    head, _ = still_head(num_chains=3)
    # Biases that each make a frame of their own, whatever the chain was.
    ends, before = reference.all_frames(4)[9:9 + num_frames], head.chains.numpy()
    parameters = tf.constant(
        np.concatenate([1000 * ends - 500, np.full([num_frames, 4], -500)], axis=1), tf.float32)
    update = tf.function(head.loss, input_signature=[
        tf.TensorSpec([None, 8]), tf.TensorSpec([None, 4]), tf.TensorSpec([2], tf.int32),
        tf.TensorSpec([], tf.int64)])
    update(parameters, tf.zeros([num_frames, 4]), (1, 2), 0)
    expected = np.concatenate([before[num_frames:], ends[:3]])
    np.testing.assert_array_equal(head.chains, expected)


def test_the_number_of_steps_follows_its_schedule():
    rbm = make_rbm()
    frames, parameters = tf.ones([50, 4]), parameters_of(rbm, 50)
    losses = {steps: make_head(rbm, num_gibbs_steps=steps).loss(parameters, frames, (1, 2))
              for steps in (1, 3)}
    assert not np.array_equal(losses[1], losses[3])
    head = make_head(rbm, num_gibbs_steps=Piecewise([999], [1, 3]))
    copy = heads.RBMHead.from_config(head.get_config())
    assert copy.get_config() == head.get_config()
    assert copy.num_gibbs_steps(5000) == 3
    loss = tf.function(head.loss)
    for step, steps in ((None, 1), (0, 1), (999, 1), (1000, 3), (2000, 3)):
        step = None if step is None else tf.constant(step, tf.int64)
        np.testing.assert_allclose(
            loss(parameters, frames, (1, 2), step), losses[steps], rtol=1e-5, atol=1e-5)


def test_one_step_of_contrastive_divergence_points_along_the_likelihood():
    rbm = make_rbm()
    for frame in reference.all_frames(4):
        gradient = surrogate_gradient(make_head(rbm, num_gibbs_steps=1), rbm, frame, 2_000)
        exact = rbm.gradient(frame)
        assert gradient @ exact > 0.3 * np.linalg.norm(gradient) * np.linalg.norm(exact)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_of_frames_follow_the_energy_over_the_temperature(temperature):
    # 200,000 chains of 60 steps: five standard errors of a frequency p, 5 sqrt(p (1 - p) / n).
    rbm, num_draws = make_rbm(), 200_000
    drawn = tf.function(make_head(rbm, num_sampling_steps=60).sample)(
        parameters_of(rbm, num_draws), (1, 2), temperature)
    expected = rbm.probabilities(temperature)
    bound = NUM_ERRORS * np.sqrt(expected * (1 - expected) / num_draws)
    assert (abs(frequencies(drawn) - expected) < bound).all()


def test_a_chain_of_one_step_starts_where_it_is_told():
    # 20,000 chains, against the twin's matrix of Gibbs transitions from that frame.
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


@pytest.mark.parametrize("value", [0, -3, 1.5])
def test_persistent_chains_that_are_no_positive_integer_are_refused(value):
    with pytest.raises(ValueError, match=f"RBMHead: num_chains must be .*got {value}"):
        heads.RBMHead(2, num_chains=value)


def test_negatives_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="RBMHead: negatives must be .*got 'drawn'"):
        heads.RBMHead(2, negatives="drawn")


@pytest.mark.parametrize("schedule, found", [
    (Piecewise([10], [1.5, 2.0]), "1.5 at update 0"),
    (Piecewise([2999, 3000], [1, 0, 2]), "0.0 at update 3000"),
    (keras.optimizers.schedules.ExponentialDecay(8.0, 2, 0.5), "at update 1;")])
def test_a_schedule_that_gives_no_whole_positive_number_is_refused(schedule, found):
    message = f"RBMHead: num_gibbs_steps must give whole positive numbers, got .*{found}"
    with pytest.raises(ValueError, match=message):
        heads.RBMHead(2, num_gibbs_steps=schedule)


class Hidden(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that is no whole number at one update, which no probe meets."""

    def __call__(self, step):
        return 2.0 + 0.5 * tf.cast(step == 1000, tf.float32)


def test_a_schedule_that_goes_wrong_later_is_refused_then():
    rbm = make_rbm()
    head = make_head(rbm, num_gibbs_steps=Hidden())
    parameters, frames = parameters_of(rbm, 1), tf.ones([1, 4])
    head.loss(parameters, frames, (1, 2), tf.constant(999))
    with pytest.raises(tf.errors.InvalidArgumentError, match="num_gibbs_steps"):
        head.loss(parameters, frames, (1, 2), tf.constant(1000))


@pytest.mark.parametrize("make", [heads.RBMHead, heads.GaussianRBMHead])
def test_a_float64_head_answers_as_a_float32_one(make):
    answers = []
    for dtype in ("float32", "float64"):
        random = np.random.default_rng(4)
        head = make(3, num_gibbs_steps=3, num_chains=2, dtype=dtype)
        head.build((None, 4))
        head.kernel.assign(random.normal(size=[4, 3]))
        parameters = tf.constant(random.normal(size=[6, 7]), dtype)
        frames = tf.constant(random.integers(2, size=[6, 4]), dtype)
        answers.append([
            head.loss(parameters, frames, (1, 2), tf.constant(0)),
            head.sample(parameters, (1, 2), 0.5), head.mean(parameters, (1, 2)),
            *tf.function(head.estimate_log_prob)(
                parameters, frames, (1, 2), heads.AISSchedule(10, 5))])
        assert all(answer.dtype == dtype for answer in answers[-1])
    for one, other in zip(*answers):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
