"""Who learns to add first: Hessian-free steps, Adam, Nesterov's gradient, L-BFGS, or an LSTM.

    python examples/addition_race.py --method hessian_free --num_steps 100 [--seed 0]
        [--learning_rate 1e-3] [--ratio_of last] [--start orthogonal] [--[no-]centered]
        [--minutes 10] [--output results/addition_race.csv]
    python examples/addition_race.py --search --method adam --learning_rate 3e-3

Every method trains the same 100 tanh units from the same start, the small or the orthogonal one of
`hessian_free_problem.py`, by the same stream of sequences (the LSTM from its own start, with 100
units of four gates; L-BFGS on 10,000 that stay the same). Methods that go by a gradient alone take
100 sequences an update, their norm clipped at 1 but for Nesterov's gradient, whose rate, momentum,
clip and centered inputs are those of `pathological_problem.py`; `--centered` gives others such. A
minibatch is 1,000 sequences in a gradient or in a product with the curvature.

A run ends when less than 1 % of validation sequences are wrong, or after `--minutes` or 50,000
minibatches, which the row tells; then the test set is read once. `--search` takes a seed from 100
on and reads no test set: a rate is chosen by its rows, and then run with `--seed`. The same command
goes on where it was stopped, and does nothing once its row is in the table.
"""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
from hessian_free_problem import (
    GRADIENT_MINIBATCHES,
    MINIBATCH,
    MOST_MINIBATCHES,
    OTHER_PRODUCTS,
    SMALL_STARTS,
)
from hessian_free_problem import make_model as network
from hessian_free_problem import make_optimizer
from hessian_free_progress import Progress, answers
from long_memory import input_means, validation_set

from rnnpt import cells, datasets, heads, models, optimizers
from rnnpt.datasets.problem import ProblemBatch
from rnnpt.experiments.result_table import ResultTable, this_command, this_machine
from rnnpt.schedules import Piecewise

KEY = ("method", "num_steps", "learning_rate", "ratio_of", "start", "centered", "seed", "units",
       "most_minibatches", "minutes")
#: Sequences of an update by a gradient alone, and updates between two looks at the validation set.
FEW, UPDATES = 100, 500
SEARCH_SEED = 100


@dataclasses.dataclass(frozen=True)
class Method:
    """A contestant.

    Args:
        optimizer: makes it, by a learning rate; that of `hessian_free_problem` where None.
        learning_rate: its default; none where it has none.
        batch_size: sequences of an update.
        updates: an epoch.
        minibatches_of: how many minibatches of 1,000 the figures of an epoch stand for.
        fixed: whether it sees the same sequences again and again.
        centered: whether it wants inputs less their mean.
        gated: whether it trains an LSTM.
    """

    optimizer: Callable[[float], keras.optimizers.Optimizer] | None
    learning_rate: float | None = None
    batch_size: int = FEW
    updates: int = UPDATES
    minibatches_of: Callable[[dict[str, float]], float] = lambda logs: UPDATES * FEW / MINIBATCH
    fixed: bool = False
    centered: bool = False
    gated: bool = False


def adam(learning_rate: float) -> keras.optimizers.Optimizer:
    """Adam with a clip.

    Args:
        learning_rate: constant.

    Returns:
        It.
    """
    return keras.optimizers.Adam(learning_rate, global_clipnorm=1.0)


def nesterov(learning_rate: float) -> keras.optimizers.Optimizer:
    """Nesterov's gradient as it solved the addition problem over 80 steps.

    Args:
        learning_rate: a factor of the rates.

    Returns:
        It.
    """
    rates = Piecewise([3_000, 6_000, 30_000, 42_000], [
        learning_rate * rate for rate in (3e-3, 6e-3, 3e-2, 3e-3, 3e-4)])
    return optimizers.Nesterov(rates, Piecewise([4_000], [0.9, 0.98]), global_clipnorm=0.1)


METHODS = {
    "hessian_free": Method(
        None, batch_size=GRADIENT_MINIBATCHES * MINIBATCH, updates=1,
        minibatches_of=lambda logs: GRADIENT_MINIBATCHES + logs["cg_steps"] + OTHER_PRODUCTS),
    "adam": Method(adam, 1e-3),
    "nesterov": Method(nesterov, 1.0, centered=True),
    "lbfgs": Method(
        lambda _: optimizers.LBFGS(), batch_size=GRADIENT_MINIBATCHES * MINIBATCH, updates=1,
        minibatches_of=lambda logs: GRADIENT_MINIBATCHES * logs["lbfgs_evaluations"], fixed=True),
    "lstm": Method(adam, 2e-3, gated=True)}


def centered(problem: datasets.Problem, batch: ProblemBatch) -> ProblemBatch:
    """A batch with inputs less their mean.

    Args:
        problem: it is of.
        batch: any.

    Returns:
        It.
    """
    means = input_means(problem, validation_set(problem, MINIBATCH))
    return batch._replace(inputs=batch.inputs - means)


def make_model(
    problem: datasets.Problem, arguments: argparse.Namespace
) -> models.Transducer:
    """The network of a method, compiled.

    Args:
        problem: to learn.
        arguments: of the command.

    Returns:
        It, built.
    """
    method = METHODS[arguments.method]
    if method.gated:
        keras.utils.set_random_seed(arguments.seed)
        model = models.Transducer(
            cells.LSTMCell(arguments.units), heads.GaussianHead(), problem.num_outputs,
            num_answers=problem.num_steps // 10 + 1)
        model.build((None, problem.max_length, problem.num_inputs))
    else:
        model = network(problem, arguments)
    model.compile(
        make_optimizer(problem, arguments) if method.optimizer is None
        else method.optimizer(arguments.learning_rate),
        steps_per_execution=min(50, method.updates))
    model.optimizer.build(model.trainable_variables)
    return model


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
    method, problem = METHODS[arguments.method], datasets.Addition(arguments.num_steps)
    name = "-".join(str(value) for value in key.values())
    progress = Progress(
        arguments.checkpoints / name, problem, arguments, method.minibatches_of, method.updates)
    model = make_model(problem, arguments)

    def seen(batch: ProblemBatch) -> ProblemBatch:
        return centered(problem, batch) if arguments.centered else batch

    progress.validation = seen(progress.validation)
    progress.resume(model)
    done = progress.figures["updates"] // method.updates
    size = method.batch_size * arguments.rows // MINIBATCH
    if method.fixed:
        data = tf.data.Dataset.from_tensors(problem.draw(size, arguments.seed)).repeat()
    else:
        data = problem.batches(size, arguments.seed, done * method.updates)
    data = data.map(lambda batch: tuple(seen(batch)))
    model.fit(
        data, steps_per_epoch=method.updates, initial_epoch=done,
        epochs=done + MOST_MINIBATCHES, shuffle=False, verbose=0, callbacks=[progress])
    final = progress.validation if arguments.search else seen(problem.test_set())
    outputs = answers(model, final)
    figures = progress.figures
    table.add(
        split="validation" if arguments.search else "test", **key, outcome=progress.outcome,
        error=f"{problem.zero_one_loss(outputs, final):.6g}",
        updates=figures["updates"], minibatches=round(figures["minibatches"], 1),
        seconds=round(figures["seconds"]), command=this_command(), machine=this_machine())


def parse() -> argparse.Namespace:
    """Read the command line.

    Returns:
        The arguments.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=METHODS, required=True)
    parser.add_argument("--num_steps", type=int, default=50, help="T")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning_rate", type=float, help="of nesterov: a factor of its rates")
    parser.add_argument("--ratio_of", choices=["step", "last"],
                        help="of hessian_free, as in hessian_free_problem.py; step by default")
    parser.add_argument("--start", choices=SMALL_STARTS, help="of all but lstm; small by default")
    parser.add_argument("--centered", action=argparse.BooleanOptionalAction,
                        help="inputs less their mean; those of nesterov by default")
    parser.add_argument("--minutes", type=float, default=10.0, help="of one run, in all")
    parser.add_argument("--most_minibatches", type=int, default=MOST_MINIBATCHES)
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--search", action="store_true", help="a seed from 100 on, and no test set")
    parser.add_argument("--output", type=Path, default=Path("results/addition_race.csv"))
    parser.add_argument("--checkpoints", type=Path, default=Path("runs/addition_race"))
    parser.add_argument("--smoke", action="store_true", help="a toy size, in seconds")
    arguments = parser.parse_args()
    method = METHODS[arguments.method]
    default = method.learning_rate
    if arguments.learning_rate is not None and default is None:
        parser.error(f"--learning_rate must be left out for {arguments.method}, which has none, "
                     f"got {arguments.learning_rate}")
    if arguments.ratio_of is not None and arguments.method != "hessian_free":
        parser.error(f"--ratio_of must be left out for {arguments.method}, which has none, "
                     f"got {arguments.ratio_of}")
    if arguments.start is not None and method.gated:
        parser.error(f"--start must be left out for {arguments.method}, which has one of its own, "
                     f"got {arguments.start}")
    arguments.learning_rate = arguments.learning_rate or default
    arguments.start = arguments.start or (None if method.gated else "small")
    if arguments.centered is None:
        arguments.centered = method.centered
    if arguments.method == "hessian_free":
        arguments.ratio_of = arguments.ratio_of or "step"
    if arguments.search:
        arguments.seed += SEARCH_SEED
    # What `hessian_free_problem` asks for besides.
    arguments.problem, arguments.structural_damping = "add", True
    arguments.boost, arguments.rows = optimizers.LevenbergMarquardt.boost, MINIBATCH
    if arguments.smoke:
        arguments.num_steps, arguments.units, arguments.rows = 10, 20, 20
        arguments.most_minibatches = 60
    return arguments


def main() -> None:
    """Run one method."""
    arguments = parse()
    run(arguments, ResultTable(arguments.output, KEY))


if __name__ == "__main__":
    main()
