"""gRPC's own settings of the server."""

import re

from rnnpt.serving._option import ServerOptions
from rnnpt.serving.error import InvalidArgument

_MAX_INT32 = 2**31 - 1
OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_INT32),
    ("grpc.max_send_message_length", _MAX_INT32),
    # Without this a second server shares the port in silence.
    ("grpc.so_reuseport", 0),
)


def channel_arguments(options: ServerOptions) -> list[tuple[str, str | int]]:
    """Reads `grpc_channel_arguments`.

    Args:
        options: The settings.

    Returns:
        gRPC's names and values, whole numbers as such.

    Raises:
        InvalidArgument: If an argument has no value.
    """
    pairs: list[tuple[str, str | int]] = []
    for word in filter(None, options.grpc_channel_arguments.split(",")):
        name, is_pair, value = word.partition("=")
        if not is_pair or not name:
            raise InvalidArgument(
                f"grpc_channel_arguments must be a list of name=value, got {word!r}; separate them "
                "by commas")
        pairs.append((name, _integer(value)))
    return pairs


def _integer(value: str) -> str | int:
    """gRPC knows integers of 32 bits; what is none stays text."""
    is_integer = re.fullmatch("-?[0-9]{1,10}", value) and abs(int(value)) <= _MAX_INT32
    return int(value) if is_integer else value
