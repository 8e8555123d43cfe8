"""Piano rolls on the beat grid.

This file imports NumPy alone, and `pianoroll_midi` its MIDI parsers besides, so that a client
without TensorFlow can use them.
"""

from dataclasses import dataclass

import numpy as np

LOWEST_PITCH = 21  # A0, column 0 of a roll
NUM_KEYS = 88
MAX_STEPS = 2**16
MIN_QPM, MAX_QPM = 4.0, 1000.0  # a MIDI tempo has 24 bits, which end at 3.6
_MAX_STEPS_PER_QUARTER = 96
_TOLERANCE = 1 / 8  # of a step, see `notes_to_pianoroll`


class MusicError(ValueError):
    """Music that cannot be read, written or drawn; one line that says what to do about it."""


@dataclass(frozen=True, eq=False)
class PianoRoll:
    """Which keys sound at each step, and where a new note begins.

    Args:
        frames: 1 where a key sounds, 0 elsewhere (T, 88); column 0 is MIDI pitch 21.
        onsets: 1 where a note begins (T, 88): wherever a key starts to sound, and where it is
            struck again while it sounds.
        steps_per_quarter: steps in a quarter note, 1 to 96.
        qpm: tempo in quarter notes a minute, 4 to 1000.

    Raises:
        MusicError: if one of them breaks its rule.
    """

    frames: np.ndarray
    onsets: np.ndarray
    steps_per_quarter: int = 1
    qpm: float = 120.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", _binary(self.frames, "frames"))
        object.__setattr__(self, "onsets", _binary(self.onsets, "onsets"))
        if self.onsets.shape != self.frames.shape:
            raise MusicError(f"onsets must have the shape of frames {self.frames.shape}, got "
                             f"{self.onsets.shape}: make them with onsets_of(frames)")
        wrong = (self.onsets > self.frames) | (self.onsets < onsets_of(self.frames))
        if wrong.any():
            raise MusicError(f"onsets must be 1 where a key starts to sound and 0 where it is "
                             f"silent, got others, first at (step, key) "
                             f"{np.argwhere(wrong)[0].tolist()}: make them with onsets_of(frames)")
        _check_count("steps_per_quarter", self.steps_per_quarter, _MAX_STEPS_PER_QUARTER)
        if not MIN_QPM <= self.qpm <= MAX_QPM:
            raise MusicError(f"qpm must lie between {MIN_QPM:g} and {MAX_QPM:g} quarter notes a "
                             f"minute, got {self.qpm:g}: 120 is usual")

    def notes(self) -> np.ndarray:
        """List the notes.

        Returns:
            MIDI pitch, first step and the step after the last of each note, by start and then
            pitch (N, 3), int64.
        """
        steps, keys = np.nonzero(self.onsets)
        ends = np.full((len(self.frames) + 1, NUM_KEYS), len(self.frames))
        broken = (self.frames == 0) | (self.onsets == 1)
        ends[:-1][broken] = np.nonzero(broken)[0]
        ends = np.minimum.accumulate(ends[::-1], axis=0)[::-1]
        return np.stack([keys + LOWEST_PITCH, steps, ends[steps + 1, keys]], axis=1)

    def continued(self, frames: np.ndarray) -> "PianoRoll":
        """Put a continuation after the music.

        Args:
            frames: 1 where a key sounds, 0 elsewhere (N, 88), N may be 0.

        Returns:
            Both; keys that sound on in the continuation are not struck again.

        Raises:
            MusicError: if it is none, or both are too long.
        """
        if np.ndim(frames) != 2 or np.shape(frames)[1] != NUM_KEYS:
            raise MusicError(f"frames must have a row a step, of {NUM_KEYS} keys, got shape "
                             f"{np.shape(frames)}: pass a continuation, column 0 is A0")
        num_steps = len(self.frames) + len(frames)
        if num_steps > MAX_STEPS:
            raise MusicError(f"frames must make at most {MAX_STEPS} steps with the "
                             f"{len(self.frames)} before them, got {num_steps}: add fewer")
        both = np.concatenate([self.frames, frames])
        onsets = onsets_of(both)
        onsets[:len(self.onsets)] = self.onsets
        return PianoRoll(both, onsets, self.steps_per_quarter, self.qpm)


def onsets_of(frames: np.ndarray) -> np.ndarray:
    """Mark where each key starts to sound, taking every stretch of steps as one held note.

    Args:
        frames: 1 where a key sounds, 0 elsewhere (T, 88).

    Returns:
        1 at the first step of each stretch (T, 88), uint8.
    """
    frames = _binary(frames, "frames")
    return np.diff(frames.astype(np.int8), axis=0, prepend=0).clip(0).astype(np.uint8)


def notes_to_pianoroll(pitches: np.ndarray, starts: np.ndarray, ends: np.ndarray,
                       steps_per_quarter: int = 1, qpm: float = 120.0,
                       max_steps: int = MAX_STEPS, end: float = 0.0) -> PianoRoll:
    """Sample notes on the beat grid.

    A key is on in a step if a note sounds when the step begins, give or take an eighth of a step:
    a note that begins that near to it is on, however short, one that ends that near to it off.
    Left out are notes that come and go between two steps, of no length or outside the 88 keys.

    Args:
        pitches: MIDI pitches (N,).
        starts: starts in quarter notes (N,).
        ends: ends in quarter notes (N,).
        steps_per_quarter: steps in a quarter note, 1 to 96.
        qpm: tempo that the roll carries, in quarter notes a minute.
        max_steps: the longest roll to make, at most 65536.
        end: the roll lasts at least so many quarter notes.

    Returns:
        The roll, up to the end of its last note, or to `end` if that comes later.

    Raises:
        MusicError: if no note in the 88 keys meets the grid, a time is impossible, or the roll
            would be too long.
    """
    _check_count("steps_per_quarter", steps_per_quarter, _MAX_STEPS_PER_QUARTER)
    _check_count("max_steps", max_steps, MAX_STEPS)
    keys = np.asarray(pitches, np.int64) - LOWEST_PITCH
    # Below a millionth of a step lies the noise of times that were once seconds.
    starts = np.round(np.asarray(starts, np.float64) * steps_per_quarter, 6)
    ends = np.round(np.asarray(ends, np.float64) * steps_per_quarter, 6)
    firsts = np.floor(starts - _TOLERANCE) + 1
    stops = np.ceil(ends - _TOLERANCE)
    stops = np.where(starts >= firsts - _TOLERANCE, np.maximum(stops, firsts + 1), stops)
    kept = (keys >= 0) & (keys < NUM_KEYS) & (ends > starts) & (stops > firsts)
    if not ((starts >= 0) & (ends >= starts)).all():
        raise MusicError(f"starts must lie at 0 or later and ends after them, got starts from "
                         f"{starts.min():g} and ends from {ends.min():g}: correct the notes")
    if not kept.any():
        raise MusicError(f"the music must have a note in the 88 keys (MIDI 21 to 108) that "
                         f"sounds on the grid, got none among {len(keys)} that are no drums: "
                         f"choose other music, or steps_per_quarter above {steps_per_quarter}")
    num_steps = max(stops[kept].max(), np.ceil(end * steps_per_quarter - _TOLERANCE))
    if num_steps > max_steps:
        raise MusicError(f"max_steps is {max_steps}, got music of {num_steps:.0f} steps: cut it, "
                         f"or choose fewer steps_per_quarter than {steps_per_quarter}")
    keys, first, stop = np.stack([keys, firsts, stops])[:, kept].astype(np.int64)
    changes = np.zeros((int(num_steps) + 1, NUM_KEYS), np.int32)
    np.add.at(changes, (first, keys), 1)
    np.add.at(changes, (stop, keys), -1)
    onsets = np.zeros_like(changes[:-1])
    onsets[first, keys] = 1
    return PianoRoll(np.cumsum(changes, axis=0)[:-1] > 0, onsets, steps_per_quarter, qpm)


def _binary(frames: np.ndarray, name: str) -> np.ndarray:
    frames = np.asarray(frames)
    if frames.ndim != 2 or frames.shape[1] != NUM_KEYS or not 1 <= len(frames) <= MAX_STEPS:
        raise MusicError(f"{name} must have 1 to {MAX_STEPS} rows, a step each, of {NUM_KEYS} "
                         f"keys, got shape {frames.shape}: pass one piece, column 0 is A0")
    wrong = frames[(frames != 0) & (frames != 1)]
    if wrong.size:
        raise MusicError(f"{name} must hold 0 and 1 alone, got {wrong[0]}: sample or threshold")
    return frames.astype(np.uint8)


def _check_count(name: str, value: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {value!r}: pass 1 to {most}")
    if not 1 <= value <= most:
        raise MusicError(f"{name} must lie between 1 and {most}, got {value}: choose one of these")
