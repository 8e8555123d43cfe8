"""Overhead of our optimizers over `keras.optimizers.SGD(nesterov=True)`.

A network of about a million parameters, 1000-700-400-50, on batches of 100 rows. First one update
alone, of gradients that are there already; then a whole `fit` of an epoch of 50 batches, its swaps
at the epoch's ends and the validation of one batch included. All run in one process on two threads,
in turns, and the best turn counts: read the ratios, not the times.

    python benchmarks/optimizer.py [--rounds 20]
"""

import argparse
import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from timing import print_ratios, take_turns  # noqa: E402

from rnnpt import optimizers, schedules  # noqa: E402

SIZES = (1000, 700, 400, 50)
BATCH_SIZE, NUM_BATCHES, EPOCHS = 100, 50, 1
# Short turns, so that some of them are not disturbed.
NUM_UPDATES = 15
NUM_THREADS = 2


def make_optimizers() -> dict[str, keras.optimizers.Optimizer]:
    """The contenders.

    Returns:
        Keras' own first, and ours with constants and with the thesis' schedules.
    """
    return {
        "keras.optimizers.SGD(nesterov=True)": keras.optimizers.SGD(
            0.001, momentum=0.9, nesterov=True),
        "Nesterov": optimizers.Nesterov(0.001, 0.9),
        "Nesterov, schedules": optimizers.Nesterov(
            schedules.FinalPhase(0.001, 600_000, divisor=10),
            schedules.FinalPhase(schedules.ExponentiallySpaced(600_000), 600_000, cap=0.99)),
        "SimplifiedNesterov": optimizers.SimplifiedNesterov(0.001, 0.9),
        "Momentum": optimizers.Momentum(0.001, 0.9),
    }


def make_model(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """The network.

    Args:
        optimizer: that it is compiled with.

    Returns:
        A compiled model.
    """
    hidden = [keras.layers.Dense(size, activation="tanh") for size in SIZES[1:-1]]
    model = keras.Sequential([
        keras.Input(SIZES[:1]), *hidden, keras.layers.Dense(SIZES[-1])])
    model.compile(optimizer, loss="mse")
    return model


def update_alone(optimizer: keras.optimizers.Optimizer) -> Callable[[], object]:
    """Updates in one call.

    Args:
        optimizer: that makes them.

    Returns:
        A function that makes NUM_UPDATES of them.
    """
    variables = make_model(optimizer).trainable_variables
    gradients = [tf.random.stateless_normal(variable.shape, [0, 1]) for variable in variables]
    optimizer.build(variables)

    @tf.function
    def update(gradients: list[tf.Tensor]) -> None:
        optimizer.apply(gradients, variables)

    def make_updates() -> None:
        for _ in range(NUM_UPDATES):
            update(gradients)
        np.array(variables[0].value[0, 0])

    return make_updates


def whole_fit(optimizer: keras.optimizers.Optimizer) -> Callable[[], object]:
    """Keras' `fit`, with the callback that our optimizer needs.

    Args:
        optimizer: of the model.

    Returns:
        A function that fits.
    """
    model, random = make_model(optimizer), np.random.default_rng(0)
    inputs, targets = (
        random.normal(size=[BATCH_SIZE * NUM_BATCHES, size]).astype(np.float32)
        for size in (SIZES[0], SIZES[-1]))
    return lambda: model.fit(
        inputs, targets, batch_size=BATCH_SIZE, epochs=EPOCHS, shuffle=False, verbose=0,
        validation_data=(inputs[:BATCH_SIZE], targets[:BATCH_SIZE]),
        callbacks=[optimizers.SwapLookAhead()])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    tf.config.threading.set_intra_op_parallelism_threads(NUM_THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(NUM_THREADS)
    count = sum(size * other + other for size, other in zip(SIZES, SIZES[1:]))
    print(f"{count:,} parameters\n\nThe update alone")
    for make, amount in ((update_alone, NUM_UPDATES), (whole_fit, NUM_BATCHES * EPOCHS)):
        contenders = {name: make(each) for name, each in make_optimizers().items()}
        seconds = take_turns(contenders, rounds)
        print_ratios(seconds, next(iter(seconds)), amount, "updates")
        if make is update_alone:
            print("\nA whole `fit`")


if __name__ == "__main__":
    main()
