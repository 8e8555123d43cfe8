"""MIDI to piano roll and back, on the beat grid.

A step is a fraction of a quarter note and never a number of seconds: tempo and time-signature
changes move no note. This file imports `piano_roll`, NumPy, pretty_midi and its parser mido alone,
so that a client without TensorFlow can use it.
"""

import io
import re
from collections import Counter, defaultdict
from pathlib import Path

import mido
import numpy as np
import pretty_midi

from rnnpt.music.piano_roll import MAX_STEPS, MusicError, PianoRoll, notes_to_pianoroll

MAX_BYTES = 2**20  # of a MIDI file: at worst some 200 MB and a few seconds in the parsers
MAX_NOTES = 2**16  # an hour of 18 a second; each is some objects in the parsers
MAX_TICKS = 10**7 - 1  # pretty_midi keeps a float a tick; note_seq raises its own limit of 1e7
VELOCITY = 80  # of every note that is written; 0 would end it
_TICKS_PER_STEP = 120
_KEPT_TYPES, _DRUM_CHANNEL = ("note_on", "note_off", "control_change"), 9
_SUSTAIN, _ALL_OFF = 64, 123  # control changes
# The parser reads a number of any length, in quadratic time; no text has so many high bytes.
_ENDLESS_NUMBER = re.compile(rb"[\x80-\xff]{4096}")


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
