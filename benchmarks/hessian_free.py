"""A Gauss-Newton product with structural damping beside its matrix products and its peers.

100 tanh units, two inputs, one real output at the end of T steps, 1,000 sequences: the addition
problem of Sutskever 2013. Every product is made in one process, in turns, and the best turn counts,
because the machine may be shared: read the ratios, not the times. `--update` measures one whole
update instead: 100 steps of conjugate gradients, the gradient of 10,000 sequences; with
`--generator` after a dataset of `tf.data.Dataset.from_generator` was read, which has all of the
process give its memory back: read its seconds beside those of a run without. `--replicas` measures
an update on one device and on all of them: the GPUs, or two halves of the CPU, which gain nothing
but tell what the sums over replicas cost.

    python benchmarks/hessian_free.py [--steps 50 100] [--rounds 15] [--rows 1000]
    python benchmarks/hessian_free.py --update [--generator] [--steps 50 100] [--rounds 3]
    python benchmarks/hessian_free.py --replicas [--steps 50 100] [--rounds 3]

BackPACK, PyTorch and JAX are left out, with a line that says so, where they are not installed
(`pip install ".[benchmark]"`). Products that are compared are first held against each other.
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import curvature_twin  # noqa: E402
import numpy as np  # noqa: E402
import peer  # noqa: E402

HAS_TORCH = peer.load_torch("backpack")

import tensorflow as tf  # noqa: E402
from timing import take_turns  # noqa: E402

from rnnpt import cells, datasets, heads, models, optimizers  # noqa: E402
from rnnpt.models._curved import Curved  # noqa: E402
from rnnpt.models._gauss_newton import Linearization  # noqa: E402

UNITS, INPUTS = 100, 2
CG_STEPS = 100
#: Of the structural damping; peers have none.
DAMPING = 0.1
#: float32, relative to the largest number.
AGREEMENT = 1e-4


class OtherCell(cells.SimpleCell):
    """The same cell, of which nothing is known: it goes the way of any Keras cell."""


def make_model(cell: cells.Cell, num_steps: int) -> models.Transducer:
    """A network with the thesis' weights, near enough.

    Args:
        cell: of 100 units.
        num_steps: T.

    Returns:
        It, built.
    """
    model = models.Transducer(cell, heads.GaussianHead(), 1, num_answers=1)
    model.build((None, num_steps, INPUTS))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) / 10 for weight in model.get_weights()])
    return model


def matrix_products(states: tf.Tensor, kernel: tf.Tensor) -> Callable[[], object]:
    """The four products a step that no product with the curvature can do without.

    Args:
        states: (T, B, H).
        kernel: (H, H).

    Returns:
        A function that makes them all.
    """
    flat = tf.reshape(states, [-1, UNITS])
    steps = tf.unstack(states)

    @tf.function
    def multiply() -> list[tf.Tensor]:
        # All of them are returned: what is not asked for, TensorFlow leaves out.
        return [tf.matmul(flat, kernel), tf.matmul(flat, flat, transpose_a=True),
                *(tf.matmul(step, kernel) for step in steps),
                *(tf.matmul(step, kernel, transpose_b=True) for step in steps)]

    return lambda: multiply()[-1].numpy()


def our_product(
    model: models.Transducer, batch: tuple[tf.Tensor, ...], vector: list[tf.Tensor]
) -> Callable[[float], np.ndarray]:
    """Our product, linearised once.

    Args:
        model: built.
        batch: inputs, targets and weights.
        vector: tangents of the weights.

    Returns:
        A function of the strength of structural damping that multiplies once, and gives what
        belongs to the recurrent kernel.
    """
    place = [variable.path for variable in model.trainable_variables].index(
        model.cell.recurrent_kernel.path)
    linearization = Linearization(model.recurrence(batch))
    multiply = tf.function(lambda damping: linearization.product(vector, damping))

    start = time.perf_counter()
    multiply(tf.constant(0.0))
    print(f"first product of a {type(model.cell).__name__} over {batch[0].shape[1]} steps: "
          f"{time.perf_counter() - start:.1f} s")
    return lambda damping=DAMPING: multiply(tf.constant(damping))[place].numpy()


def our_gradient(
    model: models.Transducer, batch: tuple[tf.Tensor, ...]
) -> Callable[[], np.ndarray]:
    """The gradient, as an update takes it.

    Args:
        model: built.
        batch: inputs, targets and weights.

    Returns:
        A function that computes it once.
    """
    objective = Curved(model, batch).objective(optimizers.HessianFree())
    gradient = tf.function(objective.value_and_gradient)
    return lambda: gradient()[1][1].numpy()


def compare(num_steps: int, num_rows: int, rounds: int) -> None:
    """Print the table of one length.

    Args:
        num_steps: T.
        num_rows: sequences.
        rounds: turns of each contender.
    """
    rng = np.random.default_rng(1)
    inputs = rng.random([num_rows, num_steps, INPUTS]).astype(np.float32)
    weights = np.zeros([num_rows, num_steps], np.float32)
    weights[:, -1] = 1
    batch = (tf.constant(inputs), tf.zeros([num_rows, num_steps, 1]), tf.constant(weights))
    fast, generic = (
        make_model(cell(UNITS), num_steps) for cell in (cells.SimpleCell, OtherCell))
    vector = [rng.normal(size=weight.shape).astype(np.float32) for weight in fast.get_weights()]
    paths = [variable.path for variable in fast.trainable_variables]
    order = [paths.index(variable.path) for variable in (
        fast.cell.kernel, fast.cell.recurrent_kernel, fast.cell.bias, fast.cell.initial_state[0],
        fast.readout.kernel, fast.readout.bias)]
    tangents = [tf.constant(each) for each in vector]
    ours, slower = our_product(fast, batch, tangents), our_product(generic, batch, tangents)
    states = tf.random.stateless_normal([num_steps, num_rows, UNITS], [0, 1])
    peers = {}
    for name, make in (("PyTorch with BackPACK", curvature_twin.torch_products),
                       ("JAX", curvature_twin.jax_products)):
        if make is curvature_twin.torch_products and not HAS_TORCH:
            continue
        try:
            peers |= make(
                [fast.get_weights()[place] for place in order], inputs.transpose(1, 0, 2),
                [vector[place] for place in order])
        except ImportError:
            print(f"{name} is not installed, and left out")
    expected = ours(0.0)
    for name, product in {"generic": lambda: slower(0.0), **peers}.items():
        error = np.abs(product() - expected).max() / np.abs(expected).max()
        assert error < AGREEMENT, f"{name} differs from ours by {error}"
    seconds = take_turns({
        "matrix products alone": matrix_products(states, fast.cell.recurrent_kernel.value),
        "ours": ours, "ours, of any cell": slower,
        "gradient": our_gradient(fast, batch), **peers}, rounds)
    bound = seconds["matrix products alone"]
    print(f"\nT = {num_steps}, {num_rows} sequences"
          "\n\n| | ms | time / products alone | time / ours |\n|---|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {1e3 * value:.1f} | {value / bound:.2f} "
              f"| {value / seconds['ours']:.2f} |")


def make_update(num_steps: int) -> tuple[models.Transducer, Callable[[], dict[str, list[float]]]]:
    """A model of the addition problem under the strategy that is in force, to be updated.

    Args:
        num_steps: T.

    Returns:
        The model, and a function that updates it once and gives the figures.
    """
    problem = datasets.Addition(num_steps)
    model = models.Transducer(
        cells.SimpleCell(UNITS), heads.GaussianHead(), 1, num_answers=num_steps // 10 + 1)
    model.build((None, problem.max_length, INPUTS))
    model.compile(optimizers.HessianFree(
        structural_damping=1 / 30, curvature_rows=1000, rows_at_once=1000, min_steps=CG_STEPS,
        max_steps=CG_STEPS))
    # The end of a pass waits for the tuner of `tf.data`, which wakes up after 5.12 s, then 10.24 s.
    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    data = tf.data.Dataset.from_tensors(
        tuple(problem.draw(10_000, seed=1))).cache().with_options(untuned)
    return model, lambda: model.fit(data, verbose=0).history


def compare_update(num_steps: int, rounds: int) -> None:
    """Print how much more an update takes than its products.

    Args:
        num_steps: T.
        rounds: turns.
    """
    model, update = make_update(num_steps)
    figures = {}
    batch = datasets.Addition(num_steps).draw(1000, seed=1)
    vector = [tf.ones(weight.shape) for weight in model.get_weights()]
    product = our_product(model, tuple(tf.constant(each) for each in batch), vector)
    # One more product than steps for the residual at the start, and one for the reduction ratio.
    # All in one turn, since the best turn of a short one catches the machine at its fastest.
    seconds = take_turns({
        "update": lambda: figures.update(update()),
        "products": lambda: [product() for _ in range(CG_STEPS + 2)]}, rounds)
    ratio = seconds["update"] / seconds["products"]
    print(f"\nT = {num_steps}: an update of {CG_STEPS} steps takes {seconds['update']:.2f} s, "
          f"{ratio:.2f} times its products; of the last one "
          + ", ".join(f"{name} {figures[name][0]:.2f}" for name in figures if "seconds" in name))


def compare_replicas(num_steps: int, rounds: int, strategy: tf.distribute.Strategy) -> None:
    """Print how much less an update takes on several devices.

    Args:
        num_steps: T.
        rounds: turns.
        strategy: of them.
    """
    _, one = make_update(num_steps)
    with strategy.scope():
        _, several = make_update(num_steps)
    seconds = take_turns({"one device": one, "several": several}, rounds)
    print(f"\nT = {num_steps}: an update of {CG_STEPS} steps takes "
          f"{seconds['one device']:.2f} s on one, {seconds['several']:.2f} s on "
          f"{strategy.num_replicas_in_sync} devices")


def all_devices() -> tf.distribute.Strategy:
    """Returns a strategy of all GPUs, or of two halves of the CPU."""
    if tf.config.list_physical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 100])
    parser.add_argument("--rows", type=int, default=1000, help="sequences of a product")
    parser.add_argument("--rounds", type=int, help="15 turns, or 3 updates")
    parser.add_argument("--update", action="store_true", help="a whole update")
    parser.add_argument("--replicas", action="store_true", help="an update on several devices")
    parser.add_argument(
        "--generator", action="store_true", help="read from a generator before all else")
    arguments = parser.parse_args()
    if arguments.generator:
        next(iter(tf.data.Dataset.from_generator(
            lambda: iter([0]), output_signature=tf.TensorSpec([], tf.int32))))
    strategy = all_devices() if arguments.replicas else None
    for num_steps in arguments.steps:
        if strategy is not None:
            compare_replicas(num_steps, arguments.rounds or 3, strategy)
        elif arguments.update:
            compare_update(num_steps, arguments.rounds or 3)
        else:
            compare(num_steps, arguments.rows, arguments.rounds or 15)


if __name__ == "__main__":
    main()
