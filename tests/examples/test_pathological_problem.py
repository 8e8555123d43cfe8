"""The example of the problems of long memory: a stopped run goes on, a finished one is kept."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rnnpt import datasets
from tests.examples.script import load, rows


@pytest.fixture
def example(monkeypatch) -> ModuleType:
    """The example, its test sets small."""
    module = load("pathological_problem")
    monkeypatch.setattr(module, "NUM_VALIDATION_SEQUENCES", 100)
    test_set = datasets.Problem.test_set
    monkeypatch.setattr(datasets.Problem, "test_set", lambda problem: test_set(problem, 200))
    return module


@pytest.fixture
def call(example, monkeypatch) -> Callable[..., None]:
    """Runs the example in a toy size, its table and checkpoints in a folder."""
    def call_in(folder: Path, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [
            "pathological_problem.py", "--smoke", "--seeds", "2", "--batch_size", "20", "--output",
            str(folder / "table.csv"), "--checkpoints", str(folder / "runs"), *arguments])
        example.main()

    return call_in


def without_seconds(row: dict[str, str]) -> dict[str, str]:
    """Returns a row without what no two runs share."""
    return {name: value for name, value in row.items() if name not in ("seconds", "command")}


@pytest.mark.parametrize(
    "problem", ["add", "mul", "mem5", "mem20", "xor", "order", "order3", "permutation"])
def test_every_problem_leaves_a_row_a_member(call, tmp_path, problem):
    call(tmp_path, "--problem", problem)
    found = rows(tmp_path / "table.csv")
    assert len(found) == 2
    for seed, row in enumerate(found):
        assert (row["problem"], row["seed"], row["split"]) == (problem, str(seed), "test")
        assert row["updates_done"] == "20" and 0 < float(row["zero_one_loss"]) <= 1
    [log] = (tmp_path / "runs").glob("*/log.csv")
    assert [row["update"] for row in rows(log)] == ["10", "20"]


@pytest.mark.parametrize("optimizer", ["nesterov", "momentum"])
def test_a_stopped_run_ends_like_an_unbroken_one(example, call, tmp_path, optimizer, monkeypatch):
    class Stop(Exception):
        pass

    progress = load("pathological_progress")
    written_beside, paths = progress.written_beside, []

    def stop_at_the_second(path: Path) -> object:
        paths.append(path)
        if len(paths) == 2:
            raise Stop
        return written_beside(path)

    words = ["--problem", "add", "--optimizer", optimizer]
    # The worst moment: the log has an epoch more than the checkpoint.
    with monkeypatch.context() as context:
        context.setattr(progress, "written_beside", stop_at_the_second)
        with pytest.raises(Stop):
            call(tmp_path / "stopped", *words)
    [log] = (tmp_path / "stopped").glob("runs/*/log.csv")
    assert [row["update"] for row in rows(log)] == ["10", "20"]
    assert not (tmp_path / "stopped" / "table.csv").exists()
    call(tmp_path / "stopped", *words)
    call(tmp_path / "unbroken", *words)
    results = []
    for name in ("stopped", "unbroken"):
        [log] = (tmp_path / name).glob("runs/*/log.csv")
        results.append((
            [without_seconds(row) for row in rows(tmp_path / name / "table.csv")],
            [{key: float(value) for key, value in without_seconds(row).items()}
             for row in rows(log)]))
    assert results[0] == results[1] and [len(part) for part in results[0]] == [2, 2]


def test_a_finished_run_is_not_run_again_and_a_search_never_reads_the_test_set(
        example, call, tmp_path, monkeypatch, capsys):
    def refuse(*arguments: object) -> None:
        raise AssertionError("called, which it must not be")

    monkeypatch.setattr(datasets.Problem, "test_set", refuse)
    call(tmp_path, "--problem", "add", "--search")
    assert {row["split"] for row in rows(tmp_path / "table.csv")} == {"validation"}
    before = (tmp_path / "table.csv").read_bytes()
    capsys.readouterr()
    monkeypatch.setattr(example, "make_model", refuse)
    call(tmp_path, "--problem", "add", "--search")
    assert "these runs are in the table" in capsys.readouterr().out
    assert (tmp_path / "table.csv").read_bytes() == before


def test_batches_of_all_the_sequences_there_are_are_shared(example):
    problem = datasets.Memorization5Bit(num_steps=10)
    means = np.full(problem.num_inputs, 0.25, np.float32)
    batches = example.training_batches(problem, range(2), means, 32, start=7)
    for inputs, targets, weights in batches.take(2):
        whole = problem.all_sequences()
        np.testing.assert_array_equal(inputs, whole.inputs - means)
        np.testing.assert_array_equal(targets, whole.targets)
        np.testing.assert_array_equal(weights, whole.weights)
    inputs, _, _ = next(iter(example.training_batches(problem, range(2), means, 8, start=7)))
    assert inputs.shape[:2] == (2, 8)
