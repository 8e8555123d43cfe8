"""MIDI files that are broken in many ways, for the tests and `benchmarks/faults.py`.

    with contextlib.closing(MidiReader()) as reader:
        for data in itertools.islice(mutated_midis(seed=0), 10_000):
            reader.read(data)  # a PianoRoll, or rnnpt.serving.error.InvalidArgument of one line
"""

import struct
from collections.abc import Iterator

import numpy as np

from rnnpt.music.piano_roll import PianoRoll, onsets_of
from rnnpt.music.pianoroll_midi import pianoroll_to_midi

_HEADER = struct.Struct(">4sIHHh")


def chord(num_steps: int = 4) -> bytes:
    """A good file: C major, held."""
    frames = np.zeros((num_steps, 88), np.uint8)
    frames[:, [39, 43, 46]] = 1
    return pianoroll_to_midi(PianoRoll(frames, onsets_of(frames)))


def file_of(*tracks: bytes, division: int = 480, kind: int = 1, num_tracks: int | None = None,
            length: int | None = None) -> bytes:
    """Tracks of raw events under a header of one's own; both may lie about their sizes."""
    header = _HEADER.pack(
        b"MThd", 6, kind, len(tracks) if num_tracks is None else num_tracks, division)
    sizes = [len(track) if length is None else length for track in tracks]
    return header + b"".join(
        b"MTrk" + struct.pack(">I", size) + track for size, track in zip(sizes, tracks))


NOTE = b"\x00\x90\x3c\x40\x83\x60\x80\x3c\x40"
END = b"\x00\xff\x2f\x00"
FAR = b"\xff\xff\xff\x7f"  # the largest time that a number of four bytes holds
#: A good file with most of what a score writes: tempos, a pedal, programs, texts, running status.
SCORE = file_of(
    b"\x00\xff\x03\x05Piano\x00\xff\x51\x03\x07\xa1\x20\x00\xff\x58\x04\x03\x02\x18\x08"
    b"\x00\xff\x59\x02\x02\x00\x83\x60\xff\x51\x03\x05\x00\x00" + END,
    b"\x00\xc0\x05\x00\xb0\x40\x7f\x00\x90\x3c\x40\x00\x40\x40\x83\x60\x3c\x00\x00\x40\x00"
    b"\x00\xe0\x00\x40\x00\xf0\x03\x01\x02\xf7\x60\xb0\x40\x00" + END,
    b"\x00\xff\x05\x02la\x00\x91\x30\x50\x87\x40\x81\x30\x00\x00\xb1\x7b\x00\x00\xd1\x10" + END)
CRAFTED = {
    "ticks that would fill gigabytes": file_of(b"\x00\x90\x3c\x40" + FAR + b"\x80\x3c\x40" + END),
    "silence that would fill gigabytes": file_of(NOTE + 40 * (FAR + b"\xb0\x07\x40") + END),
    "ticks without a note": file_of(NOTE + FAR + b"\xff\x2f\x00"),
    "a number without an end": file_of(b"\xff" * 5000),
    "as many tracks as a header counts": file_of(NOTE + END, num_tracks=32767),
    "more tracks than a header counts": file_of(NOTE + END, num_tracks=65535),
    "a header longer than the file": b"MThd\xff\xff\xff\xff" + file_of(NOTE + END)[8:],
    "a track longer than the file": file_of(NOTE + END, length=2**32 - 1),
    "a track shorter than its events": file_of(NOTE + END, length=3),
    "running status from nothing": file_of(b"\x00\x3c\x40" + END),
    "running status after a text": file_of(NOTE + b"\x00\xff\x01\x01a\x00\x3c\x40" + END),
    "a text longer than the file": file_of(b"\x00\xff\x01" + FAR + NOTE + END),
    "a tempo longer than the file": file_of(b"\x00\xff\x51" + FAR + NOTE + END),
    "a system message without an end": file_of(b"\x00\xf0" + FAR + NOTE + END),
    "a tempo of nothing": file_of(b"\x00\xff\x51\x03\x00\x00\x00" + NOTE + END),
    "a tempo of one byte": file_of(b"\x00\xff\x51\x01\x07" + NOTE + END),
    "a key that is none": file_of(b"\x00\xff\x59\x02\x7f\x07" + NOTE + END),
    "a beat of two to the 255th": file_of(b"\x00\xff\x58\x04\x00\xff\x18\x08" + NOTE + END),
    "frames in place of beats": file_of(NOTE + END, division=-0x18D8),  # SMPTE, 25 frames a second
    "no ticks": file_of(NOTE + END, division=0),
    "most ticks": file_of(NOTE + END, division=32767),
    "songs side by side": file_of(NOTE + END, NOTE + END, kind=2),
    "a kind that is none": file_of(NOTE + END, kind=9),
    "a note that never ends": file_of(b"\x00\x90\x3c\x40" + END),
    "notes without length": file_of(b"\x00\x90\x3c\x40\x00\x80\x3c\x00" * 2000 + END),
    "many notes": file_of(NOTE * 2000 + END),
    "many small tracks": file_of(*[NOTE + END] * 300),
    "drums alone": file_of(b"\x00\x99\x3c\x40\x83\x60\x89\x3c\x40" + END),
    "no end of the track": file_of(NOTE),
    "no events": file_of(b""),
    "no tracks": file_of(),
    "half a header": file_of()[:7],
    "nothing at all": b"",
    "another kind of file": b"RIFF\x00\x00\x00\x00RMID" + file_of(NOTE + END),
    "a page": b"<!DOCTYPE html><html></html>",
}


def mutated_midis(seed: int) -> Iterator[bytes]:
    """Broken files without an end: crafted ones, then good ones that were damaged.

    Args:
        seed: Of the damage.

    Yields:
        Files, most of them wrong.
    """
    yield from CRAFTED.values()
    rng = np.random.default_rng(seed)
    # Small ones, so that a blow meets something.
    sources = [data for data in (chord(), chord(32), SCORE, *CRAFTED.values()) if len(data) < 400]
    # As often as all the broken ones.
    sources += [SCORE] * len(CRAFTED)
    while True:
        yield _damaged(rng, sources[rng.integers(len(sources))])


def _damaged(rng: np.random.Generator, source: bytes) -> bytes:
    data = bytearray(source)
    match rng.integers(8):
        case 0:  # cut off
            del data[rng.integers(len(data) + 1):]
        case 1:  # noise behind a header
            data = bytearray(_HEADER.pack(b"MThd", 6, 1, 1, 480) + b"MTrk\x00\x00\x00\xc8"
                             + rng.bytes(rng.integers(200)))
        case 2:  # noise
            data = bytearray(rng.bytes(rng.integers(200)))
        case 3:  # a piece comes twice
            start, end = np.sort(rng.integers(len(data) + 1, size=2))
            data[end:end] = data[start:end]
        case 4 | 5 | 6 if data:  # bytes change, behind the header and the first track's
            for place in rng.integers(min(22, len(data) - 1), len(data), rng.integers(1, 5)):
                data[place] = rng.integers(256)
        case _:  # bytes change, come and go
            for _ in range(rng.integers(1, 9)):
                place = rng.integers(max(len(data), 1))
                data[place:place + rng.integers(3)] = rng.bytes(rng.integers(3))
    return bytes(data)
