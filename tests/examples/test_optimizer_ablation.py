import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

from rnnpt import cells, datasets, metrics, optimizers
from rnnpt.experiments.result_table import ResultTable
from tests.examples.script import load

keras_tuner = pytest.importorskip("keras_tuner")
ROOT = Path(__file__).parents[2]
METHODS = ("sgd", "sgd_c", "sgd_cl", "sgd_clr", "sgd_crm")
VALUES = {"num_hidden": 8, "learning_rate": 0.1, "leaky_share": 0.5, "activity_l1": 1e-4,
          "momentum": 0.5}
#: KerasTuner 1.4.8 still asks for the thread's name in the old way.
pytestmark = [
    pytest.mark.filterwarnings("ignore:currentThread:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:getName:DeprecationWarning")]


@pytest.fixture(scope="module")
def search() -> ModuleType:
    return load("optimizer_ablation_search")


@pytest.fixture(scope="module")
def splits() -> datasets.Splits:
    return load("optimizer_ablation").music("noise", None)


def budget(search: ModuleType, **changes: int) -> object:
    return search.Budget(**{"trials": 2, "epochs": 1, "patience": 1, "batch_size": 4} | changes)


def ranges(search: ModuleType, method: str) -> dict[str, tuple]:
    found = {}
    for entry in search.search_space(method).space:
        if isinstance(entry, keras_tuner.engine.hyperparameters.Choice):
            found[entry.name] = tuple(entry.values)
        else:
            found[entry.name] = (entry.min_value, entry.max_value, entry.sampling)
    return found


def test_spaces_are_the_ranges_of_the_paper(search):
    plain = {"num_hidden": (100, 400, "linear"), "learning_rate": (1e-4, 1e-1, "log")}
    leaky = {"leaky_share": (0.0, 0.25, 0.5)}
    rectified = {"activity_l1": (1e-6, 1e-3, "log")}
    momentum = {"momentum": (1e-3, 0.95, "linear")}
    expected = (
        plain, plain, plain | leaky, plain | leaky | rectified, plain | rectified | momentum)
    assert [ranges(search, method) for method in METHODS] == list(expected)


@pytest.mark.parametrize("method", METHODS)
def test_each_letter_adds_its_help_and_no_other(search, method):
    values = {entry.name: VALUES[entry.name] for entry in search.search_space(method).space}
    cell = search.build_model(values, method, seed=0).cell
    optimizer = search.optimizer_of(values, method)
    letters = method.removeprefix("sgd")
    assert optimizer.global_clipnorm == (15.0 if "c" in letters else None)
    assert isinstance(cell, cells.LeakyCell) == ("l" in letters)
    assert (cell.activation is keras.activations.relu) == ("r" in letters)
    assert cell.activity_l1 == (1e-4 if "r" in letters else 0.0)
    assert isinstance(optimizer, optimizers.SimplifiedNesterov) == ("m" in letters)


def run(search, splits, folder, method="sgd", **changes) -> object:
    table = ResultTable(folder / "trials.csv", key=("data", "method", "seed", "trial"))
    one = search.Search(
        "noise", method, splits, budget(search, **changes), table, folder / method)
    one.search()
    return one


def pretend(*scores: float) -> Callable[..., dict[str, float]]:
    """Stands for `train`, with a score for each of its calls."""
    left = list(scores)

    def train(model: keras.Model, *_: object) -> dict[str, float]:
        model.build_for(88)
        return {"valid_ll": left.pop(0)}

    return train


def test_settings_of_a_seed_are_the_same_again_and_of_another_seed_others(
        search, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "train", pretend(*6 * [-1.0]))
    for name, seed in (("first", 0), ("second", 0), ("third", 1)):
        run(search, splits, tmp_path / name, seed=seed)
    first, second, third = (
        [[row[name] for name in ("num_hidden", "learning_rate")] for row in ResultTable(
            tmp_path / name / "trials.csv", key=["trial"]).rows]
        for name in ("first", "second", "third"))
    assert len(first) == 2 and first == second and first != third


def test_trial_that_has_a_row_is_not_trained_again_and_more_trials_go_on(
        search, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "train", pretend(-2.0, -1.0, -3.0))
    for trials in (2, 2, 3):
        run(search, splits, tmp_path, trials=trials)
    rows = ResultTable(tmp_path / "trials.csv", key=["trial"]).rows
    assert [(row["trial"], row["valid_ll"]) for row in rows] == [
        ("0", "-2.0"), ("1", "-1.0"), ("2", "-3.0")]


def test_rows_of_another_search_are_refused(search, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "train", pretend(-1.0, -1.0))
    run(search, splits, tmp_path)
    with pytest.raises(keras_tuner.errors.FatalError, match="output must hold.*'max_epochs': 1"):
        run(search, splits, tmp_path, epochs=3)


def test_failure_of_training_stops_the_search(search, splits, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(search, "train", fail)
    with pytest.raises(keras_tuner.errors.FatalError, match="disk full"):
        run(search, splits, tmp_path)


def test_best_trial_comes_with_the_weights_of_its_best_epoch(search, splits, tmp_path):
    one = run(search, splits, tmp_path, epochs=2)
    rows = ResultTable(tmp_path / "trials.csv", key=["trial"]).rows
    row, model = one.best()
    assert float(row["valid_ll"]) == max(float(row["valid_ll"]) for row in rows)
    measured = model.evaluate(splits.valid.pieces(32), verbose=0, return_dict=True)
    np.testing.assert_allclose(measured["log_likelihood"], float(row["valid_ll"]), rtol=1e-5)


def test_loss_that_is_not_finite_is_an_outcome(search, splits, tmp_path):
    model = search.build_model(VALUES, "sgd_crm", seed=0)
    model.compile(optimizer=keras.optimizers.SGD(1e30))
    row = search.train(model, splits, budget(search, epochs=3, patience=3))
    assert row["outcome"] == "loss not finite"
    assert row["valid_ll"] == -np.inf and row["best_epoch"] == 0


def test_search_without_a_finite_trial_says_so(search, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "train", pretend(-np.inf, -np.inf))
    one = run(search, splits, tmp_path)
    with pytest.raises(ValueError, match="trials must be enough.*got none of 2"):
        one.best()


def test_accuracy_is_that_of_the_sampled_frames(splits):
    # Notes that are surely played: every sample has all keys, whatever the seed.
    example, search = load("optimizer_ablation"), load("optimizer_ablation_search")
    model = search.build_model(VALUES, "sgd_crm", seed=0)
    model.build_for(88)
    model.readout.bias.assign(np.full(88, 100.0))
    pieces = splits.test
    found = example.accuracies(model, pieces, seed=0)
    score = metrics.frame_accuracy(np.ones([1, pieces.num_frames, 88]), pieces.frames())
    micro = 100 * pieces.frames().mean()
    assert found == {"accuracy": round(100 * score, 2), "micro_accuracy": round(micro, 2)}


def test_report_puts_our_figures_beside_the_papers(search):
    row = VALUES | {
        "data": "jsb", "method": "sgd_clr", "seed": 0, "trials": 20, "trial": 3, "best_epoch": 7,
        "valid_ll": "-8.5", "train_ll": "-8.125", "test_ll": "-8.25", "accuracy": "30.5",
        "micro_accuracy": "22.25"}
    page = load("optimizer_ablation_table").report(
        [row], {method: search.search_space(method) for method in METHODS})
    figures = "-7.67 | -8.12 | -8.50 | -9.47 | -8.25 | 29.98 | 30.50 | 22.25"
    assert f"| SGD+CLR | 20 | {figures} |" in page
    assert "- learning_rate: 0.0001 to 0.1, log-uniform" in page
    assert "learning_rate 0.1, leaky_share 0.5, activity_l1 0.0001 (trial 3" in page


@pytest.mark.slow
def test_optimizer_ablation_writes_its_tables_and_a_second_run_adds_nothing(tmp_path):
    command = [
        sys.executable, str(ROOT / "examples" / "optimizer_ablation.py"), "--smoke", "--method",
        "sgd_crm", "--output", str(tmp_path), "--weights", str(tmp_path / "weights")]
    for _ in range(2):
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
            text=True, check=False)
        assert done.returncode == 0, done.stderr
        for name, count in (("optimizer_ablation_trials", 2), ("optimizer_ablation", 1)):
            with (tmp_path / f"{name}.csv").open() as file:
                rows = list(csv.DictReader(file))
            assert len(rows) == count
            assert "--smoke" in rows[0]["command"] and "cores" in rows[0]["machine"]
    assert "SGD+CRM" in (tmp_path / "optimizer_ablation.md").read_text()


@pytest.mark.parametrize("flag, value", [("trials", "0"), ("epochs", "-1")])
def test_counts_below_one_are_refused(flag, value, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["optimizer_ablation.py", f"--{flag}", value])
    with pytest.raises(SystemExit):
        load("optimizer_ablation").parse()
    assert f"--{flag} must be at least 1, got {value}" in capsys.readouterr().err
