"""The N-grams against their counts and their sums, and the published row of the note N-gram."""

import itertools

import numpy as np
import pytest

from rnnpt import datasets, metrics
from rnnpt.models import baselines, n_gram
from tests.models.test_baselines import DATA

MODELS = [n_gram.NoteNgram, n_gram.FrameNgram]


def make_pieces(num_visible: int = 4, seed: int = 0) -> list[np.ndarray]:
    """Returns three pieces of a few kinds of frame, which come again."""
    rng = np.random.default_rng(seed)
    kinds = rng.random([3, num_visible]) < 0.5
    return [kinds[rng.integers(3, size=length)] for length in (9, 1, 6)]


def every_frame_after(past: np.ndarray) -> list[np.ndarray]:
    """Returns the pieces that are the past and one more frame, for each such frame."""
    frames = itertools.product([False, True], repeat=past.shape[1])
    return [np.vstack([past, frame]) for frame in frames]


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("num_visible, order", [(1, 1), (4, 2), (4, 3), (5, 5)])
def test_probabilities_of_all_frames_sum_to_one_after_any_past(make, num_visible, order):
    model = make(make_pieces(num_visible), order, strength=0.7)
    known, unknown = make_pieces(num_visible)[0], make_pieces(num_visible, seed=1)[0]
    for past in (known[:0], known[:1], known[:7], unknown[:3]):
        pieces = every_frame_after(past)
        chances = np.exp([model.log_prob(piece)[-1] for piece in pieces])
        assert chances.sum() == pytest.approx(1, abs=1e-10)
        np.testing.assert_allclose(
            model.probabilities(pieces[0])[-1], chances @ [piece[-1] for piece in pieces],
            rtol=0, atol=1e-10)


@pytest.mark.parametrize("make", MODELS)
def test_samples_have_the_probabilities_of_their_past(make):
    # 5,000 draws of the fourth frame: five standard errors of a frequency p.
    model, past, num_draws = make(make_pieces(), 3, strength=2.0), make_pieces()[0][:3], 5000
    pieces = every_frame_after(past)
    expected = np.exp([model.log_prob(piece)[-1] for piece in pieces])
    drawn = np.array([sample[-1] for sample in model.samples(pieces[0], num_draws, (1, 2))])
    frequencies = np.bincount(drawn @ [8, 4, 2, 1], minlength=16) / num_draws
    assert (abs(frequencies - expected) < 5 * np.sqrt(expected * (1 - expected) / num_draws)).all()


@pytest.mark.parametrize("make", MODELS)
def test_a_sample_is_a_function_of_the_seed_and_of_the_frames_before(make):
    model, piece = make(make_pieces(), 3), make_pieces(seed=2)[0]
    other = np.vstack([piece[:-1], ~piece[-1:]])
    first, second = model.samples(piece, 2, [5])
    np.testing.assert_array_equal(list(model.samples(other, 1, [5])), [first])
    assert (first != second).any() and (next(model.samples(piece, 1, [6])) != first).any()


def test_note_n_gram_interpolates_the_counts_of_each_note():
    # One note: on after on once, off after on once; two frames of three are on.
    model = n_gram.NoteNgram([[[1], [1], [0]]], order=2, strength=3.0)
    unigram = 2.5 / 4
    np.testing.assert_allclose(model.probabilities([[1], [0]])[:, 0], [
        (1 + 3 * unigram) / (1 + 3),  # silence came once, before the piece; a note followed
        (1 + 3 * unigram) / (2 + 3)])


def test_frame_n_gram_interpolates_the_counts_of_frames():
    model = n_gram.FrameNgram([[[1, 0], [0, 1], [1, 0]], [[1, 0]]], order=2, strength=3.0)
    unigram = np.exp(baselines.NoteUnigram([[1, 0], [0, 1], [1, 0], [1, 0]]).log_prob([1, 0]))
    frame = (3 + 3 * unigram) / (4 + 3)
    np.testing.assert_allclose(np.exp(model.log_prob([[1, 0], [1, 0]])), [
        (2 + 3 * frame) / (2 + 3),  # both pieces begin with it
        (0 + 3 * frame) / (1 + 3)])  # the other frame followed it once


def test_note_n_gram_of_order_one_is_the_note_unigram():
    pieces = make_pieces()
    model, unigram = n_gram.NoteNgram(pieces, order=1), baselines.NoteUnigram(np.vstack(pieces))
    np.testing.assert_allclose(model.log_prob(pieces[0]), unigram.log_prob(pieces[0]), rtol=1e-12)
    np.testing.assert_array_equal(
        list(model.samples(pieces[0], 2, [3])), [unigram.sample(9, (3, i)) for i in range(2)])


def test_choose_takes_the_likeliest():
    # The next frame follows from the last two, not from the last one.
    piece = np.tile([[0], [0], [1], [1]], [20, 1])
    for make in MODELS:
        models = [make([piece], order, strength=0.1) for order in (1, 2, 3)]
        assert n_gram.choose(iter(models), [piece[:30]]) is models[2]


def test_note_n_gram_is_near_its_published_row():
    if not (DATA / "JSB_Chorales.mat").is_file():
        pytest.skip(f"the published set is not here: {DATA} (set RNNPT_DATA to its folder)")
    splits = datasets.pianorolls("JSB_Chorales", data_dir=DATA)
    model = n_gram.NoteNgram(splits.train.sequences)
    total = sum(model.log_prob(piece).sum() for piece in splits.test.sequences)
    # Published: -10.26, of an unknown smoothing, which must not be better than this one.
    assert -10.26 < metrics.log_likelihood(total, splits.test.num_frames) < -9.7


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("arguments, message", [
    (([],), "pieces must hold at least one piece, got none"),
    (([[[1, 0]]], 0), "order must be a positive integer, got 0"),
    (([[[1, 0]]], 2.0), "order must be a positive integer, got 2.0"),
    (([[[1, 0]]], 2, 0.0), "strength must be positive, got 0.0")])
def test_bad_input_is_refused(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(*arguments)


def test_more_counts_than_memory_are_refused():
    with pytest.raises(ValueError, match="order must be at most 20, got 21"):
        n_gram.NoteNgram([[[1, 0]]], order=21)
