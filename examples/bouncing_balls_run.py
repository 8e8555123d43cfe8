"""One run of `bouncing_balls.py`: its settings, the thesis' and its own, optimizer and network."""

import dataclasses
import math

import keras

from rnnpt import cells, heads, models, optimizers
from rnnpt.initializers import Sparse

NUM_UNITS = 300
#: Sequences of an update by gradients, and its rate for a loss that is summed over frames.
LSTM_BATCH, LSTM_RATE, LSTM_MOMENTUM = 50, 0.001, 0.9
#: What the biases of the forget gates start at, and the scale of the LSTM's connections.
FORGET_BIAS, LSTM_SCALE = 3.0, 0.1
#: Sequences at once, of a gradient by parts and of an evaluation.
ROWS_AT_ONCE = 500


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the thesis says of a set.

    Args:
        num_steps: T.
        damping: the first lambda.
        structural_damping: mu.
        gradient_rows: sequences of a Hessian-free update.
        curvature_rows: how many of them give the curvature.
        support: of the head.
        clip_norm: of the LSTM's gradient of a mean over frames, which the thesis does not clip.
        thesis: errors of table 4.1.
    """

    num_steps: int
    damping: float
    structural_damping: float
    gradient_rows: int
    curvature_rows: int
    support: str
    clip_norm: float
    thesis: dict[str, float]


# Without clipping our LSTM diverges on the chorales, at a hundredth of the thesis' rate too.
SETTINGS = {
    "balls": Setting(30, 1.0, 1.0, 40_000, 4_000, "unit", math.inf, {"hf": 22, "lstm": 35}),
    "midi": Setting(200, 100.0, 0.1, 20_000, 2_000, "binary", 1.0, {"hf": 569, "lstm": 683})}


@dataclasses.dataclass(frozen=True)
class Run:
    """One run; these settings name it in the tables."""

    data: str
    pieces: str
    side: int
    method: str
    minutes: float
    units: int
    share: float
    learning_rate: float
    clip_norm: float
    seed: int

    @property
    def name(self) -> str:
        """A file's name."""
        return "_".join(str(value) for value in dataclasses.astuple(self))

    @property
    def setting(self) -> Setting:
        """What the thesis says."""
        return SETTINGS[self.data]

    @property
    def batch_size(self) -> int:
        """Sequences an update."""
        whole = self.setting.gradient_rows
        return LSTM_BATCH if self.method == "lstm" else max(1, round(self.share * whole))

    def optimizer(self, num_steps: int) -> keras.optimizers.Optimizer:
        """The method; our loss of gradients is a mean over frames, the thesis' is their sum."""
        if self.method == "lstm":
            return keras.optimizers.SGD(
                self.learning_rate * num_steps, LSTM_MOMENTUM,
                global_clipnorm=self.clip_norm if self.clip_norm < math.inf else None)
        return optimizers.HessianFree(
            self.setting.damping, self.setting.structural_damping,
            curvature_rows=max(1, round(self.share * self.setting.curvature_rows)),
            rows_at_once=ROWS_AT_ONCE)

    def model(self, num_visible: int) -> models.SequenceModel:
        """The untrained network, of sparse connections."""
        first = 4 * self.seed
        if self.method == "hf":
            # Section 4.4; the input's connections are unit Gaussians.
            inner = 15 ** -0.5
            cell: cells.Cell = cells.SimpleCell(
                self.units, "tanh", kernel_initializer=Sparse(seed=first, or_all=True),
                recurrent_kernel_initializer=Sparse(scale=inner, seed=first + 1, or_all=True))
        else:
            inner, units = LSTM_SCALE, lstm_units(self.units, num_visible)
            cell = cells.LSTMCell(units, units, FORGET_BIAS, *(
                Sparse(scale=inner, seed=first + place, or_all=True) for place in range(3)))
        return models.SequenceModel(
            cell, heads.BernoulliHead(self.setting.support), seed=self.seed,
            readout_initializer=Sparse(scale=inner, seed=first + 3, or_all=True))


def lstm_units(units: int, num_visible: int) -> int:
    """How many hidden and memory units give an LSTM no fewer parameters than an RNN.

    Args:
        units: of the RNN.
        num_visible: V.

    Returns:
        The smallest such number, of each kind.
    """
    def num_parameters(kernels: int, outputs: int, states: int, inner: int) -> int:
        return (num_visible + 1) * kernels + inner + states + (outputs + 1) * num_visible

    wanted, number = num_parameters(units, units, units, units ** 2), 1
    while num_parameters(5 * number, 2 * number, 3 * number, 10 * number ** 2) < wanted:
        number += 1
    return number
