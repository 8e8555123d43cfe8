"""A MIDI file as the client's music, and back, and what an export says of its own music.

The reader is imported when the first file comes: it is half the start of a client that reads none.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnpt.serving._transport import Generated
from rnnpt.serving.error import InvalidArgument

if TYPE_CHECKING:
    from rnnpt.music.piano_roll import PianoRoll

#: Where an export does not say what it was made with; these are the defaults of `export.save`.
DEFAULTS = {"max_steps": 1024, "max_num_steps": 1024, "steps_per_quarter": 1}


def read_limits(file: Path) -> dict[str, int]:
    """Reads what an export says of itself.

    Args:
        file: Its `assets.extra/rnnpt.json`, which need not be there.

    Returns:
        "max_steps", "max_num_steps" and "steps_per_quarter"; `DEFAULTS` for what it does not say.
    """
    try:
        told = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        told = None
    told = told if isinstance(told, dict) else {}
    return {name: told[name] if isinstance(told.get(name), int) and told[name] > 0 else default
            for name, default in DEFAULTS.items()}


def read_prime(data: bytes, steps_per_quarter: int, qpm: float | None) -> "PianoRoll":
    """Reads a file.

    Args:
        data: Its bytes.
        steps_per_quarter: The grid that the model was trained on.
        qpm: The tempo, in quarter notes a minute, in place of its own; None for that.

    Returns:
        The music.

    Raises:
        InvalidArgument: If it cannot be read, or the grid or the tempo is none.
    """
    from rnnpt.music import piano_roll, pianoroll_midi

    if not isinstance(data, bytes):
        raise InvalidArgument(f"data must be the bytes of a MIDI file, got {type(data).__name__}: "
                              "read the file first")
    try:
        return pianoroll_midi.midi_to_pianoroll(data, steps_per_quarter, qpm=qpm)
    except (piano_roll.MusicError, TypeError) as error:
        raise InvalidArgument(str(error)) from None


def as_prime(roll: "PianoRoll") -> np.ndarray:
    """Makes music a row.

    Args:
        roll: The music.

    Returns:
        Its frames (1, T, V).
    """
    return roll.frames[np.newaxis].astype(np.float32)


def drawn(generated: Generated) -> np.ndarray:
    """Takes the frames of a row that was generated.

    Args:
        generated: The answer to one row.

    Returns:
        Those that the model promises (N, V); a key sounds where the model's value is above 0.5.
    """
    return generated.frames[0, :generated.length[0]] > 0.5


def write_continued(prime: "PianoRoll", generated: Generated) -> bytes:
    """Writes music with its continuation.

    Args:
        prime: The music.
        generated: The continuation.

    Returns:
        A MIDI file.
    """
    from rnnpt.music import pianoroll_midi

    return pianoroll_midi.pianoroll_to_midi(prime.continued(drawn(generated)))
