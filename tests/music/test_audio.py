"""WAV through FluidSynth, where it is installed."""

import shutil
import wave

import numpy as np
import pytest

from rnnpt.music.audio import pianoroll_to_wav
from rnnpt.music.piano_roll import MusicError, PianoRoll, onsets_of


def chord(num_steps=4, qpm=120.0):
    frames = np.zeros((num_steps, 88), np.uint8)
    frames[:, [39, 43, 46]] = 1
    return PianoRoll(frames, onsets_of(frames), 1, qpm)


def install(monkeypatch, folder, script):
    """Put a program called fluidsynth, and no other program, on PATH."""
    program = folder / "bin" / "fluidsynth"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


def test_missing_fluidsynth_is_said_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MusicError, match="WAV needs the program fluidsynth, got none") as caught:
        pianoroll_to_wav(chord(), tmp_path / "chord.wav")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("script", "message"), [
    ("echo 'fluidsynth: error: Failed to load' >&2", r"got .*\(fluidsynth: error: Failed to load"),
    ("exit 3", r"soundfont must be one that fluidsynth plays, got .*\(status 3\)"),
    ("exit 0", r"soundfont must be one that fluidsynth plays, got .*\(status 0\)"),
])
def test_fluidsynth_that_fails_leaves_no_file(monkeypatch, tmp_path, script, message):
    install(monkeypatch, tmp_path, script)
    with pytest.raises(MusicError, match=message):
        pianoroll_to_wav(chord(), tmp_path / "chord.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_roll_of_more_than_an_hour_is_refused(tmp_path):
    with pytest.raises(MusicError, match="roll must last at most 3600 s, got 3615 s"):
        pianoroll_to_wav(chord(241, qpm=4.0), tmp_path / "long.wav")


def test_wrong_names_are_refused(tmp_path):
    with pytest.raises(MusicError, match=r"path must end in .wav, got '.*chord.mp3'"):
        pianoroll_to_wav(chord(), tmp_path / "chord.mp3")
    with pytest.raises(FileNotFoundError, match="soundfont must be a .sf2 file, got '.*gone.sf2'"):
        pianoroll_to_wav(chord(), tmp_path / "chord.wav", tmp_path / "gone.sf2")


@pytest.mark.skipif(shutil.which("fluidsynth") is None, reason="fluidsynth is not installed")
def test_chord_can_be_heard_from_its_first_second_to_its_last(tmp_path):
    path = tmp_path / "chord.wav"
    pianoroll_to_wav(chord(num_steps=4), path)
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (44100, 2, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    seconds = np.abs(samples[:2 * 44100]).reshape(2, -1).max(axis=1)
    assert (seconds > 300).all() and seconds.max() < 32767  # a hundredth of full scale


@pytest.mark.skipif(shutil.which("fluidsynth") is None, reason="fluidsynth is not installed")
def test_file_that_is_no_sound_font_is_refused(tmp_path):
    font = tmp_path / "font.sf2"
    font.write_bytes(b"no sound font")
    with pytest.raises(MusicError, match="soundfont must be one that fluidsynth plays, got"):
        pianoroll_to_wav(chord(), tmp_path / "chord.wav", font)
    assert [path.name for path in tmp_path.iterdir()] == ["font.sf2"]
