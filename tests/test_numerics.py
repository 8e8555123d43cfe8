"""Stateless maths against its definition, and draws that are functions of their seed alone."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpt import numerics
from tests import reference


def test_bernoulli_log_prob_equals_its_twin_in_float64():
    random = np.random.default_rng(0)
    logits, frames = random.normal(size=[5, 4]), (random.random([5, 4]) < 0.5) * 1.0
    expected = [reference.bernoulli_log_prob(*pair) for pair in zip(logits, frames)]
    np.testing.assert_allclose(
        numerics.bernoulli_log_prob(logits, frames), expected, rtol=0, atol=1e-10)


def test_bernoulli_log_probs_are_those_of_every_pair():
    rng = np.random.default_rng(4)
    logits, frames = rng.normal(size=[3, 5]) * 4, (rng.random([2, 6, 5]) < 0.5).astype(float)
    pairs = numerics.bernoulli_log_prob(
        np.broadcast_to(logits, [2, 6, 3, 5]), np.repeat(frames[:, :, None], 3, axis=2))
    np.testing.assert_allclose(
        numerics.bernoulli_log_probs(logits, frames), pairs, rtol=0, atol=1e-10)


def test_bernoulli_log_prob_of_logits_far_out_is_their_margin():
    logits = tf.constant([[500.0, -500.0], [500.0, -500.0]])
    frames = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_array_equal(numerics.bernoulli_log_prob(logits, frames), [0.0, -1000.0])


@pytest.mark.parametrize("axis, expected", [(None, 9.0), (1, [1.0, 8.0])])
def test_masked_sum_leaves_out_padding_that_is_not_a_number(axis, expected):
    values = tf.constant([[1.0, np.nan, np.inf], [3.0, 5.0, np.nan]])
    mask = tf.constant([[True, False, False], [True, True, False]])
    np.testing.assert_array_equal(numerics.masked_sum(values, mask, axis), expected)


def test_masked_sum_has_no_gradient_through_padding():
    values = tf.constant([[2.0, np.nan]])
    with tf.GradientTape() as tape:
        tape.watch(values)
        total = numerics.masked_sum(values ** 2, tf.constant([[True, False]]))
    np.testing.assert_array_equal(tape.gradient(total, values)[0, 0], 4.0)


@settings(derandomize=True, max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 3))
def test_unpack_undoes_pack(sizes, batch_size):
    state = [np.random.default_rng(i).normal(size=[batch_size, size]).astype(np.float32)
             for i, size in enumerate(sizes)]
    unpacked = numerics.unpack(numerics.pack(state), sizes)
    for given_part, part in zip(state, unpacked, strict=True):
        np.testing.assert_array_equal(given_part, part)


def test_fold_in_folds_each_row_as_if_it_were_alone():
    seeds = tf.constant([[1, 2], [3, 4], [1, 2]])
    together = numerics.fold_in(seeds, 7).numpy()
    alone = [numerics.fold_in(seed, 7).numpy() for seed in seeds]
    np.testing.assert_array_equal(together, alone)
    assert not np.array_equal(together[0], numerics.fold_in(seeds[0], 8))


@pytest.mark.parametrize("draw", [numerics.uniform, numerics.normal, numerics.fold_in])
def test_what_is_folded_in_later_is_folded_in_all_the_same(draw):
    seeds = tf.constant([[1, 2], [3, 4], [1, 2]])
    what = 5 if draw is numerics.fold_in else [3, 5]
    later = numerics.fold_later(numerics.fold_later(seeds, 7), 9)
    at_once = numerics.fold_in(numerics.fold_in(seeds, 7), 9)
    np.testing.assert_array_equal(draw(later, what), draw(at_once, what))
    assert not np.array_equal(draw(later, what), draw(numerics.fold_later(seeds, 9), what))
    np.testing.assert_array_equal(
        numerics.fold_later(seeds[0], 7), numerics.fold_in(seeds[0], 7))


def test_uniform_numbers_are_those_of_tensorflow():
    np.testing.assert_array_equal(
        numerics.uniform((5, 6), [3, 4]),
        tf.random.stateless_uniform([3, 4], (5, 6), alg=numerics.RANDOM_ALGORITHM))


def test_uniform_with_a_seed_a_row_does_not_know_its_neighbours():
    seeds = tf.constant([[1, 2], [3, 4], [5, 6]])
    together = numerics.uniform(seeds, [3, 2, 4]).numpy()
    for place in range(3):
        alone = numerics.uniform(seeds[place:place + 1], [1, 2, 4]).numpy()
        np.testing.assert_array_equal(together[place], alone[0])
    np.testing.assert_array_equal(
        numerics.uniform(tf.reverse(seeds, [0]), [3, 2, 4]).numpy(), together[::-1])


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("seed", [[1, 2], [[1, 2], [3, 4]]])
def test_steps_of_a_chain_differ_and_repeat_with_the_seed(seed, coarse):
    def draw():
        draws = numerics.uniform_steps(tf.constant(seed), 3, [2, 3], [5, 4], coarse)
        return [np.concatenate(draws(tf.constant(step)), axis=-1) for step in range(3)]

    steps = np.array(draw())
    assert steps.shape == (3, 2, 3, 9)
    np.testing.assert_array_equal(steps, draw())
    # Two coarse numbers may be equal, but not nine of them.
    assert len({frame.tobytes() for frame in steps.reshape([-1, 9])}) == 18


def test_steps_of_a_chain_with_a_seed_a_row_do_not_know_their_neighbours():
    seeds = tf.constant([[1, 2], [3, 4], [5, 6]])
    together = numerics.uniform_steps(seeds, 2, [3], [4, 1])(1)
    alone = numerics.uniform_steps(seeds[1:2], 2, [1], [4, 1])(1)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one[1:2], other)


def test_bernoulli_sample_is_certain_where_the_logits_are():
    uniforms = tf.constant([0.0, 1 - 2.0 ** -24, 0.0, 1 - 2.0 ** -24])
    draws = numerics.bernoulli_sample(tf.constant([200.0, 200.0, -200.0, -200.0]), uniforms)
    np.testing.assert_array_equal(draws, [1.0, 1.0, 0.0, 0.0])


def test_bernoulli_sample_has_the_frequency_of_its_logit():
    # 100,000 draws: five standard errors are 5 sqrt(p (1 - p) / n) <= 0.008.
    logits = tf.constant([-2.0, 0.0, 1.5])
    draws = numerics.bernoulli_sample(logits, numerics.uniform(tf.constant([3, 1]), [100_000, 3]))
    np.testing.assert_allclose(
        np.mean(draws, axis=0), reference.sigmoid(logits.numpy()), rtol=0, atol=0.008)


def test_as_seed_tells_seeds_of_62_bits_apart():
    seeds = [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 + 1, 2 ** 62 - 1]
    assert len({tuple(numerics.as_seed(seed).numpy()) for seed in seeds}) == len(seeds)


def test_as_seed_takes_an_integer_of_numpy_as_one_of_python():
    np.testing.assert_array_equal(numerics.as_seed(np.int64(5)), numerics.as_seed(5))


@pytest.mark.parametrize("seed", [-1, 2 ** 62])
def test_an_integer_that_would_be_folded_is_no_seed(seed):
    with pytest.raises(ValueError, match=f"seed must be from 0 on and below .*got {seed}"):
        numerics.as_seed(seed)


@pytest.mark.parametrize("seed, shape", [([1, 2, 3], r"\(3,\)"), ([[[1, 2]]], r"\(1, 1, 2\)")])
def test_a_seed_of_another_shape_is_refused(seed, shape):
    with pytest.raises(ValueError, match=f"seed must be .*got {shape}"):
        numerics.as_seed(seed)


def test_no_rows_draw_nothing():
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([], tf.int32)])
    def draw(seed, size):
        return numerics.uniform(seed, [tf.shape(seed)[0], 3, size])

    assert draw(tf.zeros([0, 2], tf.int32), 5).shape == (0, 3, 5)
    assert draw(tf.zeros([2, 2], tf.int32), 5).shape == (2, 3, 5)


def test_categorical_sample_inverts_the_cumulative_distribution():
    # Cumulative 0, 0.5, 0.5, 0.75, 1: the first and the third choice have no chance.
    logits = np.array([-1e4, np.log(2.0), -1e4, 0.0, 0.0])
    uniforms = np.array([0.0, 0.25, 0.49, 0.51, 0.74, 0.76, 1 - 2**-24])
    drawn = numerics.categorical_sample(np.tile(logits, [7, 1]), uniforms)
    np.testing.assert_array_equal(drawn, [1, 1, 1, 3, 3, 4, 4])


def test_categorical_sample_never_goes_past_the_last_choice_that_has_a_chance():
    # 10,000 equal float32 steps do not add up to 1 exactly, and two choices have no chance.
    logits = tf.concat([[-1e4], tf.zeros([10_000]), [-1e4]], axis=0)[tf.newaxis]
    drawn = numerics.categorical_sample(tf.tile(logits, [2, 1]), [0.0, 1 - 2.0**-24])
    np.testing.assert_array_equal(drawn, [1, 10_000])


def test_normal_has_the_moments_of_a_standard_normal():
    # 200,000 numbers: five standard errors of the moments 0, 1, 0, 3 and of the covariance.
    numbers = numerics.normal((1, 2), [100_000, 2]).numpy().astype(np.float64)
    errors = np.sqrt(np.array([1, 2, 15, 96]) / 200_000)
    moments = [np.mean(numbers ** power) for power in (1, 2, 3, 4)]
    assert (np.abs(np.array(moments) - [0, 1, 0, 3]) < 5 * errors).all()
    assert abs(np.mean(numbers[:, 0] * numbers[:, 1])) < 5 / np.sqrt(100_000)
    assert np.isfinite(numbers).all()


def test_normal_with_a_seed_a_row_does_not_know_its_neighbours():
    seeds = tf.constant([[1, 2], [3, 4], [5, 6]])
    together = numerics.normal(seeds, [3, 7])
    np.testing.assert_array_equal(numerics.normal(seeds[1:2], [1, 7])[0], together[1])
    assert len(np.unique(together)) == 21


@pytest.mark.parametrize("shape", [[3, 5], [0, 4], [1_000_000]])
def test_coarse_uniforms_are_the_middles_of_equal_parts(shape):
    numbers = numerics.coarse_uniform(tf.constant([1, 2]), shape).numpy()
    assert list(numbers.shape) == shape
    parts = numbers.astype(np.float64) * 2 ** 16 - 0.5
    np.testing.assert_array_equal(parts, np.round(parts))
    assert np.all((parts >= 0) & (parts < 2 ** 16))
    if numbers.size > 100:
        # Five standard errors of the mean, of the variance (180^-0.5 of it is the spread of a
        # square) and of the correlation of neighbours, which share a word.
        bound = 5 / numbers.size ** 0.5
        assert abs(numbers.mean(dtype=np.float64) - 0.5) < bound * 12 ** -0.5
        assert abs(numbers.var(dtype=np.float64) - 1 / 12) < bound * 180 ** -0.5
        assert abs(np.corrcoef(numbers[::2], numbers[1::2])[0, 1]) < bound


def test_coarse_uniforms_are_a_function_of_the_seed():
    first, again, other = (
        numerics.coarse_uniform(tf.constant([1, last]), [9]).numpy() for last in (2, 2, 3))
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other)
