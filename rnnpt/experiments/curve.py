"""Accuracies over the wall time of runs, beside a table's results: a file, a picture a data set.

Imports no TensorFlow.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnpt.experiments.result_table import ResultTable
from rnnpt.experiments.run_folder import LOG
from rnnpt.experiments.setting import ConfigError

KEY = ("data", "row", "seed", "budget", "phase", "epoch")
COLUMNS = (*KEY, "seconds", "cpu_seconds", "val_log_likelihood", "val_accuracy")

Point = Mapping[str, str]


def path_beside(results: Path) -> Path:
    """Says where the curves of a table stand.

    Args:
        results: The CSV file of its results.

    Returns:
        The CSV file of the curves.
    """
    return results.with_name(f"{results.stem}_curves.csv")


def keep(path: Path, run_dir: Path, **run: Any) -> None:
    """Adds the curve of a run that has logged accuracies, from its log.

    Args:
        path: The CSV file of the curves; left as it is by a run without accuracies.
        run_dir: The run folder.
        **run: Data, row, seed and budget of the run.
    """
    curves = ResultTable(path, KEY)
    seconds, cpu_seconds = 0.0, 0.0
    with (run_dir / LOG).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            # Of the phase and of what it trains on; that of the measuring is no part of either.
            seconds += float(row["seconds"]) + float(row["data_seconds"])
            cpu_seconds += float(row["cpu_seconds"])
            key = run | {name: row[name] for name in ("phase", "epoch")}
            if row.get("val_accuracy") and not curves.has(**key):
                curves.add(
                    **key, seconds=f"{seconds:.1f}", cpu_seconds=f"{cpu_seconds:.1f}",
                    val_log_likelihood=f"{float(row['val_log_likelihood']):.4f}",
                    val_accuracy=f"{float(row['val_accuracy']):.3f}")


def read(path: Path) -> dict[str, dict[str, list[Point]]]:
    """Reads the curves of a table.

    Args:
        path: Their CSV file.

    Returns:
        By data set and by run, in the order of the file, the points in the order of time. A run is
        called after its row, with the budget and the seed where these are not 1 and 0.

    Raises:
        ConfigError: If the file is not there or has other columns.
    """
    if not path.is_file():
        raise ConfigError(
            f"curves must be a file that rnnpt reproduce wrote, got {str(path)!r}: name one that "
            "is there.")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ConfigError(
                f"curves must be a file that rnnpt reproduce wrote, got {str(path)!r} with the "
                f"columns {reader.fieldnames}: name one with {', '.join(COLUMNS)}.")
        rows = list(reader)
    curves: dict[str, dict[str, list[Point]]] = {}
    for row in rows:
        curves.setdefault(row["data"], {}).setdefault(_name(row), []).append(row)
    return curves


def best(points: Sequence[Point]) -> Point:
    """Finds the epoch of a run's highest accuracy, the first of several.

    Args:
        points: Of the run.

    Returns:
        The point.
    """
    return max(points, key=lambda point: float(point["val_accuracy"]))


def to_markdown(curves: Mapping[str, Sequence[Point]]) -> list[str]:
    """Says of each run when it was best.

    Args:
        curves: The runs on a data set.

    Returns:
        The lines of a Markdown table.
    """
    lines = ["| | highest valid ACC | valid LL then | in epoch | after seconds | of the processor "
             "| all seconds | of the processor |",
             "|---|---:|---:|---|---:|---:|---:|---:|"]
    for name, points in curves.items():
        top = best(points)
        lines.append(
            f"| {name} | {float(top['val_accuracy']):.2f} | "
            f"{float(top['val_log_likelihood']):.3f} | {top['epoch']} of {top['phase']} | "
            + " | ".join(f"{float(point[name]):.0f}" for point in (top, points[-1])
                         for name in ("seconds", "cpu_seconds")) + " |")
    return lines


def _name(row: Point) -> str:
    """What a run is called."""
    budget = "" if float(row["budget"]) == 1 else f", budget {float(row['budget']):g}"
    return row["row"] + budget + ("" if row["seed"] == "0" else f", seed {row['seed']}")
