"""The metrics against figures worked out by hand and against their own definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpt import metrics


def rolls(seed, *shape, density=0.4):
    return np.random.default_rng(seed).random(shape) < density


def test_log_likelihood_pools_frames_and_does_not_average_pieces():
    # 3 frames at -10 and 1 frame at -50: -20 a frame; the mean of the means is -30.
    assert metrics.log_likelihood([-30.0, -50.0], num_frames=4) == -20.0


def test_log_likelihood_adds_float32_totals_without_losing_digits():
    totals = np.full(100_000, -8.1, np.float32)
    expected = float(np.float32(-8.1))
    assert metrics.log_likelihood(totals, 100_000) == pytest.approx(expected, rel=1e-12)


def test_log_likelihood_refuses_no_frames():
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        metrics.log_likelihood([], 0)


def test_divergence_is_that_of_each_pixel_summed_over_a_frame():
    random = np.random.default_rng(0)
    frames = np.concatenate([random.random([3, 4, 5]), rolls(1, 3, 4, 2)], axis=-1)
    predicted = random.uniform(0.01, 0.99, size=frames.shape)
    log_probs = (frames * np.log(predicted) + (1 - frames) * np.log(1 - predicted)).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(q > 0, q * np.log(q / p), 0)
                 for q, p in ((frames, predicted), (1 - frames, 1 - predicted))]
    divergence = metrics.kl_divergence(log_probs, frames)
    np.testing.assert_allclose(divergence, sum(parts).sum(axis=-1), rtol=0, atol=1e-10)
    assert divergence.min() > 0


def test_divergence_of_bits_is_minus_the_log_likelihood():
    assert metrics.kl_divergence([-3.5, -0.25], rolls(2, 2, 6)).tolist() == [3.5, 0.25]


@pytest.mark.parametrize("log_probs, frames, message", [
    ([-1.0], [[0.5], [0.5]], r"log_probs must be one number a frame, \(2,\), got \(1,\)"),
    ([-1.0], [[1.5]], "frames must be from 0 to 1, got values from 1.5 to 1.5"),
    ([-1.0], [[np.nan]], "frames must be from 0 to 1, got values from nan to nan")])
def test_divergence_refuses_what_is_no_frame(log_probs, frames, message):
    with pytest.raises(ValueError, match=message):
        metrics.kl_divergence(log_probs, frames)


@pytest.mark.parametrize(
    "sample, frame, score",
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0),
        ([1, 1, 1, 1], [1, 0, 0, 0], 0.25),
        ([1, 0, 0, 0], [1, 1, 1, 0], 1 / 3),
        ([1, 0, 0, 0], [0, 1, 0, 0], 0.0),
        ([0, 0, 0, 0], [0, 0, 0, 0], 1.0),
        ([0, 0, 0, 0], [0, 1, 0, 0], 0.0),
        ([0, 0, 1, 0], [0, 0, 0, 0], 0.0),
    ],
)
def test_frame_score_is_shared_notes_over_the_larger_frame(sample, frame, score):
    assert metrics.frame_scores([sample], [frame]) == pytest.approx([score])


@settings(derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 9))
def test_frame_accuracy_is_the_loop_that_defines_it(seed, num_frames, num_visible):
    frames = rolls(seed, num_frames, num_visible)
    samples = rolls(seed + 1, 3, num_frames, num_visible)
    scores = []
    for sample in samples:
        for predicted, real in zip(sample, frames):
            larger = max(predicted.sum(), real.sum())
            scores.append((predicted & real).sum() / larger if larger else 1.0)
    assert metrics.frame_accuracy(samples, frames) == pytest.approx(np.mean(scores), abs=1e-12)


def test_frame_scores_do_not_overflow_on_bytes():
    frames = np.ones((1, 300), np.uint8)
    assert metrics.frame_scores(frames, frames) == pytest.approx([1.0])


def test_frame_scores_refuse_frames_of_another_length():
    with pytest.raises(ValueError, match=r"samples must end .* \(3, 2\), got \(5, 4, 2\)"):
        metrics.frame_scores(np.zeros((5, 4, 2)), np.zeros((3, 2)))


def test_note_counts_threshold_the_probability_at_a_half():
    counts = metrics.note_counts([[0.51, 0.9, 0.5, 0.2]], [[1, 0, 1, 0]])
    np.testing.assert_array_equal(counts, [1, 1, 1])
    assert metrics.micro_accuracy(counts) == pytest.approx(1 / 3)


def test_micro_accuracy_sums_counts_before_it_divides():
    frames, probabilities = rolls(0, 12, 8), np.random.default_rng(1).random((12, 8))
    batches = [
        metrics.note_counts(probabilities[rows], frames[rows])
        for rows in (slice(0, 5), slice(5, 10), slice(10, 12))
    ]
    whole = metrics.note_counts(probabilities, frames)
    assert metrics.micro_accuracy(batches) == metrics.micro_accuracy(whole)


def test_micro_accuracy_of_silence_predicted_as_silence_is_one():
    assert metrics.micro_accuracy(metrics.note_counts(np.zeros((3, 4)), np.zeros((3, 4)))) == 1.0


@pytest.mark.parametrize("value", [-2.0, 1.5, np.nan])
def test_note_counts_refuse_logits_and_nan(value):
    with pytest.raises(ValueError, match=f"probabilities must be from 0 to 1, .*{value:g}"):
        metrics.note_counts([[value, 0.5]], [[1, 0]])


def test_note_counts_refuse_frames_of_another_width():
    with pytest.raises(ValueError, match=r"probabilities must end .* \(1, 3\), got \(1, 2\)"):
        metrics.note_counts([[0.5, 0.5]], [[1, 0, 0]])


def test_even_guesses_among_symbols_have_their_logarithm_in_bits_and_their_number_as_perplexity():
    nats = metrics.log_likelihood(np.full(10, np.log(1 / 64)), num_frames=10)
    assert metrics.bits_per_character(nats) == pytest.approx(6, abs=1e-12)
    assert metrics.perplexity(nats) == pytest.approx(64, rel=1e-12)
    assert metrics.bits_per_character(0.0) == 0 and metrics.perplexity(0.0) == 1


def test_a_model_that_is_wrong_beyond_measure_has_an_infinite_perplexity():
    assert metrics.perplexity(-1000.0) == float("inf")


@pytest.mark.parametrize("rule", [metrics.bits_per_character, metrics.perplexity])
@pytest.mark.parametrize("nats", [1.5, float("nan")])
def test_a_loss_in_place_of_a_log_likelihood_is_refused(rule, nats):
    with pytest.raises(ValueError, match=f"nats must be a log-likelihood.* got {nats}"):
        rule(nats)
