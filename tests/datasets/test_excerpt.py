"""Excerpts: where they begin, how far they move, and what a seed decides."""
import re
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from rnnpt.datasets import Excerpts, Sequences, Splits

WIDTH = 12


def piece(length: int, first: int, keys: tuple[int, int] = (5, 6)) -> np.ndarray:
    """Returns frames that each tell their number, as the value of two keys."""
    frames = np.zeros([length, WIDTH])
    frames[:, keys] = np.arange(first, first + length)[:, np.newaxis]
    return frames


def pieces(*parts: np.ndarray) -> Splits:
    """Returns these training pieces, and others to validate and to test on."""
    return Splits(Sequences(parts), Sequences([piece(7, 300)]),
                  Sequences([piece(9, 100), piece(3, 200), piece(4, 500)]))


def numbers(frames: np.ndarray) -> np.ndarray:
    """Returns the number of each frame."""
    return frames.max(axis=-1).astype(int)


def lowest_keys(frames: np.ndarray) -> np.ndarray:
    """Returns the lowest key of each excerpt."""
    return frames.any(axis=1).argmax(axis=-1)


def test_every_place_and_every_interval_is_as_likely():
    # 20,000 excerpts: 4 + 2 places and 5 intervals by chi-square; one seed in a thousand fails.
    data = Excerpts(pieces(piece(7, 1), piece(3, 50), piece(5, 20)), 4, most_semitones=2)
    frames = data.draw(20_000, seed=0)["frames"]
    found = Counter(zip(numbers(frames)[:, 0].tolist(), (lowest_keys(frames) - 5).tolist()))
    assert set(found) == {(n, s) for n in (1, 2, 3, 4, 20, 21) for s in range(-2, 3)}
    assert stats.chisquare(list(found.values())).pvalue > 1e-3


def test_an_excerpt_is_what_stands_in_its_piece_moved_as_a_whole():
    frames = Excerpts(pieces(piece(30, 1)), 6, most_semitones=5).draw(50, seed=3)["frames"]
    for excerpt, low in zip(frames, lowest_keys(frames)):
        first = int(excerpt[0, low])
        expected = piece(6, first, (low, low + 1))
        np.testing.assert_array_equal(excerpt, expected)


@pytest.mark.parametrize("keys, reach", [((0, 1), range(0, 3)), ((10, 11), range(8, 11)),
                                         ((1, 10), range(0, 3)), ((0, 11), range(0, 1))])
def test_no_note_leaves_the_keyboard(keys, reach):
    frames = Excerpts(pieces(piece(6, 1, keys)), 6, most_semitones=2).draw(200, 0)["frames"]
    assert set(lowest_keys(frames)) == set(reach)
    assert (np.count_nonzero(frames, axis=2) == 2).all()


def test_silence_and_no_transposition_stay_what_they_are():
    silent = Excerpts(pieces(np.zeros([5, WIDTH])), 4).draw(3, seed=0)["frames"]
    assert not silent.any()
    still = Excerpts(pieces(piece(5, 1)), 4, most_semitones=0).draw(20, seed=0)["frames"]
    assert set(lowest_keys(still)) == {5}


def test_validation_and_test_pieces_are_cut_without_gaps_and_in_order():
    data = Excerpts(pieces(piece(9, 1)), 4)
    test, valid = data.test_set(), data.valid_set()
    assert numbers(test["frames"]).tolist() == [
        [100, 101, 102, 103], [104, 105, 106, 107], [500, 501, 502, 503]]
    assert numbers(valid["frames"]).tolist() == [[300, 301, 302, 303]]
    assert set(lowest_keys(test["frames"])) == {5}
    assert test["mask"].shape == (3, 4) and test["mask"].all() and test["starts"].all()


def test_a_draw_depends_on_seed_and_step_alone_and_batches_go_on():
    data = Excerpts(pieces(piece(60, 1)), 4)
    expected = data.draw(5, seed=2, step=3)["frames"]
    [batch] = data.batches(5, seed=2, start=3).take(1).as_numpy_iterator()
    np.testing.assert_array_equal(batch["frames"], expected)
    for seed, step in ((2, 2), (3, 2), (3, 3)):
        assert (data.draw(5, seed, step)["frames"] != expected).any()


@pytest.mark.parametrize("name, value, least", [("num_steps", 0, 1), ("most_semitones", -1, 0)])
def test_numbers_out_of_range_are_refused(name, value, least):
    with pytest.raises(ValueError, match=re.escape(
            f"`{name}` must be an integer of at least {least}. Received: {name}={value}")):
        Excerpts(pieces(piece(9, 1)), **{"num_steps": 4, name: value})


def test_excerpts_longer_than_every_piece_of_a_split_are_refused():
    with pytest.raises(ValueError, match=re.escape(
            "Received: num_steps=8, and at most 7 frames in `splits.valid`.")):
        Excerpts(pieces(piece(9, 1)), 8)
