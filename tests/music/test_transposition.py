"""Moving music between keys."""

import numpy as np
import pytest

from rnnpt.music.piano_roll import MusicError
from rnnpt.music.transposition import Key, semitones_to_c, transpose


@pytest.mark.parametrize("mode", ["major", "minor"])
def test_every_tonic_moves_to_c_by_the_shorter_way(mode):
    shifts = [semitones_to_c(tonic, mode) for tonic in range(12)]
    assert all((tonic + shift) % 12 == 0 for tonic, shift in enumerate(shifts))
    assert shifts == [0, -1, -2, -3, -4, -5, -6, 5, 4, 3, 2, 1]


def test_transposition_moves_every_note_and_back():
    frames = np.zeros((2, 88), np.uint8)
    frames[[0, 1], [12, 75]] = 1
    moved = transpose(frames, -12)
    assert np.argwhere(moved).tolist() == [[0, 0], [1, 63]]
    assert moved.dtype == np.uint8
    np.testing.assert_array_equal(transpose(moved, 12), frames)


def test_silence_can_be_moved_anywhere():
    assert not transpose(np.zeros((2, 88)), 200).any()


@pytest.mark.parametrize(("column", "semitones"), [(0, -1), (87, 1), (40, 60), (40, -100)])
def test_note_that_would_leave_the_keyboard_is_no_silent_loss(column, semitones):
    frames = np.zeros((1, 88))
    frames[0, column] = 1
    with pytest.raises(MusicError, match=f"semitones must keep MIDI pitches {column + 21} to "
                                         f"{column + 21} inside 21 to 108, got {semitones}"):
        transpose(frames, semitones)


def test_key_outside_the_octave_or_of_another_mode_is_refused():
    with pytest.raises(MusicError, match="tonic must be a pitch class, .* got 12"):
        semitones_to_c(12, "major")
    with pytest.raises(MusicError, match="mode must be 'major' or 'minor', got 'dorian'"):
        semitones_to_c(2, "dorian")


def test_key_names_itself():
    assert [str(Key(10, "major")), str(Key(6, "minor"))] == ["B flat major", "F sharp minor"]
