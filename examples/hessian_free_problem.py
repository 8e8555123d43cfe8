"""Problems of long memory by Hessian-free optimization (Sutskever 2013, section 4.4, figure 4.1).

    python examples/hessian_free_problem.py --problem add --num_steps 100 [--seed 0]
        [--no-structural_damping] [--start orthogonal] [--minutes 30]
        [--output results/hessian_free_problems.csv]
    python examples/hessian_free_problem.py --plot

100 tanh units from the thesis' sparse start, 10,000 new sequences an update of which the first
1,000 give the curvature (all 32 of mem5), at most 300 steps of conjugate gradients, lambda from 0.1
on with mu = 1/30, from 0.3 on without structural damping, from 0.1 T on for permutation. A
minibatch is 1,000 sequences in a gradient or a product. `--start small` begins with little input
(scale 0.05), a spectral radius of 1.1, a small readout (0.1), the mean answer and lambda = 0.01;
`--start orthogonal` differs from it in an orthogonal recurrent kernel, by which every direction of
the states, and of the gradient, is kept over T steps, not only a few.
`--boost 3` lets lambda grow faster than the thesis' 3/2 after a step that broke its promise: on the
way off a plateau, where lambda has fallen far, fewer of the longest updates are wasted.
`--ratio_of last` lets the last iterate of conjugate gradients say so, as `HessianFree` does by
default, and not the step, which stays the default here, so that the commands of older rows hold.

A run ends when less than 1 % of validation sequences are wrong, or after 50,000 minibatches, or
after `--minutes`, which the row tells; then the test set is read once. The same command goes on
where it was stopped, and does nothing once its row is in the table.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from pathological_problem import mean_answer

from rnnpt import cells, datasets, heads, models, optimizers
from rnnpt.datasets.problem import Problem, ProblemBatch
from rnnpt.experiments.result_table import ResultTable, this_command, this_machine
from rnnpt.initializers import NUM_CONNECTIONS, Sparse, SpectralRadius
from rnnpt.whole_file import write_bytes, written_beside

PROBLEMS: dict[str, type[Problem]] = {
    "add": datasets.Addition, "mul": datasets.Multiplication, "xor": datasets.Xor,
    "order": datasets.TemporalOrder, "order3": datasets.ThreeBitTemporalOrder,
    "permutation": datasets.RandomPermutation, "mem5": datasets.Memorization5Bit,
    "mem20": datasets.Memorization20Bit}
HEADS = {"real": heads.GaussianHead, "binary": heads.BernoulliHead,
         "categorical": heads.CategoricalHead}
MINIBATCH = 1_000
GRADIENT_MINIBATCHES = 10
MOST_MINIBATCHES = 50_000
# An update multiplies once for the residual that it begins with, and once for the reduction ratio.
OTHER_PRODUCTS = 2
#: Starts with little input and a small readout.
SMALL_STARTS = ("small", "orthogonal")
#: How the picture shows runs: with structural damping or without, and by the other settings.
COLORS, LINES = {"False": "C3", "True": "C2"}, ("s--", "^:", "o-", "D-.", "v-", "P--")
WAY = ("start", "boost", "ratio_of")
#: Far from the seeds of training.
VALIDATION_SEED = 1_000_000
KEY = ("problem", "num_steps", "structural_damping", *WAY, "seed", "units", "most_minibatches")


def make_model(problem: Problem, arguments: argparse.Namespace) -> models.Transducer:
    """The network with the start that is asked for.

    Args:
        problem: to learn.
        arguments: of the command.

    Returns:
        It, built.
    """
    draws = [3 * arguments.seed + place for place in range(3)]
    spread, small = NUM_CONNECTIONS ** -0.5, arguments.start in SMALL_STARTS
    recurrent = {
        "thesis": Sparse(scale=spread, or_all=True, seed=draws[1]),
        "small": SpectralRadius(1.1, or_all=True, seed=draws[1]),
        "orthogonal": keras.initializers.Orthogonal(seed=draws[1])}
    sequences = validation_set(problem, MINIBATCH)
    asked = sequences.weights.any(axis=0)
    model = models.Transducer(
        cells.SimpleCell(
            arguments.units, kernel_initializer=Sparse(
                scale=0.05 if small else 1.0, or_all=True, seed=draws[0]),
            recurrent_kernel_initializer=recurrent[arguments.start]),
        HEADS[problem.output](), problem.num_outputs,
        num_answers=len(asked) - int(asked.argmax()),
        readout_initializer=Sparse(
            scale=0.1 if small else spread, or_all=True, seed=draws[2]))
    model.build((None, problem.max_length, problem.num_inputs))
    if small:
        model.readout.bias.assign(mean_answer(problem, sequences))
    else:
        rng = np.random.default_rng(arguments.seed)
        for bias in (model.cell.bias, model.readout.bias):
            bias.assign(spread * rng.standard_normal(bias.shape))
    return model


def make_optimizer(problem: Problem, arguments: argparse.Namespace) -> optimizers.HessianFree:
    """The optimizer with the thesis' damping, or the smaller one of a small start.

    Args:
        problem: to learn.
        arguments: of the command.

    Returns:
        It, without a past.
    """
    structural = arguments.structural_damping
    damping = 0.1 if structural else 0.3
    if arguments.start in SMALL_STARTS:
        damping = 0.01
    if arguments.problem == "permutation":
        damping = 0.1 * problem.num_steps
    return optimizers.HessianFree(
        damping=damping, structural_damping=1 / 30 if structural else 0.0,
        curvature_rows=None if arguments.problem == "mem5" else arguments.rows,
        rows_at_once=arguments.rows,
        damping_rule=optimizers.LevenbergMarquardt(boost=arguments.boost),
        ratio_of=arguments.ratio_of)


def validation_set(problem: Problem, num_sequences: int) -> ProblemBatch:
    """Sequences that no run is trained on; of the 5-bit problem all 32 that there are.

    Args:
        problem: any.
        num_sequences: of the others.

    Returns:
        The sequences.
    """
    if isinstance(problem, datasets.Memorization5Bit):
        return problem.all_sequences()
    return problem.draw(num_sequences, VALIDATION_SEED)


def training_batches(
    problem: Problem, arguments: argparse.Namespace, start: int
) -> tf.data.Dataset:
    """The sequences of each update.

    Args:
        problem: to learn.
        arguments: of the command.
        start: updates that are done.

    Returns:
        An endless dataset.
    """
    if isinstance(problem, datasets.Memorization5Bit):
        return tf.data.Dataset.from_tensors(tuple(problem.all_sequences())).repeat()
    return problem.batches(GRADIENT_MINIBATCHES * arguments.rows, arguments.seed, start)


def answers(model: models.Transducer, batch: ProblemBatch) -> np.ndarray:
    """What the network answers.

    Args:
        model: trained.
        batch: N sequences.

    Returns:
        Outputs (N, T', O), zero where none are computed.
    """
    outputs = model.predict(batch.inputs, batch_size=500, verbose=0)
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
        with written_beside(self.folder / "checkpoint.npz") as path:
            np.savez(path, figures=json.dumps(figures), **{
                f"array_{place}": keras.ops.convert_to_numpy(variable)
                for place, variable in enumerate(self._variables(self.model))})
        if self.problem.is_solved(outputs, self.validation):
            self.outcome = "solved"
        elif figures["minibatches"] >= self.arguments.most_minibatches:
            self.outcome = "failed"
        elif figures["seconds"] >= 60 * self.arguments.minutes:
            self.outcome = "out of time"
        self.model.stop_training = bool(self.outcome)

    def _variables(self, model: models.Transducer) -> list[keras.Variable]:
        return [*model.weights, *model.optimizer.variables]


def run(arguments: argparse.Namespace, table: ResultTable) -> None:
    """Train one network, and put its row into the table.

    Args:
        arguments: of the command.
        table: to add to.
    """
    key = {name: getattr(arguments, name) for name in KEY}
    if table.has(**key):
        print("this run is in the table")
        return
    problem = PROBLEMS[arguments.problem](num_steps=arguments.num_steps)
    name = "-".join(str(value) for value in key.values())
    parts = 1 if arguments.problem == "mem5" else GRADIENT_MINIBATCHES
    progress = Progress(
        arguments.checkpoints / name, problem, arguments,
        lambda logs: parts + logs["cg_steps"] + OTHER_PRODUCTS)
    model = make_model(problem, arguments)
    model.compile(make_optimizer(problem, arguments))
    model.optimizer.build(model.trainable_variables)
    progress.resume(model)
    done = progress.figures["updates"]
    model.fit(
        training_batches(problem, arguments, done), steps_per_epoch=1, initial_epoch=done,
        epochs=done + arguments.most_minibatches, shuffle=False, verbose=0, callbacks=[progress])
    final = progress.validation if arguments.problem == "mem5" else problem.test_set()
    outputs = answers(model, final)
    table.add(
        **key, outcome=progress.outcome,
        test_error=f"{problem.zero_one_loss(outputs, final):.6g}",
        test_solved=problem.is_solved(outputs, final), updates=progress.figures["updates"],
        minibatches=round(progress.figures["minibatches"]),
        seconds=round(progress.figures["seconds"]), command=this_command(),
        machine=this_machine())


def plot(table: ResultTable, path: Path) -> None:
    """Draw the minibatches to success and the share of runs without it, as figure 4.1.

    Args:
        table: of the runs.
        path: of the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    def kind(row: dict[str, str]) -> tuple[str, ...]:
        return tuple(row[name] for name in ("structural_damping", *WAY))

    problems = [name for name in PROBLEMS if any(row["problem"] == name for row in table.rows)]
    kinds = sorted({kind(row) for row in table.rows})
    lines = dict(zip(sorted({each[1:] for each in kinds}), itertools.cycle(LINES)))
    figure, axes = pyplot.subplots(
        2, len(problems), figsize=(2.6 * len(problems), 5), sharex=True, squeeze=False,
        layout="constrained")
    for column, name in enumerate(problems):
        for structural, *way in kinds:
            rows = [row for row in table.rows if row["problem"] == name
                    and kind(row) == (structural, *way)]
            lengths = sorted({int(row["num_steps"]) for row in rows})
            groups = [[row for row in rows if int(row["num_steps"]) == length]
                      for length in lengths]
            solved = [[int(row["minibatches"]) for row in group if row["outcome"] == "solved"]
                      for group in groups]
            color, style = COLORS[structural], COLORS[structural] + lines[tuple(way)]
            for length, counts in zip(lengths, solved):
                if counts:
                    axes[0, column].vlines(length, min(counts), max(counts), color=color)
            axes[0, column].plot(
                lengths, [np.mean(counts) if counts else np.nan for counts in solved], style,
                label=("structural damping" if structural == "True" else "without")
                + ", {} start, boost {}, ratio of the {}".format(*way))
            axes[1, column].plot(
                lengths, [1 - len(counts) / len(group)
                          for counts, group in zip(solved, groups)], style)
        axes[0, column].set_title(name)
        axes[1, column].set(ylim=(-0.05, 1.05), xlabel="T")
    axes[0, 0].set_ylabel("minibatches to success")
    axes[1, 0].set_ylabel("runs without success")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    with written_beside(path) as beside:
        figure.savefig(beside, format="png", dpi=100)


def write_table(table: ResultTable, path: Path) -> None:
    """Write all runs in Markdown, problem by problem.

    Args:
        table: of them.
        path: of the file.
    """
    lines = [
        "# Problems of long memory by Hessian-free steps, run by run", "",
        f"From [{table.path.name}]({table.path.name}), which has the command of each run, by "
        "`python examples/hessian_free_problem.py --plot`.", "",
        "| problem | T | structural damping | start | boost | ratio of | seed | outcome "
        "| test error | updates | minibatches of 1,000 | seconds |", "|" + "---|" * 12]
    for row in sorted(table.rows, key=lambda row: (
            list(PROBLEMS).index(row["problem"]), int(row["num_steps"]), row["start"],
            row["structural_damping"], row["boost"], row["ratio_of"], int(row["seed"]))):
        lines.append(
            f"| {row['problem']} | {row['num_steps']} "
            f"| {'yes' if row['structural_damping'] == 'True' else 'no'} | {row['start']} "
            f"| {float(row['boost']):g} | {row['ratio_of']} | {row['seed']} | {row['outcome']} "
            f"| {float(row['test_error']):.3g} | {row['updates']} "
            f"| {int(row['minibatches']):,} | {int(row['seconds']):,} |")
    write_bytes(path, "\n".join([*lines, ""]).encode())


def parse() -> argparse.Namespace:
    """Read the command line.

    Returns:
        The arguments.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", choices=PROBLEMS)
    parser.add_argument("--num_steps", type=int, default=100, help="T")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--structural_damping", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--start", choices=["thesis", *SMALL_STARTS], default="thesis")
    parser.add_argument("--boost", type=float, default=optimizers.LevenbergMarquardt.boost,
                        help="of lambda, after a bad step")
    parser.add_argument("--ratio_of", choices=["step", "last"], default="step",
                        help="iterate whose reduction ratio moves lambda")
    parser.add_argument("--minutes", type=float, default=30.0, help="of one run, in all")
    parser.add_argument("--most_minibatches", type=int, default=MOST_MINIBATCHES)
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--output", type=Path, default=Path("results/hessian_free_problems.csv"))
    parser.add_argument("--checkpoints", type=Path, default=Path("runs/hessian_free_problems"))
    parser.add_argument(
        "--plot", action="store_true", help="draw the table, and write it in Markdown")
    parser.add_argument("--smoke", action="store_true", help="a toy size, in seconds")
    arguments = parser.parse_args()
    if not 1 <= arguments.boost < float("inf"):
        parser.error(f"--boost must be at least 1, got {arguments.boost}; 1.5 is the thesis'")
    arguments.rows = MINIBATCH
    if arguments.smoke:
        arguments.problem = arguments.problem or "add"
        arguments.num_steps, arguments.units, arguments.rows = 10, 20, 20
        arguments.most_minibatches = 60
    if arguments.problem is None and not arguments.plot:
        parser.error("--problem must be given, got none; or --plot to draw the table")
    return arguments


def main() -> None:
    """Run one setting, or draw them all."""
    arguments = parse()
    table = ResultTable(arguments.output, KEY)
    if arguments.problem is not None:
        run(arguments, table)
    if arguments.plot:
        plot(table, arguments.output.with_suffix(".png"))
        write_table(table, arguments.output.with_suffix(".md"))


if __name__ == "__main__":
    main()
