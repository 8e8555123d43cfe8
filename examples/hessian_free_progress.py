"""The checkpoint and the end of a run that goes by minibatches, and what its network answers."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from long_memory import validation_set

from rnnpt import models
from rnnpt.datasets.problem import Problem, ProblemBatch
from rnnpt.whole_file import written_beside

ROWS_AT_ONCE = 1_000


def answers(model: models.Transducer, batch: ProblemBatch) -> np.ndarray:
    """What the network answers.

    Args:
        model: trained.
        batch: N sequences.

    Returns:
        Outputs (N, T', O), zero where none are computed.
    """
    # `predict` would make a dataset each time, which takes as long as the forward pass.
    outputs = np.concatenate([
        model.predict_on_batch(batch.inputs[start:start + ROWS_AT_ONCE])
        for start in range(0, len(batch.inputs), ROWS_AT_ONCE)])
    return np.pad(outputs, [(0, 0), (batch.inputs.shape[1] - outputs.shape[1], 0), (0, 0)])


class Progress(keras.callbacks.Callback):
    """Writes figures and a checkpoint after each epoch, and ends the run.

    Args:
        folder: of the run.
        problem: that is learned.
        arguments: of the command, with `rows`, `minutes` and `most_minibatches`.
        minibatches_of: gives, of the figures of an epoch, how many minibatches it took.
        updates: of an epoch.
    """

    def __init__(
        self,
        folder: Path,
        problem: Problem,
        arguments: argparse.Namespace,
        minibatches_of: Callable[[dict[str, float]], float],
        updates: int = 1,
    ) -> None:
        super().__init__()
        self.folder, self.problem, self.arguments = folder, problem, arguments
        self.minibatches_of, self.updates = minibatches_of, updates
        self.validation = validation_set(problem, 10 * arguments.rows)
        self.figures: dict[str, float] = {"updates": 0, "minibatches": 0.0, "seconds": 0.0}
        self.outcome = ""

    def resume(self, model: models.Transducer) -> None:
        """Takes up the run in the folder, if there is one.

        Args:
            model: built and compiled; set to what it was.
        """
        if not (self.folder / "checkpoint.npz").exists():
            return
        with np.load(self.folder / "checkpoint.npz") as stored:
            for place, variable in enumerate(self._variables(model)):
                variable.assign(stored[f"array_{place}"])
            self.figures = json.loads(str(stored["figures"]))

    def save(self, model: models.Transducer) -> None:
        """Writes what `resume` reads.

        Args:
            model: built and compiled.
        """
        with written_beside(self.folder / "checkpoint.npz") as path:
            np.savez(path, figures=json.dumps(self.figures), **{
                f"array_{place}": keras.ops.convert_to_numpy(variable)
                for place, variable in enumerate(self._variables(model))})

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts the clock.

        Args:
            logs: nothing yet.
        """
        self.start = time.time() - self.figures["seconds"]

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Counts, evaluates, writes, and decides whether to go on.

        Args:
            epoch: its index.
            logs: its figures.
        """
        figures = self.figures
        figures["updates"] += self.updates
        figures["minibatches"] += self.minibatches_of(logs)
        figures["seconds"] = time.time() - self.start
        outputs = answers(self.model, self.validation)
        error = self.problem.zero_one_loss(outputs, self.validation)
        row = {**figures, "error": error, **{name: value for name, value in logs.items()
                                             if not name.endswith("_seconds")}}
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
        self.save(self.model)
        if self.problem.is_solved(outputs, self.validation):
            self.outcome = "solved"
        elif figures["minibatches"] >= self.arguments.most_minibatches:
            self.outcome = "failed"
        elif figures["seconds"] >= 60 * self.arguments.minutes:
            self.outcome = "out of time"
        self.model.stop_training = bool(self.outcome)

    def _variables(self, model: models.Transducer) -> list[keras.Variable]:
        return [*model.weights, *model.optimizer.variables]
