"""MIDI over HTTP: `POST /v1/continue` takes a MIDI file and answers with it and its continuation.

    curl --data-binary @my.mid 'localhost:8502/v1/continue?num_steps=64' -o continued.mid

This port is rnnpt's own; TensorFlow Serving has none like it.
"""

import asyncio
import dataclasses
import functools
import json
import time
import urllib.parse
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from tensorflow_serving.apis import model_pb2, predict_pb2

from rnnpt.music.pianoroll_midi import MAX_BYTES, MAX_QPM, MIN_QPM, PianoRoll
from rnnpt.serving import _predict, _tensor
from rnnpt.serving._argument import as_seeds
from rnnpt.serving._continuation import as_prime, write_continued
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._midi_reader import MidiReader
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._rest import STATUS_OF
from rnnpt.serving._rest_front import Application
from rnnpt.serving._servable import Servable
from rnnpt.serving._transport import Generated
from rnnpt.serving.error import DeadlineExceeded, InvalidArgument, ServingError

PATH = "/v1/continue"
_USAGE = f"""\
POST a MIDI file to {PATH} and get it back with a continuation:

    curl --data-binary @my.mid 'HOST:PORT{PATH}?num_steps=64' -o continued.mid

In the query: model, version, num_steps (64), temperature (1.0), seed (0), qpm and
steps_per_quarter (the file's and the model's own by default).
"""
_JSON, _TEXT, _MIDI = "application/json", "text/plain; charset=utf-8", "audio/midi"
#: Where an export does not say what it was made with; these are the defaults of `export.save`.
_DEFAULTS = {"max_steps": 1024, "max_num_steps": 1024, "steps_per_quarter": 1}


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What the query may say.

    Args:
        model: The model's name; none needed where one alone is served.
        version: One version of it, None for the newest.
        num_steps: How many steps to add.
        temperature: Below 1 for safer music, above for wilder.
        seed: The continuation's seed.
        qpm: Tempo of the answer in quarter notes a minute; None for the file's own.
        steps_per_quarter: The grid; None for the one that the model was trained on.
    """

    model: str = ""
    version: int | None = None
    num_steps: int = 64
    temperature: float = 1.0
    seed: int = 0
    qpm: float | None = None
    steps_per_quarter: int | None = None


#: Name -> type, least and largest value.
_NUMBERS: Mapping[str, tuple[type, float, float]] = {
    "version": (int, 0, 2**63 - 1),
    "num_steps": (int, 1, 2**31 - 1),
    "temperature": (float, 1e-6, 1e6),
    "seed": (int, 0, 2**31 - 1),
    "qpm": (float, MIN_QPM, MAX_QPM),
    "steps_per_quarter": (int, 1, 96),
}


def parse_query(query: str) -> Parameters:
    """Reads the query.

    Args:
        query: What stands behind the question mark.

    Returns:
        The parameters.

    Raises:
        InvalidArgument: If one is unknown, stands there twice or is out of its range.
    """
    known = [field.name for field in dataclasses.fields(Parameters)]
    found: dict[str, Any] = {}
    for name, text in urllib.parse.parse_qsl(query, keep_blank_values=True):
        if name not in known or name in found:
            raise InvalidArgument(
                f"the query must hold each of {', '.join(known)} at most once, got "
                f"{name!r:.60}{' again' if name in found else ''}; leave it out")
        found[name] = text if name == "model" else _number(name, text)
    return Parameters(**found)


def _number(name: str, text: str) -> float:
    kind, least, most = _NUMBERS[name]
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not least <= value <= most:
        what = "a whole number" if kind is int else "a number"
        raise InvalidArgument(
            f"{name} must be {what} from {least:g} to {most:g}, got {text!r:.60}; choose one")
    return value


def continue_file(
    manager: ModelManager, reader: MidiReader, query: str, data: bytes, ends_at: float
) -> bytes:
    """Continues a MIDI file.

    Args:
        manager: The models.
        reader: Reads the file.
        query: The parameters.
        data: The file.
        ends_at: When its time is over, on the monotonic clock.

    Returns:
        The file's music and its continuation, as a MIDI file. The model hears as much of the end of
        long music as it takes.

    Raises:
        InvalidArgument: If the parameters or the file are wrong, or the model takes other frames.
    """
    parameters = parse_query(query)
    spec = model_pb2.ModelSpec(name=parameters.model or _only_model(manager))
    if parameters.version is not None:
        spec.version.value = parameters.version
    with manager.borrow(spec) as servable:
        limits = _limits(servable)
        if parameters.num_steps > limits["max_num_steps"]:
            raise InvalidArgument(
                f"num_steps must be at most {limits['max_num_steps']}, got "
                f"{parameters.num_steps}; send the answer back for more")
        grid = parameters.steps_per_quarter or limits["steps_per_quarter"]
        prime = reader.read(data, grid)
        if parameters.qpm is not None:
            prime = dataclasses.replace(prime, qpm=parameters.qpm)
        generated = _generate(servable, parameters, prime, limits["max_steps"], ends_at)
    return write_continued(prime, generated)


def _only_model(manager: ModelManager) -> str:
    names = manager.names()
    if len(names) != 1:
        raise InvalidArgument(
            f"model must be one of {', '.join(names)}, got none; add ?model=NAME to the address")
    return names[0]


def _limits(servable: Servable) -> dict[str, int]:
    """What an export says of itself, where it is one of rnnpt's."""
    try:
        told = json.loads((servable.path / "assets.extra" / "rnnpt.json").read_text("utf-8"))
    except (OSError, ValueError):
        told = {}
    return {name: told.get(name) or default for name, default in _DEFAULTS.items()}


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


class _Reply(NamedTuple):
    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def _refusal(status: int, text: str, *headers: tuple[bytes, bytes]) -> _Reply:
    return _Reply(status, _JSON, json.dumps({"error": text}).encode() + b"\n", headers)


def make_application(
    manager: ModelManager, reader: MidiReader, executor: Executor, options: ServerOptions
) -> Application:
    """Makes the application.

    Args:
        manager: The models.
        reader: Reads the files.
        executor: Where requests run, never in the event loop.
        options: REST's time limit, which is this port's too.

    Returns:
        An ASGI application that knows HTTP alone.
    """
    timeout_s = options.rest_api_timeout_in_ms / 1000

    async def answer(scope: dict, receive: Callable) -> _Reply | None:
        refusal = _refuse_address(scope["method"], scope["path"])
        if refusal is not None:
            return refusal
        body = await _read_body(receive)
        if not isinstance(body, bytes):
            return body
        call = functools.partial(
            continue_file, manager, reader, scope["query_string"].decode("latin-1"), body,
            time.monotonic() + timeout_s)
        try:
            future = asyncio.get_running_loop().run_in_executor(executor, call)
            return _Reply(200, _MIDI, await asyncio.wait_for(future, timeout_s))
        except TimeoutError:
            error: ServingError = DeadlineExceeded(
                f"a continuation must be made in {timeout_s:g} seconds, got no end of it; ask for "
                "fewer num_steps")
        except ServingError as caught:
            error = caught
        return _refusal(STATUS_OF[error.code], str(error))

    async def application(scope: dict, receive: Callable, send: Callable) -> None:
        reply = await answer(scope, receive)
        if reply is not None:
            await _send(send, reply)

    return application


def _refuse_address(method: str, path: str) -> _Reply | None:
    if path not in (PATH, "/"):
        return _refusal(404, f"the path must be {PATH}, got {path!r:.200}; POST a MIDI file there")
    if method in ("GET", "HEAD"):
        return _Reply(200, _TEXT, _USAGE.encode())
    if method != "POST" or path != PATH:
        return _refusal(405, f"the method must be POST to {PATH}, got {method} {path}; send the "
                             "file so", (b"allow", b"GET, HEAD, POST" if path == PATH else b"GET"))
    return None


async def _read_body(receive: Callable) -> bytes | _Reply | None:
    """Gathers the file, or says that it is too large; None if the client left."""
    data = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        data += message.get("body", b"")
        if len(data) > MAX_BYTES:
            return _refusal(413, f"a MIDI file must have at most {MAX_BYTES} bytes, got more; cut "
                                 "the piece", (b"connection", b"close"))
        if not message.get("more_body", False):
            return data


async def _send(send: Callable, reply: _Reply) -> None:
    headers = [(b"content-type", reply.content_type.encode()),
               (b"content-length", str(len(reply.body)).encode()), *reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
