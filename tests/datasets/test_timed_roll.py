"""Music in steps of a second's parts: the chorales played, and folders of MIDI files."""
import numpy as np
import pytest

from rnnpt.datasets import Sequences, Splits, timed_chorales, timed_midi_folder, timed_roll
from rnnpt.music.piano_roll import PianoRoll, onsets_of
from rnnpt.music.pianoroll_midi import pianoroll_to_midi


@pytest.fixture
def folder(tmp_path):
    """Four files of one key each, held for two quarters of half a second."""
    for i in range(4):
        frames = np.zeros((2, 88), np.uint8)
        frames[:, i] = 1
        (tmp_path / f"{i}.mid").write_bytes(pianoroll_to_midi(
            PianoRoll(frames, onsets_of(frames), qpm=120)))
    return tmp_path


def test_a_folder_is_read_in_seconds_with_all_keys(folder):
    data = timed_midi_folder(folder, seconds_per_step=0.25, fractions=(0.5, 0.25, 0.25))
    rolls = {name: roll for split in (data.train, data.valid, data.test)
             for name, roll in zip(split.names, split.sequences)}
    assert [len(split) for split in (data.train, data.valid, data.test)] == [2, 1, 1]
    for i in range(4):
        expected = np.zeros((4, 128), np.uint8)
        expected[:, 21 + i] = 1
        np.testing.assert_array_equal(rolls[f"{i}.mid"], expected)


def test_a_step_of_no_length_is_refused(folder):
    with pytest.raises(ValueError, match="seconds_per_step must be a positive number, got 0"):
        timed_midi_folder(folder, seconds_per_step=0)


def test_chorales_are_played_at_their_tempo(monkeypatch):
    random = np.random.default_rng(0)
    scores = Splits(*(
        Sequences([random.random((length, 88)) < 0.1 for length in (4, 7)]) for _ in range(3)))
    monkeypatch.setattr(timed_roll, "chorales", lambda step, folder: {("eighth", "here"): scores}[
        step, folder])
    played = timed_chorales(qpm=120, cache_dir="here")
    for split in ("train", "valid", "test"):
        ours, theirs = getattr(played, split), getattr(scores, split)
        assert ours.names == theirs.names
        for roll, frames in zip(ours.sequences, theirs.sequences, strict=True):
            # An eighth lasts a quarter of a second, which is five steps.
            expected = np.repeat(np.pad(frames, [(0, 0), (21, 19)]), 5, axis=0)
            np.testing.assert_array_equal(roll, expected[:len(roll)])
            assert not expected[len(roll):].any()


def test_a_tempo_that_is_none_is_refused(monkeypatch):
    pieces = Sequences([np.ones([2, 88], bool)])
    monkeypatch.setattr(timed_roll, "chorales", lambda *_: Splits(pieces, pieces, pieces))
    with pytest.raises(ValueError, match="qpm must lie between 4 and 1000 .* got 0"):
        timed_chorales(qpm=0)
