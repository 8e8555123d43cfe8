"""The folder of one run: which experiment it is, and where each of its files stands.

`config.json` says which experiment it is; `rnnpt.pretraining` keeps `plan.json`, `checkpoint.npz`,
`log.csv`, `best.weights.h5`, `hmm.npz` and `tensorboard/`; `rnnpt.experiments.evaluation` adds
`evaluation.csv` and `evaluation.md`.
"""

import json
import shutil
from pathlib import Path

from rnnpt.experiments.config import ExperimentConfig, named
from rnnpt.experiments.setting import ConfigError, flatten, from_values, override
from rnnpt.whole_file import write_bytes

CONFIG = "config.json"
LOG = "log.csv"
HMM = "hmm.npz"
BEST_WEIGHTS = "best.weights.h5"
TABLE_CSV = "evaluation.csv"
TABLE_MARKDOWN = "evaluation.md"
FILES = (
    "plan.json",
    "checkpoint.npz",
    HMM,
    LOG,
    BEST_WEIGHTS,
    "tensorboard",
    TABLE_CSV,
    TABLE_MARKDOWN,
    "learning_curve.png",
    CONFIG,
)


def resolve(
    run_dir: Path, name: str | None, assignments: list[str], overwrite: bool = False
) -> tuple[str, ExperimentConfig]:
    """Finds out which experiment is asked for; writes nothing.

    Args:
        run_dir: The run folder, which need not exist.
        name: Name of a config; may be left out where the folder holds a run.
        assignments: Settings to change, `key=value`.
        overwrite: Whether a run that is there is to be replaced.

    Returns:
        The config's name and the experiment.

    Raises:
        ConfigError: If the config or a setting is unknown, if the folder holds another experiment,
            or if it holds none and no config is named.
    """
    is_run = (run_dir / CONFIG).exists()
    if is_run and not overwrite:
        return _resumed(run_dir, name, assignments)
    if name is None and is_run:
        name, _ = _read(run_dir)
    if name is None:
        raise ConfigError(f"config must be named for a new run, got none for {run_dir}: add one.")
    return name, override(named(name), assignments)


def open_run(
    run_dir: Path, name: str | None, assignments: list[str], overwrite: bool = False
) -> ExperimentConfig:
    """Makes a run folder, or goes back to the one that is there.

    Args:
        run_dir: The folder.
        name: As in `resolve`.
        assignments: As in `resolve`.
        overwrite: Whether to delete a run that is there; files that are not a run's stay.

    Returns:
        The experiment of the folder.

    Raises:
        ConfigError: As in `resolve`, or if the folder holds files of a run without its config.
    """
    name, config = resolve(run_dir, name, assignments, overwrite)
    if overwrite or not (run_dir / CONFIG).exists():
        _clear(run_dir, overwrite)
        values = {"config": name, "settings": dict(flatten(config))}
        write_bytes(run_dir / CONFIG, (json.dumps(values, indent=2) + "\n").encode())
    return config


def read_config(run_dir: Path) -> ExperimentConfig:
    """Reads which experiment a folder holds.

    Args:
        run_dir: The run folder.

    Returns:
        Its experiment.

    Raises:
        ConfigError: If it is no run folder, or one of another version.
    """
    return _read(run_dir)[1]


def _read(run_dir: Path) -> tuple[str, ExperimentConfig]:
    """Returns the name and the settings that `config.json` holds."""
    path = run_dir / CONFIG
    if not path.is_file():
        raise ConfigError(
            f"run_dir must be a run folder, got {str(run_dir)!r} without {CONFIG}: make one with "
            "rnnpt train."
        )
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        name, settings = stored["config"], dict(stored["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"run_dir must hold a readable {CONFIG}, got {path} ({error!r}): train anew with "
            "--overwrite."
        ) from error
    return name, from_values(named(name), settings)


def _resumed(
    run_dir: Path, name: str | None, assignments: list[str]
) -> tuple[str, ExperimentConfig]:
    """Returns the stored experiment, after checking that it is the one that is asked for."""
    stored_name, stored = _read(run_dir)
    asked = override(stored if name is None else named(name), assignments)
    there, here = dict(flatten(stored)), dict(flatten(asked))
    if name not in (None, stored_name):
        there, here = {"config": stored_name}, {"config": name}
    for key in here:
        if there.get(key) != here[key]:
            raise ConfigError(
                f"run_dir must hold the experiment that is asked for, got {str(run_dir)!r} with "
                f"{key} {there.get(key)} and not {here[key]}: use another folder or --overwrite."
            )
    return stored_name, stored


def _clear(run_dir: Path, overwrite: bool) -> None:
    """Deletes the files of a run, and nothing else; refuses without `overwrite`."""
    for name in FILES:
        path = run_dir / name
        if path.exists() and not overwrite:
            raise ConfigError(
                f"run_dir must be a run folder or hold no file of one, got {str(run_dir)!r} with "
                f"{name} and without {CONFIG}: use another folder or --overwrite."
            )
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
