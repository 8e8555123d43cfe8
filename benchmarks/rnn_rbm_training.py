"""An RNN-RBM update with CD-15 beside the matrix products that it is made of.

150 hidden, 100 recurrent and 88 visible units; a batch of 16 rows of 100 steps, plain SGD, through
`fit`. Both run in one process, in turns, and the best turn counts: read the ratio.

    python benchmarks/rnn_rbm_training.py [--rounds 5] [--steps 5]
"""

import argparse
import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from timing import print_ratios, take_turns  # noqa: E402

from rnnpt import models  # noqa: E402

BATCH, STEPS, VISIBLE, HIDDEN, RECURRENT, GIBBS = 16, 100, 88, 150, 100, 15


def fit_rnnpt(num_updates: int) -> Callable[[], object]:
    """`models.RNNRBM` through `fit`.

    Args:
        num_updates: updates a call.

    Returns:
        A function that trains.
    """
    model = models.RNNRBM(HIDDEN, RECURRENT, num_gibbs_steps=GIBBS)
    model.compile(optimizer=keras.optimizers.SGD(0.001))
    frames = np.random.default_rng(0).random([BATCH, STEPS, VISIBLE]) < 0.04
    batch = {"frames": frames.astype(np.float32), "mask": np.ones([BATCH, STEPS], bool),
             "starts": np.ones(BATCH, bool)}
    data = tf.data.Dataset.from_tensors(batch).cache().repeat(num_updates)
    return lambda: model.fit(data, verbose=0)


def multiply(num_updates: int) -> Callable[[], object]:
    """The matrix products of an update and nothing else.

    The chain: two products for each Gibbs step. The free energies of data and negative frames: one
    product each, and one for each of their gradients by the kernel. The recurrence: projection,
    T products forward and T back, the readout forward and back, three kernel gradients.

    Args:
        num_updates: updates a call.

    Returns:
        A function that multiplies.
    """
    rows, parameters = BATCH * STEPS, VISIBLE + HIDDEN
    sizes = {"v": VISIBLE, "k": HIDDEN, "h": RECURRENT, "p": parameters}
    rng = np.random.default_rng(0)

    def constant(*shape: int) -> tf.Tensor:
        return tf.constant(rng.normal(size=shape, scale=0.05), tf.float32)

    by_row = {name: constant(rows, size) for name, size in sizes.items()}
    kernel, project = constant(VISIBLE, HIDDEN), constant(VISIBLE, RECURRENT)
    recurrent, readout = constant(RECURRENT, RECURRENT), constant(RECURRENT, parameters)
    transposed = tf.transpose(kernel)

    @tf.function
    def update() -> tf.Tensor:
        visible = by_row["v"]
        for _ in tf.range(GIBBS):
            visible = tf.matmul(tf.matmul(visible, kernel), transposed)
        state = by_row["h"][:BATCH]
        for _ in tf.range(2 * STEPS):
            state = tf.matmul(state, recurrent)
        products = [tf.matmul(visible, kernel) for _ in range(2)]
        products += [tf.matmul(by_row["v"], by_row["k"], transpose_a=True) for _ in range(2)]
        products += [
            tf.matmul(by_row["v"], project), tf.matmul(by_row["h"], readout),
            tf.matmul(by_row["p"], readout, transpose_b=True),
            tf.matmul(by_row["h"], by_row["p"], transpose_a=True),
            tf.matmul(by_row["h"], by_row["h"], transpose_a=True),
            tf.matmul(by_row["v"], by_row["h"], transpose_a=True)]
        return tf.add_n([tf.reduce_sum(product) for product in [state, *products]])

    return lambda: [update() for _ in range(num_updates)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="updates in a turn")
    arguments = parser.parse_args()
    ours = "rnnpt.models.RNNRBM, CD-15, fit"
    seconds = take_turns(
        {ours: fit_rnnpt(arguments.steps), "matrix products alone": multiply(arguments.steps)},
        arguments.rounds)
    print_ratios(seconds, ours, arguments.steps * BATCH * STEPS, "frames")


if __name__ == "__main__":
    main()
