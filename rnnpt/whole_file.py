"""Files that are whole or not there at all: written beside their place, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a name beside a file to write under, and put it in the file's place at the end.

    Args:
        path: the file's place; its folder is made if missing.

    Yields:
        The name to write under, of the same suffix; what an error leaves there is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"writing.{os.getpid()}.{path.name}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file.

    Args:
        path: the file's place; its folder is made if missing.
        content: what it shall hold.
    """
    with written_beside(path) as beside:
        beside.write_bytes(content)
