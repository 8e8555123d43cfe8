"""How far minimizers of one fixed batch come for as many gradients: the loss, pass by pass.

100 tanh units on the addition problem of Sutskever 2013, the same 1,000 sequences again and again,
the same first weights. A pass is a gradient of them, or a product with the curvature of them.
Nonlinear conjugate gradients (Polak and Ribiere, SciPy's) are here to be compared with alone.

    python benchmarks/minimizers.py [--num_steps 30] [--rows 1000] [--passes 300]
"""

import argparse
import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import scipy.optimize  # noqa: E402
import tensorflow as tf  # noqa: E402

from rnnpt import cells, datasets, heads, models, optimizers  # noqa: E402
from rnnpt.datasets.problem import Problem, ProblemBatch  # noqa: E402
from rnnpt.initializers import Sparse, SpectralRadius  # noqa: E402

UNITS, SEED = 100, 0
#: An update of HessianFree multiplies once for the residual that it begins with, and once for the
#: reduction ratio, and has a gradient.
OTHER_PASSES = 3

#: Passes so far, and the loss there.
Curve = list[tuple[float, float]]


class _Spent(Exception):
    """No pass is left."""


def make_model(problem: Problem) -> models.Transducer:
    """A network with little input and a small readout.

    Args:
        problem: to learn.

    Returns:
        It, built; the same at every call.
    """
    model = models.Transducer(
        cells.SimpleCell(
            UNITS, kernel_initializer=Sparse(scale=0.05, or_all=True, seed=SEED),
            recurrent_kernel_initializer=SpectralRadius(1.1, or_all=True, seed=SEED + 1)),
        heads.GaussianHead(), problem.num_outputs, num_answers=problem.num_steps // 10 + 1,
        readout_initializer=Sparse(scale=0.1, or_all=True, seed=SEED + 2))
    model.build((None, problem.max_length, problem.num_inputs))
    return model


def loss_of(model: models.Transducer, batch: ProblemBatch) -> float:
    """The objective: the loss summed over time, its mean over sequences.

    Args:
        model: trained so far.
        batch: of the problem.

    Returns:
        Nats.
    """
    total, _, _ = model.batch_sums(tuple(tf.constant(each) for each in batch))
    return float(total) / len(batch.inputs)


def by_optimizer(
    problem: Problem, batch: ProblemBatch, most_passes: int,
    optimizer: optimizers.HessianFree | optimizers.LBFGS,
    passes_of: Callable[[dict[str, float]], float],
) -> Curve:
    """Train by an optimizer of this package.

    Args:
        problem: to learn.
        batch: of it.
        most_passes: when to stop.
        optimizer: that is asked for.
        passes_of: gives, of the figures of an update, how many passes it took.

    Returns:
        A point an update.
    """
    model = make_model(problem)
    model.compile(optimizer)
    data = tf.data.Dataset.from_tensors(tuple(batch)).repeat()
    passes, curve = 0.0, [(0.0, loss_of(model, batch))]
    while passes < most_passes:
        logs = model.fit(data, steps_per_epoch=1, shuffle=False, verbose=0).history
        passes += passes_of({name: values[0] for name, values in logs.items()})
        curve.append((passes, loss_of(model, batch)))
    return curve


def by_nonlinear_conjugate_gradients(
    problem: Problem, batch: ProblemBatch, most_passes: int
) -> Curve:
    """Train by SciPy's nonlinear conjugate gradients.

    Args:
        problem: to learn.
        batch: of it.
        most_passes: when to stop.

    Returns:
        A point a gradient.
    """
    model = make_model(problem)
    weights = model.trainable_variables
    tensors = tuple(tf.constant(each) for each in batch)
    ends = np.cumsum([np.prod(weight.shape, dtype=int) for weight in weights])[:-1]
    curve: Curve = []

    @tf.function
    def gradient() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            total, _, _ = model.batch_sums(tensors)
        return total, tape.gradient(total, [weight.value for weight in weights])

    def value_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
        if len(curve) > most_passes:
            raise _Spent
        for weight, part in zip(weights, np.split(vector, ends)):
            weight.assign(part.reshape(weight.shape))
        total, slopes = gradient()
        loss = float(total) / len(batch.inputs)
        curve.append((float(len(curve)), min(loss, curve[-1][1] if curve else loss)))
        flat = np.concatenate([np.ravel(slope) for slope in slopes])
        return loss, flat.astype(np.float64) / len(batch.inputs)

    first = np.concatenate([np.ravel(weight) for weight in weights]).astype(np.float64)
    try:
        scipy.optimize.minimize(
            value_and_gradient, first, jac=True, method="CG", options={"gtol": 0.0})
    except _Spent:
        pass
    return curve


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_steps", type=int, default=30, help="T")
    parser.add_argument("--rows", type=int, default=1000, help="sequences of the batch")
    parser.add_argument("--passes", type=int, default=300, help="of each minimizer")
    arguments = parser.parse_args()
    problem = datasets.Addition(arguments.num_steps)
    task = problem, problem.draw(arguments.rows, SEED), arguments.passes
    curves = {
        "Hessian-free": by_optimizer(
            *task, optimizers.HessianFree(damping=0.01, structural_damping=1 / 30),
            lambda logs: logs["cg_steps"] + OTHER_PASSES),
        "L-BFGS": by_optimizer(
            *task, optimizers.LBFGS(), lambda logs: logs["lbfgs_evaluations"]),
        "nonlinear conjugate gradients": by_nonlinear_conjugate_gradients(*task)}
    shares = [share * arguments.passes // 4 for share in range(5)]
    print(f"T = {arguments.num_steps}, {arguments.rows} sequences: the loss after so many passes\n")
    print("| | " + " | ".join(map(str, shares)) + " |\n|---|" + "---|" * len(shares))
    for name, curve in curves.items():
        losses = [[loss for passes, loss in curve if passes <= share][-1] for share in shares]
        print(f"| {name} | " + " | ".join(f"{loss:.4g}" for loss in losses) + " |")


if __name__ == "__main__":
    main()
