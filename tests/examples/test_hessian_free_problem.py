"""The examples of Hessian-free problems: a stopped run goes on, a finished one is kept."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rnnpt import datasets
from tests.examples.script import load, rows


@pytest.fixture
def call(monkeypatch, tmp_path) -> Callable[..., list[dict[str, str]]]:
    """Runs an example in a toy size, and gives its table."""
    test_set = datasets.Problem.test_set
    monkeypatch.setattr(datasets.Problem, "test_set", lambda problem: test_set(problem, 200))

    def call_with(
        *arguments: str, example: str = "hessian_free_problem", folder: str = "one"
    ) -> list[dict[str, str]]:
        table = tmp_path / folder / "table.csv"
        monkeypatch.setattr(sys, "argv", [
            f"{example}.py", "--smoke", "--output", str(table), "--checkpoints",
            str(tmp_path / folder / "runs"), *arguments])
        load(example).main()
        return rows(table)

    return call_with


def test_a_stopped_run_goes_on_to_the_end_of_an_unbroken_one(call, capsys):
    whole, = call()
    stopped, = call("--minutes", "0", folder="other")
    assert (stopped["outcome"], stopped["updates"]) == ("out of time", "1")
    # Without its row the run is taken up again.
    Path(stopped["command"].split("--output ")[1].split()[0]).unlink()
    resumed, = call(folder="other")
    same = ("outcome", "test_error", "updates", "minibatches")
    assert {name: resumed[name] for name in same} == {name: whole[name] for name in same}
    capsys.readouterr()
    assert call() == [whole]
    assert capsys.readouterr().out == "this run is in the table\n"


def test_a_curriculum_goes_on_with_the_network_of_the_shorter_length(call, monkeypatch):
    monkeypatch.setattr(
        datasets.Memorization5Bit, "is_solved", lambda problem, *_: problem.num_steps == 8)
    arguments = ("--problem", "mem5", "--curriculum")
    whole, = call(*arguments, "8")
    assert (whole["curriculum"], whole["outcome"]) == ("8", "failed")
    # One update over 8 steps, and one over 10.
    stopped, = call(*arguments, "8", "--minutes", "0", folder="other")
    assert (stopped["outcome"], stopped["updates"]) == ("out of time", "2")
    Path(stopped["command"].split("--output ")[1].split()[0]).unlink()
    resumed, = call(*arguments, "8", folder="other")
    same = ("outcome", "test_error", "updates", "minibatches")
    assert {name: resumed[name] for name in same} == {name: whole[name] for name in same}
    # Nothing is learned over 10 steps where 7 are too many.
    short, = call(*arguments, "7", "--minutes", "0", folder="third")
    assert (short["outcome"], short["updates"]) == ("out of time", "1")
    assert short["test_error"] != stopped["test_error"]


def test_a_curriculum_that_does_not_grow_to_the_length_is_refused(call, capsys):
    for lengths in (["10"], ["9", "8"]):
        with pytest.raises(SystemExit):
            call("--curriculum", *lengths)
        assert "--curriculum must be lengths that grow and stay below --num_steps, got " in (
            capsys.readouterr().err)


def test_the_orthogonal_start_keeps_every_direction_and_the_small_one_some(monkeypatch):
    example = load("hessian_free_problem")

    def moduli(start: str) -> np.ndarray:
        monkeypatch.setattr(sys, "argv", ["", "--smoke", "--start", start])
        model = example.make_model(datasets.Addition(num_steps=10), example.parse())
        return np.abs(np.linalg.eigvals(model.cell.recurrent_kernel))

    np.testing.assert_allclose(moduli("orthogonal"), 1, rtol=1e-5)
    small = moduli("small")
    np.testing.assert_allclose(small.max(), 1.1, rtol=1e-5)
    assert small.min() < 0.9


def test_the_table_is_drawn_and_written(call, tmp_path):
    call("--problem", "mem5", "--no-structural_damping", "--start", "small", "--boost", "3",
         "--ratio_of", "last", "--plot")
    assert (tmp_path / "one" / "table.png").read_bytes().startswith(b"\x89PNG")
    assert "\n| mem5 | 10 |  | no | small | 3 | last | 0 | " in (
        tmp_path / "one" / "table.md").read_text(encoding="utf-8")


def test_a_boost_below_1_is_refused(call, capsys):
    with pytest.raises(SystemExit):
        call("--boost", "0.5")
    assert "--boost must be at least 1, got 0.5" in capsys.readouterr().err


def test_the_iterate_that_the_ratio_judges_is_part_of_a_run(call):
    one, = call("--method", "hessian_free", example="addition_race")
    again, other = call("--method", "hessian_free", "--ratio_of", "last", example="addition_race")
    assert again == one and (one["ratio_of"], other["ratio_of"]) == ("step", "last")


@pytest.mark.parametrize("name, options, usual, value", [
    ("start", ["--start", "orthogonal"], "small", "orthogonal"),
    ("centered", ["--centered"], "False", "True")])
def test_the_start_and_the_inputs_are_part_of_a_run(call, name, options, usual, value):
    one, = call("--method", "adam", example="addition_race")
    again, other = call("--method", "adam", *options, example="addition_race")
    assert again == one and (one[name], other[name]) == (usual, value)
    assert other["error"] != one["error"] or other["updates"] != one["updates"]


@pytest.mark.parametrize("method, name, value", [
    ("adam", "ratio_of", "last"), ("lstm", "start", "orthogonal"), ("lbfgs", "learning_rate", "1")])
def test_what_a_method_has_not_is_refused(call, capsys, method, name, value):
    with pytest.raises(SystemExit):
        call("--method", method, f"--{name}", value, example="addition_race")
    assert f"--{name} must be left out for {method}" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["hessian_free", "adam", "nesterov", "lbfgs", "lstm"])
def test_every_method_runs_the_race(call, capsys, method):
    row, = call("--method", method, example="addition_race")
    assert (row["method"], row["split"], row["seed"]) == (method, "test", "0")
    assert (row["outcome"] == "failed") == (float(row["minibatches"]) >= 60)
    capsys.readouterr()
    assert call("--method", method, example="addition_race") == [row]
    assert capsys.readouterr().out == "this run is in the table\n"


def test_the_race_of_a_search_reads_no_test_set(call, monkeypatch):
    monkeypatch.delattr(datasets.Problem, "test_set")
    row, = call("--method", "adam", "--search", "--learning_rate", "0.01", example="addition_race")
    assert (row["split"], row["seed"], row["learning_rate"]) == ("validation", "100", "0.01")
