"""Errors of a graph in plain words."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

#: What an assertion says that fails since an optimizer gets no farther.
NO_PROGRESS = "an update must lower the loss"


class NoProgressError(ValueError):
    """A training whose optimizer does not lower the loss any more."""


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn an assertion that fails in the graph into the one line that it says.

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
        found = re.search(r"assertion failed: (.*)", error.message)
        if not found:
            raise
        said = " ".join(re.findall(r"\[([^\]]*)\]", found[1]))
        if NO_PROGRESS in said:
            raise NoProgressError(said) from error
        raise ValueError(said) from error
