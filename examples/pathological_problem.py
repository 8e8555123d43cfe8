"""Train tanh networks by momentum alone on problems of long memory (thesis, table 7.3).

    python examples/pathological_problem.py --problem add --optimizer nesterov
        [--num_steps 80] [--seeds 3] [--updates 50000] [--output results/table_7_3.csv]
        [--learning_rate 3e-3 6e-3@3000] [--momentum 0.9 0.98@4000] [--input_scale 0.02]
        [--readout_scale 0.03] [--clip_norm 0.1] [--raw_inputs] [--search] [--stop_when_solved]
        [--smoke]

The members of an ensemble, one a seed, train at once, each on its own sequences. A run that was
stopped goes on where it was; one whose figures are in the output is not run again. The test set is
read once, at the end; `--search` reads the validation set in its place, to choose settings by.
"""

import argparse
import csv
import dataclasses
import hashlib
import io
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from rnnpt import datasets, models, optimizers
from rnnpt.datasets.problem import Problem, ProblemBatch
from rnnpt.experiments.result_table import ResultTable, this_command, this_machine
from rnnpt.initializers import Sparse, SpectralRadius
from rnnpt.schedules import Piecewise
from rnnpt.whole_file import write_bytes, written_beside

#: Of an answer that is never right, such as a trigger.
LEAST_CHANCE = 1e-4
#: Far from the seeds of the members, which are also those of their training sequences.
VALIDATION_SEED = 1_000_000
NUM_VALIDATION_SEQUENCES = 1000
KEY = ("split", "problem", "num_steps", "optimizer", "seed", "updates", "batch_size",
       "learning_rate", "momentum", "input_scale", "readout_scale", "clip_norm", "raw_inputs")
OPTIMIZERS = {"nesterov": optimizers.Nesterov, "momentum": optimizers.Momentum}

# A value that serves from the first update on, and others that serve from the update after their @.
# The thesis has 3e-5, 3e-4 from update 1,500 on, 3e-3 from 3,000, 1e-3 from 6,000 and 1e-4 from
# 30,000, and no clipping. Our gradients explode now and then, and a jump of its rates then undoes
# what members have learned. Clipped ones bear larger rates, by which members find out about the
# inputs sooner, and more of them do.
MARKED_RATE = ["3e-3", "6e-3@3000", "3e-2@6000", "3e-3@30000", "3e-4@42000"]
# The thesis says only that it must fall to about 1e-5 after 1,500 updates, or gradients explode.
# Those that are clipped do not.
MEM5_RATE = ["3e-3", "1e-3@4000", "1e-4@30000"]
SYMBOL_RATE = ["1e-2", "2e-2@1500", "5e-3@4000", "5e-4@30000", "5e-5@42000"]
MOMENTUM = ["0.9", "0.98@4000"]


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the thesis says of a problem, section 7.4.2.

    Args:
        problem: its class.
        num_steps: T.
        input_scale: of the input connections.
        learning_rate: by updates.
        readout_scale: of the output connections.
        clip_norm: of each member's gradient.
        batch_size: sequences of an update.
        thesis: errors of table 7.3, of Nesterov's gradient and of momentum.
    """

    problem: type[Problem]
    num_steps: int
    input_scale: float
    learning_rate: list[str]
    readout_scale: float
    clip_norm: float
    batch_size: int = 100
    thesis: dict[str, float] = dataclasses.field(default_factory=dict)


# The last two numbers of each: the thesis says nothing of them.
_MARKED = (MARKED_RATE, 0.03, 0.1)
_SYMBOLS = (SYMBOL_RATE, 0.26, 1.0)
SETTINGS = {
    "add": Setting(datasets.Addition, 80, 0.02, *_MARKED,
                   thesis={"nesterov": 0.011, "momentum": 0.25}),
    "mul": Setting(datasets.Multiplication, 80, 0.02, *_MARKED,
                   thesis={"nesterov": 0.27, "momentum": 0.34}),
    "mem5": Setting(datasets.Memorization5Bit, 200, 0.3, MEM5_RATE, 0.1, 1.0, 32,
                    thesis={"nesterov": 0.025, "momentum": 0.18}),
    "mem20": Setting(datasets.Memorization20Bit, 50, 0.3, *_SYMBOLS,
                     thesis={"nesterov": 0.032, "momentum": 0.00006}),
    "xor": Setting(datasets.Xor, 50, 0.02, *_MARKED),
    "order": Setting(datasets.TemporalOrder, 50, 0.3, *_SYMBOLS),
    "order3": Setting(datasets.ThreeBitTemporalOrder, 50, 0.3, *_SYMBOLS),
    "permutation": Setting(datasets.RandomPermutation, 50, 0.3, *_SYMBOLS),
}


class Progress(keras.callbacks.Callback):
    """Writes the log and the checkpoint at each epoch's end.

    Args:
        folder: of the run.
        problem: that is learned.
        means: of the inputs, which are taken off (I,).
        batch_size: sequences that are evaluated at once.
        stop_when_solved: whether to stop when every member has solved the validation set.
    """

    def __init__(
        self,
        folder: Path,
        problem: Problem,
        means: np.ndarray,
        batch_size: int,
        stop_when_solved: bool,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.problem = problem
        self.means = means
        self.batch_size = batch_size
        self.stop_when_solved = stop_when_solved
        self.validation = validation_set(problem)
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
        outputs = answers(self.model, self.validation, self.means, self.batch_size)
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


def answers(
    model: models.RNNEnsemble, batch: ProblemBatch, means: np.ndarray, batch_size: int
) -> np.ndarray:
    """What each member answers to sequences that they share.

    Args:
        model: the ensemble.
        batch: N sequences, a multiple of `batch_size`.
        means: of the inputs (I,).
        batch_size: sequences at once.

    Returns:
        Outputs (S, N, T', O), zero where none are computed.
    """
    parts = [model.predict_on_batch(batch.inputs[start:start + batch_size] - means)
             for start in range(0, len(batch.inputs), batch_size)]
    outputs = np.concatenate(parts, axis=1)
    missing = batch.inputs.shape[1] - outputs.shape[2]
    return np.pad(outputs, [(0, 0), (0, 0), (missing, 0), (0, 0)])


def validation_set(problem: Problem) -> ProblemBatch:
    """Sequences that no member is trained on; of the 5-bit problem all 32 that there are.

    Args:
        problem: any.

    Returns:
        1,000 sequences, or 32.
    """
    if isinstance(problem, datasets.Memorization5Bit):
        return problem.all_sequences()
    return problem.draw(NUM_VALIDATION_SEQUENCES, VALIDATION_SEED)


def input_means(problem: Problem) -> np.ndarray:
    """The mean of each input, by the validation sequences.

    Args:
        problem: any.

    Returns:
        (I,).
    """
    # No sequence is shorter than T.
    return validation_set(problem).inputs[:, :problem.num_steps].mean(axis=(0, 1))


def mean_answer(problem: Problem, sequences: ProblemBatch) -> np.ndarray:
    """What a network answers best that does not look at its inputs.

    Without it the first gradients, which are the largest, are about the mean of the targets, and
    they ruin the states with which the network starts.

    Args:
        problem: any.
        sequences: of it.

    Returns:
        The mean of the counted targets, or the logits of it (O,).
    """
    mean = sequences.targets[sequences.weights > 0].mean(axis=0)
    if problem.output == "real":
        return mean
    odds = np.maximum(mean, LEAST_CHANCE)
    return np.log(odds / (1 - odds) if problem.output == "binary" else odds)


def schedule(values: list[str]) -> Piecewise:
    """The schedule that a list such as 3e-5 3e-4@1500 stands for.

    Args:
        values: one that serves from the start on, and others each with its first update.

    Returns:
        The schedule.
    """
    pairs = [value.partition("@")[::2] for value in values]
    return Piecewise([int(start) for _, start in pairs[1:]], [float(value) for value, _ in pairs])


def make_model(arguments: argparse.Namespace, problem: Problem, seeds: range) -> models.RNNEnsemble:
    """The ensemble, built and compiled.

    Args:
        arguments: of the command.
        problem: to learn.
        seeds: of the members.

    Returns:
        The untrained ensemble.
    """
    # How many of the last steps are ever asked for, which every large draw shows.
    sequences = validation_set(problem)
    asked = sequences.weights.any(axis=0)
    model = models.RNNEnsemble(
        arguments.units, problem.num_outputs, seeds, problem.output,
        num_answers=len(asked) - int(asked.argmax()),
        clip_norm=arguments.clip_norm if arguments.clip_norm < np.inf else None,
        initializers=(Sparse(scale=arguments.input_scale, or_all=True),
                      SpectralRadius(1.2, or_all=True),
                      Sparse(scale=arguments.readout_scale, or_all=True)))
    model.build((None, problem.max_length, problem.num_inputs))
    model.readout_bias.assign(
        np.broadcast_to(mean_answer(problem, sequences), model.readout_bias.shape))
    optimizer = OPTIMIZERS[arguments.optimizer](
        schedule(arguments.learning_rate), schedule(arguments.momentum))
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, steps_per_execution=min(50, arguments.report_every))
    return model


def training_batches(
    problem: Problem, seeds: range, means: np.ndarray, batch_size: int, start: int
) -> tf.data.Dataset:
    """Each member's own batches, stacked; or all the sequences there are, the same for all members.

    Args:
        problem: to learn.
        seeds: of the members and of their batches.
        means: of the inputs (I,).
        batch_size: sequences of one batch.
        start: updates that are done.

    Returns:
        An endless dataset of inputs (S, B, T', I), targets (S, B, T', O) and weights (S, B, T'), or
        of such without the first axis.
    """
    if isinstance(problem, datasets.Memorization5Bit):
        whole = problem.all_sequences()
        if batch_size == len(whole.inputs):
            return tf.data.Dataset.from_tensors(
                (whole.inputs - means, whole.targets, whole.weights)).cache().repeat()

    def stack(*batches: ProblemBatch) -> tuple[tf.Tensor, ...]:
        inputs, targets, weights = (tf.stack(parts) for parts in zip(*batches))
        return inputs - means, targets, weights

    each = tuple(problem.batches(batch_size, seed, start) for seed in seeds)
    return tf.data.Dataset.zip(each).map(stack).prefetch(2)


def run(arguments: argparse.Namespace, table: ResultTable) -> None:
    """Train one ensemble, and put a row a member into the table.

    Args:
        arguments: of the command.
        table: to add to.
    """
    setting = SETTINGS[arguments.problem]
    problem = setting.problem(num_steps=arguments.num_steps)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    keys = {seed: key_of(arguments, seed) for seed in seeds}
    if all(table.has(**key) for key in keys.values()):
        print("these runs are in the table")
        return
    means = np.zeros(problem.num_inputs) if arguments.raw_inputs else input_means(problem)
    means = means.astype(np.float32)
    name = hashlib.sha256(repr(keys).encode()).hexdigest()[:8]
    progress = Progress(
        arguments.checkpoints / f"{arguments.problem}-{arguments.optimizer}-{name}", problem, means,
        len(validation_set(problem).inputs) if arguments.problem == "mem5" else 100,
        arguments.stop_when_solved)
    model = make_model(arguments, problem, seeds)
    done = progress.resume(model)
    model.fit(
        training_batches(problem, seeds, means, arguments.batch_size, done),
        steps_per_epoch=arguments.report_every, initial_epoch=done // arguments.report_every,
        epochs=arguments.updates // arguments.report_every, shuffle=False, verbose=0,
        callbacks=[optimizers.SwapLookAhead(), progress])
    final = progress.validation if arguments.search else problem.test_set()
    for seed, output in zip(seeds, answers(model, final, means, progress.batch_size)):
        if table.has(**keys[seed]):
            continue
        table.add(
            **keys[seed], updates_done=int(model.optimizer.iterations),
            zero_one_loss=f"{problem.zero_one_loss(output, final):.6g}",
            solved=problem.is_solved(output, final), solved_after=progress.solved_after(seed),
            seconds=round(time.time() - progress.start), members_at_once=len(seeds),
            command=this_command(), machine=this_machine())


def key_of(arguments: argparse.Namespace, seed: int) -> dict[str, object]:
    """What tells a member's row from others.

    Args:
        arguments: of the command.
        seed: of the member.

    Returns:
        A value for each of `KEY`.
    """
    values = {name: value for name, value in vars(arguments).items() if name in KEY} | {
        "split": "validation" if arguments.search else "test", "seed": seed}
    return {name: " ".join(value) if isinstance(value, list) else value
            for name, value in values.items()}


def print_table(table: ResultTable) -> None:
    """Print the mean error of every setting on the test set, beside the thesis'.

    Args:
        table: of all runs.
    """
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    columns = [name for name in KEY if name != "seed"]
    for row in table.rows:
        groups.setdefault(tuple(row[name] for name in columns), []).append(row)
    print("| problem | T | optimizer | set | seeds | zero-one loss, mean (worst) | thesis | solved "
          "| after updates |\n|---|---|---|---|---|---|---|---|---|")
    for rows in groups.values():
        first = rows[0]
        setting = SETTINGS[first["problem"]]
        errors = [float(row["zero_one_loss"]) for row in rows]
        same = str(setting.num_steps) == first["num_steps"]
        thesis = setting.thesis.get(first["optimizer"], "") if same else ""
        print(f"| {first['problem']} | {first['num_steps']} | {first['optimizer']} "
              f"| {first['split']} | {len(rows)} | {np.mean(errors):.4g} ({max(errors):.4g}) "
              f"| {thesis} | {sum(row['solved'] == 'True' for row in rows)} "
              f"| {', '.join(row['solved_after'] or '-' for row in rows)} |")


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; what the problem has of its own is filled in.

    Args:
        words: of the command; those of the process where None.

    Returns:
        The arguments.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", choices=SETTINGS, required=True)
    parser.add_argument("--num_steps", type=int, help="T; the thesis' where not given")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="nesterov")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first_seed", type=int, default=0)
    parser.add_argument("--updates", type=int, default=50_000)
    parser.add_argument("--batch_size", type=int)
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--learning_rate", nargs="+", help="such as 3e-5 3e-4@1500")
    parser.add_argument("--momentum", nargs="+", default=MOMENTUM)
    parser.add_argument("--input_scale", type=float)
    parser.add_argument("--readout_scale", type=float)
    parser.add_argument("--raw_inputs", action="store_true", help="their means are left in")
    parser.add_argument("--clip_norm", type=float, help="of each member's gradient; inf: none")
    parser.add_argument("--report_every", type=int, default=500, help="updates")
    parser.add_argument("--output", type=Path, default=Path("results/table_7_3.csv"))
    parser.add_argument("--checkpoints", type=Path, default=Path("runs/pathological"))
    parser.add_argument("--search", action="store_true", help="validation in place of test")
    parser.add_argument("--stop_when_solved", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="a toy size, in seconds")
    arguments = parser.parse_args(words)
    setting = SETTINGS[arguments.problem]
    for name in ("num_steps", "batch_size", "learning_rate", "input_scale", "readout_scale",
                 "clip_norm"):
        if getattr(arguments, name) is None:
            setattr(arguments, name, getattr(setting, name))
    if arguments.smoke:
        arguments.num_steps, arguments.units = 10, 20
        arguments.updates, arguments.report_every = 20, 10
    return arguments


def main() -> None:
    """Run one setting and print the table."""
    arguments = parse()
    table = ResultTable(arguments.output, KEY)
    run(arguments, table)
    print_table(table)


if __name__ == "__main__":
    main()
