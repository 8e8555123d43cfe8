"""Tables of many runs: what is there is not run again, and nothing is half there."""

import os
import signal
import subprocess
import sys

import pytest

from rnnpt.experiments.result_table import ResultTable, this_command, this_machine

# Adds rows until it is stopped; the first argument is the file, the second its own name.
WRITER = """
import sys
from pathlib import Path
from rnnpt.experiments.result_table import ResultTable
table = ResultTable(Path(sys.argv[1]), ["writer", "number"])
for number in range(int(sys.argv[3])):
    table.add(writer=sys.argv[2], number=number, text="long " * 100)
    print(number, flush=True)
"""


@pytest.fixture
def table(tmp_path):
    """A table of two rows."""
    table = ResultTable(tmp_path / "folder" / "errors.csv", ["problem", "seed"])
    table.add(problem="add", seed=0, error=0.25)
    table.add(error="a, \"quoted\"\nword", problem="mul", seed=1)
    return table


def write(path, name, number):
    """Returns a process that writes rows."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(number)], stdout=subprocess.PIPE,
        text=True)


def test_rows_come_back_as_text_in_the_order_of_the_columns(table):
    again = ResultTable(table.path, ["problem", "seed"])
    assert again.columns == ["problem", "seed", "error"]
    assert again.rows == [
        {"problem": "add", "seed": "0", "error": "0.25"},
        {"problem": "mul", "seed": "1", "error": "a, \"quoted\"\nword"}]


def test_a_run_that_is_there_is_known_by_its_key(table):
    assert table.has(problem="add", seed=0) and table.has(seed="1", problem="mul")
    assert not table.has(problem="add", seed=1)
    assert table.find(problem="add", seed=0)["error"] == "0.25"
    assert table.find(problem="add", seed=1) is None


def test_a_killed_writer_leaves_whole_rows_to_go_on_from(tmp_path):
    path = tmp_path / "rows.csv"
    with write(path, "killed", 100_000) as process:
        while process.stdout.readline() != "20\n":
            pass
        os.kill(process.pid, signal.SIGKILL)
    table = ResultTable(path, ["writer", "number"])
    numbers = [int(row["number"]) for row in table.rows]
    assert numbers == list(range(len(numbers))) and len(numbers) > 20
    assert {row["text"] for row in table.rows} == {"long " * 100}
    table.add(writer="killed", number=len(numbers), text="")
    assert len(table.rows) == len(numbers) + 1


def test_two_writers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "rows.csv"
    for process in [write(path, name, 30) for name in ("one", "other")]:
        process.communicate()
        assert process.returncode == 0
    found = {(row["writer"], int(row["number"])) for row in ResultTable(path, ["writer"]).rows}
    assert found == {(name, number) for name in ("one", "other") for number in range(30)}


@pytest.mark.parametrize("row, message", [
    ({"problem": "xor", "error": 1}, r"row must have the key columns .*, got none for \['seed'\]"),
    ({"problem": "xor", "seed": 0}, r"row must have the columns of errors.csv, .* got \['problem'"),
    ({"problem": "xor", "seed": 0, "error": 1, "more": 2}, "row must have the columns of .*more"),
    ({"problem": "add", "seed": 0, "error": 1}, "row must have a new key, got .*'add'"),
])
def test_rows_that_do_not_fit_are_refused_and_change_nothing(table, row, message):
    before = table.path.read_bytes()
    with pytest.raises(ValueError, match=message):
        table.add(**row)
    assert table.path.read_bytes() == before


def test_other_columns_than_the_keys_are_refused(table):
    with pytest.raises(ValueError, match=r"key must be the columns .*, got \['problem'\]"):
        table.has(problem="add")
    with pytest.raises(ValueError, match="ResultTable: key must name a column, got none"):
        ResultTable(table.path, [])
    with pytest.raises(ValueError, match=r"key must be among the columns .*, got \['updates'\]"):
        ResultTable(table.path, ["problem", "updates"])


def test_a_command_is_told_as_it_was_typed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["examples/one.py", "--name", "two words"])
    assert this_command() == "python examples/one.py --name 'two words'"
    monkeypatch.setattr(sys, "argv", ["/any/where/rnnpt", "reproduce", "starts"])
    assert this_command() == "rnnpt reproduce starts"
    assert this_machine().endswith(f"{os.cpu_count()} cores")
