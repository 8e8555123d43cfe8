"""The NADE head against its twin, and against sums over every frame of small worlds."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import heads
from rnnpt.heads import nade as nade_module
from tests import reference
from tests.reference import nade

# Five standard errors, of draws whose chance is otherwise bounded by the seed being fixed.
NUM_ERRORS = 5


def make_nade(num_visible: int = 4, num_hidden: int = 3, scale: float = 1.0) -> nade.NADE:
    """Returns a random NADE whose weights have the given standard deviation."""
    random = np.random.default_rng(4)
    return nade.NADE(*(random.normal(size=shape) * scale for shape in (
        [num_visible, num_hidden], [num_visible, num_hidden], [num_visible], [num_hidden])))


def make_head(twin: nade.NADE, **options: object) -> heads.NADEHead:
    """Returns a head with the weights of a twin."""
    head = heads.NADEHead(twin.kernel.shape[1], **options)
    head.build((None, twin.kernel.shape[0]))
    head.kernel.assign(twin.kernel)
    head.decoder.assign(twin.decoder)
    return head


def parameters_of(twin: nade.NADE, num_rows: int, dtype: str = "float32") -> tf.Tensor:
    """Returns the biases of a twin, the same in every row."""
    biases = np.concatenate([twin.visible_bias, twin.hidden_bias])
    return tf.constant(np.tile(biases, [num_rows, 1]), dtype)


def frequencies(frames: tf.Tensor) -> np.ndarray:
    """Returns how often each frame was drawn, in the order of `all_frames`."""
    num_visible = frames.shape[-1]
    places = (frames.numpy() @ 2 ** np.arange(num_visible)[::-1]).astype(int)
    return np.bincount(places, minlength=2 ** num_visible) / len(places)


def differentiate(
    head: heads.NADEHead, parameters: tf.Tensor, frames: np.ndarray
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Returns log-likelihoods, and the gradient of their sum by kernel, decoder and biases."""
    @tf.function
    def both(parameters, frames):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            log_prob = head.log_prob(parameters, frames)
        return log_prob, tape.gradient(
            log_prob, [head.kernel.value, head.decoder.value, parameters])

    log_prob, gradients = both(parameters, tf.constant(frames, parameters.dtype))
    return log_prob, [tf.convert_to_tensor(gradient) for gradient in gradients]


@pytest.fixture(params=[1, 3, 44])
def block_size(request, monkeypatch):
    """Blocks of one unit, blocks that do not divide the frame, and a block that is all of it."""
    monkeypatch.setattr(nade_module, "_BLOCK_SIZE", request.param)


@pytest.mark.parametrize("num_visible, num_hidden", [(1, 1), (4, 3), (8, 6)])
def test_log_prob_equals_its_twin_and_sums_to_one(num_visible, num_hidden, block_size):
    twin, frames = make_nade(num_visible, num_hidden, 2.0), reference.all_frames(num_visible)
    log_prob = make_head(twin, dtype="float64").log_prob(
        parameters_of(twin, len(frames), "float64"), frames)
    np.testing.assert_allclose(
        log_prob, [twin.log_prob(frame) for frame in frames], rtol=0, atol=1e-10)
    assert abs(np.exp(log_prob).sum() - 1) < 1e-10


def test_gradient_equals_its_twin(block_size):
    twin, frames = make_nade(7, 5, 2.0), reference.all_frames(7)
    _, (by_kernel, by_decoder, by_biases) = differentiate(
        make_head(twin, dtype="float64"), parameters_of(twin, 128, "float64"), frames)
    expected = [twin.gradient(frame) for frame in frames]
    np.testing.assert_allclose(by_kernel, sum(each.kernel for each in expected), atol=1e-10)
    np.testing.assert_allclose(by_decoder, sum(each.decoder for each in expected), atol=1e-10)
    np.testing.assert_allclose(
        by_biases, [np.concatenate([each.visible_bias, each.hidden_bias]) for each in expected],
        rtol=0, atol=1e-10)


def test_float32_is_as_near_its_twin_as_float32_can_be():
    # As many units as a piano has keys, and hence several blocks; 4 % of them on.
    twin = make_nade(88, 20, 0.3)
    frames = (np.random.default_rng(1).random([50, 88]) < 0.04).astype(np.float64)
    log_prob, (_, _, by_biases) = differentiate(make_head(twin), parameters_of(twin, 50), frames)
    np.testing.assert_allclose(
        log_prob, [twin.log_prob(frame) for frame in frames], rtol=1e-5)
    expected = [twin.gradient(frame) for frame in frames]
    np.testing.assert_allclose(
        by_biases, [np.concatenate([each.visible_bias, each.hidden_bias]) for each in expected],
        rtol=0, atol=1e-5)


def test_log_prob_takes_frames_with_any_leading_axes():
    twin = make_nade()
    head, frames = make_head(twin), reference.all_frames(4).astype(np.float32)
    parameters = parameters_of(twin, 16) + np.arange(16, dtype=np.float32)[:, None] / 10
    flat = head.log_prob(parameters, frames)
    boxed = head.log_prob(tf.reshape(parameters, [2, 2, 4, 7]), frames.reshape([2, 2, 4, 4]))
    np.testing.assert_allclose(np.ravel(boxed), flat, rtol=1e-5)
    np.testing.assert_allclose(head.log_prob(parameters[3], frames[3]), flat[3], rtol=1e-5)


def test_forward_differences_pass_through_it():
    # The second-order optimizer multiplies by the Jacobian of the log-odds.
    twin, frames = make_nade(6, 3), reference.all_frames(6)
    head, parameters = make_head(twin, dtype="float64"), parameters_of(twin, 64, "float64")
    tangent = np.random.default_rng(2).normal(size=parameters.shape)
    with tf.autodiff.ForwardAccumulator(parameters, tf.constant(tangent)) as accumulator:
        logits = head.logits(parameters, frames)
    ahead, behind = (
        head.logits(parameters + sign * 1e-6 * tangent, frames) for sign in (1, -1))
    # Central differences of step 1e-6 err by about 1e-10 of a log-odds of size one.
    np.testing.assert_allclose(
        accumulator.jvp(logits), (ahead - behind) / 2e-6, rtol=0, atol=1e-8)


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_frequencies_of_frames_follow_the_tempered_conditionals(temperature):
    # 200,000 draws: five standard errors of a frequency p, 5 sqrt(p (1 - p) / n).
    twin, num_draws = make_nade(6, 4), 200_000
    drawn = make_head(twin).sample(parameters_of(twin, num_draws), (1, 2), temperature)
    expected = twin.probabilities(temperature)
    assert abs(expected.sum() - 1) < 1e-10
    bound = NUM_ERRORS * np.sqrt(expected * (1 - expected) / num_draws)
    assert (abs(frequencies(drawn) - expected) < bound).all()


def test_a_temperature_a_row_is_that_row_s_own():
    # 20,000 draws a row of the pair: five standard errors, as above.
    twin, num_draws = make_nade(3, 2), 20_000
    temperature = tf.repeat(tf.constant([0.5, 3.0]), num_draws)
    drawn = make_head(twin).sample(parameters_of(twin, 2 * num_draws), (1, 2), temperature)
    for half, value in ((drawn[:num_draws], 0.5), (drawn[num_draws:], 3.0)):
        expected = twin.probabilities(value)
        bound = NUM_ERRORS * np.sqrt(expected * (1 - expected) / num_draws)
        assert (abs(frequencies(half) - expected) < bound).all()


@pytest.mark.parametrize("num_mean_samples", [1, 2_000])
def test_mean_converges_to_the_exact_one(num_mean_samples):
    # 40,000 samples in all; a conditional varies no more than a draw does, 0.5.
    twin, num_rows = make_nade(), 40_000 // num_mean_samples
    mean = make_head(twin, num_mean_samples=num_mean_samples).mean(
        parameters_of(twin, num_rows), (1, 2))
    for rows, num_samples in ((mean, 40_000), (mean[:1], num_mean_samples)):
        error = abs(np.mean(rows, axis=0) - twin.mean()).max()
        assert error < NUM_ERRORS * 0.5 / np.sqrt(num_samples)


def test_mean_of_the_first_unit_is_exact():
    # It has no unit below it: whatever the samples, its conditional is its probability.
    twin = make_nade()
    mean = make_head(twin, num_mean_samples=2).mean(parameters_of(twin, 3), (1, 2))
    np.testing.assert_allclose(mean[:, 0], np.full([3], twin.mean()[0]), rtol=1e-5)


@pytest.mark.parametrize("method", ["sample", "mean"])
def test_a_row_with_its_own_seed_has_the_same_answer_among_any_neighbours(method):
    twin = make_nade()
    head = make_head(twin, num_mean_samples=3)
    parameters = parameters_of(twin, 6) + np.arange(6, dtype=np.float32)[:, None] / 10
    seeds = tf.constant([[i, 7] for i in range(6)])

    def answer(rows):
        return np.array(getattr(head, method)(tf.gather(parameters, rows), tf.gather(seeds, rows)))

    together = answer([0, 1, 2, 3, 4, 5])
    assert len(np.unique(together, axis=0)) > 1
    for rows in ([5, 4, 3, 2, 1, 0], [3], [2, 0, 5]):
        np.testing.assert_allclose(answer(rows), together[rows], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["sample", "mean"])
def test_float64_draws_what_float32_draws(method):
    twin = make_nade()
    single, double = (
        getattr(make_head(twin, dtype=dtype), method)(parameters_of(twin, 50, dtype), (1, 2))
        for dtype in ("float32", "float64"))
    assert double.dtype == "float64"
    np.testing.assert_allclose(single, double, rtol=1e-5)


def test_no_row_has_no_answer_and_no_gradient():
    twin = make_nade()
    head, parameters = make_head(twin), parameters_of(twin, 0)
    log_prob, gradients = differentiate(head, parameters, np.zeros([0, 4]))
    assert log_prob.shape == [0] and not any(np.any(gradient) for gradient in gradients)
    for seed in ((1, 2), np.zeros([0, 2], np.int32)):
        assert head.sample(parameters, seed).shape == [0, 4]
        assert head.mean(parameters, seed).shape == [0, 4]


@pytest.mark.parametrize("name", ["num_hidden", "num_mean_samples"])
@pytest.mark.parametrize("value", [0, -3, 1.5, "many"])
def test_a_count_that_is_no_positive_integer_is_refused(name, value):
    options = {"num_hidden": 2, name: value}
    with pytest.raises(ValueError, match=f"NADEHead: {name} must be .*got {value!r}"):
        heads.NADEHead(**options)


def test_a_temperature_that_is_not_positive_is_refused():
    twin = make_nade()
    with pytest.raises(ValueError, match="temperature must be .*got 0"):
        make_head(twin).sample(parameters_of(twin, 1), (1, 2), temperature=0)


def test_a_gradient_keeps_neither_the_graph_it_is_traced_in_nor_the_head():
    def traced() -> list[weakref.ref]:
        head = make_head(make_nade())

        @tf.function
        def gradient(parameters: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                log_prob = head.log_prob(parameters, tf.ones([5, 4], parameters.dtype))
            return tape.gradient(log_prob, parameters)

        graph = gradient.get_concrete_function(tf.zeros([5, 7], head.dtype)).graph
        return [weakref.ref(graph), weakref.ref(head)]

    references = traced()
    gc.collect()
    assert [reference() for reference in references] == [None, None]
