"""Forward and backward of every model at the papers' sizes, beside the matrix products it needs.

88 visible units, a batch of 16 rows of 100 steps, plain SGD, through `fit`. A model and its
products, and where there is a short one its PyTorch twin, run in one process, in turns, and the
best turn counts: read the ratios. `--memory` prints instead the peak memory of one update of one
model on the longest batch that MuseData has (16 rows of 200 steps by default), in its own process.

    python benchmarks/models.py [NAME ...] [--rounds 5] [--steps 60]
    python benchmarks/models.py RNNNADE --memory [--rows 16] [--length 200]

PyTorch is left out, with a line that says so, where it is not installed (`pip install
".[benchmark]"`).
"""

import argparse
import dataclasses
import os
import resource
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import peer  # noqa: E402

HAS_TORCH = peer.load_torch()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import torch_twin  # noqa: E402
from timing import take_turns  # noqa: E402

from rnnpt import cells, heads, models  # noqa: E402

BATCH, STEPS, VISIBLE = 16, 100, 88


@dataclasses.dataclass(frozen=True)
class Work:
    """The matrix products of one update.

    Args:
        layers: (inner, columns) of products over all frames at once, whose input has a gradient.
        inputs: the same, of the frames themselves, which have none.
        loop: the same, once a time step on the rows of a batch.
        forward: the same over all frames, without any gradient.
        chain: (times, inner, columns) of products there and back, over all frames.
    """

    layers: tuple[tuple[int, int], ...] = ()
    inputs: tuple[tuple[int, int], ...] = ()
    loop: tuple[tuple[int, int], ...] = ()
    forward: tuple[tuple[int, int], ...] = ()
    chain: tuple[int, int, int] = (0, 1, 1)

    def at_once(self, frames: int) -> list[tuple[int, int, int]]:
        """The products that wait for no other.

        Args:
            frames: of a batch, all rows and steps.

        Returns:
            (rows, inner, columns) of each.
        """
        found = [(frames, *pair) for pair in self.layers + self.inputs + self.forward]
        found += [(frames, columns, inner) for inner, columns in self.layers]
        return found + [(inner, frames, columns)
                        for inner, columns in self.layers + self.inputs + self.loop]

    def one_by_one(self, rows: int, steps: int) -> list[tuple[int, int, int, int]]:
        """The products of which each waits for the one before, there and back.

        Args:
            rows: of a batch.
            steps: of time.

        Returns:
            (times, rows, inner, columns) of each.
        """
        times, inner, columns = self.chain
        chain = (times, rows * steps, inner, columns)
        return [*((steps, rows, *pair) for pair in self.loop), chain]


def recurrence(width: int, units: int, outputs: int) -> Work:
    """The products of a simple cell with its readout.

    Args:
        width: of the projected frame and of what the state is multiplied to.
        units: of the state.
        outputs: parameters of the head.

    Returns:
        The work.
    """
    return Work(layers=((units, outputs),), inputs=((VISIBLE, width),), loop=((units, width),))


def with_rbm(work: Work, num_hidden: int, num_gibbs_steps: int) -> Work:
    """The same with contrastive divergence: its chain, and two free energies.

    Args:
        work: without it.
        num_hidden: K.
        num_gibbs_steps: k.

    Returns:
        The work.
    """
    pair = (VISIBLE, num_hidden)
    return dataclasses.replace(
        work, inputs=(*work.inputs, pair, pair), chain=(num_gibbs_steps, *pair))


def with_nade(work: Work, num_hidden: int) -> Work:
    """The same with a NADE: each unit goes into the hidden layer once and is predicted once.

    Args:
        work: without it.
        num_hidden: K.

    Returns:
        The work.
    """
    pair = (VISIBLE, num_hidden)
    return dataclasses.replace(
        work, inputs=(*work.inputs, pair), layers=(*work.layers, tuple(reversed(pair))))


def sequence(cell: object, head: heads.Head | None = None) -> models.SequenceModel:
    """A cell with a head, independent notes by default.

    Args:
        cell: of rnnpt or Keras.
        head: of rnnpt.

    Returns:
        The model.
    """
    return models.SequenceModel(cell, head or heads.BernoulliHead())


def lstm(units: int, outputs: int) -> Work:
    """The products of the thesis' LSTM with its readout.

    Its units see the frame, themselves and the memory; the four gates and inputs of the memory see
    the frame, the units and the memory; the readout sees both.

    Args:
        units: of the state and of the memory.
        outputs: parameters of the head.

    Returns:
        The work.
    """
    return Work(
        layers=((2 * units, outputs),), inputs=((VISIBLE, 5 * units),),
        loop=((units, units), (units, 5 * units), (units, 4 * units)))


CONTENDERS: dict[str, tuple[Callable[[], models.SequenceModel], Work]] = {
    "RNN": (lambda: models.RNN(200), recurrence(200, 200, VISIBLE)),
    "LeakyCell": (lambda: sequence(cells.LeakyCell(200)), recurrence(200, 200, VISIBLE)),
    "SkipCell": (
        lambda: sequence(cells.SkipCell(200, 4)),
        dataclasses.replace(recurrence(200, 200, VISIBLE), loop=((200, 200), (200, 200)))),
    "MRNNCell": (
        lambda: sequence(cells.MRNNCell(100, 100)),
        Work(layers=((100, VISIBLE),), inputs=((VISIBLE, 100), (VISIBLE, 100)),
             loop=((100, 100), (100, 100)))),
    "TensorCell": (
        lambda: sequence(cells.TensorCell(30)),
        Work(layers=((30, VISIBLE),), inputs=((VISIBLE, 30),), loop=((30 * VISIBLE, 30),))),
    "LSTMCell": (lambda: sequence(cells.LSTMCell(100)), lstm(100, VISIBLE)),
    "keras LSTMCell": (
        lambda: sequence(keras.layers.LSTMCell(100)),
        Work(layers=((100, VISIBLE),), inputs=((VISIBLE, 400),), loop=((100, 400),))),
    "RNNRBM": (
        lambda: models.RNNRBM(150, 100, num_gibbs_steps=15),
        with_rbm(recurrence(100, 100, VISIBLE + 150), 150, 15)),
    "RNNRBM, Gaussian": (
        lambda: models.RNNRBM(150, 100, num_gibbs_steps=15, visible="gaussian"),
        with_rbm(recurrence(100, 100, VISIBLE + 150), 150, 15)),
    "RTRBM": (
        lambda: models.RTRBM(150, num_gibbs_steps=15),
        with_rbm(recurrence(150, 150, VISIBLE + 150), 150, 15)),
    "TRBM": (
        lambda: models.TRBM(150, order=4, num_gibbs_steps=15),
        # The hidden means of the past are data: no gradient goes back through the loop.
        dataclasses.replace(
            with_rbm(Work(layers=((4 * (VISIBLE + 150), VISIBLE + 150),)), 150, 15),
            forward=((VISIBLE, 150), (4 * (VISIBLE + 150), 150)))),
    "RNNNADE": (
        lambda: models.RNNNADE(150, 100),
        with_nade(recurrence(100, 100, VISIBLE + 150), 150)),
    "LanguageModel": (lambda: models.LanguageModel(200), recurrence(200, 200, VISIBLE)),
    "LSTMCell, NADEHead": (
        lambda: sequence(cells.LSTMCell(100), heads.NADEHead(150)),
        with_nade(lstm(100, VISIBLE + 150), 150)),
}


def draw_batch(rows: int, steps: int, support: str) -> dict[str, np.ndarray]:
    """A batch of frames that a head knows; binary ones as sparse as chorales.

    Args:
        rows: B.
        steps: T.
        support: of the head.

    Returns:
        "frames" (B, T, V), "mask" and "starts".
    """
    random = np.random.default_rng(0)
    if support == "one_hot":
        frames = np.eye(VISIBLE)[random.integers(VISIBLE, size=[rows, steps])]
    else:
        frames = random.random([rows, steps, VISIBLE]) < 0.04
    return {"frames": frames.astype(np.float32), "mask": np.ones([rows, steps], bool),
            "starts": np.ones(rows, bool)}


def fit(
    model: models.SequenceModel, rows: int, steps: int, num_updates: int
) -> Callable[[], object]:
    """A model through `fit`.

    Args:
        model: which.
        rows: of a batch.
        steps: of time.
        num_updates: updates a call.

    Returns:
        A function that trains.
    """
    model.compile(optimizer=keras.optimizers.SGD(0.001))
    batch = draw_batch(rows, steps, model.head.support)
    data = tf.data.Dataset.from_tensors(batch).cache().repeat(num_updates)
    return lambda: model.fit(data, verbose=0)


def multiply(work: Work, num_updates: int) -> Callable[[], object]:
    """The matrix products of an update and nothing else.

    Args:
        work: which products.
        num_updates: updates a call.

    Returns:
        A function that multiplies.
    """
    def draw(rows: int, columns: int) -> tf.Tensor:
        # Of a size that a chain of products keeps.
        return tf.random.stateless_normal((rows, columns), [0, rows]) / columns ** 0.5

    at_once = [(draw(rows, inner), draw(inner, columns))
               for rows, inner, columns in work.at_once(BATCH * STEPS)]
    chains = [(times, draw(rows, inner), draw(inner, columns), draw(columns, inner))
              for times, rows, inner, columns in work.one_by_one(BATCH, STEPS)]

    @tf.function
    def update() -> list[tf.Tensor]:
        found = [tf.matmul(*pair)[0, 0] for pair in at_once]
        for times, left, there, back in chains:
            for _ in tf.range(times):
                left = tf.matmul(tf.matmul(left, there), back)
            found.append(left[0, 0])
        return found

    return lambda: [update() for _ in range(num_updates)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, default=60, help="updates in a turn; few of them time Keras' start")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--rows", type=int, default=16, help="of the batch, with --memory")
    parser.add_argument("--length", type=int, default=200, help="steps of it, with --memory")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - CONTENDERS.keys())
    if unknown:
        parser.error(f"NAME must be one of {list(CONTENDERS)}, got {unknown}")
    if arguments.memory:
        [name] = arguments.names
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        fit(CONTENDERS[name][0](), arguments.rows, arguments.length, 3)()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{name}: peak {peak / 2 ** 20:.2f} GiB, of which {before / 2 ** 20:.2f} GiB before "
              "the model")
        return
    print("| model | frames a second | time / its matrix products | time / PyTorch |")
    print("|---|---|---|---|")
    for name in arguments.names:
        make, work = CONTENDERS[name]
        turns = {"ours": fit(make(), BATCH, STEPS, arguments.steps),
                 "products": multiply(work, arguments.steps)}
        if HAS_TORCH and name in torch_twin.TWINS:
            turns["torch"] = torch_twin.fit(
                name, draw_batch(BATCH, STEPS, "binary")["frames"], arguments.steps)
        seconds = take_turns(turns, arguments.rounds)
        rate = arguments.steps * BATCH * STEPS / seconds["ours"]
        by_torch = f"{seconds['ours'] / seconds['torch']:.2f}" if "torch" in seconds else "-"
        print(f"| {name} | {rate:,.0f} | {seconds['ours'] / seconds['products']:.2f} | "
              f"{by_torch} |", flush=True)


if __name__ == "__main__":
    main()
