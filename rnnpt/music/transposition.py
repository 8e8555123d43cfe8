"""Keys, and moving music between them."""

from typing import NamedTuple

import numpy as np

from rnnpt.music.piano_roll import LOWEST_PITCH, NUM_KEYS, MusicError

_NAMES = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")


class Key(NamedTuple):
    """The key that a piece is written in.

    Args:
        tonic: pitch class, 0 (C) to 11 (B).
        mode: "major" or "minor".
    """

    tonic: int
    mode: str

    def __str__(self) -> str:
        return f"{_NAMES[self.tonic]} {self.mode}"


def semitones_to_c(tonic: int, mode: str) -> int:
    """Say how far to move music in a key, so that it stands in C major or C minor.

    Args:
        tonic: pitch class of the key, 0 (C) to 11 (B).
        mode: "major" or "minor", which stays what it is.

    Returns:
        The shorter way to C, -6 to 5 semitones, up where positive.

    Raises:
        MusicError: if there is no such key.

    >>> semitones_to_c(*Key(7, "major"))
    5
    """
    if not 0 <= tonic <= 11:
        raise MusicError(f"tonic must be a pitch class, 0 (C) to 11 (B), got {tonic}: take it "
                         f"modulo 12")
    if mode not in ("major", "minor"):
        raise MusicError(f"mode must be 'major' or 'minor', got {mode!r}: take the one whose "
                         f"third the mode has")
    return (6 - tonic) % 12 - 6


def transpose(frames: np.ndarray, semitones: int) -> np.ndarray:
    """Move frames along the keyboard; no note is folded back or lost.

    Args:
        frames: frames or onsets (T, 88).
        semitones: how far, up where positive.

    Returns:
        The moved frames, of the same type (T, 88).

    Raises:
        MusicError: if a note would leave the 88 keys.
    """
    frames = np.asarray(frames)
    pitches = np.flatnonzero(frames.any(axis=0)) + LOWEST_PITCH
    highest = LOWEST_PITCH + NUM_KEYS - 1
    moved = pitches + semitones
    if len(moved) and not LOWEST_PITCH <= moved.min() <= moved.max() <= highest:
        raise MusicError(f"semitones must keep MIDI pitches {pitches.min()} to {pitches.max()} "
                         f"inside {LOWEST_PITCH} to {highest}, got {semitones}: move by an octave "
                         f"less")
    result = np.zeros_like(frames)
    result[:, moved - LOWEST_PITCH] = frames[:, pitches - LOWEST_PITCH]
    return result
