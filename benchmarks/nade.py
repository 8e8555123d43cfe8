"""Forward plus backward of `heads.NADEHead` beside PyTorch, plainer forms and its matrix products.

Every contender gives the negative log-likelihood of 16 rows of 100 steps, 88 visible and 150
hidden units, and its gradient by both matrices and both biases. The matrix products are those of
a NADE whose hidden layer did not change within a frame: V K multiplications a frame to take the
units in and V K to predict them, and twice as many backward. All run in one process on two
threads, in turns, and the best turn counts: read the ratios, not the times.

Before it, the peak memory of one update of an RNN-NADE on 16 rows of 200 steps, as long as a
piece of MuseData, over what TensorFlow takes for itself.

    python benchmarks/nade.py [--rounds 10] [--density 0.044]

The density is the share of units that are on; 0.044 is 3.9 notes of 88, as in the chorales.
PyTorch is left out, with a line that says so, where it is not installed (`pip install
".[benchmark]"`).
"""

import argparse
import importlib.util
import os
import resource
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from timing import print_ratios, take_turns  # noqa: E402

from rnnpt import heads, models, numerics  # noqa: E402

FRAMES, VISIBLE, HIDDEN = 16 * 100, 88, 150
NUM_THREADS = 2


def draw_units(shape: tuple[int, ...], density: float) -> np.ndarray:
    """Frames with a share of units on.

    Args:
        shape: of the frames (..., V).
        density: share of units that are on.

    Returns:
        The frames, float32 in {0, 1}.
    """
    return (np.random.default_rng(0).random(shape) < density).astype(np.float32)


def differentiate_ours(parameters: tf.Tensor, frames: tf.Tensor) -> Callable[[], object]:
    """`heads.NADEHead`.

    Args:
        parameters: (N, V + K).
        frames: (N, V).

    Returns:
        A function that gives the loss and its gradient.
    """
    head = heads.NADEHead(HIDDEN)
    head.build((None, VISIBLE))
    return _differentiate(head.logits, head, parameters, frames)


def differentiate_units(parameters: tf.Tensor, frames: tf.Tensor) -> Callable[[], object]:
    """The textbook form in TensorFlow: the units one after another, unrolled.

    Args:
        parameters: (N, V + K).
        frames: (N, V).

    Returns:
        A function that gives the loss and its gradient.
    """
    head = heads.NADEHead(HIDDEN)
    head.build((None, VISIBLE))

    def logits(parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        kernel, decoder = tf.convert_to_tensor(head.kernel), tf.convert_to_tensor(head.decoder)
        fields, found = parameters[:, VISIBLE:], []
        for i in range(VISIBLE):
            found.append(tf.linalg.matvec(tf.sigmoid(fields), decoder[i]))
            fields += frames[:, i:i + 1] * kernel[i]
        return parameters[:, :VISIBLE] + tf.stack(found, axis=1)

    return _differentiate(logits, head, parameters, frames)


def _differentiate(
    logits: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    head: heads.NADEHead, parameters: tf.Tensor, frames: tf.Tensor,
) -> Callable[[], object]:
    @tf.function
    def update(parameters: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            loss = -tf.reduce_sum(numerics.bernoulli_log_prob(logits(parameters, frames), frames))
        return loss, tape.gradient(loss, [head.kernel.value, head.decoder.value, parameters])

    return lambda: float(update(parameters)[0])


def differentiate_torch(parameters: np.ndarray, frames: np.ndarray) -> Callable[[], object]:
    """The textbook form in PyTorch.

    Args:
        parameters: (N, V + K).
        frames: (N, V).

    Returns:
        A function that gives the loss and its gradient.
    """
    import torch

    torch.set_num_threads(NUM_THREADS)
    kernel, decoder = (torch.randn(VISIBLE, HIDDEN).mul_(0.1).requires_grad_() for _ in range(2))
    biases = torch.from_numpy(parameters.copy()).requires_grad_()
    units = torch.from_numpy(frames.copy())
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits

    def update() -> float:
        fields, found = biases[:, VISIBLE:], []
        for i in range(VISIBLE):
            found.append(torch.sigmoid(fields) @ decoder[i])
            fields = fields + units[:, i:i + 1] * kernel[i]
        loss = cross_entropy(
            biases[:, :VISIBLE] + torch.stack(found, dim=1), units, reduction="sum")
        torch.autograd.grad(loss, [kernel, decoder, biases])
        return loss.item()

    return update


def multiply(parameters: tf.Tensor, frames: tf.Tensor) -> Callable[[], object]:
    """The matrix products alone.

    Args:
        parameters: (N, V + K).
        frames: (N, V).

    Returns:
        A function that multiplies.
    """
    kernel = tf.random.stateless_normal([VISIBLE, HIDDEN], [0, 1])

    @tf.function
    def update(parameters: tf.Tensor) -> tf.Tensor:
        errors, hidden = parameters[:, :VISIBLE], parameters[:, VISIBLE:]
        products = [
            tf.matmul(frames, kernel), tf.matmul(hidden, kernel, transpose_b=True),
            tf.matmul(errors, kernel), tf.matmul(errors, hidden, transpose_a=True),
            tf.matmul(hidden, kernel, transpose_b=True),
            tf.matmul(frames, hidden, transpose_a=True)]
        return tf.add_n([tf.reduce_sum(product) for product in products])

    return lambda: float(update(parameters))


def print_memory(density: float) -> None:
    """Print what one update on 16 rows of 200 steps adds to the peak memory of this process.

    Args:
        density: share of units that are on.
    """
    model = models.RNNNADE(HIDDEN)
    model.compile(keras.optimizers.SGD(0.01))
    model.build_for(VISIBLE)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.fit({
        "frames": draw_units((16, 200, VISIBLE), density), "mask": np.ones([16, 200], bool),
        "starts": np.ones([16], bool)}, batch_size=16, verbose=0)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"RNNNADE, 16 rows of 200 steps: {(after - before) / 1024:.0f} MiB over "
          f"{before / 1024:.0f} MiB of TensorFlow's own")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--density", type=float, default=0.044, help="share of units that are on")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(NUM_THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(NUM_THREADS)
    print_memory(arguments.density)
    frames = draw_units((FRAMES, VISIBLE), arguments.density)
    parameters = np.random.default_rng(1).normal(
        size=[FRAMES, VISIBLE + HIDDEN]).astype(np.float32)
    tensors = tf.constant(parameters), tf.constant(frames)
    contenders = {
        "rnnpt.heads.NADEHead": differentiate_ours(*tensors),
        "TensorFlow, unit by unit": differentiate_units(*tensors),
        "matrix products alone": multiply(*tensors),
    }
    if importlib.util.find_spec("torch"):
        contenders["PyTorch, unit by unit"] = differentiate_torch(parameters, frames)
    else:
        print("torch is not installed: left out")
    seconds = take_turns(contenders, arguments.rounds)
    print_ratios(seconds, "rnnpt.heads.NADEHead", FRAMES, "frames")
    ratio = seconds["rnnpt.heads.NADEHead"] / seconds["matrix products alone"]
    print(f"NADEHead takes {ratio:.1f} times its matrix products")


if __name__ == "__main__":
    main()
