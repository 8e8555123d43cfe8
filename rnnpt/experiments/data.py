"""What the command line says about data sets."""

from pathlib import Path

from rnnpt import datasets
from rnnpt.datasets import pianoroll


def describe_all(data_dir: Path | None = None) -> str:
    """Lists the data sets, and where the files of the published ones are.

    Args:
        data_dir: Folder to look in first.

    Returns:
        A line a set, and a line a published file.
    """
    names = datasets.names()
    width = max(len(name) for name in names)
    lines = [f"{name.ljust(width)}  {text}" for name, text in names.items()]
    for name in pianoroll.CHECKSUMS:
        path = pianoroll.find(name, data_dir)
        lines.append(f"{name}: {path or f'not here yet, rnnpt data get {name.lower()}'}")
    return "\n".join(lines)


def fetch(name: str, data_dir: Path | None = None) -> Path:
    """Downloads the file of a published set, unless it is there.

    Args:
        name: The set.
        data_dir: Where it shall be; the user's cache by default.

    Returns:
        The file.

    Raises:
        ValueError: If it is not one of the published sets.
    """
    known = pianoroll.ALIASES.get(name.lower())
    if known is None:
        raise ValueError(
            f"name must be one of {', '.join(pianoroll.CHECKSUMS)}, got {name!r}: the other sets "
            "are made by rnnpt data build."
        )
    if data_dir is not None:
        data_dir.mkdir(parents=True, exist_ok=True)
    return pianoroll.find(known, data_dir) or pianoroll.download(
        known, data_dir or pianoroll.cache_folder()
    )


def build(name: str, data_dir: Path | None = None) -> str:
    """Makes the piano rolls of a set and counts what is in them.

    Args:
        name: The set.
        data_dir: Folder of the published sets.

    Returns:
        A table of the three splits.
    """
    splits = datasets.get(name, data_dir)
    lines = [f"{splits.name}: {splits.num_visible} keys"]
    for split in ("train", "valid", "test"):
        sequences = getattr(splits, split)
        notes = sum(int(piece.sum()) for piece in sequences.sequences)
        lines.append(
            f"{split}: {len(sequences)} pieces, {sequences.num_frames} frames, "
            f"{notes / sequences.num_frames:.3f} notes a frame"
        )
    return "\n".join(lines)
