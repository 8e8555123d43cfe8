"""Validation over the time of runs, beside a table's results: a file, a picture a data set.

The figure of a run is its accuracy where it has logged accuracies, and else its log-likelihood.

Imports no TensorFlow.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rnnpt.experiments.result_table import ResultTable, markdown_line
from rnnpt.experiments.run_folder import LOG
from rnnpt.experiments.setting import ConfigError

KEY = ("data", "row", "seed", "budget", "phase", "epoch")
COLUMNS = (*KEY, "seconds", "cpu_seconds", "val_log_likelihood", "val_accuracy")

#: Of the time that a run is compared over, and what a column is called.
_SHARES = {0.25: "until a quarter of the time", 0.5: "a half", 0.75: "three quarters", 1.0: "all"}

Point = Mapping[str, str]


def path_beside(results: Path) -> Path:
    """Says where the curves of a table stand.

    Args:
        results: The CSV file of its results.

    Returns:
        The CSV file of the curves.
    """
    return results.with_name(f"{results.stem}_curves.csv")


def keep(path: Path, run_dir: Path, every_epoch: bool = False, **run: Any) -> None:
    """Adds the curve of a run from its log.

    Args:
        path: The CSV file of the curves; left as it is where there is nothing to add.
        run_dir: The run folder.
        every_epoch: Whether epochs without an accuracy are kept too.
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
            accuracy = row.get("val_accuracy")
            # A start has no validation.
            is_asked = accuracy or (every_epoch and row["val_log_likelihood"])
            if is_asked and not curves.has(**key):
                curves.add(
                    **key, seconds=f"{seconds:.1f}", cpu_seconds=f"{cpu_seconds:.1f}",
                    val_log_likelihood=f"{float(row['val_log_likelihood']):.4f}",
                    val_accuracy=f"{float(accuracy):.3f}" if accuracy else "")


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


def figure_of(runs: Mapping[str, Sequence[Point]]) -> str:
    """Says what the runs are compared by.

    Args:
        runs: On one data set.

    Returns:
        "val_accuracy" if all points have one, else "val_log_likelihood".
    """
    has_accuracy = all(point["val_accuracy"] for points in runs.values() for point in points)
    return "val_accuracy" if has_accuracy else "val_log_likelihood"


def best(points: Sequence[Point], figure: str) -> Point:
    """Finds the epoch of a run's highest figure, the first of several.

    Args:
        points: Of the run.
        figure: Its name.

    Returns:
        The point.
    """
    return max(points, key=lambda point: float(point[figure]))


def to_markdown(
    curves: Mapping[str, Sequence[Point]], against: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """Says of each run when it was best, and how far it was after equal times.

    Args:
        curves: The runs on a data set.
        against: By row, the one whose processor's time the others' points are cut at, of the same
            budget and seed; a row that is not named is told over its own.

    Returns:
        The lines of a Markdown table.
    """
    figure = figure_of(curves)
    is_accuracy = figure == "val_accuracy"
    figures = ["highest valid ACC", "valid LL then"] if is_accuracy else ["highest valid LL"]
    columns = [*figures, "in epoch", "after seconds", "of the processor", "all seconds",
               "of the processor", *_SHARES.values()]
    align = ["---", *["---:"] * len(figures), "---", *["---:"] * (4 + len(_SHARES))]
    lines = ["| " + markdown_line(columns), f"|{'|'.join(align)}|"]
    for name, points in curves.items():
        top = best(points, figure)
        reference = curves.get(_name({**top, "row": against.get(top["row"], top["row"])}))
        time = float(reference[-1]["cpu_seconds"]) if reference else 0.0
        accuracy = [f"{float(top['val_accuracy']):.2f}"] if is_accuracy else []
        lines.append(markdown_line([
            name, *accuracy, f"{float(top['val_log_likelihood']):.3f}",
            f"{top['epoch']} of {top['phase']}",
            *(f"{float(point[clock]):.0f}" for point in (top, points[-1])
              for clock in ("seconds", "cpu_seconds")),
            *(_until(points, figure, share * time) for share in _SHARES)]))
    return lines


def _until(points: Sequence[Point], figure: str, seconds: float) -> str:
    """The highest figure until so many seconds of the processor, if there is one."""
    early = [point for point in points if float(point["cpu_seconds"]) <= seconds]
    digits = 2 if figure == "val_accuracy" else 3
    return f"{float(best(early, figure)[figure]):.{digits}f}" if early else "-"


def _name(row: Point) -> str:
    """What a run is called."""
    budget = "" if float(row["budget"]) == 1 else f", budget {float(row['budget']):g}"
    return row["row"] + budget + ("" if row["seed"] == "0" else f", seed {row['seed']}")
