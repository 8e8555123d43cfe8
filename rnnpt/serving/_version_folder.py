"""The version folders of a model: what lies in its base path."""

import logging
import re
from pathlib import Path

_LOGGER = logging.getLogger("rnnpt.serving")
_NUMBER = re.compile(r"\s*-?[0-9]+\s*", re.ASCII)
_INT64 = range(-(2**63), 2**63)


def version_folders(base_path: Path) -> dict[int, Path] | None:
    """Finds the versions of a model.

    Args:
        base_path: The folder of version folders.

    Returns:
        Number -> folder; names that are no number of 64 bits are passed over. None if there is no
        such folder, or it cannot be read.
    """
    try:
        paths = sorted(base_path.iterdir())
    except (OSError, ValueError):  # a name that no file system takes is a ValueError
        return None
    found: dict[int, Path] = {}
    for path in paths:
        if not _NUMBER.fullmatch(path.name) or int(path.name) not in _INT64:
            continue
        number = int(path.name)
        if number in found:
            _LOGGER.warning("%s and %s are the same version; the last is used",
                            found[number].name, path)
        found[number] = path
    return found
