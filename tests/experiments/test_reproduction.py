"""Rows of published tables: run, resumed, refused, and written beside the published figures."""

import csv
import types

import numpy as np
import pytest

from rnnpt import cli, datasets
from rnnpt.experiments import published, reproduction, run_folder
from rnnpt.experiments.config import CONFIGS, named
from rnnpt.experiments.published import TABLES
from rnnpt.experiments.setting import ConfigError, override
from rnnpt.experiments.table import BASELINES, Row, Run, Table
from rnnpt.models import n_gram
from rnnpt.pretraining import PlanResult

SMALL = ("model.num_hidden=3", "fit.epochs=4", "fit.segment_length=8", "evaluation.num_samples=2")
TOY = Table("A toy", (
    Row("Note 1-gram", None, {"toy": (-11.0, 5.0)}),
    Row("RNN", {"toy": Run("rnn_jsb", SMALL)}, {"toy": (-8.5, None), "other": (-7.0, 20.0)}),
    Row("Never run", {}, {"toy": (-6.0, 7.5)})))
TIMED = Table("A race", (
    Row("RNN, HMM", {"toy": Run("rnn_jsb", (
        *SMALL, "accuracy_every=2", "pretrain.epochs=3", "hmm.num_states=2", "hmm.num_sequences=3",
        "hmm.max_iterations=2"))}),), "Read this first.")


def make_splits():
    rng = np.random.default_rng(0)

    def make(count):
        return datasets.Sequences([rng.random((7, 6)) < 0.4 for _ in range(count)])

    return datasets.Splits(make(5), make(2), make(2), name="toy")


@pytest.fixture
def reproduce(monkeypatch, tmp_path):
    """Runs rows of the toy's table in a folder, by the command line."""
    monkeypatch.setattr(published, "TABLES", {"toys": TOY})
    monkeypatch.setattr(datasets, "get", lambda name, data_dir: make_splits())
    monkeypatch.chdir(tmp_path)

    def run(*flags):
        assert cli.main(["reproduce", "toys", *flags]) == 0
        with (tmp_path / "results" / "toys.csv").open(newline="") as file:
            return list(csv.DictReader(file)), (tmp_path / "results" / "toys.md").read_text()

    return run


def test_every_run_of_every_table_is_a_config_that_takes_its_settings():
    for table in TABLES.values():
        for row in table.rows:
            assert row.runs is not None or row.name in BASELINES
            assert row.against is None or row.against in {each.name for each in table.rows}
            for data, run in (row.runs or {}).items():
                config = override(named(run.config), list(run.settings))
                assert config.data == data, (table.title, row.name)


def test_the_figures_of_table_1_are_those_that_were_published():
    rows = {row.name: row.published for row in TABLES["polyphonic_music"].rows}
    assert rows["RNN-RBM"]["nottingham"] == (-2.39, 75.40)
    assert rows["RNN (HF)"]["jsb_chorales"] == (-8.58, 29.41)
    assert rows["RNN-NADE (HF)"]["musedata"] == (-5.60, 32.60)
    assert rows["Note N-gram"]["piano_midi"] == (-7.50, 26.80)


def test_a_row_is_trained_measured_and_set_beside_the_published(reproduce):
    rows, markdown = reproduce("--seeds", "2", "--data", "toy")
    assert [(row["row"], row["seed"]) for row in rows] == [
        ("Note 1-gram", "0"), ("RNN", "0"), ("RNN", "1")]
    counted, first, second = rows
    splits = make_splits()
    counts = n_gram.NoteNgram(splits.train.sequences, order=1)
    total = sum(counts.log_prob(piece).sum() for piece in splits.test.sequences)
    assert float(counted["log_likelihood"]) == pytest.approx(total / 14, abs=1e-4)
    assert counted["config"] == ""
    assert first["log_likelihood"] != second["log_likelihood"]
    assert first["parameters"] == str(6 * 3 + 3 * 3 + 3 + 3 + 3 * 6 + 6)
    assert first["updates"] == "4" and first["settings"].startswith("model.num_hidden=3 ")
    likelihoods = [float(row["log_likelihood"]) for row in (first, second)]
    mean, spread = np.mean(likelihoods), np.std(likelihoods, ddof=1)
    line = next(line for line in markdown.splitlines() if line.startswith("| RNN |"))
    assert f"| -8.50 | {mean:.3f} ± {spread:.3f} | 0.0000 ± 0.0000 | - |" in line
    assert line.endswith("| 2 | 1 |")
    assert "| Never run | -6.00 | not run |  | 7.50 |" in markdown
    other = markdown.split("## other")[1]
    assert "| RNN | -7.00 | not run |  | 20.00 |" in other and "Never run" not in other


def test_accuracies_over_time_stand_beside_the_results(reproduce, monkeypatch, tmp_path):
    monkeypatch.setattr(published, "TABLES", {"toys": TIMED})
    rows, markdown = reproduce()
    with (tmp_path / "results" / "toys_curves.csv").open(newline="") as file:
        points = list(csv.DictReader(file))
    assert [(point["phase"], point["epoch"]) for point in points] == [
        ("hmm", "2"), ("hmm", "3"), ("fit", "2"), ("fit", "4")]
    seconds = [float(point["seconds"]) for point in points]
    assert seconds == sorted(seconds)
    assert "![Validation over time](toys_curves_toy.png)" in markdown
    assert (tmp_path / "results" / "toys_curves_toy.png").is_file()
    highest = max(float(point["val_accuracy"]) for point in points)
    assert f"| RNN, HMM | {highest:.2f} |" in markdown
    assert "\n\nRead this first.\n\n" in markdown


def test_the_time_of_a_hidden_markov_model_stands_apart_from_that_of_its_data(
        reproduce, monkeypatch):
    monkeypatch.setattr(published, "TABLES", {"toys": TIMED})
    clock = types.SimpleNamespace(perf_counter=iter([0.0, 100.0]).__next__)
    monkeypatch.setattr("rnnpt.pretraining.hmm.time", clock)
    monkeypatch.setattr("rnnpt.pretraining.plan._timed", lambda make: (make(), 200.0))
    rows, _ = reproduce()
    parts = dict(part.rsplit(" ", 1) for part in rows[0]["seconds_by_phase"].split(", "))
    # Data are asked for in each epoch: 3 of pre-training, 4 of training.
    assert parts["hmm training"] == "100.0" and parts["hmm data"] == "500.0"
    assert parts["fit data"] == "800.0" and {"hmm", "fit"} <= set(parts)


def test_a_fit_that_an_earlier_call_left_is_no_part_of_the_time_of_the_data(monkeypatch, tmp_path):
    (tmp_path / "hmm.npz").touch()
    monkeypatch.setattr(
        reproduction, "load_hmm", lambda path: types.SimpleNamespace(seconds=100.0))
    row = {"phase": "hmm", "seconds": 3.0, "data_seconds": 1.0}
    assert reproduction._seconds(PlanResult([row], row), tmp_path / "hmm.npz") == {
        "hmm training": 100.0, "hmm data": 1.0, "hmm": 3.0}


def test_notes_that_were_written_by_hand_stay_in_the_markdown(reproduce, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "toys_notes.md").write_text("On one core.\n")
    for _ in range(2):
        _, markdown = reproduce("--rows", "Note 1-gram")
        assert markdown.count("\n\nOn one core.\n\n## toy") == 1


def test_what_is_in_the_table_is_not_run_again(reproduce, monkeypatch):
    first = reproduce()
    monkeypatch.setattr(reproduction.training, "train", None)
    assert reproduce() == first


def test_a_result_of_other_settings_than_the_row_has_now_is_kept_and_told(
        reproduce, monkeypatch, capsys):
    first = reproduce("--rows", "RNN")
    capsys.readouterr()
    assert reproduce("--rows", "RNN") == first
    assert "kept as it is" not in capsys.readouterr().out
    changed = Run("rnn_jsb", (*SMALL[1:], "model.num_hidden=4"))
    monkeypatch.setattr(published, "TABLES", {"toys": Table("A toy", (
        Row("RNN", {"toy": changed}, {"toy": (-8.5, None)}),))})
    assert reproduce("--rows", "RNN")[0] == first[0]
    told = capsys.readouterr().out
    assert "toy, RNN, seed 0: kept as it is, of rnn_jsb model.num_hidden=3 " in told
    assert "the row now has rnn_jsb fit.epochs=4 " in told and "delete its line" in told


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(reproduce, monkeypatch, tmp_path):
    whole, _ = reproduce("--runs_dir", "whole", "--rows", "RNN")
    (tmp_path / "results" / "toys.csv").unlink()
    monkeypatch.setattr(reproduction.evaluation, "evaluate_model", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reproduce("--runs_dir", "stopped", "--rows", "RNN")
    monkeypatch.undo()
    monkeypatch.setattr(published, "TABLES", {"toys": TOY})
    monkeypatch.setattr(datasets, "get", lambda name, data_dir: make_splits())
    monkeypatch.chdir(tmp_path)
    resumed, _ = reproduce("--runs_dir", "stopped", "--rows", "RNN")
    for name in ("log_likelihood", "accuracy", "val_log_likelihood", "updates"):
        assert resumed[0][name] == whole[0][name]


def test_a_budget_is_a_share_of_the_epochs_and_stands_apart(reproduce):
    reproduce("--data", "toy")
    rows, markdown = reproduce("--data", "toy", "--budget", "0.5")
    assert [(row["row"], row["budget"], row["updates"]) for row in rows] == [
        ("Note 1-gram", "1.0", ""), ("RNN", "1.0", "4"), ("RNN", "0.5", "2")]
    lines = [line for line in markdown.splitlines() if line.startswith("| RNN | -8.50")]
    assert lines[0].endswith("| 1 | 1 |") and lines[1].endswith("| 1 | 0.5 |")


def test_a_budget_reaches_each_phase():
    config = override(CONFIGS["rnn_rbm_chorales"], ["fit.epochs=40", "pretrain.epochs=10"])
    assert reproduction.scaled(config, 1.0) == []
    assert reproduction.scaled(config, 0.04) == ["fit.epochs=2", "pretrain.epochs=1"]
    parts = override(config, ["pretrain.schedule=parts", "pretrain.frame_epochs=30"])
    assert reproduction.scaled(parts, 0.1) == [
        "fit.epochs=4", "pretrain.epochs=1", "pretrain.frame_epochs=3"]


@pytest.mark.parametrize("flags, message", [
    (["tables"], "table must be one of toys, got 'tables'"),
    (["toys", "--rows", "MLP"], "rows must be among Note 1-gram, RNN, Never run, got 'MLP'"),
    (["toys", "--data", "bach"], "data must be among toy, other, got 'bach'"),
    (["toys", "--seeds", "0"], "seeds must be at least 1, got 0"),
    (["toys", "--budget", "1.5"], "budget must be above 0 and at most 1, got 1.5"),
    (["toys", "--budget", "nan"], "budget must be above 0 and at most 1, got nan"),
])
def test_what_the_table_has_not_is_refused_at_once(reproduce, capsys, flags, message):
    assert cli.main(["reproduce", *flags]) == 2
    assert message in capsys.readouterr().err


def test_results_of_another_version_are_refused_and_stay(reproduce, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    path = tmp_path / "results" / "toys.csv"
    for text in ("data,row,seed,budget,other\ntoy,RNN,0,1.0,2\n", "other\n1\n"):
        path.write_text(text)
        assert cli.main(["reproduce", "toys"]) == 2
        assert "output_dir must hold results of this version" in capsys.readouterr().err
        assert path.read_text() == text


def test_a_run_folder_of_other_settings_is_refused(reproduce, tmp_path, capsys):
    folder = tmp_path / "runs" / "toys" / "toy" / "rnn-1-0"
    run_folder.open_run(folder, "rnn_jsb", ["model.num_hidden=9"])
    assert cli.main(["reproduce", "toys", "--rows", "RNN"]) == 2
    assert "run_dir must hold the experiment that is asked for" in capsys.readouterr().err


def test_a_table_is_refused_by_name():
    with pytest.raises(ConfigError, match="table must be one of polyphonic_music, "):
        published.named("table_9")
