import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.examples.script import load, rows


@pytest.fixture
def example(monkeypatch) -> ModuleType:
    """The example, its runs with ten points in place of fifty."""
    module = load("deep_autoencoder")
    monkeypatch.setattr(module, "NUM_POINTS", 10)
    return module


@pytest.fixture
def call(example, monkeypatch) -> Callable[..., None]:
    """Runs the example with its tables and checkpoints in a folder."""
    def call_in(folder: Path, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [
            "deep_autoencoder.py", "--output", str(folder / "table.csv"), "--checkpoints",
            str(folder / "checkpoints"), *arguments])
        example.main()

    return call_in


@pytest.mark.slow
def test_each_method_learns_and_is_drawn(call, tmp_path, capsys):
    call(tmp_path, "--smoke")
    call(tmp_path, "--smoke", "--method", "momentum_0.9", "--no_final_phase")
    nag, other = rows(tmp_path / "table.csv")
    points = [row for row in rows(tmp_path / "table_curves.csv") if row["method"] == "nag"]
    assert nag["num_updates"] == other["num_updates"] == "300"
    assert [int(point["step"]) for point in points] == list(range(30, 330, 30))
    assert float(nag["error"]) == float(points[-1]["error"]) < 0.8 * float(points[0]["error"])
    assert nag["error_at_90_percent"] == points[-2]["error"]
    assert not list((tmp_path / "checkpoints").iterdir())
    capsys.readouterr()
    call(tmp_path, "--smoke")
    assert "is in" in capsys.readouterr().out
    assert len(rows(tmp_path / "table.csv")) == 2
    call(tmp_path, "--plot")
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_hessian_free_steps_learn_and_are_drawn(example, call, tmp_path, monkeypatch):
    monkeypatch.setitem(example.BATCH_SIZE, "hessian_free", 400)
    monkeypatch.setattr(example, "CURVATURE_IMAGES", 100)
    call(tmp_path, "--smoke", "--method", "hessian_free")
    (row,), points = (rows(tmp_path / name) for name in ("table.csv", "table_curves.csv"))
    assert (row["final_phase"], row["learning_rate"], row["num_updates"]) == ("False", "None", "10")
    assert float(row["error"]) < 0.8 * float(points[0]["error"])
    call(tmp_path, "--plot")
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")


def test_each_method_is_drawn_at_the_rate_with_the_lowest_last_error(example):
    def point(method: str, rate: str, step: int, error: float) -> dict[str, str]:
        return {"data": "curves", "method": method, "final_phase": "True", "share": "0.02",
                "learning_rate": rate, "seed": "0", "step": str(step), "error": str(error)}

    rows = [point("nag", "0.1", 20, 5), point("nag", "0.1", 3, 1), point("nag", "0.2", 3, 4),
            point("nag", "0.2", 20, 3), point("sgd", "0.1", 20, 9)]
    assert example.best_runs(rows) == {
        ("curves", "nag", "True"): rows[2:4], ("curves", "sgd", "True"): rows[4:]}


def test_a_rate_of_hessian_free_steps_is_refused(call, tmp_path, capsys):
    with pytest.raises(SystemExit):
        call(tmp_path, "--method", "hessian_free", "--learning_rate", "0.1")
    assert "--learning_rate must be left out for hessian_free" in capsys.readouterr().err


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_errors(example, call, tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    class Stopping(example.Recorder):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            super().on_epoch_begin(epoch, logs)
            if epoch == 6:
                raise Stop

    with monkeypatch.context() as context:
        context.setattr(example, "Recorder", Stopping)
        with pytest.raises(Stop):
            call(tmp_path / "stopped", "--smoke")
    for folder in ("stopped", "whole"):
        call(tmp_path / folder, "--smoke")
    stopped, whole = (rows(tmp_path / folder / "table_curves.csv")
                      for folder in ("stopped", "whole"))
    assert len(stopped) == 10
    assert [row["error"] for row in stopped] == [row["error"] for row in whole]


def test_a_share_of_nothing_is_refused(call, tmp_path, capsys):
    with pytest.raises(SystemExit):
        call(tmp_path, "--share", "0")
    assert "--share must be above 0 and at most 1, got 0.0" in capsys.readouterr().err
