"""A short talk with a server, to tell whether it serves: every signature once, then many steps.

    serving/smoke_test --server localhost:8500 --model_name chorales
"""

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np

from rnnpt.serving.client import Client, ServingError

_SIGNATURES = {"serving_default", "start", "step", "draw", "generate", "score"}
_NUM_STEPS = 4


class SmokeTestError(Exception):
    """An answer came that cannot be right, or it came too late."""


def main(argv: Sequence[str] | None = None) -> int:
    """Talks with a server and prints what it saw.

    Args:
        argv: Words after the command's name; those of the process by default.

    Returns:
        The exit code: 0 where all is well, 1 where it is not.
    """
    parser = argparse.ArgumentParser(prog="smoke_test", description=__doc__)
    parser.add_argument("--server", default="localhost:8500", metavar="HOST:PORT",
                        help="gRPC, or http://HOST:PORT for REST")
    parser.add_argument("--model_name", default="chorales", help="its name on the server")
    parser.add_argument("--num_calls", type=int, default=100, help="steps that are timed")
    parser.add_argument("--max_p99_ms", type=float, default=float("inf"), metavar="MS",
                        help="fail where 1 %% of the steps take longer")
    parser.add_argument("--timeout_s", type=float, default=60.0, help="to wait for the server")
    flags = parser.parse_args(argv)
    try:
        with Client(flags.server, flags.model_name) as client:
            client.wait_until_ready(flags.timeout_s)
            call_each_signature(client)
            times_ms = time_steps(client, max(flags.num_calls, 1))
            check_latency(times_ms, flags.max_p99_ms)
    except (ServingError, SmokeTestError) as error:
        print("smoke_test:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    return 0


def call_each_signature(client: Client) -> None:
    """Calls each signature once, and looks at what comes.

    Args:
        client: A client of the model.

    Raises:
        SmokeTestError: If a signature is missing or an answer cannot be right.
    """
    metadata = client.metadata()
    missing = _SIGNATURES - set(metadata.signatures)
    _require(not missing, "signatures", "must be those of rnnpt export, got no "
             f"{', '.join(sorted(missing))}")
    print(f"{metadata.model_name} version {metadata.version}")
    silence, state = _silence(client), client.start(1)
    _require(np.isfinite(state).all(), "start", f"must answer a finite state, got {state}")
    stepped = client.step(silence, state, seed=1)
    for name, value in zip(("probabilities", "sample", "state"), stepped):
        _require(np.isfinite(value).all(), "step", f"must answer finite {name}, got {value}")
    one = client.predict({"state": state, "seed": [[1, 0]], "temperature": [1.0]}, "draw")
    for name, value in one.items():
        _require(np.isfinite(value).all(), "draw", f"must answer finite {name}, got {value}")
    drawn = client.generate(silence[:, np.newaxis], _NUM_STEPS, seed=1)
    expected = (1, _NUM_STEPS, silence.shape[1])
    _require(drawn.frames.shape == expected, "generate",
             f"must answer frames {expected}, got {drawn.frames.shape}")
    again = client.generate(silence[:, np.newaxis], _NUM_STEPS, seed=1)
    _require(np.array_equal(drawn.frames, again.frames), "generate",
             "must draw the same from the same seed, got other frames")
    scored = client.score(drawn.frames)
    _require(scored.frames_scored[0] == _NUM_STEPS, "score",
             f"must score {_NUM_STEPS} frames, got {scored.frames_scored[0]}")
    mean = client.predict({"frames": drawn.frames, "length": [_NUM_STEPS]})["probabilities"]
    _require(mean.shape == silence.shape, "serving_default",
             f"must answer {silence.shape}, got {mean.shape}")
    print("answered:", ", ".join(sorted(_SIGNATURES)))


def time_steps(client: Client, num_calls: int) -> np.ndarray:
    """Plays step by step, as a live player does.

    Args:
        client: A client of the model.
        num_calls: How many steps.

    Returns:
        Milliseconds of each (N,).
    """
    frame, state, times_ms = _silence(client), client.start(1), []
    for seed in range(num_calls):
        begin = time.perf_counter()
        frame, state = client.step(frame, state, seed)[1:]
        times_ms.append(1e3 * (time.perf_counter() - begin))
    return np.array(times_ms)


def check_latency(times_ms: np.ndarray, max_p99_ms: float) -> None:
    """Prints the percentiles.

    Args:
        times_ms: Milliseconds of each call (N,).
        max_p99_ms: What the 99th may be.

    Raises:
        SmokeTestError: If it is more.
    """
    p50, p90, p99 = np.percentile(times_ms, [50, 90, 99])
    print(f"step, {len(times_ms)} calls: p50 {p50:.2f} ms, p90 {p90:.2f} ms, p99 {p99:.2f} ms")
    _require(p99 <= max_p99_ms, "step", f"must take at most {max_p99_ms:g} ms at p99, got {p99:g}")


def _silence(client: Client) -> np.ndarray:
    shape = client.metadata().signatures["step"].inputs["frame"].shape
    # The width is fixed in every export.
    return np.zeros([1, shape[-1]], np.float32)  # type: ignore[index,list-item]


def _require(fits: bool | np.bool_, name: str, rule: str) -> None:
    if not fits:
        raise SmokeTestError(f"{name} {rule}; look into the server's log")
