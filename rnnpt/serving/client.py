"""Clients of a served model, over gRPC or REST, without TensorFlow.

    client = Client("localhost:8500")  # or Client("http://localhost:8501")
    client.wait_until_ready()
    continued = client.continue_midi(pathlib.Path("opening.mid").read_bytes(), num_steps=64)

A session keeps a piece of music and the version that plays it; a stream keeps its time too:

    session = client.session(prime, seed=1)
    opening = session.generate(16)
    for played in client.stream(prime, qpm=96, steps_per_quarter=2):
        sound(played.frame)

Several servers take turns, and stand in for one that dies; TLS is a matter of the address:

    client = Client("one:8500,two:8500")
    client = Client("grpcs://host:8500", credentials=Credentials(ca.read_bytes()))

In asyncio the same calls are awaited:

    async with AsyncClient("localhost:8500") as client:
        scored = await client.score(frames)
        async for played in client.stream(prime):
            sound(played.frame)

All errors are `ServingError`s.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike

from rnnpt.serving import _continuation
from rnnpt.serving._address import Credentials
from rnnpt.serving._async_client import AsyncClient
from rnnpt.serving._driver import Clock, Driver
from rnnpt.serving._grpc_transport import GrpcTransport
from rnnpt.serving._opening import as_list, make_dialogue, open_transports
from rnnpt.serving._rest_transport import RestTransport
from rnnpt.serving._retry import Retry
from rnnpt.serving._session import AsyncSession, Restart, Session, Track
from rnnpt.serving._stream import Playhead, TimedFrame, play
from rnnpt.serving._transport import (
    Generated,
    Metadata,
    Scored,
    Stepped,
    Target,
    Transport,
    VersionStatus,
)
from rnnpt.serving.error import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ServingError,
    Unavailable,
)

__all__ = [
    "AsyncClient", "AsyncSession", "Cancelled", "Client", "Clock", "Credentials",
    "DeadlineExceeded", "FailedPrecondition", "Generated", "InvalidArgument", "Metadata",
    "NotFound", "Restart", "Retry", "Scored", "ServingError", "Session", "Stepped", "TimedFrame",
    "Unavailable", "VersionStatus",
]


class Client:
    """A connection to one model. Threads may share it.

    Each call ends within `timeout_s`, whatever it is made of. One that finds nobody is tried again
    (`Unavailable`, and no other error), at the next server where there are several.

    Args:
        target: "host:port" for gRPC, "http://host:port" (or https) for REST; "grpcs://host:port"
            for gRPC over TLS, "unix:/path" for its socket; several with commas between.
        model_name: The model's name on the server; that of the README's commands by default.
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
        timeout_s: float = 30.0, transport: Transport | Sequence[Transport] | None = None,
        credentials: Credentials | None = None, retry: Retry = Retry(), clock: Clock = Clock(),
    ):
        transports: list[Transport] = (
            open_transports(target, credentials, GrpcTransport, RestTransport)
            if transport is None else as_list(transport))
        self.target = target
        self._driver = Driver(transports, clock)
        self._dialogue = make_dialogue(
            target, Target(model_name, version), timeout_s, retry, len(transports), clock)

    def __enter__(self) -> "Client":
        """Returns the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the client."""
        self.close()

    def close(self) -> None:
        """Hangs up; a call after that is a `FailedPrecondition`."""
        self._driver.close()

    def metadata(self) -> Metadata:
        """Asks for the model's signatures.

        Returns:
            The signatures and the version that answers.
        """
        return self._driver.run(self._dialogue.metadata(self._dialogue.deadline()))

    def status(self) -> list[VersionStatus]:
        """Asks for the model's versions.

        Returns:
            The versions, newest first; those that have ended are among them.
        """
        return self._driver.run(self._dialogue.status(self._dialogue.deadline()))

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Waits until the model answers, at one server at least.

        Args:
            timeout_s: Seconds to wait.

        Raises:
            DeadlineExceeded: If it does not answer in that time.
        """
        self._driver.run(self._dialogue.wait_until_ready(timeout_s))

    def predict(
        self, inputs: Mapping[str, ArrayLike], signature_name: str = "serving_default"
    ) -> dict[str, np.ndarray]:
        """Runs any signature.

        Args:
            inputs: Input name -> value; cast to the signature's types where nothing is lost.
            signature_name: The signature.

        Returns:
            Output name -> value.

        Raises:
            InvalidArgument: If the inputs do not fit the signature, before anything is sent.
        """
        return self._driver.run(
            self._dialogue.predict(inputs, signature_name, self._dialogue.deadline()))

    def start(self, batch_size: int = 1) -> np.ndarray:
        """Asks for the state before the first frame.

        Args:
            batch_size: How many rows.

        Returns:
            The learned initial state, a row each (B, S).

        Raises:
            InvalidArgument: If the batch is empty.
        """
        return self._driver.run(self._dialogue.start(batch_size, self._dialogue.deadline()))

    def step(
        self, frame: ArrayLike, state: np.ndarray, seed: ArrayLike,
        temperature: ArrayLike = 1.0,
    ) -> Stepped:
        """Hears a frame and draws the next one.

        Args:
            frame: The frame that sounds now (B, V), 0 or 1.
            state: From `start` or the last step (B, S).
            seed: A number, which gives each row a stream of its own, or a pair a row (B, 2);
                another one each step, or the same draw comes again.
            temperature: A number, or one a row (B,); 1 for the model's own distribution.

        Returns:
            The next frame's probabilities, a sample of it, and the new state.
        """
        return self._driver.run(
            self._dialogue.step(frame, state, seed, temperature, self._dialogue.deadline()))

    def generate(
        self, prime: ArrayLike | None = None, num_steps: ArrayLike = 64, seed: ArrayLike = 0,
        temperature: ArrayLike = 1.0, length: ArrayLike | None = None,
        state: np.ndarray | None = None,
    ) -> Generated:
        """Continues music by many steps in one call.

        Args:
            prime: The music so far (B, T, V), 0 or 1; None to begin from nothing.
            num_steps: How many steps to generate, a number or one a row (B,).
            seed: A number, which gives each row a stream of its own, or a pair a row (B, 2).
            temperature: A number, or one a row (B,).
            length: How many steps of each row of `prime` are music (B,); None for all.
            state: Where to go on from (B, S), None for the beginning.

        Returns:
            The continuation, without the prime.
        """
        return self._driver.run(self._dialogue.generate(
            prime, num_steps, seed, temperature, length, state, self._dialogue.deadline()))

    def score(self, frames: ArrayLike, length: ArrayLike | None = None) -> Scored:
        """Asks how likely music is.

        Args:
            frames: The music (B, T, V), 0 or 1, padded at the end.
            length: How many steps of each row count (B,); None for all.

        Returns:
            The log-likelihood of each row.
        """
        return self._driver.run(self._dialogue.score(frames, length, self._dialogue.deadline()))

    def session(
        self, prime: ArrayLike | None = None, seed: int = 0, temperature: float = 1.0
    ) -> Session:
        """Begins a piece of music that keeps to one version of the model.

        Args:
            prime: The music to go on from (T, V), 0 or 1; None to begin from nothing.
            seed: Of the draws.
            temperature: Below 1 for safer music, above for wilder.

        Returns:
            The session; its first call asks which version is the newest.

        Raises:
            InvalidArgument: If the prime is no sequence of frames.
        """
        return Session(Track(self._dialogue, prime, seed, temperature), self._driver)

    def stream(
        self, prime: ArrayLike | None = None, num_steps: int | None = None, seed: int = 0,
        temperature: float = 1.0, qpm: float = 120.0, steps_per_quarter: int = 1,
        ahead_s: float = 2.0,
    ) -> Iterator[TimedFrame]:
        """Plays: yields each frame when it is due, frame k at k steps after frame 0.

        Frames are computed ahead, in a session, so that a slow call delays none while there are
        some; one that is late all the same is yielded at once, and says so.

        Args:
            prime: The music to go on from (T, V), 0 or 1; None to begin from nothing.
            num_steps: How many frames, None for no end.
            seed: Of the draws.
            temperature: Below 1 for safer music, above for wilder.
            qpm: Tempo in quarter notes a minute.
            steps_per_quarter: The grid that the model was trained on.
            ahead_s: Seconds of music to compute ahead.

        Returns:
            An iterator; its `close` ends the music.

        Raises:
            InvalidArgument: If an argument breaks its rule.
        """
        playhead = Playhead(num_steps, qpm, steps_per_quarter, ahead_s)
        return play(self.session(prime, seed, temperature), playhead, self._driver.clock)

    def continue_midi(
        self, data: bytes, num_steps: int = 64, seed: int = 0, temperature: float = 1.0,
        steps_per_quarter: int = 1, qpm: float | None = None,
    ) -> bytes:
        """Continues a MIDI file.

        Args:
            data: The file's bytes.
            num_steps: How many steps to add.
            seed: The continuation's seed.
            temperature: Below 1 for safer music, above 1 for wilder.
            steps_per_quarter: The grid that the model was trained on.
            qpm: Another tempo, in quarter notes a minute; None for the file's own.

        Returns:
            A MIDI file with the music and its continuation.

        Raises:
            InvalidArgument: If it is no MIDI file that can be continued.
        """
        prime = _continuation.read_prime(data, steps_per_quarter, qpm)
        generated = self.generate(_continuation.as_prime(prime), num_steps, seed, temperature)
        return _continuation.write_continued(prime, generated)
