"""The client of asyncio."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike

from rnnpt.serving import _continuation
from rnnpt.serving._address import Credentials
from rnnpt.serving._driver import AsyncDriver, Clock
from rnnpt.serving._grpc_transport import AsyncGrpcTransport
from rnnpt.serving._opening import as_list, make_dialogue, open_transports
from rnnpt.serving._rest_transport import AsyncRestTransport
from rnnpt.serving._retry import Retry
from rnnpt.serving._session import AsyncSession, Track
from rnnpt.serving._stream import Playhead, TimedFrame, play_async
from rnnpt.serving._transport import (
    AsyncTransport,
    Generated,
    Metadata,
    Scored,
    Stepped,
    Target,
    VersionStatus,
)


class AsyncClient:
    """`Client` for asyncio: the same calls with the same arguments, awaited, in one event loop.

    A call that is cancelled is given up at once. Over REST each call under way has a thread.

        async with AsyncClient("localhost:8500") as client:
            await client.wait_until_ready()
            generated = await client.generate(prime, num_steps=64)

    Args:
        target: As for `Client`.
        model_name: The model's name on the server.
        version: One version of it, None for the newest.
        timeout_s: Seconds that each call may take.
        transport: Another way to the server, or a list of several, for tests.
        credentials: What TLS needs beside what everybody trusts.
        retry: When to try again.
        clock: Another clock, for tests.

    Raises:
        InvalidArgument: If the target is no address, or another argument breaks its rule.
    """

    def __init__(
        self, target: str, model_name: str = "chorales", version: int | None = None,
        timeout_s: float = 30.0, transport: AsyncTransport | Sequence[AsyncTransport] | None = None,
        credentials: Credentials | None = None, retry: Retry = Retry(), clock: Clock = Clock(),
    ):
        transports: list[AsyncTransport] = (
            open_transports(target, credentials, AsyncGrpcTransport, AsyncRestTransport)
            if transport is None else as_list(transport))
        self.target = target
        self._driver = AsyncDriver(transports, clock)
        self._dialogue = make_dialogue(
            target, Target(model_name, version), timeout_s, retry, len(transports), clock)

    async def __aenter__(self) -> "AsyncClient":
        """Returns the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the client."""
        await self.close()

    async def close(self) -> None:
        """Hangs up; a call after that is a `FailedPrecondition`."""
        await self._driver.close()

    async def metadata(self) -> Metadata:
        """As `Client.metadata`, awaited."""
        return await self._driver.run(self._dialogue.metadata(self._dialogue.deadline()))

    async def status(self) -> list[VersionStatus]:
        """As `Client.status`, awaited."""
        return await self._driver.run(self._dialogue.status(self._dialogue.deadline()))

    async def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """As `Client.wait_until_ready`, awaited."""
        await self._driver.run(self._dialogue.wait_until_ready(timeout_s))

    async def predict(
        self, inputs: Mapping[str, ArrayLike], signature_name: str = "serving_default"
    ) -> dict[str, np.ndarray]:
        """As `Client.predict`, awaited."""
        return await self._driver.run(
            self._dialogue.predict(inputs, signature_name, self._dialogue.deadline()))

    async def start(self, batch_size: int = 1) -> np.ndarray:
        """As `Client.start`, awaited."""
        return await self._driver.run(self._dialogue.start(batch_size, self._dialogue.deadline()))

    async def step(
        self, frame: ArrayLike, state: np.ndarray, seed: ArrayLike,
        temperature: ArrayLike = 1.0,
    ) -> Stepped:
        """As `Client.step`, awaited."""
        return await self._driver.run(
            self._dialogue.step(frame, state, seed, temperature, self._dialogue.deadline()))

    async def generate(
        self, prime: ArrayLike | None = None, num_steps: ArrayLike = 64, seed: ArrayLike = 0,
        temperature: ArrayLike = 1.0, length: ArrayLike | None = None,
        state: np.ndarray | None = None,
    ) -> Generated:
        """As `Client.generate`, awaited."""
        return await self._driver.run(self._dialogue.generate(
            prime, num_steps, seed, temperature, length, state, self._dialogue.deadline()))

    async def score(self, frames: ArrayLike, length: ArrayLike | None = None) -> Scored:
        """As `Client.score`, awaited."""
        return await self._driver.run(
            self._dialogue.score(frames, length, self._dialogue.deadline()))

    def session(
        self, prime: ArrayLike | None = None, seed: int = 0, temperature: float = 1.0
    ) -> AsyncSession:
        """As `Client.session`; the session's own calls are awaited."""
        return AsyncSession(Track(self._dialogue, prime, seed, temperature), self._driver)

    def stream(
        self, prime: ArrayLike | None = None, num_steps: int | None = None, seed: int = 0,
        temperature: float = 1.0, qpm: float = 120.0, steps_per_quarter: int = 1,
        ahead_s: float = 2.0,
    ) -> AsyncIterator[TimedFrame]:
        """As `Client.stream`, for `async for`; `aclose` ends the music."""
        playhead = Playhead(num_steps, qpm, steps_per_quarter, ahead_s)
        return play_async(self.session(prime, seed, temperature), playhead, self._driver.clock)

    async def continue_midi(
        self, data: bytes, num_steps: int = 64, seed: int = 0, temperature: float = 1.0,
        steps_per_quarter: int = 1, qpm: float | None = None,
    ) -> bytes:
        """As `Client.continue_midi`, awaited; the file is read and written in a thread."""
        prime = await asyncio.to_thread(_continuation.read_prime, data, steps_per_quarter, qpm)
        generated = await self.generate(
            _continuation.as_prime(prime), num_steps, seed, temperature)
        return await asyncio.to_thread(_continuation.write_continued, prime, generated)
