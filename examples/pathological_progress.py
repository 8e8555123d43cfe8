"""The log, the checkpoint and the figures of an ensemble that is trained on a problem."""

import csv
import io
import time
from pathlib import Path

import keras
import numpy as np

from rnnpt import models
from rnnpt.datasets.problem import Problem, ProblemBatch
from rnnpt.whole_file import write_bytes, written_beside

#: When they are evaluated.
SEQUENCES_AT_ONCE = 100


class Progress(keras.callbacks.Callback):
    """Writes the log and the checkpoint at each epoch's end.

    Args:
        folder: of the run.
        problem: that is learned.
        validation: sequences of it.
        means: of the inputs, which are taken off (I,).
        stop_when_solved: whether to stop when every member has solved the validation set.
    """

    def __init__(
        self,
        folder: Path,
        problem: Problem,
        validation: ProblemBatch,
        means: np.ndarray,
        stop_when_solved: bool,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.problem = problem
        self.validation = validation
        self.means = means
        self.stop_when_solved = stop_when_solved
        self.rows: list[dict[str, float]] = []
        self.start = time.time()

    def resume(self, model: models.RNNEnsemble) -> int:
        """Takes up the run in the folder, if there is one.

        Args:
            model: built and compiled; set to what it was.

        Returns:
            The number of updates that are done.
        """
        if not (self.folder / "checkpoint.npz").exists():
            return 0
        with np.load(self.folder / "checkpoint.npz") as stored:
            arrays = [stored[f"array_{place}"] for place in range(len(stored.files))]
        for variable, array in zip(self._variables(model), arrays, strict=True):
            variable.assign(array)
        with (self.folder / "log.csv").open(newline="", encoding="utf-8") as file:
            rows = [{name: float(value) for name, value in row.items()}
                    | {"update": int(row["update"])} for row in csv.DictReader(file)]
        done = int(model.optimizer.iterations)
        self.rows = [row for row in rows if row["update"] <= done]
        self.start -= self.rows[-1]["seconds"]
        return done

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Evaluates and writes.

        Args:
            epoch: its index.
            logs: the losses.
        """
        outputs = answers(self.model, self.validation, self.means)
        row = {"update": int(self.model.optimizer.iterations), "seconds": time.time() - self.start}
        for seed, output in zip(self.model.seeds, outputs):
            row[f"loss_{seed}"] = logs[f"loss_{seed}"]
            row[f"error_{seed}"] = self.problem.zero_one_loss(output, self.validation)
            row[f"solved_{seed}"] = float(self.problem.is_solved(output, self.validation))
        self.rows.append(row)
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
        self._save()
        solved = [self.solved_after(seed) != "" for seed in self.model.seeds]
        lost = [not np.isfinite(row[f"loss_{seed}"]) for seed in self.model.seeds]
        if all(lost) or self.stop_when_solved and all(solved):
            self.model.stop_training = True

    def solved_after(self, seed: int) -> int | str:
        """When a member first solved the validation set.

        Args:
            seed: its seed.

        Returns:
            The number of updates, or nothing.
        """
        updates = [int(row["update"]) for row in self.rows if row[f"solved_{seed}"]]
        return min(updates, default="")

    def _save(self) -> None:
        """Writes the log first: rows that are newer than the checkpoint are left out again."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_bytes(self.folder / "log.csv", text.getvalue().encode())
        arrays = [keras.ops.convert_to_numpy(each) for each in self._variables(self.model)]
        with written_beside(self.folder / "checkpoint.npz") as path:
            np.savez(path, **{f"array_{place}": array for place, array in enumerate(arrays)})

    def _variables(self, model: models.RNNEnsemble) -> list[keras.Variable]:
        return [*model.weights, *model.optimizer.variables]


def answers(model: models.RNNEnsemble, batch: ProblemBatch, means: np.ndarray) -> np.ndarray:
    """What each member answers to sequences that they share.

    Args:
        model: the ensemble.
        batch: N sequences.
        means: of the inputs (I,).

    Returns:
        Outputs (S, N, T', O), zero where none are computed.
    """
    parts = [model.predict_on_batch(batch.inputs[start:start + SEQUENCES_AT_ONCE] - means)
             for start in range(0, len(batch.inputs), SEQUENCES_AT_ONCE)]
    outputs = np.concatenate(parts, axis=1)
    missing = batch.inputs.shape[1] - outputs.shape[2]
    return np.pad(outputs, [(0, 0), (0, 0), (missing, 0), (0, 0)])
