"""The types that the client speaks in, and what a transport does for it."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

# How long a connection may take to open before another server is tried.
CONNECT_S = 5.0


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """An input or an output of a signature.

    Args:
        dtype: Its NumPy type, of objects for strings.
        shape: Its sizes, None where any will do; None instead of all of them if even their number
            is open.
    """

    dtype: np.dtype
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a model can be asked.

    Args:
        inputs: Name -> tensor.
        outputs: Name -> tensor.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a server tells of a model.

    Args:
        model_name: Its name.
        version: The version that answers.
        signatures: Name -> signature.
    """

    model_name: str
    version: int
    signatures: Mapping[str, Signature]


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """The state of a version.

    Args:
        version: Its number.
        state: "START", "LOADING", "AVAILABLE", "UNLOADING" or "END".
        error: Why it does not load, empty if nothing is wrong.
    """

    version: int
    state: str
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Target:
    """Which model a call is for.

    Args:
        model_name: Its name.
        version: One version of it, None for the newest.
    """

    model_name: str
    version: int | None = None


class Stepped(NamedTuple):
    """The answer of `Client.step`.

    Args:
        probabilities: Of the next frame (B, V).
        sample: One drawn from them (B, V).
        state: What to send with the next call (B, S).
    """

    probabilities: np.ndarray
    sample: np.ndarray
    state: np.ndarray


class Generated(NamedTuple):
    """The answer of `Client.generate`.

    Args:
        frames: The continuation (B, N, V), N the largest number of steps asked for.
        length: How many steps of each row count (B,).
        state: What to send to go on from there (B, S).
    """

    frames: np.ndarray
    length: np.ndarray
    state: np.ndarray


class Scored(NamedTuple):
    """The answer of `Client.score`.

    Args:
        log_likelihood: Of each row in total, in nats (B,).
        standard_error: Of an estimate, 0 where it is exact (B,).
        frames_scored: How many frames each row has (B,).
    """

    log_likelihood: np.ndarray
    standard_error: np.ndarray
    frames_scored: np.ndarray


class Transport(Protocol):
    """A way to a server. Tests put one of their own in its place."""

    def predict(
        self, target: Target, signature_name: str, signature: Signature,
        inputs: Mapping[str, np.ndarray], timeout_s: float,
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            target: The model.
            signature_name: The signature's name.
            signature: Its tensors.
            inputs: Name -> value, of the signature's types.
            timeout_s: Seconds to wait.

        Returns:
            Output name -> value.
        """
        ...

    def metadata(self, target: Target, timeout_s: float) -> Metadata:
        """Asks for the signatures.

        Args:
            target: The model.
            timeout_s: Seconds to wait.

        Returns:
            The signatures.
        """
        ...

    def status(self, target: Target, timeout_s: float) -> list[VersionStatus]:
        """Asks for the versions.

        Args:
            target: The model.
            timeout_s: Seconds to wait.

        Returns:
            The versions, newest first.
        """
        ...

    def close(self) -> None:
        """Hangs up."""
        ...


class AsyncTransport(Protocol):
    """The same for a client of asyncio."""

    async def predict(
        self, target: Target, signature_name: str, signature: Signature,
        inputs: Mapping[str, np.ndarray], timeout_s: float,
    ) -> dict[str, np.ndarray]:
        """As `Transport.predict`."""
        ...

    async def metadata(self, target: Target, timeout_s: float) -> Metadata:
        """As `Transport.metadata`."""
        ...

    async def status(self, target: Target, timeout_s: float) -> list[VersionStatus]:
        """As `Transport.status`."""
        ...

    async def close(self) -> None:
        """Hangs up."""
        ...
