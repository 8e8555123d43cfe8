"""Curves of runs: kept from their logs, read back, the highest point told."""

import pytest

from rnnpt.experiments import curve, picture
from rnnpt.experiments.setting import ConfigError

RUN = {"data": "toy", "row": "RNN, HMM", "seed": 0, "budget": 0.5}
LOG = """phase,epoch,updates,seconds,data_seconds,cpu_seconds,val_log_likelihood,val_accuracy,other
hmm,1,2,10.0,5.0,9.5,-9.25,,
hmm,2,4,10.0,0.0,9.0,-9.0,21.5,0.5
fit,1,6,20.0,0.25,8.5,-8.0,41.0,0.5
fit,2,8,20.0,0.0,8.5,-8.125,40.0,0.5
"""


@pytest.fixture
def run_dir(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.csv").write_text(LOG)
    return tmp_path / "run"


def test_a_point_has_the_seconds_of_data_and_of_epochs_up_to_it(run_dir, tmp_path):
    path = tmp_path / "toys_curves.csv"
    curve.keep(path, run_dir, **RUN)
    points = curve.read(path)["toy"]["RNN, HMM, budget 0.5"]
    assert [tuple(point.values())[4:] for point in points] == [
        ("hmm", "2", "25.0", "18.5", "-9.0000", "21.500"),
        ("fit", "1", "45.2", "27.0", "-8.0000", "41.000"),
        ("fit", "2", "65.2", "35.5", "-8.1250", "40.000")]


def test_a_curve_is_kept_once(run_dir, tmp_path):
    path = tmp_path / "toys_curves.csv"
    curve.keep(path, run_dir, **RUN)
    first = path.read_text()
    curve.keep(path, run_dir, **RUN)
    assert path.read_text() == first


def test_runs_are_told_apart_by_budget_and_seed(run_dir, tmp_path):
    path = tmp_path / "toys_curves.csv"
    for other in ({}, {"budget": 1.0}, {"budget": 1.0, "seed": 1}, {"data": "other"}):
        curve.keep(path, run_dir, **RUN | other)
    runs = curve.read(path)
    assert list(runs["toy"]) == ["RNN, HMM, budget 0.5", "RNN, HMM", "RNN, HMM, seed 1"]
    assert list(runs["other"]) == ["RNN, HMM, budget 0.5"]


def without_accuracies(run_dir):
    """Takes the accuracies out of the run's log, and puts a start before it."""
    lines = [",".join(line.split(",")[:7]) for line in LOG.splitlines()]
    lines.insert(1, "linear,0,0,4.0,0.0,3.0,")
    (run_dir / "log.csv").write_text("\n".join(lines))


def test_a_run_without_accuracies_leaves_no_file(run_dir, tmp_path):
    without_accuracies(run_dir)
    curve.keep(tmp_path / "toys_curves.csv", run_dir, **RUN)
    assert not (tmp_path / "toys_curves.csv").exists()


def test_every_epoch_is_kept_and_told_by_its_log_likelihood_where_that_is_asked(run_dir, tmp_path):
    without_accuracies(run_dir)
    path = tmp_path / "toys_curves.csv"
    curve.keep(path, run_dir, every_epoch=True, **RUN)
    runs = curve.read(path)["toy"]
    # The start has no validation, and its time counts.
    assert [tuple(point.values())[4:] for point in runs["RNN, HMM, budget 0.5"]] == [
        ("hmm", "1", "19.0", "12.5", "-9.2500", ""), ("hmm", "2", "29.0", "21.5", "-9.0000", ""),
        ("fit", "1", "49.2", "30.0", "-8.0000", ""), ("fit", "2", "69.2", "38.5", "-8.1250", "")]
    assert curve.to_markdown(runs)[0].startswith("| | highest valid LL | in epoch |")
    assert curve.to_markdown(runs)[2:] == [
        "| RNN, HMM, budget 0.5 | -8.000 | 1 of fit | 49 | 30 | 69 | 38 | - | -9.250 | -9.000 "
        "| -8.000 |"]
    assert picture.draw_curves(path, tmp_path)[0].is_file()


def test_the_highest_point_is_told_with_its_time(run_dir, tmp_path):
    path = tmp_path / "toys_curves.csv"
    curve.keep(path, run_dir, **RUN)
    assert curve.to_markdown(curve.read(path)["toy"])[2:] == [
        "| RNN, HMM, budget 0.5 | 41.00 | -8.000 | 1 of fit | 45 | 27 | 65 | 36 | - | - | 21.50 "
        "| 41.00 |"]


def test_a_run_is_told_over_the_time_of_another_of_its_budget_and_seed(run_dir, tmp_path):
    path = tmp_path / "toys_curves.csv"
    for other in ({}, {"seed": 1}, {"row": "RNN"}):
        curve.keep(path, run_dir, **RUN | other)
    runs = curve.read(path)["toy"]
    del runs["RNN, budget 0.5"][1:]
    first, second, third = curve.to_markdown(runs, {"RNN, HMM": "RNN"})[2:]
    assert first.startswith("| RNN, HMM, budget 0.5 |")
    assert first.endswith(" | 65 | 36 | - | - | - | 21.50 |")
    assert second.startswith("| RNN, HMM, budget 0.5, seed 1 |")
    assert second.endswith(" | - | - | - | - |")
    assert third.startswith("| RNN, budget 0.5 |")
    assert third.endswith(" | 25 | 18 | - | - | - | 21.50 |")


def test_each_data_set_has_its_picture(run_dir, tmp_path):
    path = tmp_path / "toys_curves.csv"
    for data in ("toy", "other"):
        curve.keep(path, run_dir, **RUN | {"data": data})
    paths = picture.draw_curves(path, tmp_path / "pictures")
    assert [each.name for each in paths] == ["toys_curves_toy.png", "toys_curves_other.png"]
    assert all(each.read_bytes().startswith(b"\x89PNG") for each in paths)


@pytest.mark.parametrize("text", [None, "", "row,seconds\nRNN,2\n"])
def test_what_is_no_file_of_curves_is_refused(tmp_path, text):
    path = tmp_path / "other.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match="curves must be a file that rnnpt reproduce .*other.csv"):
        curve.read(path)
