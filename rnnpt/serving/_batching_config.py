"""How requests are batched: TensorFlow Serving's `BatchingParameters`, read and checked.

The checks and their words are TensorFlow Serving's.
"""

import dataclasses
import os
from typing import Any

from rnnpt.serving._text_message import message_class, read_text_message
from rnnpt.serving.error import InvalidArgument

#: The file of a version's own parameters, in its folder.
PARAMETERS_FILE = "batching_params.pbtxt"

#: Source: tensorflow/serving's session_bundle_config.proto; the numbers are ours from 8 on, which
#: a text does not show.
_FIELDS = {
    "max_batch_size": "Int64Value",
    "batch_timeout_micros": "Int64Value",
    "max_enqueued_batches": "Int64Value",
    "num_batch_threads": "Int64Value",
    "thread_pool_name": "StringValue",
    "allowed_batch_sizes": "repeated int64",
    "pad_variable_length_inputs": "bool",
    "enable_large_batch_splitting": "BoolValue",
    "max_execution_batch_size": "Int64Value",
}
BatchingParameters: Any = message_class("BatchingParameters", BatchingParameters=_FIELDS)


@dataclasses.dataclass(frozen=True)
class BatchingSettings:
    """How the requests of a model are batched; the defaults are TensorFlow Serving's.

    Args:
        max_batch_size: The most rows of one request, and of one batch where large ones are not
            split.
        batch_timeout_micros: How long the first request of a batch waits for others.
        max_enqueued_batches: How many batches of one signature may wait, the open one among them.
        num_batch_threads: Threads that run batches, for all models of a server.
        thread_pool_name: Their name.
        allowed_batch_sizes: Sizes that batches are filled up to; any size where empty.
        pad_variable_length_inputs: Whether inputs of different shapes are made equal and merged.
        enable_large_batch_splitting: Whether a request may be cut and run in several batches.
        max_execution_batch_size: The most rows of a batch where large ones are split.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    thread_pool_name: str = "batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 1000

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            InvalidArgument: If one is too small, or two do not fit together.
        """
        if self.num_batch_threads < 1:
            raise InvalidArgument(
                f"num_batch_threads must be positive; was {self.num_batch_threads}")
        if self.max_batch_size < 1:
            raise InvalidArgument(
                f"input_batch_size_limit must be positive; was {self.max_batch_size}")
        if self.batch_timeout_micros < 0:
            raise InvalidArgument(
                f"batch_timeout_micros must be non-negative; was {self.batch_timeout_micros}")
        if self.max_enqueued_batches < 1:
            raise InvalidArgument(
                f"max_enqueued_batches must be positive; was {self.max_enqueued_batches}")
        if self.enable_large_batch_splitting and self.max_execution_batch_size < 1:
            raise InvalidArgument(f"max_execution_batch_size must be positive; was "
                                  f"{self.max_execution_batch_size}")
        if self.max_batch_size < self.batch_limit:
            raise InvalidArgument(
                "When enable_large_batch_splitting is true, input_batch_size_limit must be "
                "greater than or equal to max_execution_batch_size.")
        if self.allowed_batch_sizes and self.allowed_batch_sizes[-1] != self.max_batch_size:
            raise InvalidArgument(
                "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
                f"{self.allowed_batch_sizes[-1]}; expected {self.max_batch_size}")

    @property
    def batch_limit(self) -> int:
        """The most rows of a batch."""
        if self.enable_large_batch_splitting:
            return self.max_execution_batch_size
        return self.max_batch_size

    def allowed_size(self, size: int) -> int:
        """Finds the size that a batch is filled up to.

        Args:
            size: Its rows.

        Returns:
            The first allowed size that holds them; the same size where there is none.
        """
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)


def read_settings(file: str | os.PathLike) -> BatchingSettings:
    """Reads a text file of `BatchingParameters`.

    Args:
        file: The file.

    Returns:
        What it says, with the defaults for what it does not say.

    Raises:
        ServingError: If it cannot be read, or holds something else, or numbers that do not fit
            together.
    """
    parameters = read_text_message(file, BatchingParameters())
    said: dict[str, Any] = {
        name: getattr(parameters, name).value
        for name, kind in _FIELDS.items()
        if kind.endswith("Value") and parameters.HasField(name)}
    if said.get("enable_large_batch_splitting"):
        # Without a limit of its own a batch may hold what a request may.
        said.setdefault("max_execution_batch_size",
                        said.get("max_batch_size", BatchingSettings.max_batch_size))
    elif said.get("max_enqueued_batches") == 0:
        # Accepted for the sake of old files: the one that is open.
        said["max_enqueued_batches"] = 1
    return BatchingSettings(
        **said, allowed_batch_sizes=tuple(parameters.allowed_batch_sizes),
        pad_variable_length_inputs=parameters.pad_variable_length_inputs)
