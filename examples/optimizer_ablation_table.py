"""The page of `optimizer_ablation.py`: its figures beside the paper's Table 1.

Source: Bengio, Boulanger-Lewandowski and Pascanu 2012, section 4.1.1.
"""

from collections.abc import Mapping
from typing import Any

import keras_tuner

#: What C, L, R and M are: see `optimizer_ablation.py`.
METHODS = {
    "sgd": "SGD", "sgd_c": "SGD+C", "sgd_cl": "SGD+CL", "sgd_clr": "SGD+CLR", "sgd_crm": "SGD+CRM"}
TITLES = {"jsb": "JSB chorales", "nottingham": "Nottingham", "noise": "Random notes"}
#: Log-likelihood of the training and of the test pieces, and accuracy (%), as published.
PUBLISHED = {
    "jsb": {
        "sgd": (-7.88, -8.65, 29.97), "sgd_c": (-7.81, -8.65, 29.98),
        "sgd_cl": (-7.78, -8.63, 29.98), "sgd_clr": (-7.67, -9.47, 29.98),
        "sgd_crm": (-8.08, -8.81, 29.52)},
    "nottingham": {
        "sgd": (-3.49, -3.75, 66.90), "sgd_c": (-3.40, -3.67, 67.47),
        "sgd_cl": (-3.31, -3.57, 67.97), "sgd_clr": (-2.99, -3.55, 70.20),
        "sgd_crm": (-3.20, -3.43, 68.47)}}
HEADER = (
    "| | trials | train LL, paper | ours | valid LL, ours | test LL, paper | ours "
    "| ACC (%), paper | ours, 2012 rule | ours, micro |\n|---" + "|---:" * 9 + "|")


def report(
    rows: list[dict[str, Any]], spaces: Mapping[str, keras_tuner.HyperParameters]
) -> str:
    """The figures beside the paper's, the best settings, and the ranges that they came from.

    Args:
        rows: Of the best trial of each method.
        spaces: What was searched, by method.

    Returns:
        Markdown.
    """
    parts = ["# SGD and its helps on a plain RNN, beside Table 1 of Bengio et al. 2012"]
    for data, title in TITLES.items():
        found = [row for name in METHODS for row in rows
                 if row["data"] == data and row["method"] == name]
        if found:
            best = [_best_line(row, spaces[row["method"]]) for row in found]
            parts += [
                f"## {title}", "\n".join([HEADER, *map(_line, found)]),
                "Best settings:", "\n".join(best)]
    ranges = {entry.name: entry for space in spaces.values() for entry in space.space}
    parts += ["## Ranges of the random search", "\n".join(map(_range, ranges.values()))]
    return "\n\n".join(parts) + "\n"


def _line(row: dict[str, Any]) -> str:
    """A method's line of the table."""
    published = PUBLISHED.get(row["data"], {}).get(row["method"])
    train, test, accuracy = [f"{value:.2f}" for value in published] if published else "---"
    ours = {name: f"{float(row[name]):.2f}" for name in (
        "train_ll", "valid_ll", "test_ll", "accuracy", "micro_accuracy")}
    return (
        f"| {METHODS[row['method']]} | {row['trials']} | {train} | {ours['train_ll']} "
        f"| {ours['valid_ll']} | {test} | {ours['test_ll']} | {accuracy} | {ours['accuracy']} "
        f"| {ours['micro_accuracy']} |")


def _best_line(row: dict[str, Any], space: keras_tuner.HyperParameters) -> str:
    settings = ", ".join(f"{entry.name} {float(row[entry.name]):.4g}" for entry in space.space)
    return (
        f"- {METHODS[row['method']]}, seed {row['seed']}: {settings} (trial {row['trial']}, "
        f"epoch {row['best_epoch']})")


def _range(entry: Any) -> str:
    if isinstance(entry, keras_tuner.engine.hyperparameters.Choice):
        return f"- {entry.name}: one of {', '.join(map(str, entry.values))}"
    kind = "log-uniform" if entry.sampling == "log" else "uniform"
    return f"- {entry.name}: {entry.min_value:g} to {entry.max_value:g}, {kind}"
