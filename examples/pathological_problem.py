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
import hashlib
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from long_memory import PROBLEMS, input_means, mean_answer, validation_set
from pathological_progress import Progress, answers
from pathological_setting import MOMENTUM, SETTINGS

from rnnpt import datasets, models, optimizers
from rnnpt.datasets.problem import Problem, ProblemBatch
from rnnpt.experiments.result_table import ResultTable, this_command, this_machine
from rnnpt.initializers import Sparse, SpectralRadius
from rnnpt.schedules import Piecewise

NUM_VALIDATION_SEQUENCES = 1000
KEY = ("split", "problem", "num_steps", "optimizer", "seed", "updates", "batch_size",
       "learning_rate", "momentum", "input_scale", "readout_scale", "clip_norm", "raw_inputs")
OPTIMIZERS = {"nesterov": optimizers.Nesterov, "momentum": optimizers.Momentum}


def schedule(values: list[str]) -> Piecewise:
    """The schedule that a list such as 3e-5 3e-4@1500 stands for.

    Args:
        values: one that serves from the start on, and others each with its first update.

    Returns:
        The schedule.
    """
    pairs = [value.partition("@")[::2] for value in values]
    return Piecewise([int(start) for _, start in pairs[1:]], [float(value) for value, _ in pairs])


def make_model(
    arguments: argparse.Namespace, problem: Problem, seeds: range, sequences: ProblemBatch
) -> models.RNNEnsemble:
    """The ensemble, built and compiled.

    Args:
        arguments: of the command.
        problem: to learn.
        seeds: of the members.
        sequences: of the problem, many.

    Returns:
        The untrained ensemble.
    """
    # How many of the last steps are ever asked for, which every large draw shows.
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
    problem = PROBLEMS[arguments.problem](num_steps=arguments.num_steps)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    keys = {seed: key_of(arguments, seed) for seed in seeds}
    if all(table.has(**key) for key in keys.values()):
        print("these runs are in the table")
        return
    validation = validation_set(problem, NUM_VALIDATION_SEQUENCES)
    means = (np.zeros(problem.num_inputs) if arguments.raw_inputs
             else input_means(problem, validation)).astype(np.float32)
    name = hashlib.sha256(repr(keys).encode()).hexdigest()[:8]
    progress = Progress(
        arguments.checkpoints / f"{arguments.problem}-{arguments.optimizer}-{name}", problem,
        validation, means, arguments.stop_when_solved)
    model = make_model(arguments, problem, seeds, validation)
    done = progress.resume(model)
    model.fit(
        training_batches(problem, seeds, means, arguments.batch_size, done),
        steps_per_epoch=arguments.report_every, initial_epoch=done // arguments.report_every,
        epochs=arguments.updates // arguments.report_every, shuffle=False, verbose=0,
        callbacks=[optimizers.SwapLookAhead(), progress])
    final = progress.validation if arguments.search else problem.test_set()
    for seed, output in zip(seeds, answers(model, final, means)):
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
