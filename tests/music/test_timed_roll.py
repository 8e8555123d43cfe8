"""Rolls whose steps are seconds: the thesis' rule, tempos, and what is refused."""

import io
import re

import mido
import numpy as np
import pytest

from rnnpt.music.piano_roll import MusicError, PianoRoll, onsets_of
from rnnpt.music.timed_roll import midi_to_timed_roll, notes_to_timed_roll, timed_roll_of


def midi(*tracks: list[tuple], resolution: int = 480) -> bytes:
    """Returns a file of tracks of (ticks after the last event, kind, values)."""
    file = io.BytesIO()
    made = []
    for events in tracks:
        track = mido.MidiTrack()
        for time, kind, *values in events:
            if kind == "tempo":
                track.append(mido.MetaMessage("set_tempo", tempo=values[0], time=time))
            elif kind == "pedal":
                track.append(mido.Message("control_change", control=64, value=values[0], time=time))
            else:
                track.append(mido.Message(
                    f"note_{kind}", note=values[0], velocity=64, time=time, channel=(
                        values[1] if len(values) > 1 else 0)))
        made.append(track)
    mido.MidiFile(type=1, ticks_per_beat=resolution, tracks=made).save(file=file)
    return file.getvalue()


def sounding(roll: np.ndarray, pitch: int) -> list[int]:
    """Returns the steps in which a key sounds."""
    return np.flatnonzero(roll[:, pitch]).tolist()


def roll_of(*notes: tuple[int, float, float], **kwargs: float) -> np.ndarray:
    """Returns the roll of notes (pitch, start, end)."""
    pitches, starts, ends = (np.array(part) for part in zip(*notes))
    return notes_to_timed_roll(pitches, starts, ends, **kwargs)


def test_a_key_is_on_in_every_step_that_its_note_reaches_into():
    # A tenth of a second a step; 0.3 is no whole number of steps to a computer.
    roll = roll_of((60, 0.0, 0.1), (61, 0.05, 0.11), (62, 0.3, 0.6), (63, 0.29, 0.3001),
                   (64, 0.41, 0.42), (65, 0.2, 0.2), (0, 0.6, 0.7), (127, 0.0, 0.7),
                   seconds_per_step=0.1)
    assert roll.shape == (7, 128) and roll.dtype == np.uint8
    assert {pitch: sounding(roll, pitch) for pitch in np.flatnonzero(roll.any(axis=0))} == {
        0: [6], 60: [0], 61: [0, 1], 62: [3, 4, 5], 63: [2, 3], 64: [4], 127: list(range(7))}


def test_overlapping_notes_of_a_key_are_on_until_the_last_ends():
    roll = roll_of((60, 0, 1), (60, 0.5, 0.6), (60, 0.75, 2), seconds_per_step=0.25)
    assert sounding(roll, 60) == list(range(8))


def test_a_file_is_read_at_its_tempos():
    # 120 quarters a minute up to the second quarter, then 60, in a track of its own.
    file = midi([(0, "tempo", 500_000), (960, "tempo", 1_000_000)],
                [(0, "on", 60), (480, "off", 60), (0, "on", 62), (960, "off", 62)],
                [(1_920, "on", 100), (48, "off", 100)])
    roll = midi_to_timed_roll(file, 0.05)
    assert sounding(roll, 60) == list(range(10))
    assert sounding(roll, 62) == list(range(10, 40))  # 0.5 s, and a quarter that lasts 1 s
    assert sounding(roll, 100) == [60, 61]  # at 1 s and 2 s more, for a tenth of a quarter
    assert len(roll) == 62


def test_overlapping_notes_of_a_track_are_on_until_the_last_ends():
    file = midi([(0, "on", 60), (0, "on", 60), (480, "off", 60), (480, "off", 60)])
    assert sounding(midi_to_timed_roll(file, 0.25), 60) == [0, 1, 2, 3]


def test_a_file_without_a_tempo_has_120_quarters_a_minute_and_no_drums():
    file = midi([(0, "on", 60), (0, "on", 36, 9), (480, "off", 60), (480, "off", 36, 9)])
    roll = midi_to_timed_roll(file, 0.125)
    assert sounding(roll, 60) == [0, 1, 2, 3] and roll.sum() == 4


def test_the_pedal_holds_notes_only_where_asked():
    file = midi([(0, "pedal", 127), (0, "on", 60), (48, "off", 60), (432, "pedal", 0)])
    assert sounding(midi_to_timed_roll(file, 0.1), 60) == [0]
    assert sounding(midi_to_timed_roll(file, 0.1, sustain=True), 60) == [0, 1, 2, 3, 4]


def test_a_roll_of_the_beat_is_played_at_its_tempo():
    frames = np.zeros([4, 88], np.uint8)
    frames[:2, 0] = frames[3, 87] = 1
    roll = timed_roll_of(PianoRoll(frames, onsets_of(frames), steps_per_quarter=2, qpm=120), 0.05)
    expected = np.zeros([20, 128], np.uint8)
    expected[:10, 21] = expected[15:, 108] = 1
    np.testing.assert_array_equal(roll, expected)


@pytest.mark.parametrize("notes, kwargs, message", [
    ([(60, 0, 1)], {"seconds_per_step": 0}, "seconds_per_step must be a positive number, got 0"),
    ([(60, 0, 1)], {"seconds_per_step": np.nan}, "seconds_per_step must be .*, got nan"),
    ([(60, -1, 1)], {}, "starts must lie at 0 or later .* got starts from -1"),
    ([(60, 1, 0.5)], {}, "ends after them, got starts from 1 and ends from 0.5"),
    ([(128, 0, 1)], {}, "pitches must be from 0 to 127, got 128 to 128"),
    ([(60, 1, 1)], {}, "must have a note that sounds, got none among 1"),
    ([(60, 0, 1)], {"max_steps": 19}, "max_steps is 19, got music of 20 steps")])
def test_impossible_notes_are_refused(notes, kwargs, message):
    with pytest.raises(MusicError, match=message):
        roll_of(*notes, **kwargs)


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(MusicError, match="source must be a MIDI file, got 4 bytes"):
        midi_to_timed_roll(b"song")
    with pytest.raises(FileNotFoundError, match=re.escape(f"got '{tmp_path / 'a.mid'}'")):
        midi_to_timed_roll(tmp_path / "a.mid")
    with pytest.raises(MusicError, match="must have a note that sounds, got none among 0"):
        midi_to_timed_roll(midi([(0, "tempo", 500_000)]))
