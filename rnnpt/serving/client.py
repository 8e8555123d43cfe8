"""A client of a served model, over gRPC or REST, without TensorFlow.

    client = Client("localhost:8500")  # or Client("http://localhost:8501")
    client.wait_until_ready()
    continued = client.continue_midi(pathlib.Path("opening.mid").read_bytes(), num_steps=64)
"""

import time
from collections.abc import Mapping
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike

from rnnpt.serving._argument import as_frames, as_lengths, as_rows, as_seeds, check_inputs
from rnnpt.serving._grpc_transport import GrpcTransport, check_address
from rnnpt.serving._rest_transport import RestTransport
from rnnpt.serving._transport import (
    Generated,
    Metadata,
    Scored,
    Signature,
    Stepped,
    Target,
    Transport,
    VersionStatus,
)
from rnnpt.serving.error import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    ServingError,
    Unavailable,
)

__all__ = [
    "Client", "DeadlineExceeded", "Generated", "InvalidArgument", "Metadata", "NotFound", "Scored",
    "ServingError", "Stepped", "Unavailable", "VersionStatus",
]

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 1.0


class Client:
    """A connection to one model. Threads may share it.

    Args:
        target: "host:port" for gRPC, "http://host:port" (or https) for REST.
        model_name: The model's name on the server; that of the README's commands by default.
        version: One version of it, None for the newest.
        timeout_s: Seconds that each call may take.
        transport: Another way to the server, for tests.

    Raises:
        InvalidArgument: If the target is no address.
    """

    def __init__(
        self, target: str, model_name: str = "chorales", version: int | None = None,
        timeout_s: float = 30.0, transport: Transport | None = None,
    ):
        if transport is None:
            is_rest = target.startswith(("http://", "https://"))
            transport = RestTransport(target) if is_rest else GrpcTransport(check_address(target))
        self.target = target
        self.timeout_s = timeout_s
        self._model = Target(model_name, version)
        self._transport = transport
        self._metadata: Metadata | None = None

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
        """Hangs up."""
        self._transport.close()

    def metadata(self) -> Metadata:
        """Asks for the model's signatures.

        Returns:
            The signatures and the version that answers.
        """
        self._metadata = self._transport.metadata(self._model, self.timeout_s)
        return self._metadata

    def status(self) -> list[VersionStatus]:
        """Asks for the model's versions.

        Returns:
            The versions, newest first; those that have ended are among them.
        """
        return self._transport.status(self._model, self.timeout_s)

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Waits until the model answers.

        Args:
            timeout_s: Seconds to wait.

        Raises:
            DeadlineExceeded: If it does not answer in that time.
        """
        end = time.monotonic() + timeout_s
        wait_s = _FIRST_WAIT_S
        while True:
            left_s = end - time.monotonic()
            try:
                per_call_s = min(max(left_s, _FIRST_WAIT_S), self.timeout_s)
                self._metadata = self._transport.metadata(self._model, per_call_s)
                return
            except (Unavailable, NotFound, DeadlineExceeded) as error:
                if left_s <= wait_s:
                    raise DeadlineExceeded(
                        f"model {self._model.model_name} must be served at {self.target} within "
                        f"timeout_s={timeout_s:g}, got: {error}") from None
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

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
        try:
            signature = self._signature(signature_name)
            arrays = check_inputs(inputs, signature)
        except InvalidArgument:
            # What is known may be that of a version that has been replaced.
            self._metadata = None
            signature = self._signature(signature_name)
            arrays = check_inputs(inputs, signature)
        return self._transport.predict(
            self._model, signature_name, signature, arrays, self.timeout_s)

    def _signature(self, name: str) -> Signature:
        metadata = self._metadata or self.metadata()
        if name not in metadata.signatures:
            raise InvalidArgument(
                f"signature_name must be one of {sorted(metadata.signatures)}, got {name!r}: "
                f"model {self._model.model_name} has no other")
        return metadata.signatures[name]

    def start(self, batch_size: int = 1) -> np.ndarray:
        """Asks for the state before the first frame.

        Args:
            batch_size: How many rows.

        Returns:
            The learned initial state, a row each (B, S).

        Raises:
            InvalidArgument: If the batch is empty.
        """
        if batch_size < 1:
            raise InvalidArgument(f"batch_size must be at least 1, got {batch_size}: ask for a row")
        return self.predict({"session": np.zeros(batch_size, np.int32)}, "start")["state"]

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
        num_rows = len(state)
        outputs = self.predict({
            "frame": frame, "state": state, "seed": as_seeds(seed, num_rows),
            "temperature": as_rows(temperature, num_rows, "temperature"),
        }, "step")
        return Stepped(outputs["probabilities"], outputs["sample"], outputs["state"])

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
        if prime is None:
            # A frame that does not count: servers differ on tensors without elements.
            num_visible = self._signature("generate").inputs["frames"].shape[-1]  # type: ignore
            prime = np.zeros((1 if state is None else len(state), 1, num_visible), np.float32)
            length = 0
        frames = as_frames(prime)
        num_rows = len(frames)
        outputs = self.predict({
            "state": self.start(num_rows) if state is None else state,
            "frames": frames,
            "length": as_lengths(length, frames),
            "num_steps": as_rows(num_steps, num_rows, "num_steps"),
            "seed": as_seeds(seed, num_rows),
            "temperature": as_rows(temperature, num_rows, "temperature"),
        }, "generate")
        return Generated(outputs["frames"], outputs["length"], outputs["state"])

    def score(self, frames: ArrayLike, length: ArrayLike | None = None) -> Scored:
        """Asks how likely music is.

        Args:
            frames: The music (B, T, V), 0 or 1, padded at the end.
            length: How many steps of each row count (B,); None for all.

        Returns:
            The log-likelihood of each row.
        """
        frames = as_frames(frames)
        outputs = self.predict({"frames": frames, "length": as_lengths(length, frames)}, "score")
        return Scored(
            outputs["log_likelihood"], outputs["standard_error"], outputs["frames_scored"])

    def continue_midi(
        self, data: bytes, num_steps: int = 64, seed: int = 0, temperature: float = 1.0,
        steps_per_quarter: int = 1,
    ) -> bytes:
        """Continues a MIDI file.

        Args:
            data: The file's bytes.
            num_steps: How many steps to add.
            seed: The continuation's seed.
            temperature: Below 1 for safer music, above for wilder.
            steps_per_quarter: The grid that the model was trained on.

        Returns:
            A MIDI file with the music and its continuation.
        """
        # Half the start of a client that reads no MIDI.
        from rnnpt.music import pianoroll_midi

        prime = pianoroll_midi.midi_to_pianoroll(data, steps_per_quarter)
        generated = self.generate(prime.frames[np.newaxis], num_steps, seed, temperature)
        added = generated.frames[0, :generated.length[0]] > 0.5
        frames = np.concatenate([prime.frames, added.astype(prime.frames.dtype)])
        onsets = pianoroll_midi.onsets_of(frames)
        onsets[:len(prime.onsets)] = prime.onsets
        return pianoroll_midi.pianoroll_to_midi(pianoroll_midi.PianoRoll(
            frames, onsets, steps_per_quarter, prime.qpm))
