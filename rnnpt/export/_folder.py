"""Version folders: whole numbers under a base path, written beside and moved into place."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from rnnpt.export._option import ExportError

_MAX_VERSION = 2**63 - 1


def next_version(base_path: str | os.PathLike) -> Path:
    """Picks the folder of a model's next version; makes nothing.

    Args:
        base_path: The folder of all its versions, which need not be there.

    Returns:
        `base_path/N`, N one more than the largest there is, at first 1.

    Example:
        >>> next_version("models/of/nobody").name
        '1'
    """
    base_path = Path(base_path)
    return base_path / str(max(_versions(base_path), default=0) + 1)


def newest_version(directory: str | os.PathLike) -> Path:
    """Finds the SavedModel that a folder means.

    Args:
        directory: A version's folder, or the folder of all versions.

    Returns:
        The folder that holds `saved_model.pb`.

    Raises:
        FileNotFoundError: If there is none.
    """
    directory = Path(directory)
    if (directory / "saved_model.pb").is_file():
        return directory
    versions = {number: path for number, path in _versions(directory).items()
                if (path / "saved_model.pb").is_file()}
    if not versions:
        raise FileNotFoundError(
            f"directory must hold saved_model.pb, or versions that do, got {str(directory)!r}; "
            "make one with rnnpt export")
    return versions[max(versions)]


@contextlib.contextmanager
def written_beside(directory: Path) -> Iterator[Path]:
    """A folder to write a version in, moved to its place at the end, removed on an error.

    The server watches the base path and loads whatever is named by a number, so a version must
    appear there whole; names that start with a dot it passes over.

    Args:
        directory: The version's place.

    Yields:
        The folder to write in.

    Raises:
        ExportError: If the place is not named by a number, or is taken.
    """
    _check_free(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    beside = directory.with_name(f".{directory.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        yield beside
        # Again: another export may have taken the number meanwhile.
        _check_free(directory)
        os.rename(beside, directory)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check_free(directory: Path) -> None:
    """Refuses a place that the server would not see, or that another version has."""
    number = _number(directory.name)
    if number is None:
        raise ExportError(
            f"directory must end in a version number, got {str(directory)!r}; such as "
            f"{str(directory / '1')!r}, because TensorFlow Serving passes over other names")
    # To the server, 1 and 00001 are one version.
    taken = _versions(directory.parent).get(number)
    if taken is not None or directory.exists():
        raise ExportError(
            f"directory must be a version that is not there, got {str(taken or directory)!r}; "
            f"the next is {next_version(directory.parent).name}")


def _versions(base_path: Path) -> dict[int, Path]:
    if not base_path.is_dir():
        return {}
    numbered = ((_number(path.name), path) for path in base_path.iterdir() if path.is_dir())
    return {number: path for number, path in numbered if number is not None}


def _number(name: str) -> int | None:
    """The version that the server reads in a name, None where it reads none."""
    is_number = name.isascii() and name.isdecimal() and len(name) < 100
    return int(name) if is_number and int(name) <= _MAX_VERSION else None
