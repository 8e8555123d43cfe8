"""A MIDI file as the client's music: its grid, its tempo, and what is put behind it."""

import io

import mido
import numpy as np
import pytest

from rnnpt.serving import _continuation
from rnnpt.serving._transport import Generated
from rnnpt.serving.error import InvalidArgument


def midi(microseconds: int) -> bytes:
    """A quarter note at a tempo."""
    track = mido.MidiTrack([
        mido.MetaMessage("set_tempo", tempo=microseconds),
        mido.Message("note_on", note=60, time=0), mido.Message("note_off", note=60, time=480)])
    file = io.BytesIO()
    mido.MidiFile(tracks=[track], ticks_per_beat=480).save(file=file)
    return file.getvalue()


@pytest.mark.parametrize("microseconds", [1, 500_000, 2**24 - 1])
def test_a_tempo_that_is_asked_for_stands_in_place_of_any(microseconds) -> None:
    roll = _continuation.read_prime(midi(microseconds), 2, 70.0)
    assert (len(roll.frames), roll.qpm) == (2, 70.0)


@pytest.mark.parametrize("microseconds, qpm, message", [
    (1, None, "got 6e"), (500_000, 5000.0, "got 5000")])
def test_an_impossible_tempo_is_refused(microseconds, qpm, message) -> None:
    with pytest.raises(InvalidArgument, match=f"qpm must lie between .*{message}"):
        _continuation.read_prime(midi(microseconds), 1, qpm)


def test_only_what_an_answer_promises_is_drawn() -> None:
    frames = np.zeros((1, 5, 88), np.float32)
    frames[0, 0, 39], frames[0, 1, 41], frames[0, 1, 42] = 1, 0.6, 0.4
    frames[0, 3:] = np.nan  # past its length, of which nothing is promised
    drawn = _continuation.drawn(Generated(frames, np.array([3]), np.zeros((1, 1))))
    assert drawn.shape == (3, 88)
    np.testing.assert_array_equal(np.argwhere(drawn), [[0, 39], [1, 41]])


@pytest.mark.parametrize("text", [
    None, "{", "[1]", '{"max_steps": "x", "max_num_steps": 0, "steps_per_quarter": null}'])
def test_defaults_stand_in_for_what_an_export_does_not_say(tmp_path, text) -> None:
    if text is not None:
        (tmp_path / "rnnpt.json").write_text(text)
    assert _continuation.read_limits(tmp_path / "rnnpt.json") == {
        "max_steps": 1024, "max_num_steps": 1024, "steps_per_quarter": 1}


def test_what_an_export_says_is_read(tmp_path) -> None:
    (tmp_path / "rnnpt.json").write_text('{"max_steps": 64, "steps_per_quarter": 2, "exact": true}')
    assert _continuation.read_limits(tmp_path / "rnnpt.json") == {
        "max_steps": 64, "max_num_steps": 1024, "steps_per_quarter": 2}
