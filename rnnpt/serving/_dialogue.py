"""What is said between a client and its servers, without the saying.

A call is a script: a generator that yields what is to be asked or waited for, gets the answer, or
the error, and returns what the caller wants. `Client` and `AsyncClient` play the same scripts, one
with plain calls, one with awaited ones, so that checks, retries and the rest are written once.
"""

import dataclasses
from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from rnnpt.serving._argument import as_frames, as_lengths, as_rows, as_seeds, check_inputs
from rnnpt.serving._retry import Deadline, Retry, Rotation
from rnnpt.serving._transport import (
    Generated,
    Metadata,
    Scored,
    Signature,
    Stepped,
    Target,
    VersionStatus,
)
from rnnpt.serving.error import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    ServingError,
    Unavailable,
)

T = TypeVar("T")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 1.0


class Ask(NamedTuple):
    """A line of a script: ask a server.

    Args:
        server: Its place in the list of transports.
        method: The transport's method.
        arguments: What the method takes, but for the time.
        timeout_s: Seconds to wait for the answer.
    """

    server: int
    method: str
    arguments: tuple
    timeout_s: float


class Pause(NamedTuple):
    """A line of a script: wait.

    Args:
        seconds: How long.
    """

    seconds: float


Script = Generator[Ask | Pause, Any, T]


@dataclasses.dataclass
class Dialogue:
    """The scripts of a model.

    Args:
        model: The model.
        target: The servers, as the caller named them.
        timeout_s: Seconds that each script may take.
        retry: When to try again.
        rotation: Whose turn it is.
        now: Tells the time in seconds.
        known: The metadata, once they were asked for.
    """

    model: Target
    target: str
    timeout_s: float
    retry: Retry
    rotation: Rotation
    now: Callable[[], float]
    known: Metadata | None = None

    def deadline(self) -> Deadline:
        """Returns the end of a call that begins now."""
        return Deadline(self.timeout_s, self.now)

    def pinned(self, metadata: Metadata) -> "Dialogue":
        """Keeps to the version that has answered.

        Args:
            metadata: Its answer.

        Returns:
            A dialogue with that version alone.
        """
        model = Target(self.model.model_name, metadata.version)
        return dataclasses.replace(self, model=model, known=metadata)

    def metadata(self, deadline: Deadline) -> Script[Metadata]:
        """As `Client.metadata`."""
        self.known = yield from self._ask("metadata", deadline)
        return self.known

    def status(self, deadline: Deadline) -> Script[list[VersionStatus]]:
        """As `Client.status`."""
        return (yield from self._ask("status", deadline))

    def wait_until_ready(self, timeout_s: float) -> Script[None]:
        """As `Client.wait_until_ready`."""
        deadline = Deadline(timeout_s, self.now)
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                per_call_s = min(deadline.left_s(), self.timeout_s)
                self.known = yield from self._ask_around(
                    "metadata", Deadline(per_call_s, self.now))
                return
            except (Unavailable, NotFound, DeadlineExceeded) as error:
                if not deadline.allows(wait_s):
                    raise DeadlineExceeded(
                        f"model {self.model.model_name} must be served at {self.target} within "
                        f"timeout_s={timeout_s:g}, got: {error}") from None
            yield Pause(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def predict(
        self, inputs: Mapping[str, ArrayLike], signature_name: str, deadline: Deadline
    ) -> Script[dict[str, np.ndarray]]:
        """As `Client.predict`."""
        try:
            signature = yield from self._signature(signature_name, deadline)
            arrays = check_inputs(inputs, signature)
        except InvalidArgument:
            # What is known may be that of a version that has been replaced.
            self.known = None
            signature = yield from self._signature(signature_name, deadline)
            arrays = check_inputs(inputs, signature)
        return (yield from self._ask("predict", deadline, signature_name, signature, arrays))

    def start(self, batch_size: int, deadline: Deadline) -> Script[np.ndarray]:
        """As `Client.start`."""
        if batch_size < 1:
            raise InvalidArgument(f"batch_size must be at least 1, got {batch_size}: ask for a row")
        inputs = {"session": np.zeros(batch_size, np.int32)}
        return (yield from self.predict(inputs, "start", deadline))["state"]

    def step(
        self, frame: ArrayLike, state: np.ndarray, seed: ArrayLike, temperature: ArrayLike,
        deadline: Deadline,
    ) -> Script[Stepped]:
        """As `Client.step`."""
        num_rows = len(state)
        outputs = yield from self.predict({
            "frame": frame, "state": state, "seed": as_seeds(seed, num_rows),
            "temperature": as_rows(temperature, num_rows, "temperature"),
        }, "step", deadline)
        return Stepped(outputs["probabilities"], outputs["sample"], outputs["state"])

    def draw(
        self, state: np.ndarray, seed: ArrayLike, temperature: ArrayLike, deadline: Deadline
    ) -> Script[Generated]:
        """As `generate` of one frame from a state on, for less where the version is known to."""
        if self.known is None or "draw" not in self.known.signatures:
            return (yield from self.generate(None, 1, seed, temperature, None, state, deadline))
        num_rows = len(state)
        outputs = yield from self.predict({
            "state": state, "seed": as_seeds(seed, num_rows),
            "temperature": as_rows(temperature, num_rows, "temperature"),
        }, "draw", deadline)
        frames = outputs["sample"][:, np.newaxis]
        return Generated(frames, np.ones(num_rows, np.int32), outputs["state"])

    def generate(
        self, prime: ArrayLike | None, num_steps: ArrayLike, seed: ArrayLike,
        temperature: ArrayLike, length: ArrayLike | None, state: np.ndarray | None,
        deadline: Deadline,
    ) -> Script[Generated]:
        """As `Client.generate`."""
        if state is not None or self.model.version is not None:
            return (yield from self._generate(
                prime, num_steps, seed, temperature, length, state, deadline))
        gone: int | None = None
        while True:
            # The state that one version starts with means nothing to another.
            metadata = yield from self.metadata(deadline)
            try:
                return (yield from self.pinned(metadata)._generate(
                    prime, num_steps, seed, temperature, length, None, deadline))
            except NotFound:
                if metadata.version == gone:
                    raise
                gone = metadata.version

    def _generate(
        self, prime: ArrayLike | None, num_steps: ArrayLike, seed: ArrayLike,
        temperature: ArrayLike, length: ArrayLike | None, state: np.ndarray | None,
        deadline: Deadline,
    ) -> Script[Generated]:
        if prime is None:
            # A frame that does not count: servers differ on tensors without elements.
            num_rows = 1 if state is None else len(state)
            prime = np.zeros((num_rows, 1, (yield from self.num_visible(deadline))), np.float32)
            length = 0
        frames = as_frames(prime)
        num_rows = len(frames)
        if state is None:
            state = yield from self.start(num_rows, deadline)
        outputs = yield from self.predict({
            "state": state,
            "frames": frames,
            "length": as_lengths(length, frames),
            "num_steps": as_rows(num_steps, num_rows, "num_steps"),
            "seed": as_seeds(seed, num_rows),
            "temperature": as_rows(temperature, num_rows, "temperature"),
        }, "generate", deadline)
        return Generated(outputs["frames"], outputs["length"], outputs["state"])

    def score(
        self, frames: ArrayLike, length: ArrayLike | None, deadline: Deadline
    ) -> Script[Scored]:
        """As `Client.score`."""
        frames = as_frames(frames)
        inputs = {"frames": frames, "length": as_lengths(length, frames)}
        outputs = yield from self.predict(inputs, "score", deadline)
        return Scored(
            outputs["log_likelihood"], outputs["standard_error"], outputs["frames_scored"])

    def num_visible(self, deadline: Deadline) -> Script[int]:
        """Asks how wide the model's frames are.

        Args:
            deadline: The call's end.

        Returns:
            V.

        Raises:
            ServingError: If the model does not tell.
        """
        signature = yield from self._signature("generate", deadline)
        shape = signature.inputs["frames"].shape
        if not shape or shape[-1] is None:
            raise ServingError(f"generate's frames must have a width, got the shape {shape}: "
                               "export the model with rnnpt")
        return shape[-1]

    def _signature(self, name: str, deadline: Deadline) -> Script[Signature]:
        metadata = self.known or (yield from self.metadata(deadline))
        if name not in metadata.signatures:
            raise InvalidArgument(
                f"signature_name must be one of {sorted(metadata.signatures)}, got {name!r}: "
                f"model {self.model.model_name} has no other")
        return metadata.signatures[name]

    def _ask(self, method: str, deadline: Deadline, *arguments: Any) -> Script[Any]:
        """Asks until somebody is there."""
        waits = self.retry.waits()
        while True:
            try:
                return (yield from self._ask_around(method, deadline, *arguments))
            except Unavailable:
                wait_s = next(waits, None)
                if wait_s is None or not deadline.allows(wait_s):
                    raise
            yield Pause(wait_s)

    def _ask_around(self, method: str, deadline: Deadline, *arguments: Any) -> Script[Any]:
        """Asks the server whose turn it is, and the others for a version that it does not have."""
        *others, last = self.rotation.turn()
        for server in (*others, last):
            try:
                answer = yield Ask(server, method, (self.model, *arguments), deadline.left_s())
            except (Unavailable, DeadlineExceeded):
                self.rotation.failed(server)
                raise
            except NotFound:
                if self.model.version is None or server == last:
                    raise
            else:
                self.rotation.answered(server)
                return answer
