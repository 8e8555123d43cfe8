"""Runs the rows of a published table."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnpt import __version__, datasets
from rnnpt.experiments import curve, evaluation, run_folder, training
from rnnpt.experiments.config import EvaluationConfig, ExperimentConfig, named
from rnnpt.experiments.result_table import ResultTable, this_command, this_machine
from rnnpt.experiments.setting import ConfigError, override
from rnnpt.experiments.table import BASELINES, Row, Table
from rnnpt.pretraining import PlanResult, load_hmm

KEY = ("data", "row", "seed", "budget")
COLUMNS = (
    *KEY, "log_likelihood", "standard_error", "accuracy", "accuracy_independent",
    "micro_accuracy", "val_log_likelihood", "best_epoch", "updates", "parameters", "seconds",
    "seconds_by_phase", "config", "settings", "commit", "command", "machine")

_NO_RUN = dict.fromkeys((name for name in COLUMNS if name not in KEY), "")


def open_table(path: Path) -> ResultTable:
    """Opens the results of a table, before anything is trained for it.

    Args:
        path: Of the CSV file, which need not exist.

    Returns:
        The results so far.

    Raises:
        ConfigError: If the file has other columns.
    """
    try:
        results = ResultTable(path, KEY)
    except ValueError:
        columns: Sequence[str] = ()
    else:
        columns = results.columns or COLUMNS
    if tuple(columns) != COLUMNS:
        raise ConfigError(
            f"output_dir must hold results of this version, got {path} with other columns: move "
            "it away, or choose another folder."
        )
    return results


def reproduce(
    table: Table,
    results: ResultTable,
    data: Sequence[str],
    rows: Sequence[str],
    num_seeds: int,
    budget: float,
    runs_dir: Path,
    data_dir: Path | None,
    progress: bool | None = None,
) -> None:
    """Runs rows of a table that have no result yet, one after the other.

    A run that was stopped goes on from its last epoch.

    Args:
        table: The table.
        results: Where each result goes as its run ends.
        data: Which of its data sets.
        rows: Which of its rows.
        num_seeds: Seeds of each row, from 0 on.
        budget: The share of the epochs that is trained.
        runs_dir: Folder of the run folders.
        data_dir: Folder of the published sets.
        progress: As of `training.train`.
    """
    # What runs is the code of now, whatever becomes of the files.
    commit = this_commit()
    for name in data:
        splits: datasets.Splits | None = None
        counted: dict[str, evaluation.Row] = {}
        for row in (row for row in table.rows if row.name in rows):
            if row.runs is not None and name not in row.runs:
                continue
            # What counts has no seed and no epochs.
            seeds, share = (1, 1.0) if row.runs is None else (num_seeds, budget)
            for seed in range(seeds):
                key = {"data": name, "row": row.name, "seed": seed, "budget": share}
                kept = results.find(**key)
                if kept is not None:
                    _tell_other_settings(row, kept)
                    continue
                splits = splits or datasets.get(name, data_dir)
                if row.runs is None:
                    counted = counted or _count(splits)
                    figures = _NO_RUN | _figures([counted[row.name]])
                else:
                    run_dir = runs_dir / name / f"{_slug(row.name)}-{budget:g}-{seed}"
                    figures = _train(row, splits, name, seed, budget, run_dir, progress)
                    curve.keep(
                        curve.path_beside(results.path), run_dir, table.has_curves, **key)
                results.add(**key, **figures | {
                    "commit": commit, "command": this_command(),
                    "machine": this_machine()})
                print(f"{name}, {row.name}, seed {seed}: log-likelihood "
                      f"{figures['log_likelihood']} nats a frame", flush=True)


def scaled(config: ExperimentConfig, budget: float) -> list[str]:
    """The settings that train a share of an experiment's epochs.

    Args:
        config: The experiment.
        budget: The share, above 0.

    Returns:
        Assignments, `key=value`; none for the whole.
    """
    if budget == 1:
        return []
    epochs = {
        "fit.epochs": config.fit.epochs, "pretrain.epochs": config.pretrain.epochs,
        "pretrain.frame_epochs": config.pretrain.frame_epochs
        if config.pretrain.schedule in ("parts", "inputs") else 0}
    return [f"{key}={max(1, round(budget * number))}" for key, number in epochs.items() if number]


def this_commit() -> str:
    """The state of the code.

    Returns:
        The commit, with "+" where files were changed since; rnnpt's version without a repository.
    """
    try:
        words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+",
                 "--exclude=*"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return __version__


def _count(splits: datasets.Splits) -> dict[str, evaluation.Row]:
    """Measures the counting models, all of them at once."""
    rows = evaluation.evaluate_baselines(splits, EvaluationConfig())
    return dict(zip(BASELINES, rows, strict=True))


def _tell_other_settings(row: Row, kept: dict[str, str]) -> None:
    """Says that a result, which stays as it is, is of other settings than the row has now."""
    if row.runs is None:
        return
    name, settings = _settings(row, kept["data"], int(kept["seed"]), float(kept["budget"]))
    now, then = (" ".join(words) for words in (
        [name, *settings], [kept["config"], kept["settings"]]))
    if now != then:
        print(f"{kept['data']}, {row.name}, seed {kept['seed']}: kept as it is, of {then}; the row "
              f"now has {now}: delete its line to run it again", flush=True)


def _settings(row: Row, data: str, seed: int, budget: float) -> tuple[str, list[str]]:
    """The named config of a row's run, and what is changed of it."""
    assert row.runs is not None
    run = row.runs[data]
    settings = [*run.settings, f"seed={seed}"]
    return run.config, settings + scaled(override(named(run.config), settings), budget)


def _train(
    row: Row, splits: datasets.Splits, data: str, seed: int, budget: float, run_dir: Path,
    progress: bool | None,
) -> dict[str, Any]:
    """Trains and measures a row."""
    name, settings = _settings(row, data, seed, budget)
    config = run_folder.open_run(run_dir, name, settings)
    result = training.train(run_dir, config, splits, progress)
    model = training.load_model(run_dir, splits.num_visible)
    rows = evaluation.evaluate_model(model, splits.test, config.evaluation, seed, bool(progress))
    seconds = _seconds(result, run_dir / run_folder.HMM)
    return _figures(rows) | {
        "val_log_likelihood": f"{result.best['val_log_likelihood']:.4f}",
        "best_epoch": result.best["epoch"], "updates": result.history[-1]["updates"],
        "parameters": model.count_params(), "seconds": round(sum(seconds.values())),
        "seconds_by_phase": ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()),
        "config": name, "settings": " ".join(settings)}


def _seconds(result: PlanResult, hmm: Path) -> dict[str, float]:
    """Wall time of each phase and of making its data, in order; nothing for what took none.

    Of the data of a hidden Markov model its own training stands apart.
    """
    seconds: dict[str, float] = {}
    for row in result.history:
        for name, value in ((f"{row['phase']} data", row["data_seconds"]),
                            (row["phase"], row["seconds"])):
            seconds[name] = seconds.get(name, 0.0) + value
    if hmm.exists():
        training_seconds = load_hmm(hmm).seconds
        # Less where a run that was stopped in its first epoch has found the fit in its folder.
        drawing = seconds["hmm data"] - training_seconds
        seconds = {"hmm training": training_seconds} | seconds | (
            {"hmm data": drawing} if drawing >= 0 else {})
    return {name: value for name, value in seconds.items() if value >= 0.05}


def _figures(rows: Sequence[evaluation.Row]) -> dict[str, Any]:
    """What an evaluation found; a second row differs in the start of its chains alone."""
    row, other = rows[0], rows[1] if len(rows) > 1 else None

    def rounded(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    return {
        "log_likelihood": rounded(row.log_likelihood, 4),
        "standard_error": rounded(row.standard_error, 5),
        "accuracy": rounded(row.accuracy, 3),
        "accuracy_independent": "" if other is None else rounded(other.accuracy, 3),
        "micro_accuracy": rounded(row.micro_accuracy, 3)}


def _slug(name: str) -> str:
    """A folder's name."""
    return "".join(sign if sign.isalnum() else "_" for sign in name.lower())
