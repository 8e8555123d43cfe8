"""Servers and time as the client's tests want them, without a network and without waiting."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from rnnpt.serving._transport import Metadata, Signature, TensorSpec, VersionStatus
from rnnpt.serving.client import Clock, NotFound

NUM_VISIBLE = 12


def as_frame(number: int) -> np.ndarray:
    """A number's binary digits, lowest first."""
    return np.array([number >> bit & 1 for bit in range(NUM_VISIBLE)], np.float32)


def as_number(frame: np.ndarray) -> int:
    """The number of a frame."""
    return sum(1 << bit for bit in np.flatnonzero(frame).tolist())


class FakeClock(Clock):
    """Time passes only when somebody waits."""

    def __init__(self) -> None:
        self.time_s = 100.0
        self.sleeps: list[float] = []

    def now(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.time_s += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)


def tensors(**shapes: list) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(np.dtype(np.int32 if name in ("session", "seed", "num_steps", "length")
                                  else np.float32), (None, *shape))
        for name, shape in shapes.items()}


SIGNATURES = {
    "draw": Signature(
        tensors(state=[2], seed=[2], temperature=[]),
        tensors(sample=[NUM_VISIBLE], state=[2])),
    "start": Signature(tensors(session=[]), tensors(state=[2])),
    "generate": Signature(
        tensors(state=[2], frames=[None, NUM_VISIBLE], length=[], num_steps=[], seed=[2],
                temperature=[]),
        tensors(frames=[None, NUM_VISIBLE], length=[], state=[2])),
}


class FakeServer:
    """A transport to a model whose frame k is the number k: it counts what it has heard.

    The state is the version and the count; a version refuses the state of another.

    Args:
        versions: Those that are served.
        errors: What the next calls end with; None for those that go well.
        signatures: What the model has.
    """

    def __init__(
        self, versions: Iterable[int] = (1,), errors: Iterable[Exception | None] = (),
        signatures: Mapping[str, Signature] = SIGNATURES,
    ) -> None:
        self.signatures = dict(signatures)
        self.versions = list(versions)
        self.errors = list(errors)
        self.calls: list[tuple[str, int | None]] = []
        self.timeouts_s: list[float] = []
        self.inputs: list[dict] = []
        self.before: Callable[[str], None] = lambda method: None
        self.is_closed = False

    def _answer(self, method: str, version: int | None, timeout_s: float) -> int:
        self.calls.append((method, version))
        self.timeouts_s.append(timeout_s)
        self.before(method)
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        if version is None and self.versions:
            return max(self.versions)
        if version not in self.versions:
            raise NotFound(f"Servable not found for request: Specific(chorales, {version})")
        return version

    def metadata(self, target, timeout_s) -> Metadata:
        version = self._answer("metadata", target.version, timeout_s)
        return Metadata(target.model_name, version, self.signatures)

    def status(self, target, timeout_s) -> list[VersionStatus]:
        self._answer("status", target.version, timeout_s)
        return [VersionStatus(version, "AVAILABLE") for version in sorted(self.versions)[::-1]]

    def predict(self, target, signature_name, signature, inputs, timeout_s) -> dict:
        version = self._answer(signature_name, target.version, timeout_s)
        self.inputs.append(inputs)
        if signature_name == "start":
            return {"state": np.tile(np.float32([version, 0]), [len(inputs["session"]), 1])}
        assert inputs["state"][0, 0] == version, "the state of another version"
        if signature_name == "draw":
            next_one = int(inputs["state"][0, 1])
            return {"sample": np.float32([as_frame(next_one)]),
                    "state": np.float32([[version, next_one + 1]])}
        assert len(inputs["frames"][0]) <= 64, "frames must have at most 64 steps"
        first = int(inputs["state"][0, 1] + inputs["length"][0])
        last = first + int(inputs["num_steps"][0])
        frames = [as_frame(number) for number in range(first, last)]
        return {"frames": np.reshape(frames, [1, last - first, NUM_VISIBLE]).astype(np.float32),
                "length": inputs["num_steps"], "state": np.float32([[version, last]])}

    def close(self) -> None:
        self.is_closed = True


class AsyncFakeServer:
    """The same, awaited.

    Args:
        server: What answers.
    """

    def __init__(self, server: FakeServer) -> None:
        self.server = server

    async def metadata(self, *arguments) -> Metadata:
        return self.server.metadata(*arguments)

    async def status(self, *arguments) -> list[VersionStatus]:
        return self.server.status(*arguments)

    async def predict(self, *arguments) -> dict:
        await asyncio.sleep(0)
        return self.server.predict(*arguments)

    async def close(self) -> None:
        self.server.close()
