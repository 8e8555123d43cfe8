"""MIDI to piano roll and back, on the beat grid.

A step is a fraction of a quarter note and never a number of seconds: tempo and time-signature
changes move no note. This file imports NumPy, pretty_midi and its parser mido alone, so that a
client without TensorFlow can use it.
"""

import io
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
import pretty_midi

LOWEST_PITCH = 21  # A0, column 0 of a roll
NUM_KEYS = 88
MAX_STEPS = 2**16
MAX_BYTES = 2**20  # of a MIDI file: at worst some 200 MB and a few seconds in the parsers
MAX_NOTES = 2**16  # an hour of 18 a second; each is some objects in the parsers
MAX_TICKS = 10**7 - 1  # pretty_midi keeps a float a tick; note_seq raises its own limit of 1e7
VELOCITY = 80  # of every note that is written; 0 would end it
MIN_QPM, MAX_QPM = 4.0, 1000.0  # a MIDI tempo has 24 bits, which end at 3.6
_MAX_STEPS_PER_QUARTER = 96
_TICKS_PER_STEP = 120
_TOLERANCE = 1 / 8  # of a step, see `notes_to_pianoroll`
_KEPT_TYPES, _DRUM_CHANNEL = ("note_on", "note_off", "control_change"), 9
_SUSTAIN, _ALL_OFF = 64, 123  # control changes
# The parser reads a number of any length, in quadratic time; no text has so many high bytes.
_ENDLESS_NUMBER = re.compile(rb"[\x80-\xff]{4096}")


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


def midi_to_pianoroll(source: bytes | str | Path, steps_per_quarter: int = 1,
                      max_steps: int = MAX_STEPS, sustain: bool = False,
                      qpm: float | None = None) -> PianoRoll:
    """Read a MIDI file as a piano roll on the beat grid.

    All instruments share one keyboard; drums (channel 10) and notes never released are left out.
    Notes of a key that overlap sound until the last ends; in one channel of a track only if the key
    is released as often as it is struck, else its first release ends them all.
    The roll starts at the file's first tick and ends with its last note, or with a later "all
    notes off", as `pianoroll_to_midi` writes. `notes_to_pianoroll` says how notes meet the grid.

    Args:
        source: the file's path, or its bytes; at most 1 MiB and 65536 notes.
        steps_per_quarter: steps in a quarter note, 1 to 96.
        max_steps: the longest roll to make, at most 65536.
        sustain: whether the sustain pedal holds the notes of its track and channel, until it is
            lifted or the same key is struck again.
        qpm: tempo in quarter notes a minute, in place of the file's, which may then be any.

    Returns:
        The roll, with the file's first tempo if there is no other.

    Raises:
        FileNotFoundError: if there is no such file.
        MusicError: if the file is no MIDI file, damaged, not counted in beats, too large or too
            long, has no note in the 88 keys, or the tempo lies out of range.
        TypeError: if the source is neither a path nor bytes, or a count no integer.
    """
    midi = _parse(_read(source))
    first_qpm, end = _keep_notes(midi)
    instruments = pretty_midi.PrettyMIDI(mido_object=midi).instruments if midi.tracks else []
    notes = np.concatenate([np.zeros((0, 3))] + [_notes(i, sustain) for i in instruments])
    pitches, starts, ends = notes.T * [[1], [2], [2]]  # without tempo events, 2 quarters a second
    return notes_to_pianoroll(pitches, starts, ends, steps_per_quarter,
                              first_qpm if qpm is None else qpm, max_steps,
                              end / midi.ticks_per_beat)


def pianoroll_to_midi(roll: PianoRoll) -> bytes:
    """Write a piano roll as a MIDI file.

    A held note is one note, and an onset inside a held key strikes it again: reading the file
    back loses no frame, no onset and no silence at the end.

    Args:
        roll: the roll.

    Returns:
        The file.
    """
    midi = pretty_midi.PrettyMIDI(resolution=_TICKS_PER_STEP * roll.steps_per_quarter,
                                  initial_tempo=roll.qpm)
    step_s = 60 / (roll.qpm * roll.steps_per_quarter)
    piano = pretty_midi.Instrument(program=0)
    piano.notes = [pretty_midi.Note(VELOCITY, pitch, start * step_s, stop * step_s)
                   for pitch, start, stop in roll.notes().tolist()]
    piano.control_changes = [pretty_midi.ControlChange(_ALL_OFF, 0, len(roll.frames) * step_s)]
    midi.instruments = [piano]
    file = io.BytesIO()
    midi.write(file)
    return file.getvalue()


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


def _read(source: bytes | str | Path) -> bytes:
    if not isinstance(source, (bytes, str, Path)):
        raise TypeError(f"source must be a path or bytes, got {source!r}: pass a .mid file's path")
    if not isinstance(source, bytes):
        if not Path(source).is_file():
            raise FileNotFoundError(f"source must be a MIDI file, got {str(source)!r}, where "
                                    f"there is none: check the path")
        with open(source, "rb") as file:
            source = file.read(MAX_BYTES + 1)
    if len(source) > MAX_BYTES:
        raise MusicError(f"source must have at most {MAX_BYTES} bytes, got more: cut the piece")
    if source[:4] != b"MThd":
        raise MusicError(f"source must be a MIDI file, got {len(source)} bytes that begin with "
                         f"{source[:4]!r}: pass a .mid file, which begins with b'MThd'")
    return source


def _parse(data: bytes) -> mido.MidiFile:
    try:
        if _ENDLESS_NUMBER.search(data):
            raise OverflowError
        midi = mido.MidiFile(file=io.BytesIO(data))
    except Exception as error:  # of many kinds, wild bytes reach all corners of the parser
        raise MusicError(f"source must be a complete MIDI file, got {len(data)} bytes that break "
                         f"off or are damaged: export the file again") from error
    if midi.ticks_per_beat <= 0 or midi.type not in (0, 1):
        raise MusicError(f"source must count ticks a quarter note, in type 0 or 1, got "
                         f"{midi.ticks_per_beat} in type {midi.type}: export it again so")
    return midi


def _keep_notes(midi: mido.MidiFile) -> tuple[float, int]:
    """Strip all but notes and pedals; return the first tempo and the last all-notes-off tick."""
    tempos, end, num_notes, tracks = {}, 0, 0, []
    for events in midi.tracks:
        tick, last, kept, early = 0, 0, mido.MidiTrack(), _early_ends(events)
        for index, event in enumerate(events):
            tick += event.time
            if event.type == "set_tempo":
                tempos[tick] = event.tempo  # the last one at a tick counts, as in a player
            if (event.type not in _KEPT_TYPES or event.channel == _DRUM_CHANNEL
                    or index in early):
                continue
            if tick > MAX_TICKS:
                raise MusicError(f"source must last at most {MAX_TICKS} ticks, got more: export "
                                 f"it with fewer than {midi.ticks_per_beat} ticks a quarter note")
            num_notes += event.type == "note_on" and event.velocity > 0
            if num_notes > MAX_NOTES:
                raise MusicError(f"source must have at most {MAX_NOTES} notes, got more: cut it")
            end = max(end, tick) if event.is_cc(_ALL_OFF) else end
            event.time, last = tick - last, tick
            kept.append(event)
        tracks.append(kept)
    midi.tracks = [track for track in tracks if track]
    tempo = tempos[min(tempos)] if tempos else 500_000  # microseconds a quarter note
    return 6e7 / max(tempo, 1), end


def _early_ends(events: mido.MidiTrack) -> set[int]:
    """Find the note-offs after which another note of the key sounds on.

    pretty_midi lets the first note-off end all notes of a key. Where a key is not released as often
    as it is struck, that stands: no count tells which of the notes sound on.
    """
    num_open: Counter[tuple[int, int]] = Counter()
    early: dict[tuple[int, int], list[int]] = defaultdict(list)
    unmatched = set()
    for index, event in enumerate(events):
        if event.type not in ("note_on", "note_off"):
            continue
        key = event.channel, event.note
        if event.type == "note_on" and event.velocity > 0:
            num_open[key] += 1
            continue
        num_open[key] -= 1
        if num_open[key] > 0:
            early[key].append(index)
        elif num_open[key] < 0:
            unmatched.add(key)
    return {index for key, indices in early.items()
            if num_open[key] == 0 and key not in unmatched for index in indices}


def _notes(instrument: pretty_midi.Instrument, sustain: bool) -> np.ndarray:
    """List pitches, starts and ends in seconds (N, 3), the pedal held if asked."""
    notes = np.array([(note.pitch, note.start, note.end) for note in instrument.notes])
    pedal = [(c.time, c.value >= 64) for c in instrument.control_changes if c.number == _SUSTAIN]
    if not sustain or not pedal or not len(notes):
        return notes.reshape(-1, 3)
    pitches, starts, ends = notes[np.lexsort(notes[:, :2].T[::-1])].T
    times, down = np.array(pedal).T
    before = np.searchsorted(times, ends, "right") - 1
    held = (before >= 0) & (down[before] == 1)
    lifts = np.append(times[down == 0], np.inf)
    lifted = np.minimum(lifts[np.searchsorted(lifts, ends, "right")], max(ends.max(), times[-1]))
    again = np.where(np.diff(pitches, append=-1) == 0, np.append(starts[1:], np.inf), np.inf)
    ends = np.where(held, np.maximum(ends, np.minimum(lifted, again)), ends)
    return np.stack([pitches, starts, ends], axis=1)
