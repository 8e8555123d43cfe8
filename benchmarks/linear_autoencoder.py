"""The linear autoencoder of a set in closed form: its time, and the memory of the whole process.

Where the delays that count are few, the products of all columns are made at once; else those of
a slice of the delays after the other, or, where these are not exact enough, factors of rows. Here
each makes the same autoencoder, in a process of its own, and they are held against each other. The
memory is the most that the process held, TensorFlow and the data among it.

    python benchmarks/linear_autoencoder.py [--data jsb_chorales] [--units 100] [--discount 0.7]
    python benchmarks/linear_autoencoder.py --data nottingham --units 200 --ways whole slices
    python benchmarks/linear_autoencoder.py --data musedata --discount 1 --ways slices

The sets are looked for where `RNNPT_DATA` says.
"""

import argparse
import multiprocessing
import os
import resource
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402

from rnnpt import datasets  # noqa: E402
from rnnpt.pretraining import _delays, fit_linear_autoencoder  # noqa: E402

#: What the room goes by, by way.
WAYS: dict[str, dict[str, float]] = {
    "whole": {"_FRAMES_A_COLUMN": 0},
    "slices": {"_MOST_COLUMNS": 0, "_SQUARES_ARE_KNOWN": 0},
    "factors": {"_MOST_COLUMNS": 0, "_SQUARES_ARE_KNOWN": np.inf}}
#: Of the singular values, relative.
AGREEMENT = 1e-9


def fit(way: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Fit it by one way.

    Args:
        way: one of `WAYS`.
        arguments: of the command.

    Returns:
        Singular values, seconds of all and of the processor, MiB, frames and delays.
    """
    train = datasets.get(arguments.data).train
    for name, value in WAYS[way].items():
        setattr(_delays, name, value)
    start, cpu_start = time.perf_counter(), time.process_time()
    found = fit_linear_autoencoder(
        train, arguments.units, discount=arguments.discount)
    return {
        "values": found.singular_values, "lost": found.lost,
        "seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu_start,
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "frames": found.num_frames, "delays": max(map(len, train.sequences))}


def main() -> None:
    """Fit by each way that is asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="jsb_chorales")
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--discount", type=float, default=0.7)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    arguments = parser.parse_args()
    found = {}
    for way in arguments.ways:
        # The most that a process held never falls: each has its own.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[way] = pool.apply(fit, (way, arguments))
    first = found[arguments.ways[0]]
    for way in arguments.ways[1:]:
        np.testing.assert_allclose(found[way]["values"], first["values"], rtol=AGREEMENT)
    print(f"{arguments.data}: {first['frames']:,} frames, the longest piece {first['delays']:,}; "
          f"{arguments.units} units, discount {arguments.discount:g}, "
          f"{100 * first['lost']:.1f} % lost\n")
    print("| | seconds | of the processor | MiB |\n|---|---:|---:|---:|")
    for way, figures in found.items():
        print(f"| {way} | {figures['seconds']:.1f} | {figures['cpu_seconds']:.1f} "
              f"| {figures['mebibytes']:,.0f} |")


if __name__ == "__main__":
    main()
