"""The baselines, and the rows of the 2012 table that they reproduce from the published rolls."""

import functools
import os
import pathlib

import numpy as np
import pytest
import scipy.io

from rnnpt import metrics
from rnnpt.models import baselines

DATA = pathlib.Path(
    os.environ.get("RNNPT_DATA", pathlib.Path(__file__).parents[3] / "shared" / "data")
)

# Boulanger-Lewandowski et al. 2012, Table 1: Note 1-gram, log-likelihood and accuracy in percent.
UNIGRAM_LOG_LIKELIHOOD = {
    "Piano_midi": -11.05, "Nottingham": -10.25, "MuseData": -11.51, "JSB_Chorales": -11.06
}
UNIGRAM_ACCURACY = {
    "Piano_midi": 5.80, "Nottingham": 19.87, "MuseData": 7.72, "JSB_Chorales": 15.25
}
COPY_ACCURACY = {"Piano_midi": 43.5, "Nottingham": 76.7, "MuseData": 46.2, "JSB_Chorales": 34.9}


@functools.lru_cache(maxsize=1)
def published(name):
    """Returns the training frames and the test pieces of a published set."""
    path = DATA / f"{name}.mat"
    if not path.is_file():
        pytest.skip(f"the published set is not here: {path} (set RNNPT_DATA to its folder)")
    rolls = scipy.io.loadmat(path)
    return np.concatenate(list(rolls["traindata"][0])), list(rolls["testdata"][0])


@pytest.mark.parametrize("name", UNIGRAM_LOG_LIKELIHOOD)
def test_note_unigram_has_the_published_log_likelihood_to_two_decimals(name):
    train, test = published(name)
    totals = [baselines.NoteUnigram(train).log_prob(piece).sum() for piece in test]
    value = metrics.log_likelihood(totals, sum(len(piece) for piece in test))
    assert round(value, 2) == UNIGRAM_LOG_LIKELIHOOD[name]


@pytest.mark.parametrize("name", UNIGRAM_ACCURACY)
def test_note_unigram_has_the_published_accuracy(name):
    # The published figure is one draw of the test set: the bound is three standard errors of it
    # (0.16 percentage points on MuseData, 0.7 on JSB); 100,000 draws add little noise to that.
    train, test = published(name)
    model, frames = baselines.NoteUnigram(train), np.concatenate(test)
    scores = np.stack([
        metrics.frame_scores(model.sample(len(frames), seed), frames)
        for seed in range(1 + 100_000 // len(frames))
    ])
    bound = 3 * scores.std() / np.sqrt(len(frames))
    assert scores.mean() == pytest.approx(UNIGRAM_ACCURACY[name] / 100, abs=bound)


@pytest.mark.parametrize("name", COPY_ACCURACY)
def test_copying_the_previous_frame_has_the_known_accuracy(name):
    _, test = published(name)
    copies = np.concatenate([baselines.copy_previous(piece) for piece in test])
    assert round(100 * metrics.frame_accuracy(copies, np.concatenate(test)), 1) == (
        COPY_ACCURACY[name]
    )


def test_note_unigram_probabilities_of_all_frames_sum_to_one():
    train = np.random.default_rng(0).random((7, 4)) < 0.3
    every = (np.arange(16)[:, None] >> np.arange(4)) & 1
    total = np.exp(baselines.NoteUnigram(train).log_prob(every)).sum()
    assert total == pytest.approx(1.0, abs=1e-10)


def test_note_unigram_gives_a_note_unseen_in_training_a_finite_likelihood():
    model = baselines.NoteUnigram(np.zeros((9, 2)), smoothing=0.5)
    assert model.log_prob([1, 0]) == pytest.approx(np.log(0.05) + np.log(0.95), abs=1e-12)


def test_note_unigram_samples_have_its_probabilities():
    # 20,000 draws: three standard deviations of a frequency are below 0.011.
    model = baselines.NoteUnigram([[1, 0, 1], [1, 0, 0], [0, 0, 1]])
    samples = model.sample(20_000, seed=0)
    np.testing.assert_allclose(samples.mean(axis=0), model.probabilities, atol=0.011)
    np.testing.assert_array_equal(samples, model.sample(20_000, seed=0))
    assert (samples != model.sample(20_000, seed=1)).any()


@pytest.mark.parametrize("shape", [(0, 88), (88,)])
def test_note_unigram_refuses_frames_that_are_no_table(shape):
    with pytest.raises(ValueError, match=rf"frames must be \(N, V\) .* got \({shape[0]},"):
        baselines.NoteUnigram(np.zeros(shape))


def test_note_unigram_refuses_no_smoothing():
    with pytest.raises(ValueError, match="smoothing must be positive, got 0.0"):
        baselines.NoteUnigram([[1, 0]], smoothing=0.0)


def test_copy_previous_predicts_an_empty_first_frame():
    frames = np.array([[1, 0], [1, 1], [0, 1]])
    np.testing.assert_array_equal(baselines.copy_previous(frames), [[0, 0], [1, 0], [1, 1]])
