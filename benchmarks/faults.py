"""Faults of the embedded server: what clients see of them, counted.

    python benchmarks/faults.py [--only NAME ...] [--scale 0.01] [--output results/faults.md]

Each fault hits a server in a process of its own, at the loopback address, with a small model that
was not trained. `--scale` shortens everything alike. The table is written when all have run.
"""

import argparse
import collections
import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import numpy as np
from serving_process import METHOD, ROOT, Server, serve

# The generators of broken requests and files are those of the tests.
sys.path.insert(0, str(ROOT))
NUM_HIDDEN = 20
QUICK = ["--file_system_poll_wait_seconds=0.2", "--max_num_load_retries=0"]


class Outcome(NamedTuple):
    """A row of the table.

    Attributes:
        fault: What was done.
        seen: What came of it.
        holds: Whether what must hold does.
    """

    fault: str
    seen: str
    holds: bool


def make_model(base_path: Path) -> None:
    """Exports version 1 of a small model, in a process that ends with its memory.

    Args:
        base_path: Folder of the versions.
    """
    code = ("import sys; from rnnpt import export, models\n"
            f"model = models.RNN(num_hidden={NUM_HIDDEN}); model.build_for(num_visible=88)\n"
            "export.save(model, sys.argv[1])")
    subprocess.run([sys.executable, "-c", code, str(base_path / "1")], check=True, env={
        **os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"})


def add_version(base_path: Path, number: int, damage: Callable[[Path], None] | None = None) -> None:
    """Puts a copy of version 1 beside it, whole at once.

    Args:
        base_path: Folder of the versions.
        number: Of the copy.
        damage: Done to it first.
    """
    beside = base_path / f".{number}"
    shutil.copytree(base_path.parent / "seed" / "1", beside)
    if damage is not None:
        damage(beside)
    beside.rename(base_path / str(number))


def kill_during_streams(base_path: Path, scale: float) -> Iterator[Outcome]:
    """Kills one of two servers, then the only one, in the middle of the music.

    Args:
        base_path: Folder of the versions.
        scale: Of the number of kills.

    Yields:
        What became of the streams.
    """
    from rnnpt.serving.client import Client, ServingError

    count = max(1, round(5 * scale))
    ends: collections.Counter[str] = collections.Counter()
    longest_s = 0.0
    for _ in range(count):
        with serve(base_path, QUICK) as one, serve(base_path, QUICK) as other:
            with Client(f"127.0.0.1:{one.port},127.0.0.1:{other.port}", "model") as client:
                for frame in client.stream(num_steps=40, qpm=1200, ahead_s=0.2):
                    longest_s = max(longest_s, frame.late_s)
                    if frame.step == 5:
                        os.kill(one.pid, signal.SIGKILL)
                ends["went on"] += 1
    yield Outcome(f"kill -9 of one of two servers during a stream, {count} times",
                  f"{ends['went on']} streams went on to their end; the latest frame was "
                  f"{longest_s:.2f} s late", ends["went on"] == count)
    for _ in range(count):
        with serve(base_path, QUICK) as only, Client(
                f"127.0.0.1:{only.port}", "model", timeout_s=2) as client:
            start = time.monotonic()
            try:
                for frame in client.stream(qpm=1200, ahead_s=0.2):
                    if frame.step == 5:
                        os.kill(only.pid, signal.SIGKILL)
                        start = time.monotonic()
            except ServingError as error:
                ends[error.code] += 1
                longest_s = max(longest_s, time.monotonic() - start)
    told = ends["UNAVAILABLE"] + ends["DEADLINE_EXCEEDED"]
    yield Outcome(f"kill -9 of the only server during a stream, {count} times",
                  f"{ends['UNAVAILABLE']} UNAVAILABLE, {ends['DEADLINE_EXCEEDED']} "
                  f"DEADLINE_EXCEEDED, the last after {longest_s:.1f} s", told == count)


def replace_under_load(base_path: Path, scale: float) -> Iterator[Outcome]:
    """Replaces the model again and again under four clients.

    Args:
        base_path: Folder of the versions.
        scale: Of the number of versions.

    Yields:
        How many requests failed.
    """
    from rnnpt.serving.client import Client, Retry, ServingError

    count = max(2, round(100 * scale))
    answered, failed = itertools.count(), []
    over = threading.Event()

    def ask(port: int) -> None:
        # Without retries, which would hide a failure.
        with Client(f"127.0.0.1:{port}", "model", retry=Retry(num_attempts=1)) as client:
            while not over.is_set():
                try:
                    client.generate(num_steps=4)
                    next(answered)
                except ServingError as error:
                    failed.append(str(error))

    with serve(base_path, QUICK) as server, Client(f"127.0.0.1:{server.port}", "model") as client:
        threads = [threading.Thread(target=ask, args=(server.port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        memory = []
        for number in range(2, count + 2):
            add_version(base_path, number)
            while client.metadata().version != number:
                time.sleep(0.02)
            shutil.rmtree(base_path / str(number - 1))
            memory.append(server.memory_mb())
        over.set()
        for thread in threads:
            thread.join()
    half = len(memory) // 2
    yield Outcome(
        f"the model replaced {count} times under 4 clients",
        f"{next(answered)} requests, {len(failed)} failed{': ' + failed[0] if failed else ''}; "
        f"memory {memory[half]:.0f} MiB half way, {memory[-1]:.0f} at the end", not failed)


def truncate_models(base_path: Path, scale: float) -> Iterator[Outcome]:
    """Offers versions that break off somewhere.

    Args:
        base_path: Folder of the versions.
        scale: Of their number.

    Yields:
        What became of them, and of the good version.
    """
    from rnnpt.serving.client import Client

    count = max(2, round(50 * scale))
    rng = np.random.default_rng(0)
    with serve(base_path, QUICK) as server, Client(f"127.0.0.1:{server.port}", "model") as client:
        for number in range(2, count + 2):
            name = ("saved_model.pb", "variables/variables.data-00000-of-00001",
                    "variables/variables.index")[number % 3]

            def cut(folder: Path) -> None:
                file = folder / name
                os.truncate(file, rng.integers(file.stat().st_size))

            add_version(base_path, number, cut)
            while not any(status.version == number and status.state in ("END", "AVAILABLE")
                          for status in client.status()):
                time.sleep(0.02)
            shutil.rmtree(base_path / str(number))
        states = collections.Counter(
            status.state for status in client.status() if status.version > 1)
        version = client.metadata().version
    yield Outcome(f"{count} versions cut off at a random byte",
                  f"{states['END']} stayed out and are told of, {states['AVAILABLE']} loaded; "
                  f"version {version} answers", states["END"] == count and version == 1)


def fill_disk(base_path: Path, scale: float) -> Iterator[Outcome]:
    """Exports to a disk that is too small.

    Args:
        base_path: Folder of the versions.
        scale: Of nothing.

    Yields:
        What was said and what is left.
    """
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], capture_output=True)
        if mounted.returncode:
            yield Outcome("a disk full during an export", "not run: no small disk to be had", True)
            return
        try:
            code = ("import sys; from rnnpt import export, models\n"
                    "model = models.RNN(num_hidden=200); model.build_for(num_visible=88)\n"
                    "export.save(model, sys.argv[1])")
            ran = subprocess.run([sys.executable, "-c", code, f"{folder}/m/1"], text=True,
                                 capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT),
                                                           "TF_CPP_MIN_LOG_LEVEL": "3"})
            left = [str(path.relative_to(folder)) for path in Path(folder).rglob("*")]
        finally:
            subprocess.run(["umount", folder], check=True)
    last = ran.stderr.strip().splitlines()[-1] if ran.stderr.strip() else "nothing"
    last = last.replace(folder, "DISK")
    yield Outcome("a disk full during an export", f"exit {ran.returncode}, `{last[:160]}`; left "
                  f"behind: {', '.join(left) or 'nothing'}",
                  ran.returncode != 0 and left in ([], ["m"]))


def drop_by_drop(base_path: Path, scale: float) -> Iterator[Outcome]:
    """Sends requests of headers that never end, beside a good client.

    Args:
        base_path: Folder of the versions.
        scale: Of the number of connections.

    Yields:
        How the good client fared.
    """
    count = max(5, round(300 * scale))
    with serve(base_path, QUICK) as server:
        slow = [socket.create_connection(("127.0.0.1", server.rest_api_port))
                for _ in range(count)]
        for connection in slow:
            connection.sendall(b"POST /v1/models/model:predict HTTP/1.1\r\nhost: x\r\n")
        times, cut, end = [], 0, time.monotonic() + max(5.0, 60 * scale)
        while time.monotonic() < end and slow:
            for connection in list(slow):
                try:
                    connection.sendall(b"x: y\r\n")
                except OSError:
                    slow.remove(connection)
                    cut += 1
            start = time.monotonic()
            status, _ = post(server, b'{"signature_name": "start", "instances": [0]}')
            assert status == 200
            times.append(time.monotonic() - start)
            time.sleep(0.25)
        for connection in slow:
            connection.close()
    worst_ms = 1000 * max(times)
    yield Outcome(f"{count} connections that send a header now and then, without end",
                  f"{cut} were cut; {len(times)} requests of a good client meanwhile, the slowest "
                  f"in {worst_ms:.0f} ms", worst_ms < 1000)


def post(server: Server, body: bytes) -> tuple[int, bytes]:
    """Posts to REST's predict route, on a connection of its own.

    Args:
        server: The server.
        body: The body.

    Returns:
        The status and the answer.
    """
    with contextlib.closing(http.client.HTTPConnection(
            "127.0.0.1", server.rest_api_port, timeout=60)) as connection:
        connection.request("POST", "/v1/models/model:predict", body)
        response = connection.getresponse()
        return response.status, response.read()


def is_json(body: bytes) -> bool:
    """Tells whether a body begins with a JSON value, as both Python and the server's rules go.

    Args:
        body: A request's body.

    Returns:
        Whether it does; what follows the value does not count.
    """
    text = body.decode("utf-8", "surrogateescape").lstrip(" \t\r\n")
    # Two words that the server knows beside Python's.
    for short, long in (("Infinity", "Inf"), ("Inf", "Infinity")):
        text = text.replace(short, long)
    try:
        json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def fuzz_rest(base_path: Path, scale: float) -> Iterator[Outcome]:
    """Posts broken bodies.

    Args:
        base_path: Folder of the versions.
        scale: Of their number.

    Yields:
        The statuses.
    """
    from tests.serving.fuzz import mutated_bodies

    count = max(50, round(10_000 * scale))
    statuses: collections.Counter[int] = collections.Counter()
    wrong = []
    with serve(base_path, QUICK) as server:
        before = server.memory_mb()
        for body in itertools.islice(mutated_bodies(0, NUM_HIDDEN), count):
            status, _ = post(server, body)
            statuses[status] += 1
            if status == 200 and not is_json(body):
                wrong.append(body)
        after = server.memory_mb()
        healthy = post(server, b'{"signature_name": "start", "instances": [0]}')[0] == 200
    told = ", ".join(f"{number} times {status}" for status, number in sorted(statuses.items()))
    yield Outcome(f"{count} broken REST bodies", f"{told}; {len(wrong)} a 200 for what is no JSON; "
                  f"memory {before:.0f} MiB before, {after:.0f} after; the server "
                  f"{'answers' if healthy else 'is gone'}",
                  healthy and not wrong and not any(status >= 500 for status in statuses))


def fuzz_grpc(base_path: Path, scale: float) -> Iterator[Outcome]:
    """Sends broken messages.

    Args:
        base_path: Folder of the versions.
        scale: Of their number.

    Yields:
        The codes.
    """
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import predict_pb2

    from tests.serving.fuzz import random_protos

    count = max(50, round(10_000 * scale))
    codes: collections.Counter[str] = collections.Counter()
    wrong = 0
    with serve(base_path, QUICK) as server, grpc.insecure_channel(
            f"127.0.0.1:{server.port}") as channel:
        before = server.memory_mb()
        call = channel.unary_unary(METHOD, lambda data: data, lambda data: data)
        for data in itertools.islice(
                random_protos(0, NUM_HIDDEN, "model"), count):
            try:
                call(data, timeout=60)
                codes["OK"] += 1
                try:
                    predict_pb2.PredictRequest.FromString(data)
                except DecodeError:
                    wrong += 1
            except grpc.RpcError as error:
                codes[error.code().name] += 1
        after = server.memory_mb()
        healthy = post(server, b'{"signature_name": "start", "instances": [0]}')[0] == 200
    told = ", ".join(f"{number} times {code}" for code, number in sorted(codes.items()))
    yield Outcome(f"{count} broken gRPC messages", f"{told}; {wrong} an OK for what is no message; "
                  f"memory {before:.0f} MiB before, {after:.0f} after; the server "
                  f"{'answers' if healthy else 'is gone'}", healthy and not wrong)


def fuzz_midi(base_path: Path, scale: float) -> Iterator[Outcome]:
    """Reads broken MIDI files.

    Args:
        base_path: Folder of the versions.
        scale: Of their number.

    Yields:
        How they ended.
    """
    from rnnpt.serving._midi_reader import MidiReader
    from rnnpt.serving.error import InvalidArgument, ServingError
    from tests.music.midi_fuzz import mutated_midis

    count = max(50, round(10_000 * scale))
    ends: collections.Counter[str] = collections.Counter()
    slowest_s = 0.0
    reader = MidiReader(1)
    for data in itertools.islice(mutated_midis(0), count):
        start = time.monotonic()
        try:
            reader.read(data, 1)
            ends["music"] += 1
        except InvalidArgument:
            ends["line"] += 1
        except ServingError:
            ends["crash"] += 1
        slowest_s = max(slowest_s, time.monotonic() - start)
    reader.close()
    yield Outcome(f"{count} broken MIDI files", f"{ends['music']} read as music, {ends['line']} "
                  f"refused in one line, {ends['crash']} ended the reader; the slowest took "
                  f"{slowest_s:.1f} s", ends["crash"] == 0)


FAULTS: dict[str, Callable[[Path, float], Iterator[Outcome]]] = {
    "kill": kill_during_streams, "replace": replace_under_load, "truncate": truncate_models,
    "disk": fill_disk, "slow": drop_by_drop, "rest": fuzz_rest, "grpc": fuzz_grpc,
    "midi": fuzz_midi,
}


def write_table(outcomes: list[Outcome], command: str, output: Path | None) -> None:
    """Prints the table, and writes it where asked.

    Args:
        outcomes: The rows.
        command: That made them.
        output: The file, or None.
    """
    lines = ["# Faults of the embedded server", "",
             f"`{command}`, on {os.cpu_count()} cores; a small RNN that was not trained. What must "
             "hold: no crash, no hang, no failed request of a good client, memory that stays, "
             "never a 200 for a malformed request.", "",
             "| fault | what came of it | holds |", "|---|---|---|"]
    lines += [f"| {row.fault} | {row.seen} | {'yes' if row.holds else '**no**'} |"
              for row in outcomes]
    text = "\n".join(lines) + "\n"
    print(text)
    if output is not None:
        output.write_text(text, encoding="utf-8")


def main() -> None:
    """Run the faults and write the table; exit 1 if something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--scale", type=float, default=1.0, help="of every number; 1 by default")
    parser.add_argument("--output", type=Path, help="Markdown file, such as results/faults.md")
    arguments = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder) / "seed")
        for name in arguments.only:
            base_path = Path(folder) / name
            shutil.copytree(Path(folder) / "seed", base_path)
            for outcome in FAULTS[name](base_path, arguments.scale):
                print(outcome, flush=True)
                outcomes.append(outcome)
    command = "python " + " ".join([str(Path(sys.argv[0])), *sys.argv[1:]])
    write_table(outcomes, command, arguments.output)
    sys.exit(not all(outcome.holds for outcome in outcomes))


if __name__ == "__main__":
    main()
