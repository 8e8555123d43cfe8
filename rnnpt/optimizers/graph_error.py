"""Assertions of TensorFlow that fail, in plain words."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

#: What an assertion says that fails since an optimizer gets no farther.
NO_PROGRESS = "an update must lower the loss"

# A string among the data of an assertion that fails without a graph.
_BYTES = re.compile(r"""b'(?:[^'\\]|\\.)*'|b"(?:[^"\\]|\\.)*\"""")


class NoProgressError(ValueError):
    """A training whose optimizer does not lower the loss any more."""


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn an assertion that fails, in a graph or without one, into the one line that it says.

    Yields:
        Nothing.

    Raises:
        NoProgressError: where an optimizer gets no farther, what the assertion said.
        ValueError: elsewhere, the same.

    Example:
        >>> with plain_errors():
        ...     raise tf.errors.InvalidArgumentError(
        ...         None, None, "assertion failed: [T must be positive, got] [-1]")
        Traceback (most recent call last):
        ValueError: T must be positive, got -1
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        said = _said(error.message)
        if not said:
            raise
        if NO_PROGRESS in said:
            raise NoProgressError(said) from error
        raise ValueError(said) from error


def _said(message: str) -> str:
    """What an assertion says; nothing where the error is another."""
    parts: list[str] = []
    if found := re.search(r"assertion failed: (.*)", message):
        parts = re.findall(r"\[([^\]]*)\]", found[1])
    elif found := re.search(r"Summarized data: (.*)", message, re.DOTALL):  # run_eagerly
        parts = [line[2:-1] if _BYTES.fullmatch(line) else line for line in found[1].splitlines()]
    return re.sub(r"\\(['\"])", r"\1", " ".join(parts))
