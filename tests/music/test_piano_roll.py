"""Piano rolls: which notes they hold, how notes meet their grid, and what is no roll."""

import numpy as np
import pytest

from rnnpt.music.piano_roll import MAX_STEPS, MusicError, PianoRoll, notes_to_pianoroll, onsets_of

C4 = 60 - 21  # middle C's column


def test_held_note_is_one_note_and_struck_note_is_two():
    frames = np.zeros((4, 88), np.uint8)
    frames[:, C4] = 1
    held = PianoRoll(frames, onsets_of(frames))
    struck = onsets_of(frames)
    struck[2, C4] = 1
    assert held.notes().tolist() == [[60, 0, 4]]
    assert PianoRoll(frames, struck).notes().tolist() == [[60, 0, 2], [60, 2, 4]]


def test_a_continuation_strikes_no_key_again_that_sounds_on():
    frames = np.zeros((3, 88), np.uint8)
    frames[:, C4] = 1
    onsets = onsets_of(frames)
    onsets[1, C4] = 1
    added = np.zeros((3, 88), bool)
    added[0, C4] = added[1, C4 + 2] = True
    whole = PianoRoll(frames, onsets, 2, 90.0).continued(added)
    np.testing.assert_array_equal(
        np.argwhere(whole.frames), [[0, C4], [1, C4], [2, C4], [3, C4], [4, C4 + 2]])
    np.testing.assert_array_equal(np.argwhere(whole.onsets), [[0, C4], [1, C4], [4, C4 + 2]])
    assert (len(whole.frames), whole.steps_per_quarter, whole.qpm) == (6, 2, 90.0)


@pytest.mark.parametrize(("frames", "message"), [
    (np.full((2, 88), 0.5), "frames must hold 0 and 1 alone, got 0.5"),
    (np.zeros((2, 87)), r"frames must have a row a step, of 88 keys, got shape \(2, 87\)"),
    (np.zeros(88), r"got shape \(88,\)"),
    (np.zeros((MAX_STEPS, 88)), "at most 65536 steps with the 3 before them, got 65539")])
def test_a_continuation_that_is_none_is_refused(frames, message):
    whole = np.ones((3, 88))
    with pytest.raises(MusicError, match=message):
        PianoRoll(whole, onsets_of(whole)).continued(frames)


@pytest.mark.parametrize(("start", "end", "sounding"), [
    (1.0, 2.0, [1]), (1.0, 1.01, [1]), (1.12, 1.13, [1]), (0.88, 2.0, [1]), (1.0, 2.12, [1]),
    (1.0, 1.88, [1]), (0.0, 0.99, [0]), (0.13, 1.12, []), (1.13, 1.9, []), (1.5, 2.2, [2]),
    (1.5, 2.12, []), (2.0, 2.0, [])])
def test_note_sounds_in_the_steps_it_meets_within_an_eighth(start, end, sounding):
    roll = notes_to_pianoroll([72, 60], [0, start], [9, end])
    assert np.flatnonzero(roll.frames[:, C4]).tolist() == sounding


@pytest.mark.parametrize(("changes", "message"), [
    ({"frames": np.zeros((3, 87))}, r"frames must have 1 to 65536 rows.*got shape \(3, 87\)"),
    ({"frames": np.zeros((0, 88))}, r"frames must have 1 to 65536 rows.*got shape \(0, 88\)"),
    ({"frames": np.zeros(88)}, r"frames must have .*got shape \(88,\)"),
    ({"frames": np.full((3, 88), 0.5)}, "frames must hold 0 and 1 alone, got 0.5"),
    ({"frames": np.full((3, 88), np.nan)}, "frames must hold 0 and 1 alone, got nan"),
    ({"onsets": np.full((3, 88), 2)}, "onsets must hold 0 and 1 alone, got 2"),
    ({"onsets": np.zeros((2, 88))}, r"onsets must have the shape of frames \(3, 88\), got \(2"),
    ({"onsets": np.zeros((3, 88))}, r"onsets must be 1 where .* first at \(step, key\) \[0, 0\]"),
    ({"onsets": np.eye(3, 88)}, r"onsets must be 1 where .* first at \(step, key\) \[1, 1\]"),
    ({"steps_per_quarter": 0}, "steps_per_quarter must lie between 1 and 96, got 0"),
    ({"steps_per_quarter": 97}, "steps_per_quarter must lie between 1 and 96, got 97"),
    ({"qpm": 3.0}, "qpm must lie between 4 and 1000 .* got 3"),
    ({"qpm": float("nan")}, "qpm must lie between 4 and 1000 .* got nan"),
])
def test_roll_that_breaks_a_rule_is_refused(changes, message):
    frames = np.zeros((3, 88))
    frames[:, 0] = 1
    with pytest.raises(MusicError, match=message):
        PianoRoll(**{"frames": frames, "onsets": onsets_of(frames)} | changes)


@pytest.mark.parametrize("count", [1.0, "4", True, None])
def test_count_that_is_no_integer_is_refused(count):
    with pytest.raises(TypeError, match="steps_per_quarter must be an integer, got"):
        notes_to_pianoroll([60], [0], [1], steps_per_quarter=count)
    with pytest.raises(TypeError, match="max_steps must be an integer, got"):
        notes_to_pianoroll([60], [0], [1], max_steps=count)


@pytest.mark.parametrize(("start", "end", "message"), [
    (-1.0, 2.0, "starts must lie at 0 or later .* got starts from -1"),
    (2.0, 1.0, "ends after them, got starts from 2 and ends from 1"),
    (np.nan, 1.0, "starts must lie at 0 or later .* got starts from nan"),
    (0.0, np.inf, "max_steps is 65536, got music of inf steps"),
])
def test_impossible_times_are_refused(start, end, message):
    with pytest.raises(MusicError, match=message):
        notes_to_pianoroll([60], [start], [end])


def test_max_steps_beyond_what_a_roll_can_hold_is_refused():
    with pytest.raises(MusicError, match="max_steps must lie between 1 and 65536, got 65537"):
        notes_to_pianoroll([60], [0], [1], max_steps=65537)
