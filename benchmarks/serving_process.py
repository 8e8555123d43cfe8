"""The processes of `serving.py`: the server, an echo, the model alone, and the players.

Nothing here imports TensorFlow before it is needed: the players share two cores with the server.
"""

import asyncio
import contextlib
import gc
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import uvloop

ROOT = Path(__file__).parents[1]
METHOD = "/tensorflow.serving.PredictionService/Predict"
LATE_S = 0.05
FRAMES_A_SECOND = 8
_SPAWN = multiprocessing.get_context("spawn")


class Server(NamedTuple):
    """A running server.

    Attributes:
        pid: Its process.
        port: gRPC's.
        rest_api_port: REST's.
    """

    pid: int
    port: int
    rest_api_port: int

    def cpu_s(self) -> float:
        """Processor time so far.

        Returns:
            Seconds.
        """
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Memory that is resident.

        Returns:
            MiB.
        """
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


@contextlib.contextmanager
def serve(base_path: Path, flags: list[str]) -> Iterator[Server]:
    """Runs `rnnpt serve`.

    Args:
        base_path: Folder of versions.
        flags: More flags.

    Yields:
        The server, ready.

    Raises:
        RuntimeError: If it does not start.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-c", "from rnnpt.cli import main; main()", "serve",
         f"--model_base_path={base_path}", "--model_name=model", "--port=0", "--rest_api_port=0",
         *flags],
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"})
    try:
        for line in process.stdout or ():
            ports = re.search(r"gRPC at .*:(\d+), REST at http://.*:(\d+)/", line)
            if ports:
                yield Server(process.pid, int(ports[1]), int(ports[2]))
                return
        raise RuntimeError(f"the server must start, got exit {process.wait()}; see its errors")
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def worker(function: Callable[..., None], *args: Any) -> Iterator[Callable[[Any], Any]]:
    """Runs a function in a process of its own that answers questions.

    Args:
        function: Takes one end of a pipe, then `args`.
        *args: Of the function.

    Yields:
        What sends a question and waits for the answer.
    """
    here, there = _SPAWN.Pipe()
    process = _SPAWN.Process(target=function, args=(there, *args), daemon=True)
    process.start()

    def ask(question: Any) -> Any:
        here.send(question)
        return here.recv()

    try:
        yield ask
    finally:
        here.send(None)
        process.join(10)


def measure(call: Callable[[], object], count: int) -> list[float]:
    """Times calls one after the other.

    Args:
        call: What to time.
        count: How often.

    Returns:
        Seconds of each.
    """
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def play_alone(pipe: Any, version: Path, flags: list[str]) -> None:
    """The model in a process without a network; answers a request and a count with times.

    Args:
        pipe: Where questions come from.
        version: The version's folder.
        flags: The server's, of which those of TensorFlow's threads count.
    """
    from tensorflow_serving.apis import predict_pb2

    from rnnpt.serving import _tensor
    from rnnpt.serving._option import ServerOptions
    from rnnpt.serving._servable import Servable

    threads = {name: int(value) for name, _, value in
               (flag.lstrip("-").partition("=") for flag in flags) if "parallelism" in name}
    servable = Servable(version, 1, ServerOptions(**threads))
    for data, count in iter(pipe.recv, None):
        request = predict_pb2.PredictRequest.FromString(data)
        signature = servable.signatures[request.model_spec.signature_name]
        feeds = [(info.name, _tensor.from_proto(request.inputs[name]))
                 for name, info in signature.inputs.items()]
        fetches = [info.name for info in signature.outputs.values()]
        pipe.send(measure(lambda: servable.run(feeds, fetches), count))


def echo(pipe: Any, size: int) -> None:
    """A gRPC server that answers everything with as many bytes as the model would.

    Args:
        pipe: Asked for its port and its processor time so far.
        size: How many bytes.
    """
    gc.freeze()  # as the server does
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_echo(pipe, bytes(size)))


async def _echo(pipe: Any, answer: bytes) -> None:
    async def reply(request: bytes, context: Any) -> bytes:
        return answer

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(reply)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, pipe.recv) is not None:
        pipe.send((port, time.process_time()))
    await server.stop(0)


class Load(NamedTuple):
    """What a number of sessions met.

    Attributes:
        latencies: Seconds of each frame after it was due (N,).
        num_errors: Requests that failed.
        num_unsent: Frames that were due and not sent, because the answer before was not there.
        cpu_s: The players' own processor time.
    """

    latencies: np.ndarray
    num_errors: int
    num_unsent: int
    cpu_s: float

    def late_share(self) -> float:
        """The share of frames that came more than 50 ms after they were due.

        Returns:
            Between 0 and 1; those that failed or were never sent are late.
        """
        lost = self.num_errors + self.num_unsent
        late = np.count_nonzero(self.latencies > LATE_S) + lost
        return float(late / max(1, len(self.latencies) + lost))


def play_sessions(pipe: Any, port: int) -> None:
    """Players in one process; answers (requests, sessions, seconds or a count) with a `Load`.

    Args:
        pipe: Where questions come from.
        port: gRPC's.
    """
    # Players have a process each: they do not wait for this one's look for garbage.
    gc.freeze()
    for question in iter(pipe.recv, None):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            pipe.send(runner.run(_play(port, *question)))


async def _play(port: int, requests: list[bytes], num_sessions: int, amount: float) -> Load:
    """Sessions at 8 frames a second for a float of seconds, or an int of requests in all."""
    latencies: list[float] = []
    counts = {"errors": 0, "unsent": 0, "left": amount}
    cpu_s, start = time.process_time(), time.perf_counter() + 0.2

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(METHOD)

        async def send(index: int, due: float) -> None:
            try:
                await call(requests[index % len(requests)])
                latencies.append(time.perf_counter() - due)
            except grpc.aio.AioRpcError:
                counts["errors"] += 1

        async def on_time(index: int) -> None:
            # Spread over an eighth of a second, as listeners are.
            first = start + index / num_sessions / FRAMES_A_SECOND
            num_frames = int(amount * FRAMES_A_SECOND)
            for frame in range(num_frames):
                due = first + frame / FRAMES_A_SECOND
                if time.perf_counter() > start + amount + 1:
                    counts["unsent"] += num_frames - frame
                    return
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                await send(index, due)

        async def at_once(index: int) -> None:
            while counts["left"] > 0:
                counts["left"] -= 1
                await send(index, time.perf_counter())

        player = at_once if isinstance(amount, int) else on_time
        await asyncio.gather(*(player(index) for index in range(num_sessions)))
    return Load(np.array(latencies), counts["errors"], counts["unsent"],
                time.process_time() - cpu_s)
