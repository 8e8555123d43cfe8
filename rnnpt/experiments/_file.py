"""Whole files or none: written beside their place and moved there. Imports no TensorFlow."""

import os
from pathlib import Path


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file, and the folders above it.

    Args:
        path: The file's place.
        content: What it shall hold.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"writing.{os.getpid()}.{path.name}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, and the folders above it.

    Args:
        path: The file's place.
        text: What it shall hold.
    """
    write_bytes(path, text.encode("utf-8"))
