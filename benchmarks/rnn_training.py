"""Training throughput of `models.RNN` beside Keras, PyTorch and the bare matrix products.

Every contender makes the same update: 200 tanh units, 88 independent outputs, a batch of 64 rows
of 128 steps, plain SGD. All run in one process, in turns, and the best turn counts, because the
machine may be shared: read the ratios, not the times.

    python benchmarks/rnn_training.py [--rounds 5] [--steps 5]

PyTorch is left out, with a line that says so, where it is not installed (`pip install
".[benchmark]"`).
"""

import argparse
import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import peer  # noqa: E402

HAS_TORCH = peer.load_torch()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from timing import print_ratios, take_turns  # noqa: E402

from rnnpt import models  # noqa: E402

BATCH, STEPS, VISIBLE, HIDDEN = 64, 128, 88, 200


def music(seed: int = 0) -> np.ndarray:
    """Frames as sparse as chorales.

    Args:
        seed: of the draw.

    Returns:
        (B, T, V) float32 in {0, 1}.
    """
    rng = np.random.default_rng(seed)
    return (rng.random([BATCH, STEPS, VISIBLE]) < 0.04).astype(np.float32)


def fit_rnnpt(frames: np.ndarray, num_updates: int) -> Callable[[], object]:
    """`models.RNN` through `fit`.

    Args:
        frames: (B, T, V).
        num_updates: updates a call.

    Returns:
        A function that trains.
    """
    model = models.RNN(HIDDEN)
    model.compile(optimizer=keras.optimizers.SGD(0.01))
    batch = {"frames": frames, "mask": np.ones(frames.shape[:2], bool),
             "starts": np.ones(len(frames), bool)}
    data = tf.data.Dataset.from_tensors(batch).cache().repeat(num_updates)
    return lambda: model.fit(data, verbose=0)


def fit_keras(frames: np.ndarray, num_updates: int, jit_compile: bool) -> Callable[[], object]:
    """`keras.layers.SimpleRNN` and a dense readout through `fit`.

    Args:
        frames: (B, T, V).
        num_updates: updates a call.
        jit_compile: whether XLA compiles the step, as Keras does unless told otherwise.

    Returns:
        A function that trains.
    """
    model = keras.Sequential([
        keras.layers.Input((None, VISIBLE)),
        keras.layers.SimpleRNN(HIDDEN, return_sequences=True),
        keras.layers.Dense(VISIBLE)])
    model.compile(optimizer=keras.optimizers.SGD(0.01), jit_compile=jit_compile,
                  loss=keras.losses.BinaryCrossentropy(from_logits=True))
    inputs = np.concatenate([np.zeros_like(frames[:, :1]), frames[:, :-1]], axis=1)
    data = tf.data.Dataset.from_tensors((inputs, frames)).cache().repeat(num_updates)
    return lambda: model.fit(data, verbose=0)


def fit_torch(frames: np.ndarray, num_updates: int) -> Callable[[], object]:
    """`torch.nn.RNN` and a linear readout.

    Args:
        frames: (B, T, V).
        num_updates: updates a call.

    Returns:
        A function that trains.
    """
    import torch

    recurrent = torch.nn.RNN(VISIBLE, HIDDEN, batch_first=True)
    readout = torch.nn.Linear(HIDDEN, VISIBLE)
    optimizer = torch.optim.SGD([*recurrent.parameters(), *readout.parameters()], 0.01)
    targets = torch.from_numpy(frames)
    inputs = torch.cat([torch.zeros_like(targets[:, :1]), targets[:, :-1]], dim=1)

    def train() -> None:
        for _ in range(num_updates):
            optimizer.zero_grad()
            logits = readout(recurrent(inputs)[0])
            torch.nn.functional.binary_cross_entropy_with_logits(logits, targets).backward()
            optimizer.step()

    return train


def multiply(num_updates: int) -> Callable[[], object]:
    """The matrix products of an update and nothing else.

    Forward: the projected inputs, T recurrent products, the readout. Backward: the gradient of
    each by its input (not for the frames) and by its kernel, the kernel's in one product.

    Args:
        num_updates: updates a call.

    Returns:
        A function that multiplies.
    """
    rows = BATCH * STEPS
    draw = tf.random.stateless_normal
    kernel, recurrent, readout = (
        draw(shape, [0, i]) * 0.01 for i, shape in enumerate(
            [(VISIBLE, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, VISIBLE)]))
    frames, hidden, outputs = (draw((rows, size), [1, size])
                               for size in (VISIBLE, HIDDEN, VISIBLE))

    @tf.function
    def update() -> tf.Tensor:
        state = hidden[:BATCH]
        for _ in tf.range(2 * STEPS):
            state = tf.matmul(state, recurrent)
        products = [
            tf.matmul(frames, kernel), tf.matmul(hidden, readout),
            tf.matmul(frames, hidden, transpose_a=True),
            tf.matmul(hidden, hidden, transpose_a=True),
            tf.matmul(hidden, outputs, transpose_a=True),
            tf.matmul(outputs, readout, transpose_b=True)]
        return tf.add_n([tf.reduce_sum(product) for product in [state, *products]])

    return lambda: [update() for _ in range(num_updates)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="updates in a turn")
    arguments = parser.parse_args()
    frames = music()
    contenders = {
        "rnnpt.models.RNN, fit": fit_rnnpt(frames, arguments.steps),
        "keras SimpleRNN, fit": fit_keras(frames, arguments.steps, jit_compile=False),
        "keras SimpleRNN, fit, XLA (Keras' default)":
            fit_keras(frames, arguments.steps, jit_compile=True),
        "matrix products alone": multiply(arguments.steps),
    }
    if HAS_TORCH:
        contenders["torch.nn.RNN"] = fit_torch(frames, arguments.steps)
    seconds = take_turns(contenders, arguments.rounds)
    print_ratios(seconds, "rnnpt.models.RNN, fit", arguments.steps * BATCH * STEPS, "frames")


if __name__ == "__main__":
    main()
