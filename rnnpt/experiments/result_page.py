"""Writes what came out of a published table's rows beside what was published, in Markdown."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnnpt.experiments import curve
from rnnpt.experiments.result_table import ResultTable, markdown_line
from rnnpt.experiments.table import Row, Table
from rnnpt.whole_file import write_bytes


def write_markdown(table: Table, results: ResultTable) -> Path:
    """Writes the table with what there is of results, beside their CSV file.

    What stands in a file of the table's name and "_notes.md" goes in at the top.

    Args:
        table: The table.
        results: Of it.

    Returns:
        The Markdown file.
    """
    lines = [f"# {table.title}", "", (
        f"From [{results.path.name}]({results.path.name}), which has the command, commit, settings "
        "and machine of each run. Test log-likelihood (LL) in nats a frame, pooled over all frames "
        "of the set; accuracy (ACC) by the rule of 2012, and micro, TP / (TP + FP + FN). Of more "
        "seeds the mean and the standard deviation. A budget is the share of the epochs that was "
        "trained. Settings are what was changed of a named config as it was at the commit. The "
        "valid LL is what chose the epoch: of RBMs a cheap estimate from some hundred frames, "
        "which does not compare with others.")]
    for text in (table.note, _notes(results.path)):
        lines += ["", text] if text else []
    curves = curve.path_beside(results.path)
    runs = curve.read(curves) if curves.exists() else {}
    for name in table.data:
        lines += ["", f"## {name}", "",
                  "| | LL, published | ours | its standard error | ACC, published | ours | from an "
                  "independent frame | micro | valid LL | parameters | seconds | seeds | budget |",
                  "|---|" + "---:|" * 12]
        for row in table.rows:
            lines += _lines(row, name, results.rows)
        if name in runs:
            lines += ["", *curve.to_markdown(runs[name], table.against), "",
                      f"![Validation over time]({curves.stem}_{name}.png)"]
    path = results.path.with_suffix(".md")
    write_bytes(path, ("\n".join(lines) + "\n").encode())
    return path


def _notes(results: Path) -> str:
    """What was written by hand about the results."""
    path = results.with_name(f"{results.stem}_notes.md")
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def _lines(row: Row, data: str, results: Sequence[dict[str, str]]) -> list[str]:
    """The row of the Markdown table, once for each budget that it was run with.

    None where the table has the row for other data sets only.
    """
    likelihood, accuracy = row.published.get(data, (None, None))
    published = [_or_dash(likelihood), _or_dash(accuracy)]
    found = [each for each in results if each["data"] == data and each["row"] == row.name]
    if not found and row.runs is not None and data not in {*row.runs, *row.published}:
        return []
    if not found:
        return [markdown_line([row.name, published[0], "not run", "", published[1], *[""] * 8])]
    lines = []
    for budget in sorted({float(each["budget"]) for each in found}, reverse=True):
        group = [each for each in found if float(each["budget"]) == budget]
        own = {name: _mean([each[name] for each in group], digits) for name, digits in (
            ("log_likelihood", 3), ("standard_error", 4), ("accuracy", 2),
            ("accuracy_independent", 2), ("micro_accuracy", 2), ("val_log_likelihood", 3),
            ("parameters", 0))}
        lines.append(markdown_line([
            row.name, published[0], own["log_likelihood"], own["standard_error"], published[1],
            *list(own.values())[2:], _mean_seconds([each["seconds_by_phase"] for each in group]),
            str(len(group)), f"{budget:g}"]))
    return lines


def _mean_seconds(texts: Sequence[str]) -> str:
    """The seconds of each phase, their mean over seeds."""
    runs = [dict(part.rsplit(" ", 1) for part in text.split(", ") if part) for text in texts]
    names = dict.fromkeys(name for run in runs for name in run)
    return ", ".join(
        f"{name} {np.mean([float(run.get(name, 0)) for run in runs]):.0f}" for name in names)


def _mean(values: Sequence[str], digits: int) -> str:
    numbers = [float(value) for value in values if value]
    if not numbers:
        return ""
    spread = f" ± {np.std(numbers, ddof=1):.{digits}f}" if len(numbers) > 1 else ""
    return f"{np.mean(numbers):.{digits}f}{spread}"


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
