"""A MIDI file continued by a model of the server."""

import contextlib
import threading
from collections.abc import Iterator, Mapping

import numpy as np
from tensorflow_serving.apis import model_pb2, predict_pb2

from rnnpt.music.piano_roll import MAX_STEPS, NUM_KEYS, PianoRoll
from rnnpt.serving import _predict, _tensor
from rnnpt.serving._argument import as_seeds
from rnnpt.serving._continuation import as_prime, drawn, read_limits
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._midi_query import Parameters
from rnnpt.serving._midi_reader import MidiReader
from rnnpt.serving._servable import METADATA_FILE, Servable
from rnnpt.serving._transport import Generated
from rnnpt.serving.error import Cancelled, FailedPrecondition, InvalidArgument, NotFound


def continue_file(
    manager: ModelManager, reader: MidiReader, parameters: Parameters, data: bytes, ends_at: float,
    gone: threading.Event,
) -> bytes:
    """Continues a MIDI file; the same arguments give the same bytes.

    Args:
        manager: The models.
        reader: Reads and writes the files.
        parameters: What to do.
        data: The file.
        ends_at: When its time is over, on the monotonic clock.
        gone: Set when nobody waits for the answer any more.

    Returns:
        The file's music and its continuation, as a MIDI file. Of music that is longer than the
        model's `max_steps` the model hears the last ones.

    Raises:
        ServingError: `InvalidArgument` if the parameters or the file are wrong, `NotFound` if there
            is no such model, `FailedPrecondition` if it makes no music, `Cancelled` if the client
            has left, or what the reader and the model raise.
    """
    with contextlib.ExitStack() as stack:
        name = _model_name(manager, parameters.model)
        servable = stack.enter_context(_borrowed(manager, name, parameters.version))
        _check_musical(servable, name)
        limits = read_limits(servable.path / METADATA_FILE)
        _check_steps(parameters.num_steps, limits["max_num_steps"])
        grid = parameters.steps_per_quarter or limits["steps_per_quarter"]
        prime = reader.read(data, grid, ends_at=ends_at, qpm=parameters.qpm)
        if len(prime.frames) + parameters.num_steps > MAX_STEPS:
            raise InvalidArgument(
                f"num_steps must be at most {MAX_STEPS} with the file's {len(prime.frames)} steps, "
                f"got {parameters.num_steps}; cut the piece")
        _check_wanted(gone)
        generated = _generate(servable, parameters, prime, limits["max_steps"], ends_at)
    _check_wanted(gone)
    return reader.write(prime.continued(drawn(generated)), ends_at)


def _model_name(manager: ModelManager, wanted: str) -> str:
    names = manager.names()
    if wanted and wanted not in names:
        raise NotFound(f"model must be one of {', '.join(names) or 'none'}, got {wanted!r:.60}; "
                       "name one that is served")
    if not wanted and len(names) != 1:
        raise InvalidArgument(f"model must be one of {', '.join(names) or 'none'}, got none; add "
                              "?model=NAME to the address")
    return wanted or names[0]


@contextlib.contextmanager
def _borrowed(manager: ModelManager, name: str, version: int | None) -> Iterator[Servable]:
    spec = model_pb2.ModelSpec(name=name)
    if version is not None:
        spec.version.value = version
    with contextlib.ExitStack() as stack:
        try:
            servable = stack.enter_context(manager.borrow(spec))
        except NotFound:
            raise NotFound(
                f"version must be one of model {name} that is loaded, got "
                f"{'any' if version is None else version}; GET /v1/models/{name} of the REST port "
                "lists them") from None
        yield servable


def _check_musical(servable: Servable, name: str) -> None:
    signatures = servable.signatures
    inputs = signatures["generate"].inputs if {"start", "generate"} <= set(signatures) else {}
    shape = inputs["frames"].tensor_shape.dim if "frames" in inputs else ()
    if not shape or shape[-1].size != NUM_KEYS:
        raise FailedPrecondition(
            f"model must generate frames of {NUM_KEYS} keys, got {name}, which does not; name one "
            "that was trained on music")


def _check_steps(num_steps: int, most: int) -> None:
    if num_steps > most:
        raise InvalidArgument(f"num_steps must be at most {most}, got {num_steps}; send the answer "
                              "back for more")


def _check_wanted(gone: threading.Event) -> None:
    if gone.is_set():
        raise Cancelled("the client must wait for its answer, got its leave; ask again")


def _generate(
    servable: Servable, parameters: Parameters, prime: PianoRoll, max_steps: int, ends_at: float
) -> Generated:
    frames = as_prime(prime)[:, -max_steps:]
    state = _run(servable, "start", {"session": np.zeros(1, np.int32)}, ends_at)["state"]
    outputs = _run(servable, "generate", {
        "state": state,
        "frames": frames,
        "length": np.array([frames.shape[1]], np.int32),
        "num_steps": np.array([parameters.num_steps], np.int32),
        "seed": as_seeds(parameters.seed, 1).astype(np.int32),
        "temperature": np.array([parameters.temperature], np.float32),
    }, ends_at)
    return Generated(outputs["frames"], outputs["length"], outputs["state"])


def _run(
    servable: Servable, signature_name: str, inputs: Mapping[str, np.ndarray], ends_at: float
) -> dict[str, np.ndarray]:
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = signature_name
    for name, value in inputs.items():
        _tensor.fill_proto(request.inputs[name], value, as_content=True)
    response = _predict.run_predict(servable, request, ends_at, as_content=True)
    return {name: _tensor.from_proto(proto) for name, proto in response.outputs.items()}
