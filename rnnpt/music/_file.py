"""Files that are whole or not there at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a name beside a file to write under, and put it in the file's place at the end.

    Args:
        path: the file to write.

    Yields:
        The name to write under, of the same suffix; what an error leaves there is removed.

    Raises:
        FileNotFoundError: if the file's folder does not exist.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path must lie in a folder that exists, got {str(path)!r}: make "
                                f"the folder first")
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
