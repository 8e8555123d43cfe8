"""What note-seq's MusicXML reader gets wrong or leaves out, put right.

The reader (note-seq 0.0.5) plays every part after the first at the first part's last tempo, finds
every key major, writes B sharp an octave too low and C flat an octave too high, and plays tied
notes one by one. Its parsed document keeps the XML of each note and key, from which the truth
is read here.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from rnnpt.music.piano_roll import MusicError
from rnnpt.music.transposition import Key

MAX_SCORE_BYTES = 2**24  # once unpacked
MINOR_THIRDS = ("minor", "aeolian", "dorian", "phrygian", "locrian")
# Semitones from the major tonic of a key signature up to the mode's own.
_MODES = {"major": 0, "ionian": 0, "dorian": 2, "phrygian": 4, "lydian": 5, "mixolydian": 7,
          "minor": 9, "aeolian": 9, "locrian": 11}
_PITCH_CLASSES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_DEFAULT_QPM = 120.0
_QUARTERS_PER_SECOND = 2.0  # at the default


class Score(NamedTuple):
    """A parsed score.

    Args:
        notes: MIDI pitch, start and end in quarter notes (N, 3).
        qpm: first tempo in quarter notes a minute.
        key: the written key.
    """

    notes: np.ndarray
    qpm: float
    key: Key


def read_score(path: Path, steps_per_quarter: int, parser: ModuleType) -> Score:
    """Read a score; `musicxml_to_pianoroll` says by which rules.

    Args:
        path: a MusicXML file.
        steps_per_quarter: steps in a quarter note, on which the bars shall begin.
        parser: the module `note_seq.musicxml_parser`.

    Returns:
        The score. The parser raises errors of many kinds where the file is none.

    Raises:
        MusicError: if the file is too large.
    """
    size = path.stat().st_size
    if path.suffix == ".mxl":
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    if size > MAX_SCORE_BYTES:
        raise MusicError(f"path must hold at most {MAX_SCORE_BYTES} bytes of MusicXML, got {size} "
                         f"in {str(path)!r}: split the score")
    document, qpm = _parse(path, parser)
    notes = np.array([note for part in document.parts for note in _notes(part)], np.float64)
    notes = notes.reshape(-1, 3)
    notes[:, 1:] += _silence(document.parts[0].measures, steps_per_quarter)
    return Score(notes, qpm, _key(document, notes))


def _parse(path: Path, parser: ModuleType) -> tuple[Any, float]:
    """Parse the score as if it had no tempo; return the document and its first tempo."""
    tempos = []

    class Untimed(parser.MusicXMLDocument):  # type: ignore[name-defined]
        @staticmethod
        def _get_score(filename: str) -> Any:
            score = parser.MusicXMLDocument._get_score(filename)
            for sound in score.iter("sound"):
                if "tempo" in sound.attrib:
                    tempos.append(float(sound.attrib.pop("tempo")))
            return score

    return Untimed(str(path)), (tempos or [_DEFAULT_QPM])[0]


def _notes(part: Any) -> Iterator[tuple[int, float, float]]:
    """List pitches, starts and ends in quarter notes, the tied notes joined."""
    tied: dict[int, tuple[float, float]] = {}  # by pitch, the note that a tie will lengthen
    for note in (note for measure in part.measures for note in measure.notes):
        if note.is_rest:
            continue
        pitch = note.pitch[1] + _octave_slip(note.xml_note.find("pitch"))
        start = round(note.note_duration.time_position * _QUARTERS_PER_SECOND, 6)
        end = round(start + note.note_duration.seconds * _QUARTERS_PER_SECOND, 6)
        ties = {tie.get("type") for tie in note.xml_note.findall("tie")}
        if pitch in tied:
            tied_start, tied_end = tied.pop(pitch)
            if "stop" in ties and tied_end == start:
                start = tied_start
            else:
                yield pitch, tied_start, tied_end
        if "start" in ties:
            tied[pitch] = start, end
        else:
            yield pitch, start, end
    for pitch, (start, end) in tied.items():
        yield pitch, start, end


def _octave_slip(pitch: Any) -> int:
    """Semitones to add to the reader's pitch, which takes step and alteration modulo 12."""
    alteration = int(float(pitch.findtext("alter") or 0))
    return 12 * ((_PITCH_CLASSES[pitch.findtext("step")] + alteration) // 12)


def _silence(measures: list[Any], steps_per_quarter: int) -> float:
    """Quarter notes of silence before a pickup, so that the next bar begins on the grid."""
    first = measures[0].xml_measure
    if len(measures) == 1 or not (first.get("implicit") == "yes" or first.get("number") == "0"):
        return 0.0
    quarters = measures[1].start_time_position * _QUARTERS_PER_SECOND
    steps = round(quarters * steps_per_quarter, 6)
    return float(np.ceil(steps) - steps) / steps_per_quarter


def _key(document: Any, notes: np.ndarray) -> Key:
    for measure in (measure for part in document.parts for measure in part.measures):
        if measure.key_signature is not None:
            written = measure.key_signature.xml_key
            chromatic = measure.xml_measure.findtext("attributes/transpose/chromatic")
            major_tonic = 7 * int(written.findtext("fifths")) + int(chromatic or 0)
            mode = written.findtext("mode")
            break
    else:
        major_tonic, mode = 0, None
    if mode not in _MODES:
        last_bass = notes[notes[:, 2] == notes[:, 2].max(initial=0), 0].min(initial=128)
        mode = "minor" if (last_bass - major_tonic - _MODES["minor"]) % 12 == 0 else "major"
    tonic = (major_tonic + _MODES[mode]) % 12
    return Key(tonic, "minor" if mode in MINOR_THIRDS else "major")
