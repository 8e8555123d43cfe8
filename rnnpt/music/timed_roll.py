"""MIDI to piano rolls whose steps are seconds, with all 128 keys of MIDI.

The thesis' music is of this kind. It knows no beat: what a tempo change does to a performance can
be seen in it, but no score can be written from it. Rolls on the beat grid: `piano_roll`.
"""

import math
import numbers
from pathlib import Path

import mido
import numpy as np
import pretty_midi

from rnnpt.music.piano_roll import MAX_STEPS, MusicError, PianoRoll
from rnnpt.music.pianoroll_midi import _keep_notes, _notes, _parse, _read

#: Keys of MIDI; a column of a timed roll is a pitch.
NUM_PITCHES = 128
#: Length of a step in the thesis.
SECONDS_PER_STEP = 0.05

_DEFAULT_TEMPO = 500_000  # microseconds a quarter note, in a file that tells none


def notes_to_timed_roll(
    pitches: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    seconds_per_step: float = SECONDS_PER_STEP,
    max_steps: int = MAX_STEPS,
) -> np.ndarray:
    """Mark in which steps each key sounds, be it for a part of the step.

    Equation: step k lasts from k to k + 1 times `seconds_per_step`, the end excluded.

    Args:
        pitches: MIDI pitches, 0 to 127 (N,).
        starts: starts in seconds (N,).
        ends: ends in seconds (N,); a note of no length is left out.
        seconds_per_step: seconds in a step.
        max_steps: the longest roll to make.

    Returns:
        1 where a key sounds, 0 elsewhere (T, 128), uint8, up to the end of the last note.

    Raises:
        MusicError: if no note sounds, a time is impossible, a pitch is none, or the roll would be
            too long.

    >>> roll = notes_to_timed_roll(np.array([60]), np.array([0.06]), np.array([0.15]))
    >>> roll[:, 60].tolist()
    [0, 1, 1]

    Source: Sutskever 2013, section 4.5.2.
    """
    if (not isinstance(seconds_per_step, numbers.Real)
            or not 0 < float(seconds_per_step) < math.inf):
        raise MusicError(f"seconds_per_step must be a positive number, got {seconds_per_step!r}: "
                         f"the thesis has {SECONDS_PER_STEP}")
    pitches, starts, ends = np.asarray(pitches), np.asarray(starts), np.asarray(ends)
    if not ((starts >= 0) & (ends >= starts)).all():
        raise MusicError(f"starts must lie at 0 or later and ends after them, got starts from "
                         f"{np.min(starts):g} and ends from {np.min(ends):g}: correct the notes")
    if not ((pitches >= 0) & (pitches < NUM_PITCHES)).all():
        raise MusicError(f"pitches must be from 0 to {NUM_PITCHES - 1}, got {np.min(pitches)} to "
                         f"{np.max(pitches)}: move them by octaves")
    # Below a millionth of a step lies the noise of seconds that were once beats.
    first = np.floor(np.round(starts / seconds_per_step, 6)).astype(np.int64)
    stop = np.ceil(np.round(ends / seconds_per_step, 6)).astype(np.int64)
    kept = stop > np.round(starts / seconds_per_step, 6)
    if not kept.any():
        raise MusicError(f"the music must have a note that sounds, got none among {len(pitches)} "
                         f"that are no drums: choose other music")
    num_steps = int(stop[kept].max())
    if num_steps > max_steps:
        raise MusicError(f"max_steps is {max_steps}, got music of {num_steps} steps: cut it, or "
                         f"choose longer steps than {seconds_per_step} s")
    changes = np.zeros((num_steps + 1, NUM_PITCHES), np.int32)
    np.add.at(changes, (first[kept], pitches[kept]), 1)
    np.add.at(changes, (stop[kept], pitches[kept]), -1)
    return (np.cumsum(changes, axis=0)[:-1] > 0).astype(np.uint8)


def midi_to_timed_roll(
    source: bytes | str | Path,
    seconds_per_step: float = SECONDS_PER_STEP,
    max_steps: int = MAX_STEPS,
    sustain: bool = False,
) -> np.ndarray:
    """Read a MIDI file as a roll of seconds, at the tempos that the file tells.

    All instruments share one keyboard; drums (channel 10) and notes never released are left out.
    Overlapping notes of a key are read as by `midi_to_pianoroll`.

    Args:
        source: the file's path, or its bytes; at most 1 MiB.
        seconds_per_step: seconds in a step.
        max_steps: the longest roll to make.
        sustain: whether the sustain pedal holds the notes of its track and channel.

    Returns:
        1 where a key sounds, 0 elsewhere (T, 128), uint8, from the file's first tick to the end of
        its last note.

    Raises:
        FileNotFoundError: if there is no such file.
        MusicError: if the file is no MIDI file, damaged, not counted in beats, too large or too
            long, or has no note.
        TypeError: if the source is neither a path nor bytes.
    """
    midi = _parse(_read(source))
    tempos = _tempos(midi)
    _keep_notes(midi)  # leaves beats of half a second each
    instruments = pretty_midi.PrettyMIDI(mido_object=midi).instruments if midi.tracks else []
    notes = np.concatenate([np.zeros((0, 3))] + [_notes(i, sustain) for i in instruments])
    ticks = notes[:, 1:] * (2 * midi.ticks_per_beat)
    starts, ends = _seconds(ticks, tempos, midi.ticks_per_beat).T
    return notes_to_timed_roll(
        notes[:, 0].astype(np.int64), starts, ends, seconds_per_step, max_steps)


def timed_roll_of(roll: PianoRoll, seconds_per_step: float = SECONDS_PER_STEP) -> np.ndarray:
    """Play a roll of the beat grid at its tempo.

    Args:
        roll: the roll; its `qpm` is the tempo.
        seconds_per_step: seconds in a step of the result.

    Returns:
        1 where a key sounds, 0 elsewhere (T, 128), uint8, up to the end of the last note.

    Raises:
        MusicError: if it has no note or becomes too long.
    """
    pitches, starts, ends = roll.notes().T
    seconds = 60 / (roll.qpm * roll.steps_per_quarter)
    return notes_to_timed_roll(pitches, starts * seconds, ends * seconds, seconds_per_step)


def _tempos(midi: mido.MidiFile) -> list[tuple[int, int]]:
    """The tick of each tempo and the tempo, in microseconds a quarter note, in their order."""
    tempos = {0: _DEFAULT_TEMPO}
    for events in midi.tracks:
        tick = 0
        for event in events:
            tick += event.time
            if event.type == "set_tempo":
                tempos[tick] = max(event.tempo, 1)
    return sorted(tempos.items())


def _seconds(
    ticks: np.ndarray, tempos: list[tuple[int, int]], ticks_per_quarter: int
) -> np.ndarray:
    """The times of ticks in seconds, whose tempos change."""
    changes, microseconds = np.array(tempos, np.float64).T
    seconds_a_tick = microseconds / (1e6 * ticks_per_quarter)
    begins = np.concatenate([[0], np.cumsum(np.diff(changes) * seconds_a_tick[:-1])])
    last = np.searchsorted(changes, ticks, "right") - 1
    return begins[last] + (ticks - changes[last]) * seconds_a_tick[last]
