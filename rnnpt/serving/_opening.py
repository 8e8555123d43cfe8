"""What both clients are made of."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from rnnpt.serving._address import REST_SCHEMES, Address, Credentials, parse_target
from rnnpt.serving._dialogue import Dialogue
from rnnpt.serving._driver import Clock
from rnnpt.serving._retry import Retry, Rotation, check_seconds
from rnnpt.serving._transport import Target
from rnnpt.serving.error import InvalidArgument

T = TypeVar("T")
Opener = Callable[[Address, Credentials | None], T]


def open_transports(
    target: str, credentials: Credentials | None, over_grpc: Opener[T], over_rest: Opener[T]
) -> list[T]:
    """Opens the ways to servers.

    Args:
        target: The servers.
        credentials: What TLS needs.
        over_grpc: Opens one over gRPC.
        over_rest: Opens one over REST.

    Returns:
        One for each server.

    Raises:
        InvalidArgument: If the target is no address, or TLS is asked for where there is none.
    """
    addresses = parse_target(target)
    scheme = addresses[0].scheme
    if scheme == "http" and credentials is not None:
        raise InvalidArgument(f"credentials must be None over http, got some for {target!r}: write "
                              "https://")
    if addresses[0].is_secure and credentials is None:
        credentials = Credentials()
    opener = over_rest if scheme in REST_SCHEMES else over_grpc
    return [opener(address, credentials) for address in addresses]


def as_list(transport: T | Sequence[T]) -> list[T]:
    """Takes a transport of the caller's, or several.

    Args:
        transport: One, or a list or tuple.

    Returns:
        All.
    """
    return list(transport) if isinstance(transport, list | tuple) else [transport]  # type: ignore


def make_dialogue(
    target: str, model: Target, timeout_s: float, retry: Retry, num_servers: int, clock: Clock
) -> Dialogue:
    """Makes the scripts of a client.

    Args:
        target: The servers, as the caller named them.
        model: The model.
        timeout_s: Seconds that each call may take.
        retry: When to try again.
        num_servers: How many servers there are.
        clock: Tells the time.

    Returns:
        The dialogue.

    Raises:
        InvalidArgument: If the time is none, or the version no version.
    """
    check_seconds(timeout_s, "timeout_s")
    if model.version is not None and not 0 <= model.version < 2**63:
        raise InvalidArgument(f"version must be from 0 to 2^63 - 1, got {model.version}: None is "
                              "the newest")
    return Dialogue(model, target, timeout_s, retry, Rotation(num_servers, clock.now), clock.now)
