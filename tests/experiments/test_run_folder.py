"""A run folder is one experiment's, and only a run's files are ever deleted."""

import json

import pytest

from rnnpt.experiments import run_folder
from rnnpt.experiments.config import named
from rnnpt.experiments.setting import ConfigError, override


def test_a_new_folder_keeps_the_config_that_was_asked_for(tmp_path):
    config = run_folder.open_run(tmp_path / "a" / "b", "rnn_jsb", ["fit.epochs=3", "seed=7"])
    assert config == override(named("rnn_jsb"), ["fit.epochs=3", "seed=7"])
    assert run_folder.read_config(tmp_path / "a" / "b") == config
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["config.json"]


def test_an_existing_folder_is_resumed_with_or_without_its_config(tmp_path):
    config = run_folder.open_run(tmp_path, "rnn_jsb", ["fit.epochs=3"])
    assert run_folder.open_run(tmp_path, None, []) == config
    assert run_folder.open_run(tmp_path, None, ["fit.epochs=3"]) == config
    assert run_folder.open_run(tmp_path, "rnn_jsb", ["fit.epochs=3"]) == config


@pytest.mark.parametrize(
    "name, assignments, message",
    [
        ("rnn_rbm_jsb", [], "with config rnn_jsb and not rnn_rbm_jsb"),
        ("rnn_jsb", [], r"with fit\.epochs 3 and not 100"),
        (None, ["seed=4"], "with seed 0 and not 4"),
    ],
)
def test_a_folder_of_another_experiment_is_refused(tmp_path, name, assignments, message):
    run_folder.open_run(tmp_path, "rnn_jsb", ["fit.epochs=3"])
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(ConfigError, match=f"run_dir must hold the experiment .*{message}"):
        run_folder.open_run(tmp_path, name, assignments)
    assert (tmp_path / "config.json").read_bytes() == before


def test_overwriting_deletes_the_run_and_nothing_else(tmp_path):
    run_folder.open_run(tmp_path, "rnn_jsb", [])
    (tmp_path / "checkpoint.npz").write_text("old")
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "events").write_text("old")
    (tmp_path / "my notes.txt").write_text("mine")
    config = run_folder.open_run(tmp_path, None, ["seed=4"], overwrite=True)
    assert config == override(named("rnn_jsb"), ["seed=4"])
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "my notes.txt"}


def test_overwriting_with_a_wrong_setting_deletes_nothing(tmp_path):
    run_folder.open_run(tmp_path, "rnn_jsb", [])
    (tmp_path / "checkpoint.npz").write_text("old")
    with pytest.raises(ConfigError, match="unknown key 'fit.epoch'"):
        run_folder.open_run(tmp_path, "rnn_jsb", ["fit.epoch=1"], overwrite=True)
    assert (tmp_path / "checkpoint.npz").read_text() == "old"


def test_a_broken_config_can_be_overwritten_and_not_resumed(tmp_path):
    (tmp_path / "config.json").write_text('{"config": "rnn_jsb"')
    with pytest.raises(ConfigError, match=r"run_dir must hold a readable config\.json"):
        run_folder.open_run(tmp_path, "rnn_jsb", [])
    run_folder.open_run(tmp_path, "rnn_jsb", [], overwrite=True)
    assert json.loads((tmp_path / "config.json").read_text())["config"] == "rnn_jsb"


def test_a_new_run_needs_the_name_of_a_config(tmp_path):
    with pytest.raises(ConfigError, match="config must be named for a new run, got none"):
        run_folder.open_run(tmp_path / "new", None, [])
    assert not (tmp_path / "new").exists()


def test_files_of_a_run_without_its_config_are_refused(tmp_path):
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"run_dir must be a run folder .* with plan\.json"):
        run_folder.open_run(tmp_path, "rnn_jsb", [])


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"run_dir must be a run folder, got .*without config"):
        run_folder.read_config(tmp_path)
