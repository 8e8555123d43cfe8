"""What the server and its MIDI processes say to each other: a kind, a length and a body.

Nothing is unpickled or evaluated: a process that a wild file has taken over can send wrong music,
and no more than that.
"""

import struct
from typing import BinaryIO

import numpy as np

from rnnpt.music.piano_roll import NUM_KEYS, PianoRoll

#: Kind and length of the body that follows.
HEADER = struct.Struct(">cI")
#: In front of a file: steps in a quarter note, the longest roll to make, and the tempo, which is no
#: number where the file's own is wanted.
GRID = struct.Struct(">IId")
# In front of the bits of a roll: its steps, those in a quarter note, its tempo.
_ROLL = struct.Struct(">IId")
#: Kinds: started; a file to be read; a roll that was read or is to be written; a file; why not.
READY, READ, ROLL, MIDI, ERROR = b"Y", b"R", b"P", b"M", b"E"


def pack_roll(roll: PianoRoll) -> bytes:
    """Packs a roll.

    Args:
        roll: The roll.

    Returns:
        The body of a message.
    """
    head = _ROLL.pack(len(roll.frames), roll.steps_per_quarter, roll.qpm)
    return b"".join([head, np.packbits(roll.frames).tobytes(), np.packbits(roll.onsets).tobytes()])


def unpack_roll(body: bytes) -> PianoRoll:
    """Unpacks a roll.

    Args:
        body: What `pack_roll` made.

    Returns:
        The roll.

    Raises:
        ValueError: If the body holds no roll.
    """
    if len(body) < _ROLL.size:
        raise ValueError(f"body must hold a roll, got {len(body)} bytes; make it with pack_roll")
    num_steps, steps_per_quarter, qpm = _ROLL.unpack_from(body)
    size = -(-num_steps * NUM_KEYS // 8)
    if len(body) != _ROLL.size + 2 * size:
        raise ValueError(f"body must hold a roll of {num_steps} steps, got {len(body)} bytes; make "
                         "it with pack_roll")
    frames, onsets = (
        np.unpackbits(np.frombuffer(body, np.uint8, size, start), count=num_steps * NUM_KEYS)
        .reshape(num_steps, NUM_KEYS) for start in (_ROLL.size, _ROLL.size + size))
    return PianoRoll(frames, onsets, steps_per_quarter, qpm)


def send(stream: BinaryIO, kind: bytes, body: bytes = b"") -> None:
    """Writes a message.

    Args:
        stream: Where to.
        kind: Its kind.
        body: Its body.
    """
    stream.write(HEADER.pack(kind, len(body)) + body)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[bytes, bytes] | None:
    """Reads a message.

    Args:
        stream: Where from; a read of it waits for all bytes.

    Returns:
        Kind and body, None at the end of the stream.
    """
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    kind, length = HEADER.unpack(header)
    body = stream.read(length)
    return None if len(body) < length else (kind, body)
