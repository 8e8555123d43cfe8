"""Errors of a graph in plain words."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn an assertion that fails in the graph into the one line that it says.

    Yields:
        Nothing.

    Raises:
        ValueError: what the assertion said.

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
        found = re.search(r"assertion failed: (.*)", error.message)
        if not found:
            raise
        raise ValueError(" ".join(re.findall(r"\[([^\]]*)\]", found[1]))) from error
