"""Figure 4.1 and a table, of the runs of `hessian_free_problem.py`."""

import itertools
from pathlib import Path

import numpy as np
from long_memory import PROBLEMS

from rnnpt.experiments.result_table import ResultTable
from rnnpt.whole_file import write_bytes, written_beside

#: How the picture shows runs: with structural damping or without, and by the other settings.
COLORS, LINES = {"False": "C3", "True": "C2"}, ("s--", "^:", "o-", "D-.", "v-", "P--")
WAY = ("start", "boost", "ratio_of", "curriculum")


def plot(table: ResultTable, path: Path) -> None:
    """Draw the minibatches to success and the share of runs without it, as figure 4.1.

    Args:
        table: of the runs.
        path: of the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    def kind(row: dict[str, str]) -> tuple[str, ...]:
        return tuple(row[name] for name in ("structural_damping", *WAY))

    problems = [name for name in PROBLEMS if any(row["problem"] == name for row in table.rows)]
    kinds = sorted({kind(row) for row in table.rows})
    lines = dict(zip(sorted({each[1:] for each in kinds}), itertools.cycle(LINES)))
    figure, axes = pyplot.subplots(
        2, len(problems), figsize=(2.6 * len(problems), 5), sharex=True, squeeze=False,
        layout="constrained")
    for column, name in enumerate(problems):
        for structural, *way in kinds:
            *_, curriculum = way
            rows = [row for row in table.rows if row["problem"] == name
                    and kind(row) == (structural, *way)]
            lengths = sorted({int(row["num_steps"]) for row in rows})
            groups = [[row for row in rows if int(row["num_steps"]) == length]
                      for length in lengths]
            solved = [[int(row["minibatches"]) for row in group if row["outcome"] == "solved"]
                      for group in groups]
            color, style = COLORS[structural], COLORS[structural] + lines[tuple(way)]
            for length, counts in zip(lengths, solved):
                if counts:
                    axes[0, column].vlines(length, min(counts), max(counts), color=color)
            axes[0, column].plot(
                lengths, [np.mean(counts) if counts else np.nan for counts in solved], style,
                label=("structural damping" if structural == "True" else "without")
                + ", {} start, boost {}, ratio of the {}".format(*way)
                + (f", after {curriculum}" if curriculum else ""))
            axes[1, column].plot(
                lengths, [1 - len(counts) / len(group)
                          for counts, group in zip(solved, groups)], style)
        axes[0, column].set_title(name)
        axes[1, column].set(ylim=(-0.05, 1.05), xlabel="T")
    axes[0, 0].set_ylabel("minibatches to success")
    axes[1, 0].set_ylabel("runs without success")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    with written_beside(path) as beside:
        figure.savefig(beside, format="png", dpi=100)


def write_table(table: ResultTable, path: Path) -> None:
    """Write all runs in Markdown, problem by problem.

    Args:
        table: of them.
        path: of the file.
    """
    lines = [
        "# Problems of long memory by Hessian-free steps, run by run", "",
        f"From [{table.path.name}]({table.path.name}), which has the command of each run, by "
        "`python examples/hessian_free_problem.py --plot`.", "",
        "| problem | T | after | structural damping | start | boost | ratio of | seed | outcome "
        "| test error | updates | minibatches of 1,000 | seconds |", "|" + "---|" * 13]
    for row in sorted(table.rows, key=lambda row: (
            list(PROBLEMS).index(row["problem"]), int(row["num_steps"]), row["start"],
            row["structural_damping"], row["boost"], row["ratio_of"], row["curriculum"],
            int(row["seed"]))):
        lines.append(
            f"| {row['problem']} | {row['num_steps']} | {row['curriculum']} "
            f"| {'yes' if row['structural_damping'] == 'True' else 'no'} | {row['start']} "
            f"| {float(row['boost']):g} | {row['ratio_of']} | {row['seed']} | {row['outcome']} "
            f"| {float(row['test_error']):.3g} | {row['updates']} "
            f"| {int(row['minibatches']):,} | {int(row['seconds']):,} |")
    write_bytes(path, "\n".join([*lines, ""]).encode())
