"""MIDI files that are broken in many ways, for the tests and `benchmarks/faults.py`."""

import struct
from collections.abc import Iterator

import numpy as np

from rnnpt.music.pianoroll_midi import PianoRoll, onsets_of, pianoroll_to_midi

_HEADER = struct.Struct(">4sIHHh")


def chord(num_steps: int = 4) -> bytes:
    """A good file: C major, held."""
    frames = np.zeros((num_steps, 88), np.uint8)
    frames[:, [39, 43, 46]] = 1
    return pianoroll_to_midi(PianoRoll(frames, onsets_of(frames)))


def file_of(events: bytes, division: int = 480, kind: int = 1, num_tracks: int = 1,
            length: int | None = None) -> bytes:
    """One track of raw events under a header of one's own."""
    header = _HEADER.pack(b"MThd", 6, kind, num_tracks, division)
    return header + b"MTrk" + struct.pack(">I", len(events) if length is None else length) + events


NOTE = b"\x00\x90\x3c\x40\x83\x60\x80\x3c\x40"
END = b"\x00\xff\x2f\x00"
FAR = b"\xff\xff\xff\x7f"  # the largest time that a number of four bytes holds
CRAFTED = {
    "ticks that would fill gigabytes": file_of(b"\x00\x90\x3c\x40" + FAR + b"\x80\x3c\x40" + END),
    "a number without an end": file_of(b"\xff" * 5000),
    "more tracks than there are": file_of(NOTE + END, num_tracks=65535),
    "a track longer than the file": file_of(NOTE + END, length=2**32 - 1),
    "running status from nothing": file_of(b"\x00\x3c\x40" + END),
    "a text longer than the file": file_of(b"\x00\xff\x01\xff\xff\xff\x7f" + NOTE + END),
    "frames in place of beats": file_of(NOTE + END, division=-6400 & 0x7FFF | -0x8000),
    "no ticks": file_of(NOTE + END, division=0),
    "songs side by side": file_of(NOTE + END, kind=2),
    "a kind that is none": file_of(NOTE + END, kind=9),
    "no events": file_of(b""),
    "nothing at all": b"",
    "a header alone": _HEADER.pack(b"MThd", 6, 1, 0, 480),
    "drums alone": file_of(b"\x00\x99\x3c\x40\x83\x60\x89\x3c\x40" + END),
    "a tempo of nothing": file_of(b"\x00\xff\x51\x03\x00\x00\x00" + NOTE + END),
    "many notes": file_of(NOTE * 20_000 + END),
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
    sources = [chord(), chord(32), *CRAFTED.values()]
    while True:
        data = bytearray(sources[rng.integers(len(sources))])
        match rng.integers(4):
            case 0:
                del data[rng.integers(len(data) + 1):]
            case 1:
                data = bytearray(b"MThd" + rng.bytes(rng.integers(200)))
            case _:
                for _ in range(rng.integers(1, 9)):
                    place = rng.integers(max(len(data), 1))
                    data[place:place + rng.integers(3)] = rng.bytes(rng.integers(3))
        yield bytes(data)
