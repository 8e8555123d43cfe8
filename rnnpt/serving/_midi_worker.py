"""A process that reads MIDI files for the server, so that a wild one harms nobody.

    python -m rnnpt.serving._midi_worker

On standard input come requests, on standard output go answers, until the input ends. A request is
`REQUEST`'s numbers (bytes that follow, steps in a quarter note, most steps) and the file. An answer
is one line of JSON, {"error": ...} or {"num_steps": T, "qpm": ...}; in the second case the bits of
the frames and those of the onsets follow, `num_packed` bytes each.
"""

import json
import os
import resource
import struct
import sys
from typing import BinaryIO

import numpy as np

from rnnpt.music.pianoroll_midi import NUM_KEYS, MusicError, PianoRoll, midi_to_pianoroll

REQUEST = struct.Struct(">III")
#: Of addresses; NumPy and the parsers take 300 MiB of them, and the worst file another 200.
MAX_MEMORY_BYTES = 1 << 30
#: The worst file takes a few; the kernel ends the process after them.
MAX_CPU_SECONDS = 10


def num_packed(num_steps: int) -> int:
    """Counts the bytes of a packed roll.

    Args:
        num_steps: T.

    Returns:
        Those of T x 88 bits.
    """
    return -(-num_steps * NUM_KEYS // 8)


def unpack(data: bytes, num_steps: int) -> np.ndarray:
    """Reads a packed roll.

    Args:
        data: Its bytes.
        num_steps: T.

    Returns:
        Zeros and ones (T, 88), uint8.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=num_steps * NUM_KEYS)
    return bits.reshape(num_steps, NUM_KEYS)


def main() -> None:
    """Answers requests until the input ends."""
    _limit()
    source, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(header := source.read(REQUEST.size)) == REQUEST.size:
        num_bytes, steps_per_quarter, max_steps = REQUEST.unpack(header)
        _limit_cpu()
        _answer(answers, source.read(num_bytes), steps_per_quarter, max_steps)
        answers.flush()


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # No file of the disk can grow by its hand.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _limit_cpu() -> None:
    """The limit counts from the process' start, so it moves on with each file."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    times = os.times()
    resource.setrlimit(
        resource.RLIMIT_CPU, (int(times.user + times.system) + 1 + MAX_CPU_SECONDS, hard))


def _answer(answers: BinaryIO, data: bytes, steps_per_quarter: int, max_steps: int) -> None:
    try:
        roll = midi_to_pianoroll(data, steps_per_quarter, max_steps)
    except MusicError as error:
        _write_line(answers, {"error": str(error)})
    except MemoryError:
        _write_line(answers, {"error": (
            f"data must be a MIDI file that is read in {MAX_MEMORY_BYTES >> 20} MiB, got one of "
            f"{len(data)} bytes that needs more; cut the piece")})
    else:
        _write_roll(answers, roll)


def _write_line(answers: BinaryIO, line: dict[str, object]) -> None:
    answers.write(json.dumps(line).encode() + b"\n")


def _write_roll(answers: BinaryIO, roll: PianoRoll) -> None:
    _write_line(answers, {"num_steps": len(roll.frames), "qpm": roll.qpm})
    answers.write(np.packbits(roll.frames).tobytes())
    answers.write(np.packbits(roll.onsets).tobytes())


if __name__ == "__main__":
    main()
