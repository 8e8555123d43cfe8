"""Latency and load of the embedded server, over loopback, in processes of their own.

An RNN-RBM (150 hidden, 100 recurrent units) and an LSTM-NADE (150 hidden, 100 memory units) of 88
visible units are exported with untrained weights. Then, each in one run and in turns, so that the
ratios can be read on a machine that does other things too:

- one `step` at a time: the SavedModel in a process of its own, gRPC, REST, and an echo over gRPC of
  as many bytes, which is what the way costs without a server;
- one `generate` of 128 steps at a time, alone and over gRPC;
- sessions that ask for 8 frames a second each: how many frames come later than 50 ms after they
  were due. They ask what `Session.step` asks, `draw`, which computes no more than is wanted; or
  `step` itself, which computes probabilities too (`--load step`). A session asks
  again when it has its answer, and what it is behind counts. Their states are fixed, for the
  players must be cheap: they share the cores with the server. An echo of as many bytes tells what
  of it is the way there and back;
- the server's memory before and after many requests.

    python benchmarks/serving.py [--seconds 10] [--requests 100000] [--models rnn_rbm] [--smoke]

The sessions meet the server three times: with a thread a request, in batches of whatever waits
(`--enable_batching` with `num_batch_threads`, one unless told, and no time-out), and in batches
that wait 15 ms for company, which are fewer and larger, with one thread an operation. Each number
of sessions plays several times: how fast a shared machine is decides whether many are late.
"""

import argparse
import http.client
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc  # noqa: E402
import numpy as np  # noqa: E402
import serving_process as process  # noqa: E402

NUM_VISIBLE, NUM_GENERATED, WAIT_MS = 88, 128, 15
NAMES = ("rnn_rbm", "lstm_nade")


def export_model(name: str, version: Path) -> None:
    """Writes a SavedModel with untrained weights.

    Args:
        name: Of `NAMES`.
        version: The version's folder.
    """
    from rnnpt import cells, export, heads, models

    model = (models.RNNRBM(num_hidden=150, num_recurrent=100) if name == "rnn_rbm"
             else models.SequenceModel(cells.LSTMCell(100), heads.NADEHead(150)))
    model.build_for(NUM_VISIBLE)
    export.save(model, version, max_steps=256, max_num_steps=256)


def make_inputs(version: Path, signature: str, seed: int) -> dict[str, np.ndarray]:
    """Makes a request of one row.

    Args:
        version: The version's folder.
        signature: "step", "draw" or "generate".
        seed: Of the frame and of the draws.

    Returns:
        Inputs by name.
    """
    metadata = json.loads((version / "assets.extra" / "rnnpt.json").read_text())
    random = np.random.default_rng(seed)
    frame = (random.random((1, NUM_VISIBLE)) < 0.05).astype(np.float32)
    inputs = {"state": np.zeros((1, metadata["state_size"]), np.float32),
              "seed": np.array([[seed, 1]], np.int32), "temperature": np.ones(1, np.float32)}
    if signature == "draw":
        return inputs
    if signature == "step":
        return {"frame": frame, **inputs}
    return {"frames": frame[np.newaxis], "length": np.ones(1, np.int32),
            "num_steps": np.full(1, NUM_GENERATED, np.int32), **inputs}


def encode(signature: str, inputs: dict[str, np.ndarray]) -> bytes:
    """Writes a Predict call.

    Args:
        signature: The signature's name.
        inputs: Its inputs.

    Returns:
        The bytes.
    """
    from rnnpt.serving import _tensor, _wire

    request = _wire.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "model", signature
    for name, value in inputs.items():
        _tensor.fill_proto(request.inputs[name], value, as_content=True)
    return request.SerializeToString()


@contextmanager
def rest_call(port: int, signature: str, inputs: dict[str, np.ndarray]) -> Iterator[Callable]:
    """A REST call over one connection that stays open.

    Args:
        port: REST's.
        signature: The signature's name.
        inputs: Its inputs.

    Yields:
        What sends it and reads the answer.
    """
    row = {name: value[0].tolist() for name, value in inputs.items()}
    body = json.dumps({"signature_name": signature, "instances": [row]})
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call() -> bytes:
        connection.request("POST", "/v1/models/model:predict", body)
        return connection.getresponse().read()

    yield call
    connection.close()


def print_row(name: str, *values: object) -> None:
    """Prints a row of a Markdown table.

    Args:
        name: Its first cell.
        *values: The others.
    """
    print("|", " | ".join([name, *map(str, values)]), "|", flush=True)


def compare_latencies(version: Path, signature: str, rounds: int, flags: list[str]) -> None:
    """Prints p50 and p99 of one call at a time, of each way to the model.

    Args:
        version: The version's folder.
        signature: "step" or "generate".
        rounds: Turns of each way, of ten calls for a step and of one for `generate`.
        flags: The server's.
    """
    inputs = make_inputs(version, signature, 1)
    data = encode(signature, inputs)
    num_calls = 10 if signature == "step" else 1
    with ExitStack() as stack:
        server = stack.enter_context(process.serve(version.parent, flags))
        ask = stack.enter_context(process.worker(process.play_alone, version, flags))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{server.port}"))
        over_grpc = channel.unary_unary(process.METHOD)
        size = len(over_grpc(data))
        echo = stack.enter_context(process.worker(process.echo, size))
        echo_channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{echo('port')[0]}"))
        over_echo = echo_channel.unary_unary(process.METHOD)
        over_rest = stack.enter_context(rest_call(server.rest_api_port, signature, inputs))
        ways: dict[str, Callable[[int], list[float]]] = {
            "in the process": lambda count: ask((data, count)),
            "gRPC": lambda count: process.measure(lambda: over_grpc(data), count),
            "REST": lambda count: process.measure(over_rest, count),
            "gRPC echo": lambda count: process.measure(lambda: over_echo(data), count),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            for name, way in ways.items():
                times = way(num_calls)
                if turn:
                    seconds[name] += times
    what = signature if signature == "step" else f"generate of {NUM_GENERATED}"
    print(f"\n| {what}, {len(data):,} bytes there, {size:,} back | p50 ms | p99 ms | "
          "p50 - that in the process |\n|---|---|---|---|")
    alone = np.median(seconds["in the process"])
    for name, times in seconds.items():
        print_row(name, *(f"{1000 * value:.2f}" for value in (
            np.median(times), np.quantile(times, 0.99), np.median(times) - alone)))


def play_together(
    name: str, requests: list[bytes], port: int, cpu_s: Callable[[], float], sessions: list[int],
    seconds: float, repeats: int,
) -> None:
    """Prints how late frames are when several sessions play.

    Args:
        name: Of the way the server runs.
        requests: What the sessions ask.
        port: gRPC's.
        cpu_s: The server's processor time so far.
        sessions: Numbers of sessions.
        seconds: How long each number plays.
        repeats: How often.
    """
    with process.worker(process.play_sessions, port) as play:
        # Each size of batch is slow when it is met first.
        for count in sessions:
            play((requests, count, 4 * count))
        for count in sessions:
            before = cpu_s()
            loads: list[process.Load] = [
                play((requests, count, float(seconds))) for _ in range(repeats)]
            latencies = np.concatenate([load.latencies for load in loads])
            late = [100 * load.late_share() for load in loads]
            quantiles = (np.quantile(latencies, [0.5, 0.99]) * 1000
                         if len(latencies) else [np.nan] * 2)
            print_row(
                name, count, f"{np.median(late):.2f}", f"{max(late):.2f}",
                sum(load.num_errors for load in loads), *(f"{value:.1f}" for value in quantiles),
                *(f"{1000 * each / max(1, len(latencies)):.2f}"
                  for each in (cpu_s() - before, sum(load.cpu_s for load in loads))))


def compare_loads(
    version: Path, ways: dict[str, list[str]], sessions: list[int], seconds: float,
    repeats: int, load: str = "draw",
) -> None:
    """Prints how late frames are, by each way the server runs and by an echo of as many bytes.

    Args:
        version: The version's folder.
        ways: Name -> the server's flags.
        sessions: Numbers of sessions.
        seconds: How long each number plays.
        repeats: How often.
        load: What they ask: "draw" for a frame more, "step" for its probabilities too.
    """
    requests = [encode(load, make_inputs(version, load, seed)) for seed in range(64)]
    size = 0
    print(f"\n| {load}, {len(requests[0]):,} bytes there | sessions | late, %: median | most | "
          "failed | p50 ms | p99 ms | server's CPU ms a frame | players' |\n" + 9 * "|---" + "|")
    for name, flags in ways.items():
        with process.serve(version.parent, flags) as server:
            with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                size = len(channel.unary_unary(process.METHOD)(requests[0]))
            play_together(
                name, requests, server.port, server.cpu_s, sessions, seconds, repeats)
    with process.worker(process.echo, size) as echo:
        play_together("gRPC echo", requests, echo("port")[0], lambda: echo("time")[1], sessions,
                      seconds, repeats)


def watch_memory(version: Path, flags: list[str], num_requests: int) -> None:
    """Prints the server's memory before, during and after many requests.

    Args:
        version: The version's folder.
        flags: The server's.
        num_requests: How many.
    """
    requests = [encode("step", make_inputs(version, "step", seed)) for seed in range(64)]
    tenth = max(1, num_requests // 10)
    print("\n| requests | server's memory, MiB | failed |\n|---|---|---|")
    with process.serve(version.parent, flags) as server, \
            process.worker(process.play_sessions, server.port) as play:
        num_failed = 0
        print_row("0", f"{server.memory_mb():.0f}", 0)
        for turn in range(1, 11):
            load = play((requests, 64, tenth))
            num_failed += load.num_errors
            print_row(f"{turn * tenth:,}", f"{server.memory_mb():.0f}", num_failed)


def batching_flags(
    folder: Path, num_threads: int, max_sessions: int, wait_ms: int = 0
) -> list[str]:
    """Writes the parameters and makes the flags of batches.

    Args:
        folder: Where the parameters go.
        num_threads: Threads that run batches.
        max_sessions: Rows of a batch.
        wait_ms: Milliseconds that a request waits for company.

    Returns:
        The flags.
    """
    file = folder / f"batching_{wait_ms}.config"
    file.write_text(f"max_batch_size {{ value: {max_sessions} }}\n"
                    f"batch_timeout_micros {{ value: {1000 * wait_ms} }}\n"
                    f"num_batch_threads {{ value: {num_threads} }}\n")
    return ["--enable_batching", f"--batching_parameters_file={file}"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--sessions", nargs="+", type=int, default=[1, 8, 64, 256])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--batch_threads", type=int, default=1)
    parser.add_argument("--load", choices=("draw", "step"), default="draw",
                        help="what the sessions ask")
    parser.add_argument("--flags", nargs="*", default=[], help="of every server, as name=value")
    parser.add_argument("--exports", type=Path, help="keep the exports here, or take them")
    parser.add_argument("--smoke", action="store_true", help="in a toy size")
    args = parser.parse_args()
    if args.smoke:
        args.models, args.sessions = args.models[:1], [1, 4]
        args.seconds, args.repeats, args.rounds, args.requests = 1.0, 1, 2, 200
    with tempfile.TemporaryDirectory() as temporary:
        run(args, Path(temporary))


def run(args: Any, folder: Path) -> None:
    """Everything, for each model.

    Args:
        args: The command line's.
        folder: For files that are thrown away.
    """
    common = [f"--{flag}" for flag in args.flags]
    batches, patient = (
        [*batching_flags(folder, args.batch_threads, max(args.sessions), wait_ms), *common]
        for wait_ms in (0, WAIT_MS))
    patient.append("--tensorflow_intra_op_parallelism=1")
    for name in args.models:
        version = (args.exports or folder) / name / "1"
        if not version.exists():
            export_model(name, version)
        print(f"\n## {name}")
        compare_latencies(version, "step", args.rounds, common)
        compare_latencies(version, "generate", max(1, args.rounds // 3), common)
        compare_loads(
            version, {"a thread a request": common, "batches of what waits": batches,
                      f"batches, after {WAIT_MS} ms": patient},
            args.sessions, args.seconds, args.repeats, args.load)
        watch_memory(version, batches, args.requests)


if __name__ == "__main__":
    main()
