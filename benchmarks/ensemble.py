"""Ten seeds as one ensemble, beside ten runs of one.

The addition problem at T = 80: a tanh network of 100 units, 100 sequences an update for each seed,
Nesterov's gradient, through `fit`, all in one process and in turns; the best turn counts. The runs
of one are of the same class with one member, and of Keras' own layer, as `compile` leaves it (with
XLA) and without XLA. One run is timed, and ten are ten times that. Beside them stand the matrix
products alone of ten members, which no arrangement of the rest makes faster.

    python benchmarks/ensemble.py [--rounds 5] [--updates 10]
"""

import argparse
import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from timing import take_turns  # noqa: E402

from rnnpt import datasets, models, optimizers  # noqa: E402

NUM_SEEDS, NUM_SEQUENCES, UNITS = 10, 100, 100
#: A divisor of all the rows that there are, 88 steps of 100 sequences.
ROWS_AT_ONCE = 550


def batches(num_members: int, num_updates: int) -> tf.data.Dataset:
    """The same batch over and over, so that nothing but training is timed.

    Args:
        num_members: S, 0 for no such axis.
        num_updates: how often.

    Returns:
        Inputs (S, B, T', I), targets (S, B, T', 1) and weights (S, B, T').
    """
    batch = datasets.Addition(num_steps=80).draw(NUM_SEQUENCES, seed=0)
    if num_members:
        batch = tuple(np.stack([part] * num_members) for part in batch)
    return tf.data.Dataset.from_tensors(tuple(batch)).cache().repeat(num_updates)


def ensemble(num_members: int, num_updates: int) -> Callable[[], object]:
    """Our class.

    Args:
        num_members: S.
        num_updates: a call.

    Returns:
        A function that trains.
    """
    model = models.RNNEnsemble(UNITS, 1, range(num_members), num_answers=9)
    model.compile(optimizers.Nesterov(1e-4), steps_per_execution=num_updates)
    data = batches(num_members, num_updates)
    return lambda: model.fit(data, shuffle=False, verbose=0)


def keras_layer(num_updates: int, jit_compile: bool | str) -> Callable[[], object]:
    """Keras' recurrent layer, its last output where the answer is asked for.

    Args:
        num_updates: a call.
        jit_compile: of `compile`.

    Returns:
        A function that trains.
    """
    length = datasets.Addition(num_steps=80).max_length
    model = keras.Sequential([
        keras.Input([length, 2]), keras.layers.SimpleRNN(UNITS, return_sequences=True),
        keras.layers.Dense(1)])
    model.compile(
        keras.optimizers.SGD(1e-4, momentum=0.9, nesterov=True), loss="mse",
        jit_compile=jit_compile, steps_per_execution=num_updates)
    data = batches(0, num_updates)
    return lambda: model.fit(data, shuffle=False, verbose=0)


def products(num_updates: int) -> Callable[[], object]:
    """The matrix products of one update of ten members: forward, backward and for the kernel.

    Args:
        num_updates: a call.

    Returns:
        A function that multiplies.
    """
    length = datasets.Addition(num_steps=80).max_length
    states = tf.random.normal([length, NUM_SEEDS, NUM_SEQUENCES, UNITS], seed=0)
    # Two, since equal products would be computed once.
    kernels = [tf.random.normal([NUM_SEEDS, UNITS, UNITS], seed=seed) for seed in (1, 2)]
    # As the class takes them: the rows of several steps together.
    rows = tf.reshape(
        tf.transpose(states, [1, 0, 2, 3]), [NUM_SEEDS, -1, ROWS_AT_ONCE, UNITS])

    @tf.function
    def multiply() -> list[tf.Tensor]:
        through = [
            tf.matmul(state, kernel) for kernel in kernels for state in tf.unstack(states)]
        return through + [tf.matmul(row, row, transpose_a=True) for row in tf.unstack(rows, axis=1)]

    def call() -> None:
        for _ in range(num_updates):
            multiply()

    return call


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=10, help="in a turn")
    arguments = parser.parse_args()
    updates = arguments.updates
    seconds = take_turns({
        "one ensemble of ten": ensemble(NUM_SEEDS, updates),
        "ten ensembles of one": ensemble(1, updates),
        "ten Keras models, as compile leaves them": keras_layer(updates, "auto"),
        "ten Keras models, without XLA": keras_layer(updates, False),
        "the products of ten": products(updates),
    }, arguments.rounds)
    together = seconds.pop("one ensemble of ten")
    alone = seconds.pop("the products of ten")
    print(f"one ensemble of ten: {1e3 * together / updates:.0f} ms an update\n\n"
          "| | time / that of one ensemble of ten |\n|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {NUM_SEEDS * value / together:.2f} |")
    print(f"| its matrix products alone | {alone / together:.2f} |")


if __name__ == "__main__":
    main()
