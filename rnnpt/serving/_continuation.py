"""A MIDI file as the client's music, and back.

The reader is imported when the first file comes: it is half the start of a client that reads none.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnpt.serving._transport import Generated
from rnnpt.serving.error import InvalidArgument

if TYPE_CHECKING:
    from rnnpt.music.pianoroll_midi import PianoRoll


def read_prime(data: bytes, steps_per_quarter: int, qpm: float | None) -> "PianoRoll":
    """Reads a file.

    Args:
        data: Its bytes.
        steps_per_quarter: The grid that the model was trained on.
        qpm: Another tempo for it, in quarter notes a minute; None for its own.

    Returns:
        The music.

    Raises:
        InvalidArgument: If it cannot be read, or the grid or the tempo is none.
    """
    from rnnpt.music import pianoroll_midi

    if not isinstance(data, bytes):
        raise InvalidArgument(f"data must be the bytes of a MIDI file, got {type(data).__name__}: "
                              "read the file first")
    try:
        roll = pianoroll_midi.midi_to_pianoroll(data, steps_per_quarter)
        return roll if qpm is None else dataclasses.replace(roll, qpm=qpm)
    except (pianoroll_midi.MusicError, TypeError) as error:
        raise InvalidArgument(str(error)) from None


def as_prime(roll: "PianoRoll") -> np.ndarray:
    """Makes music a row.

    Args:
        roll: The music.

    Returns:
        Its frames (1, T, V).
    """
    return roll.frames[np.newaxis].astype(np.float32)


def continued(prime: "PianoRoll", generated: Generated) -> "PianoRoll":
    """Puts music and its continuation together.

    Args:
        prime: The music.
        generated: The continuation.

    Returns:
        Both; keys that sound on in the continuation are not struck again.
    """
    from rnnpt.music import pianoroll_midi

    added: Any = generated.frames[0, :generated.length[0]] > 0.5
    frames = np.concatenate([prime.frames, added.astype(prime.frames.dtype)])
    onsets = pianoroll_midi.onsets_of(frames)
    onsets[:len(prime.onsets)] = prime.onsets
    return pianoroll_midi.PianoRoll(frames, onsets, prime.steps_per_quarter, prime.qpm)


def write_continued(prime: "PianoRoll", generated: Generated) -> bytes:
    """Writes music with its continuation.

    Args:
        prime: The music.
        generated: The continuation.

    Returns:
        A MIDI file.
    """
    from rnnpt.music import pianoroll_midi

    return pianoroll_midi.pianoroll_to_midi(continued(prime, generated))
