"""What a run keeps: where it stands (one file, replaced in one move), its log, its best weights."""
import csv
import dataclasses
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rnnpt.pretraining.error import RunFolderError
from rnnpt.whole_file import write_bytes, written_beside

Row = dict[str, Any]

_ARRAYS = ("weights", "optimizer", "best_weights")


@dataclasses.dataclass
class Progress:
    """Where a run stands at the end of an epoch: all that is needed to go on from there.

    Args:
        phase: Index of the phase.
        epoch: Epochs done in the phase.
        updates: Updates of the weights done in earlier phases.
        waited: Epochs since the phase's best one.
        best_score: Validation log-likelihood of the phase's best epoch.
        best_epoch: That epoch, from 1; 0 for none yet.
        history: A row an epoch, all phases.
        weights: Variables of the model.
        optimizer: Variables of the optimizer; empty at the beginning of a phase.
        best_weights: Variables of the model after the best epoch.
    """

    phase: int = 0
    epoch: int = 0
    updates: int = 0
    waited: int = 0
    best_score: float = -math.inf
    best_epoch: int = 0
    history: list[Row] = dataclasses.field(default_factory=list)
    weights: list[np.ndarray] = dataclasses.field(default_factory=list)
    optimizer: list[np.ndarray] = dataclasses.field(default_factory=list)
    best_weights: list[np.ndarray] = dataclasses.field(default_factory=list)

    def begin_phase(self, index: int) -> None:
        """Forget what belongs to the phase before; the history and the weights stay.

        Args:
            index: Of the phase that begins.
        """
        self.phase, self.epoch, self.waited = index, 0, 0
        self.best_score, self.best_epoch = -math.inf, 0
        self.updates = self.history[-1]["updates"]
        self.optimizer, self.best_weights = [], []

    def add(self, row: Row, score: float | None, weights: list[np.ndarray],
            optimizer: list[np.ndarray]) -> bool:
        """Take in an epoch.

        Args:
            row: Its row of the history.
            score: Its validation log-likelihood; None without validation, when each epoch counts as
                better than those before.
            weights: Variables of the model.
            optimizer: Variables of the optimizer.

        Returns:
            Whether it is the phase's best epoch.
        """
        self.epoch += 1
        self.history.append(row)
        self.weights, self.optimizer = weights, optimizer
        is_best = score is None or score > self.best_score
        if is_best:
            self.best_score = -math.inf if score is None else score
            self.best_epoch, self.best_weights, self.waited = self.epoch, weights, 0
        else:
            self.waited += 1
        return is_best


class RunFolder:
    """The folder of one run.

    It holds `plan.json` (the model, the phases and the seed), `checkpoint.npz`, `log.csv`,
    `best.weights.h5` (the last phase's best weights) and `tensorboard/`. Every file is written
    beside its place and renamed, so a kill at any moment leaves the last epoch's files.

    Args:
        path: The folder; made by `claim`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: tf.summary.SummaryWriter | None = None

    def claim(self, identity: dict[str, Any]) -> None:
        """Make the folder this run's, or check that it is.

        Args:
            identity: What `identify` says of the run.

        Raises:
            RunFolderError: If the folder holds another run, or files of a run without its plan.
        """
        plan, advice = self.path / "plan.json", (
            "Train anew with --overwrite, or choose another folder.")
        if plan.exists():
            try:
                saved = json.loads(plan.read_text())
            except ValueError as error:
                raise RunFolderError(f"`directory` must hold a readable plan.json. Received: "
                                     f"{self.path}, {error}. {advice}") from error
            difference = _difference(saved, identity)
            if difference:
                raise RunFolderError(f"`directory` must hold a run of the same model and plan. "
                                     f"Received: {self.path}, where {difference}. {advice}")
        elif (self.path / "checkpoint.npz").exists():
            raise RunFolderError(f"`directory` must hold the plan of its checkpoint. Received: "
                                 f"{self.path}, without plan.json. {advice}")
        else:
            self.path.mkdir(parents=True, exist_ok=True)
            write_bytes(plan, json.dumps(identity, indent=2).encode())

    def load(self) -> Progress | None:
        """Read where the run stands.

        Returns:
            The last epoch that was finished, or None for a run that has none.

        Raises:
            RunFolderError: If the checkpoint cannot be read.
        """
        path = self.path / "checkpoint.npz"
        if not path.exists():
            return None
        try:
            with path.open("rb") as opened, np.load(opened) as file:
                state = Progress(**json.loads(str(file["state"])))
                for name in _ARRAYS:
                    count = sum(key.startswith(f"{name}/") for key in file.files)
                    setattr(state, name, [file[f"{name}/{i}"] for i in range(count)])
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise RunFolderError(
                f"`directory` must hold a readable checkpoint.npz. Received: {self.path}, {error}. "
                "Train anew with --overwrite, or choose another folder.") from error
        return state

    def save(self, state: Progress) -> None:
        """Write the log, the events, and last the checkpoint, which alone counts.

        Args:
            state: Where the run stands.
        """
        with written_beside(self.path / "log.csv") as path:
            _write_csv(path, state.history)
        self._write_events(state.history[-1], len(state.history))
        arrays = {f"{name}/{i}": array
                  for name in _ARRAYS for i, array in enumerate(getattr(state, name))}
        scalars = {field.name: getattr(state, field.name)
                   for field in dataclasses.fields(state) if field.name not in _ARRAYS}
        with written_beside(self.path / "checkpoint.npz") as path:
            np.savez(path, state=json.dumps(scalars), **arrays)

    def save_best(self, model: keras.Model) -> None:
        """Write the model's weights as the best ones.

        Args:
            model: The model after its best epoch so far.
        """
        with written_beside(self.path / "best.weights.h5") as path:
            model.save_weights(path)

    def _write_events(self, row: Row, step: int) -> None:
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.path / "tensorboard"))
        with self._writer.as_default(step):
            for name, value in row.items():
                if isinstance(value, float):
                    tf.summary.scalar(name, value)
        self._writer.flush()


def identify(model: keras.Model, phases: list[dict[str, Any]], seed: int,
             start: dict[str, Any] | None = None) -> dict[str, Any]:
    """Describe a run so that another can be told from it.

    Args:
        model: The built model.
        phases: The phases as dictionaries.
        seed: The plan's seed.
        start: What sets the first weights, as a dictionary; None for nothing.

    Returns:
        What `plan.json` holds, as it reads back from JSON.
    """
    saved = keras.saving.serialize_keras_object(model)
    config = {"class": saved["class_name"], "config": _without_names(saved["config"])}
    shapes = [list(variable.shape) for variable in model.variables]
    phases = [phase | {"optimizer": _without_names(phase["optimizer"])} for phase in phases]
    identity = {"model": config, "shapes": shapes, "phases": phases, "seed": seed, "start": start}
    return json.loads(json.dumps(identity))


def _write_csv(path: Path, history: list[Row]) -> None:
    columns = list(dict.fromkeys(name for row in history for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)


def _without_names(config: Any) -> Any:
    # Keras numbers the names of unnamed objects by how many the process has made.
    if isinstance(config, dict):
        return {key: _without_names(value) for key, value in config.items() if key != "name"}
    if isinstance(config, (list, tuple)):
        return [_without_names(value) for value in config]
    return config


def _difference(saved: Any, asked: Any, where: str = "") -> str | None:
    """Say where two JSON values first differ."""
    if isinstance(saved, dict) and isinstance(asked, dict) and saved.keys() == asked.keys():
        parts: Iterator[Any] = ((f"{where}.{key}", saved[key], asked[key]) for key in saved)
    elif isinstance(saved, list) and isinstance(asked, list) and len(saved) == len(asked):
        parts = ((f"{where}[{i}]", *pair) for i, pair in enumerate(zip(saved, asked)))
    elif saved == asked:
        return None
    else:
        return f"{where.lstrip('.') or 'it'} is {saved!r:.60} and not {asked!r:.60}"
    return next(filter(None, (_difference(a, b, path) for path, a, b in parts)), None)
