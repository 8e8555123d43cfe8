"""Scores and Magenta's NoteSequences to piano rolls and back, through note-seq.

note-seq takes a second to import, so it is imported when a function here is first called.
"""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pretty_midi

from rnnpt.music._musicxml import MINOR_THIRDS, read_score
from rnnpt.music.piano_roll import MAX_STEPS, MusicError, PianoRoll, notes_to_pianoroll
from rnnpt.music.pianoroll_midi import VELOCITY
from rnnpt.music.transposition import Key

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

_MAX_ABC_CHARACTERS = 2**20
_MAX_REPEATS = 16
_DEFAULT_QPM = 120.0


def to_note_sequence(roll: PianoRoll) -> NoteSequence:
    """Write a piano roll as a NoteSequence.

    Args:
        roll: the roll.

    Returns:
        The sequence, as long as the roll; `from_note_sequence` reads the same roll from it.
    """
    sequence = _import("protobuf.music_pb2").NoteSequence(ticks_per_quarter=220)
    sequence.tempos.add(time=0, qpm=roll.qpm)
    step_s = 60 / (roll.qpm * roll.steps_per_quarter)
    for pitch, start, stop in roll.notes().tolist():
        sequence.notes.add(pitch=pitch, velocity=VELOCITY, start_time=start * step_s,
                           end_time=stop * step_s)
    sequence.total_time = len(roll.frames) * step_s
    return sequence


def from_note_sequence(sequence: NoteSequence, steps_per_quarter: int = 1,
                       max_steps: int = MAX_STEPS) -> PianoRoll:
    """Read a NoteSequence as a piano roll on the beat grid.

    Its seconds are turned into quarter notes by its tempos (120 without any). Drums are left
    out; `notes_to_pianoroll` says how notes meet the grid.

    Args:
        sequence: a NoteSequence that is not quantised, or keeps its times in seconds.
        steps_per_quarter: steps in a quarter note, 1 to 96.
        max_steps: the longest roll to make, at most 65536.

    Returns:
        The roll, with the first tempo.

    Raises:
        MusicError: if a tempo is not positive, a note starts before 0 or ends before it starts,
            no note is in the 88 keys, or the music is too long.
    """
    tempos = sorted((tempo.time, tempo.qpm) for tempo in sequence.tempos)
    for time, qpm in tempos:
        if not (0 <= time < np.inf and 0 < qpm < np.inf):
            raise MusicError(f"sequence.tempos must be positive, from 0 s on, got {qpm:g} quarter "
                             f"notes a minute at {time:g} s: correct it or clear the tempos")
    notes = [(n.pitch, n.start_time, n.end_time) for n in sequence.notes if not n.is_drum]
    pitches, starts, ends = np.array(notes, np.float64).reshape(-1, 3).T
    return notes_to_pianoroll(
        pitches, _quarters(starts, tempos), _quarters(ends, tempos), steps_per_quarter,
        tempos[0][1] if tempos else _DEFAULT_QPM, max_steps,
        float(_quarters(np.array([sequence.total_time]), tempos)[0]))


def musicxml_to_pianoroll(path: str | Path, steps_per_quarter: int = 1,
                          max_steps: int = MAX_STEPS) -> tuple[PianoRoll, Key]:
    """Read a MusicXML score as a piano roll on the beat grid, with its written key.

    Time is counted in the score's own quarter notes. Tied notes are one note, grace notes are
    left out, repeats are played once. A pickup that is no whole number of steps follows so much
    silence that the bars begin on the grid; `notes_to_pianoroll` says how notes meet it.

    The key is the first signature of the first part. Church modes count as major or minor by
    their third, from their own tonic. A signature without a mode is minor if the piece ends on
    the tonic of the relative minor in the bass, else major.

    Args:
        path: a .mxl, .xml or .musicxml file, at most 16 MiB unpacked.
        steps_per_quarter: steps in a quarter note, 1 to 96.
        max_steps: the longest roll to make, at most 65536.

    Returns:
        The roll, with the score's first tempo (120 without any), and its key.

    Raises:
        FileNotFoundError: if there is no such file.
        MusicError: if the file is no MusicXML score, too large or too long, or has no note in
            the 88 keys.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must be a MusicXML file, got {str(path)!r}, where there is "
                                f"none: check the path")
    try:
        score = read_score(path, steps_per_quarter, _import("musicxml_parser"))
    except MusicError:
        raise
    except Exception as error:  # of many kinds: the parser takes a score's form for granted
        raise MusicError(f"path must be a MusicXML score, got {str(path)!r} ({_one_line(error)}): "
                         f"export it again") from error
    pitches, starts, ends = score.notes.T
    roll = notes_to_pianoroll(pitches, starts, ends, steps_per_quarter, score.qpm, max_steps)
    return roll, score.key


def abc_to_pianorolls(text: str, steps_per_quarter: int = 1,
                      max_steps: int = MAX_STEPS) -> list[tuple[PianoRoll, Key]]:
    """Read the tunes of an ABC tunebook as piano rolls on the beat grid, repeats played.

    note-seq reads melodies: it knows no chords, rests, tuplets or variant endings.

    Args:
        text: the tunebook, at most 2^20 characters; no section is played more than 16 times.
        steps_per_quarter: steps in a quarter note, 1 to 96.
        max_steps: the longest roll to make, at most 65536.

    Returns:
        Roll and key of each tune by reference number. Church modes count as major or minor by
        their third.

    Raises:
        MusicError: if there is no tune or one cannot be read.
    """
    if len(text) > _MAX_ABC_CHARACTERS:
        raise MusicError(f"text must have at most {_MAX_ABC_CHARACTERS} characters, got "
                         f"{len(text)}: split the tunebook")
    try:
        tunes, errors = _import("abc_parser").parse_abc_tunebook(text)
        played = [(_play_repeats(tune), _abc_key(tune)) for _, tune in sorted(tunes.items())]
    except MusicError:
        raise
    except Exception as error:  # the parser raises IndexError and the like on wild text
        tunes, errors = {}, [error]
    if errors or not tunes:
        reason = _one_line(errors[0]) if errors else "no tune"
        raise MusicError(f"text must be an ABC tunebook, got {text[:40]!r} ({reason}): correct "
                         f"or leave out the tune")
    return [(from_note_sequence(sequence, steps_per_quarter, max_steps), key)
            for sequence, key in played]


def _import(name: str) -> ModuleType:
    """Import a module of note-seq, which lifts pretty_midi's tick limit, and set that back."""
    limit = pretty_midi.pretty_midi.MAX_TICK
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pydub")  # audioop, ffmpeg: not used here
            return importlib.import_module(f"note_seq.{name}")
    finally:
        pretty_midi.pretty_midi.MAX_TICK = limit


def _play_repeats(tune: NoteSequence) -> NoteSequence:
    repeats = max((group.num_times for group in tune.section_groups), default=1)
    if repeats > _MAX_REPEATS:
        raise MusicError(f"text must play no section more than {_MAX_REPEATS} times, got "
                         f"{repeats} in tune {tune.reference_number}: write fewer colons")
    return _import("sequences_lib").expand_section_groups(tune)


def _abc_key(tune: NoteSequence) -> Key:
    if not tune.key_signatures:
        raise ValueError(f"tune {tune.reference_number} has no K: field")
    signature = tune.key_signatures[0]
    mode = signature.Mode.Name(signature.mode).lower()
    return Key(signature.key, "minor" if mode in MINOR_THIRDS else "major")


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__} {error}".split())


def _quarters(seconds: np.ndarray, tempos: list[tuple[float, float]]) -> np.ndarray:
    """Turn seconds (N,) into quarter notes (N,), through tempos [(second, qpm)] in order."""
    first = tempos[0][1] if tempos else _DEFAULT_QPM
    times, qpms = np.array([(0.0, first)] + tempos).T
    passed = np.concatenate([[0], np.cumsum(np.diff(times) * qpms[:-1] / 60)])
    last = np.searchsorted(times, seconds, "right").clip(1) - 1
    return passed[last] + (seconds - times[last]) * qpms[last] / 60
