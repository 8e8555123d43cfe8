"""Bach's chorales from the scores that the music21 wheel carries: nothing is downloaded."""
import hashlib
import importlib.metadata
import importlib.util
import io
import logging
import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from rnnpt.datasets._cache import cache_folder
from rnnpt.datasets.sequence import Sequences
from rnnpt.datasets.splits import Splits
from rnnpt.music.note_sequence import musicxml_to_pianoroll
from rnnpt.music.piano_roll import MusicError
from rnnpt.music.transposition import semitones_to_c, transpose
from rnnpt.whole_file import write_bytes

# Steps in a quarter note.
STEPS = {"quarter": 1, "eighth": 2}
# A piece goes to the first split whose number exceeds the hash of its file name, modulo 100: about
# the shares of the published set.
SPLIT_ENDS = {"train": 60, "valid": 80, "test": 100}
# A prelude of the Well-Tempered Clavier stands among them.
NO_CHORALES = ("bwv846.mxl",)
# The same chorale stands in some cantatas twice, or in two sources. Two pieces are one if so large
# a part of the shorter one's runs of so many frames is in the other too. In the published set the
# nearest training piece to any test piece shares 0.46.
SHARED_RUNS = 0.5
RUN_LENGTH = 4
# Part of the cache's name: raise it when anything above, or what makes the rolls, changes.
RECIPE = 1

_log = logging.getLogger(__name__)


def chorales(step: str = "quarter", cache_dir: str | os.PathLike[str] | None = None) -> Splits:
    """Read some 400 chorales by Bach as piano rolls in C major or C minor.

    The scores come with the music21 package and are read without importing it. The rolls are
    sampled like the JSB set of 2012, but the pieces and the split are not the published ones, so
    figures are not comparable: use `pianorolls("JSB_Chorales")` for those. Split by a hash of the
    file name; of pieces that are nearly the same only the first stays, so none crosses the splits.
    The first call takes some seconds, later ones read the cache.

    Args:
        step: Length of a frame, "quarter" or "eighth" note.
        cache_dir: Folder for the prepared rolls; by default the user's cache.

    Returns:
        Training, validation and test pieces (T, 88), named by their numbers in the catalogue of
        Bach's works.

    Raises:
        ValueError: If `step` is neither "quarter" nor "eighth".
        FileNotFoundError: If music21 or its scores are not installed.
    """
    if step not in STEPS:
        raise ValueError(
            f"`step` must be 'quarter' or 'eighth'. Received: step={step!r}. Pass one of the two.")
    folder = cache_folder() if cache_dir is None else Path(cache_dir)
    version = importlib.metadata.version("music21")
    path = folder / f"chorales_{step}_recipe{RECIPE}_music21_{version}.npz"
    rolls = _read_cache(path)
    if rolls is None:
        rolls = _drop_copies(_read_scores(_find_scores(), STEPS[step]))
        _write_cache(path, rolls)
    parts: dict[str, list[str]] = {split: [] for split in SPLIT_ENDS}
    for name in rolls:
        parts[_choose_split(name)].append(name)
    return Splits(**{split: Sequences([rolls[name] for name in names], names)
                     for split, names in parts.items()},
                  name="chorales" if step == "quarter" else f"chorales_{step}",
                  steps_per_quarter=STEPS[step])


def _find_scores() -> list[Path]:
    # Finding the package does not import it, which would take seconds.
    found = importlib.util.find_spec("music21")
    folder = Path(found.origin).parent if found and found.origin else Path("music21")
    scores = sorted(path for path in (folder / "corpus" / "bach").glob("*")
                    if path.suffix in (".mxl", ".xml") and path.name not in NO_CHORALES)
    if not scores:
        raise FileNotFoundError(
            "`chorales` needs the scores of the music21 package. Received: no MusicXML file in "
            f"{folder / 'corpus' / 'bach'}. Install music21 from its wheel, with its corpus.")
    return scores


def _read_scores(scores: list[Path], steps_per_quarter: int) -> dict[str, np.ndarray]:
    _log.info("Reading %d chorales from %s", len(scores), scores[0].parent)
    rolls = {}
    for path in scores:
        try:
            roll, key = musicxml_to_pianoroll(path, steps_per_quarter)
        except MusicError as error:
            _log.warning("Left out %s: %s", path.name, error)
            continue
        rolls[path.stem] = transpose(roll.frames, semitones_to_c(*key))
    return rolls


def _drop_copies(rolls: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keep the first of pieces that share most of their runs of frames."""
    kept = {}
    num_runs: dict[str, int] = {}
    owners: dict[bytes, list[str]] = defaultdict(list)
    for name, roll in rolls.items():
        runs = {roll[i:i + RUN_LENGTH].tobytes() for i in range(len(roll) - RUN_LENGTH + 1)}
        shared = Counter(owner for run in runs for owner in owners.get(run, ()))
        copied = [owner for owner, count in shared.items()
                  if count >= SHARED_RUNS * min(len(runs), num_runs[owner])]
        if copied:
            _log.info("Left out %s, which is nearly %s", name, copied[0])
            continue
        kept[name], num_runs[name] = roll, len(runs)
        for run in runs:
            owners[run].append(name)
    return kept


def _choose_split(name: str) -> str:
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()) % 100
    return next(split for split, end in SPLIT_ENDS.items() if number < end)


def _write_cache(path: Path, rolls: dict[str, np.ndarray]) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, frames=np.concatenate(list(rolls.values())),
                        lengths=[len(roll) for roll in rolls.values()], names=list(rolls))
    try:
        write_bytes(path, content.getvalue())
    except OSError as error:
        _log.warning("Could not keep the chorales for the next time: %s", error)


def _read_cache(path: Path) -> dict[str, np.ndarray] | None:
    if not path.is_file():
        return None
    try:
        # Of a damaged file np.load leaves the handle open; of bytes there is none.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as content:
            rolls = np.split(content["frames"], np.cumsum(content["lengths"])[:-1])
            return dict(zip(content["names"].tolist(), rolls, strict=True))
    # A damaged archive raises errors of zipfile, zlib and NumPy.
    except Exception as error:
        _log.warning("Building the chorales anew, as %s cannot be read: %s", path, error)
        return None
