"""The folder of downloads and prepared data."""
import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Tell where downloads and prepared data are kept.

    Returns:
        The user's cache folder of this package; it need not exist yet.
    """
    return Path(platformdirs.user_cache_dir("rnnpt"))


def write_beside(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: beside its place, then renamed.

    Args:
        path: The file; its folder is made if missing.
        content: What to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
