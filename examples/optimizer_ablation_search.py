"""The random search of `optimizer_ablation.py`: settings, model and training of a trial.

Source: Bengio, Boulanger-Lewandowski and Pascanu 2012, sections 3 and 4.1.1.
"""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

from rnnpt import cells, datasets, heads, models, optimizers
from rnnpt.experiments.result_table import ResultTable, this_command, this_machine

CLIP_NORM = 15.0
#: Of the orthogonal recurrent weights at the start: on JSB's validation pieces 0.3 gave plain SGD
#: 0.2 nats more than 1, at 200 units and a rate of 0.05.
RECURRENT_GAIN = 0.3
SEGMENT_LENGTH = 100
#: Updates between two looks of Keras, which cost a fifth of the time; the result is the same.
STEPS_PER_EXECUTION = 20
SETTINGS = ("num_hidden", "learning_rate", "leaky_share", "activity_l1", "momentum")


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a search may spend; with `seed` it decides every trial.

    Args:
        trials: Settings that are tried.
        epochs: Passes over the training pieces at most.
        patience: Passes without a better validation log-likelihood before a trial stops.
        batch_size: Rows of a batch.
        seed: Of the settings drawn; of each trial's weights, order of pieces, and samples.
    """

    trials: int
    epochs: int
    patience: int
    batch_size: int
    seed: int = 0


def search_space(method: str) -> keras_tuner.HyperParameters:
    """The settings of a method, and the paper's ranges of them.

    Args:
        method: Such as "sgd_crm".

    Returns:
        The space that KerasTuner draws from.
    """
    space = keras_tuner.HyperParameters()
    space.Int("num_hidden", 100, 400)
    space.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    helps = method.removeprefix("sgd")
    if "l" in helps:
        space.Choice("leaky_share", [0.0, 0.25, 0.5])
    if "r" in helps:
        space.Float("activity_l1", 1e-6, 1e-3, sampling="log")
    if "m" in helps:
        space.Float("momentum", 1e-3, 0.95)
    return space


def build_model(values: Mapping[str, Any], method: str, seed: int) -> keras.Model:
    """The RNN of one trial.

    Args:
        values: A draw from the method's `search_space`.
        method: Such as "sgd_crm".
        seed: Of the weights.

    Returns:
        A `SequenceModel` with independent outputs.
    """
    helps = method.removeprefix("sgd")
    options = {
        "activation": "relu" if "r" in helps else "tanh",
        "activity_l1": values.get("activity_l1", 0.0),
        "kernel_initializer": keras.initializers.GlorotUniform(seed=seed),
        "recurrent_kernel_initializer": keras.initializers.Orthogonal(
            RECURRENT_GAIN, seed=seed + 1)}
    if "l" in helps:
        options |= {"leaky_share": values["leaky_share"], "seed": seed + 3}
    cell = (cells.LeakyCell if "l" in helps else cells.SimpleCell)(values["num_hidden"], **options)
    return models.SequenceModel(
        cell, heads.BernoulliHead(), seed=seed,
        readout_initializer=keras.initializers.GlorotUniform(seed=seed + 2))


def optimizer_of(values: Mapping[str, Any], method: str) -> keras.optimizers.Optimizer:
    """The optimizer of one trial.

    Args:
        values: A draw from the method's `search_space`.
        method: Such as "sgd_crm".

    Returns:
        SGD, with clipping and simplified Nesterov momentum where the method has them.
    """
    helps = method.removeprefix("sgd")
    clip_norm = CLIP_NORM if "c" in helps else None
    if "m" in helps:
        return optimizers.SimplifiedNesterov(
            values["learning_rate"], values["momentum"], global_clipnorm=clip_norm)
    return keras.optimizers.SGD(values["learning_rate"], global_clipnorm=clip_norm)


def train(model: keras.Model, splits: datasets.Splits, budget: Budget) -> dict[str, Any]:
    """Train one trial, and leave the weights of its best epoch in the model.

    Args:
        model: From `build_model`, compiled.
        splits: The music; its test pieces are not read.
        budget: When to stop.

    Returns:
        What the trial's row says of it. A loss that was not finite is an outcome: the epochs
        before it count, and without any the log-likelihood is -inf.
    """
    start = time.perf_counter()
    stop = keras.callbacks.EarlyStopping(
        "val_log_likelihood", mode="max", patience=budget.patience, restore_best_weights=True)
    history = model.fit(
        splits.train.segments(SEGMENT_LENGTH, budget.batch_size, seed=budget.seed),
        validation_data=splits.valid.pieces(32), epochs=budget.epochs,
        callbacks=[stop, keras.callbacks.TerminateOnNaN()], verbose=0).history
    scores = np.array(history.get("val_log_likelihood", []))
    finite = np.where(np.isfinite(scores), scores, -np.inf)
    if not (np.isfinite(history["loss"]).all() and np.isfinite(scores).all()):
        outcome = "loss not finite"
    else:
        outcome = "all epochs" if stop.stopped_epoch == 0 else "stopped early"
    return {
        "valid_ll": float(finite.max(initial=-np.inf)), "outcome": outcome,
        "epochs": len(history["loss"]),
        "best_epoch": 1 + int(finite.argmax()) if np.isfinite(finite).any() else 0,
        "seconds": round(time.perf_counter() - start, 1)}


class Search(keras_tuner.RandomSearch):
    """KerasTuner's random search whose finished trials are the rows of a table.

    The draws are a function of the seed, so a search that starts again draws the same settings,
    and a trial that has a row is answered from there. The weights of each trial that was the best
    so far are kept in a folder.

    Args:
        data: Name of the music.
        method: Such as "sgd_crm".
        splits: The music.
        budget: Of the search.
        table: One row a trial.
        folder: Of weights, and of KerasTuner's own files.
    """

    def __init__(
        self, data: str, method: str, splits: datasets.Splits, budget: Budget, table: ResultTable,
        folder: Path,
    ) -> None:
        super().__init__(
            objective=keras_tuner.Objective("valid_ll", "max"), max_trials=budget.trials,
            seed=_tuner_seed(budget.seed), hyperparameters=search_space(method),
            tune_new_entries=False, allow_new_entries=False, directory=folder,
            project_name="tuner", overwrite=True)
        self.oracle.verbose = 0
        self._name = {"data": data, "method": method, "seed": budget.seed}
        self._splits, self._budget = splits, budget
        self._table, self._folder = table, folder

    def run_trial(self, trial: keras_tuner.engine.trial.Trial) -> dict[str, float]:
        """Train a trial, unless it has a row.

        Args:
            trial: With the settings that were drawn.

        Returns:
            Its validation log-likelihood.

        Raises:
            FatalError: If training fails, which KerasTuner would pass over, or if the trial's row
                is that of other settings.
        """
        try:
            row = self._row_of(trial) or self._train(trial)
        except Exception as error:
            raise keras_tuner.errors.FatalError(str(error)) from error
        return {"valid_ll": float(row["valid_ll"])}

    def best(self) -> tuple[dict[str, Any], keras.Model]:
        """The trial that the method is judged by.

        Returns:
            Its row, and its model with the weights of its best epoch.

        Raises:
            ValueError: If no trial had a finite log-likelihood.
        """
        row = max(self._rows(), key=lambda row: float(row["valid_ll"]))
        if not np.isfinite(float(row["valid_ll"])):
            raise ValueError(
                f"trials must be enough for a finite loss, got none of {self._budget.trials} of "
                f"{self._name}; ask for more --trials")
        values: dict[str, Any] = {name: float(row[name]) for name in SETTINGS}
        values["num_hidden"] = int(row["num_hidden"])
        model = build_model(values, self._name["method"], self._budget.seed)
        model.build_for(self._splits.num_visible)
        weights = self._weights(int(row["trial"]))
        if weights.is_file():
            model.load_weights(weights)
        model.compile(
            optimizer=optimizer_of(values, self._name["method"]),
            steps_per_execution=STEPS_PER_EXECUTION)
        if not weights.is_file():  # The table came without them.
            train(model, self._splits, self._budget)
        return row, model

    def _rows(self) -> list[dict[str, Any]]:
        return [row for row in self._table.rows if int(row["trial"]) < self._budget.trials and all(
            str(row[name]) == str(value) for name, value in self._name.items())]

    def _row_of(self, trial: keras_tuner.engine.trial.Trial) -> dict[str, Any] | None:
        """The trial's row, checked to be of the same settings."""
        for row in self._rows():
            if int(row["trial"]) == int(trial.trial_id):
                expected = trial.hyperparameters.values | self._limits()
                found = {name: float(row[name]) for name in expected}
                if found != expected:
                    raise ValueError(
                        f"output must hold trials of this search alone, got {found} for trial "
                        f"{trial.trial_id} of {expected}; give another --output or --seed")
                return row
        return None

    def _train(self, trial: keras_tuner.engine.trial.Trial) -> dict[str, Any]:
        """Train a trial and add its row, after its weights if it is the best so far."""
        keras.utils.clear_session()
        values = trial.hyperparameters.values
        model = build_model(values, self._name["method"], self._budget.seed)
        model.compile(
            optimizer=optimizer_of(values, self._name["method"]),
            steps_per_execution=STEPS_PER_EXECUTION)
        row = train(model, self._splits, self._budget)
        others = [float(other["valid_ll"]) for other in self._rows()]
        if row["valid_ll"] > max(others, default=-np.inf):
            model.save_weights(self._weights(int(trial.trial_id)))
        row = self._name | {"trial": int(trial.trial_id)} | {
            name: values.get(name, 0.0) for name in SETTINGS} | row | self._limits() | {
            "machine": this_machine(), "command": this_command()}
        self._table.add(**row)
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        return row

    def _limits(self) -> dict[str, int]:
        """What else decides a trial."""
        return {"max_epochs": self._budget.epochs, "patience": self._budget.patience,
                "batch_size": self._budget.batch_size}

    def _weights(self, number: int) -> Path:
        return self._folder / f"trial_{number}.weights.h5"


def _tuner_seed(seed: int) -> int:
    # KerasTuner takes 0 for no seed, and counts on from a seed for each number that it draws.
    return 1 + 10_000 * seed
