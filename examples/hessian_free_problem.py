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
`--curriculum 50` first learns the problem over 50 steps, and then begins over T with that network
and an optimizer without a past; several lengths are learned one after the other. The row counts
them all.

A run ends when less than 1 % of validation sequences are wrong, or after 50,000 minibatches, or
after `--minutes`, which the row tells; then the test set is read once. The same command goes on
where it was stopped, and does nothing once its row is in the table.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from hessian_free_figure import WAY, plot, write_table
from hessian_free_progress import Progress, answers
from long_memory import PROBLEMS, mean_answer, validation_set

from rnnpt import cells, datasets, heads, models, optimizers
from rnnpt.datasets.problem import Problem
from rnnpt.experiments.result_table import ResultTable, this_command, this_machine
from rnnpt.initializers import NUM_CONNECTIONS, Sparse, SpectralRadius

HEADS = {"real": heads.GaussianHead, "binary": heads.BernoulliHead,
         "categorical": heads.CategoricalHead}
MINIBATCH = 1_000
GRADIENT_MINIBATCHES = 10
MOST_MINIBATCHES = 50_000
# An update multiplies once for the residual that it begins with, and once for the reduction ratio.
OTHER_PRODUCTS = 2
#: Starts with little input and a small readout.
SMALL_STARTS = ("small", "orthogonal")
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


def learn(
    num_steps: int, arguments: argparse.Namespace, folder: Path, before: Progress | None
) -> Progress:
    """Train a network over one length.

    Args:
        num_steps: the length.
        arguments: of the command.
        folder: of the run over this length.
        before: the end of the run over a shorter one, if there was one.

    Returns:
        The end of the run, which counts what went before.
    """
    problem = PROBLEMS[arguments.problem](num_steps=num_steps)
    parts = 1 if arguments.problem == "mem5" else GRADIENT_MINIBATCHES
    progress = Progress(
        folder, problem, arguments, lambda logs: parts + logs["cg_steps"] + OTHER_PRODUCTS)
    model = make_model(problem, arguments)
    model.compile(make_optimizer(problem, arguments))
    model.optimizer.build(model.trainable_variables)
    if before is not None:
        model.set_weights(before.model.get_weights())
        progress.figures = before.figures
        progress.save(model)
    progress.resume(model)
    done = progress.figures["updates"]
    model.fit(
        training_batches(problem, arguments, done), steps_per_epoch=1, initial_epoch=done,
        epochs=done + arguments.most_minibatches, shuffle=False, verbose=0, callbacks=[progress])
    return progress


def run(arguments: argparse.Namespace, table: ResultTable) -> None:
    """Train one network, and put its row into the table.

    Args:
        arguments: of the command.
        table: to add to.
    """
    lengths = [*arguments.curriculum, arguments.num_steps]
    key = {name: getattr(arguments, name) for name in KEY} | {
        "curriculum": " ".join(str(length) for length in arguments.curriculum)}
    if table.has(**key):
        print("this run is in the table")
        return
    folder = arguments.checkpoints / "-".join(str(value) for value in key.values())
    folders = [folder / str(length) for length in lengths]
    reached = max((place for place, each in enumerate(folders) if each.exists()), default=0)
    progress = None
    for length, each in list(zip(lengths, folders))[reached:]:
        progress = learn(length, arguments, each, progress)
        if progress.outcome != "solved":
            break
    assert progress is not None
    problem = PROBLEMS[arguments.problem](num_steps=arguments.num_steps)
    model = make_model(problem, arguments)
    model.set_weights(progress.model.get_weights())
    final = problem.test_set()
    outputs = answers(model, final)
    table.add(
        **key, outcome=progress.outcome,
        test_error=f"{problem.zero_one_loss(outputs, final):.6g}",
        test_solved=problem.is_solved(outputs, final), updates=progress.figures["updates"],
        minibatches=round(progress.figures["minibatches"]),
        seconds=round(progress.figures["seconds"]), command=this_command(),
        machine=this_machine())


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
    parser.add_argument("--curriculum", type=int, nargs="+", default=[], metavar="LENGTH",
                        help="to learn before T, the shortest first")
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
    lengths = [*arguments.curriculum, arguments.num_steps]
    if lengths != sorted(set(lengths)):
        parser.error("--curriculum must be lengths that grow and stay below --num_steps, got "
                     f"{arguments.curriculum} and {arguments.num_steps}; leave it out for none")
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
