"""The example of Hessian-free problems: a stopped run goes on, a finished one is kept."""

import csv
import importlib.util
import sys
from pathlib import Path

import pytest

from rnnpt import datasets

SCRIPT = Path(__file__).parents[2] / "examples" / "hessian_free_problem.py"


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Runs the example in a toy size, and gives its table."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("hessian_free_problem", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    test_set = datasets.Problem.test_set
    monkeypatch.setattr(datasets.Problem, "test_set", lambda problem: test_set(problem, 200))

    def call_with(*arguments: str, folder: str = "one") -> list[dict[str, str]]:
        monkeypatch.setattr(sys, "argv", [
            str(SCRIPT), "--smoke", "--output", str(tmp_path / folder / "table.csv"),
            "--checkpoints", str(tmp_path / folder / "runs"), *arguments])
        module.main()
        with (tmp_path / folder / "table.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

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


def test_the_table_is_drawn(call, tmp_path):
    call("--problem", "mem5", "--no-structural_damping", "--start", "small", "--plot")
    assert (tmp_path / "one" / "table.png").read_bytes().startswith(b"\x89PNG")
