"""A user's own MIDI files as a data set."""
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rnnpt.datasets.sequence import Sequences
from rnnpt.datasets.splits import Splits
from rnnpt.music.piano_roll import MusicError
from rnnpt.music.pianoroll_midi import midi_to_pianoroll

SUFFIXES = (".mid", ".midi")
# Of training, validation and test: the shares of the published JSB chorales.
FRACTIONS = (0.6, 0.2, 0.2)

_log = logging.getLogger(__name__)


def midi_folder(path: str | os.PathLike[str], steps_per_quarter: int = 1,
                fractions: Sequence[float] = FRACTIONS, seed: int = 0) -> Splits:
    """Read all MIDI files of a folder and the folders in it, on the beat grid.

    A file that cannot be read is left out with one line of warning in the log. Which split a file
    goes to depends on its name within the folder and on the other names: files are sorted by a
    hash, then cut. Nothing is transposed.

    Args:
        path: Folder of `.mid` and `.midi` files.
        steps_per_quarter: Frames in a quarter note.
        fractions: Shares of the training, validation and test pieces; each gets one at least.
        seed: Seed of the hash, for another split of the same files.

    Returns:
        Training, validation and test pieces (T, 88), named by their paths in the folder.

    Raises:
        FileNotFoundError: If `path` is not a folder, or holds no MIDI file.
        ValueError: If fewer than three files can be read, `fractions` are not three positive
            numbers with sum 1, or `steps_per_quarter` is out of range.
    """
    return read_folder(
        path, lambda file: midi_to_pianoroll(file, steps_per_quarter).frames, fractions, seed,
        steps_per_quarter)


def read_folder(
    path: str | os.PathLike[str],
    read: Callable[[Path], np.ndarray],
    fractions: Sequence[float],
    seed: int,
    steps_per_quarter: int = 1,
) -> Splits:
    """Read all MIDI files of a folder in one way, as `midi_folder` does.

    Args:
        path: Folder of `.mid` and `.midi` files.
        read: From a file to its roll (T, V).
        fractions: Shares of the training, validation and test pieces.
        seed: Seed of the hash.
        steps_per_quarter: Frames in a quarter note, where there are such.

    Returns:
        Training, validation and test pieces.

    Raises:
        FileNotFoundError: If `path` is not a folder, or holds no MIDI file.
        ValueError: If fewer than three files can be read, or `fractions` are not three positive
            numbers with sum 1.
    """
    folder = Path(path)
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(
            "`fractions` must be three positive numbers with sum 1. Received: "
            f"fractions={tuple(fractions)}. Pass such as (0.6, 0.2, 0.2).")
    files = sorted(file for file in folder.rglob("*")
                   if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        what = "a folder without .mid or .midi files" if folder.is_dir() else "no folder"
        raise FileNotFoundError(
            f"`path` must be a folder with MIDI files. Received: path={str(folder)!r}, {what}. "
            "Pass the folder that holds them.")
    rolls, problems = _read(folder, files, read)
    if len(rolls) < 3:
        raise ValueError(
            f"`path` must hold at least three MIDI files that can be read, one a split. Received: "
            f"{len(rolls)} of {len(files)} in {str(folder)!r}"
            f"{'; ' + problems[0] if problems else ''}. Add files or correct them.")
    return Splits(**{split: Sequences([rolls[name] for name in names], names)
                     for split, names in _split(list(rolls), fractions, seed).items()},
                  name=folder.resolve().name, steps_per_quarter=steps_per_quarter)


def _read(
    folder: Path, files: list[Path], read: Callable[[Path], np.ndarray]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read rolls by name, and say of each file that is left out what is wrong with it."""
    rolls, problems = {}, []
    for file in files:
        name = file.relative_to(folder).as_posix()
        try:
            rolls[name] = read(file)
        except (MusicError, OSError) as error:
            problems.append(f"{name}: {error}")
            _log.warning("Left out %s", problems[-1])
    if problems:
        _log.warning("Left out %d of %d MIDI files in %s", len(problems), len(files), folder)
    return rolls, problems


def _split(names: list[str], fractions: Sequence[float], seed: int) -> dict[str, list[str]]:
    """Sort names by a hash and cut, so that each split has one at least."""
    names = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    num_test = min(max(1, round(fractions[2] * len(names))), len(names) - 2)
    num_valid = min(max(1, round(fractions[1] * len(names))), len(names) - num_test - 1)
    cuts = {"train": names[num_valid + num_test:], "valid": names[:num_valid],
            "test": names[num_valid:num_valid + num_test]}
    return {split: sorted(part) for split, part in cuts.items()}
