"""The models of the experiments, as data. This file imports no TensorFlow: it is for `--help`.

A field is the argument of that name in the model, cell or head that its class names.
"""

import dataclasses
from typing import Literal

Activation = Literal["tanh", "sigmoid", "relu"]
Negatives = Literal["sampled", "mean_field"]


@dataclasses.dataclass(frozen=True)
class RNNConfig:
    """A recurrent network with independent notes, `models.RNN`.

    Args:
        num_hidden: Recurrent units.
        activation: Their non-linearity.
        spectral_radius: Of a sparse recurrent kernel at the start, beside a sparse input kernel;
            none starts with an orthogonal one.
        dropout: Share of the recurrent outputs hidden in training.
    """

    num_hidden: int = 200
    activation: Activation = "tanh"
    spectral_radius: float | None = None
    dropout: float = 0.0


@dataclasses.dataclass(frozen=True)
class RNNRBMConfig:
    """A recurrent network that drives an RBM, `models.RNNRBM`.

    Args:
        num_hidden: Hidden units of the RBM.
        num_recurrent: Recurrent units.
        num_gibbs_steps: Steps of contrastive divergence.
        negatives: What stands against the data in training.
        activation: Of the recurrent units.
        dropout: Share of the recurrent outputs hidden in training.
    """

    num_hidden: int = 150
    num_recurrent: int = 100
    num_gibbs_steps: int = 15
    negatives: Negatives = "sampled"
    activation: Activation = "tanh"
    dropout: float = 0.0


@dataclasses.dataclass(frozen=True)
class RNNNADEConfig:
    """A recurrent network that drives a NADE, `models.RNNNADE`.

    Args:
        num_hidden: Hidden units of the NADE.
        num_recurrent: Recurrent units.
        activation: Of the recurrent units.
        dropout: Share of the recurrent outputs hidden in training.
    """

    num_hidden: int = 150
    num_recurrent: int = 100
    activation: Activation = "tanh"
    dropout: float = 0.0


@dataclasses.dataclass(frozen=True)
class RTRBMConfig:
    """RBMs whose hidden means are the recurrence, `models.RTRBM`.

    Args:
        num_hidden: Hidden units.
        num_gibbs_steps: Steps of contrastive divergence.
        negatives: What stands against the data in training.
        dynamic_visible_bias: Whether the past sets the visible bias too.
        kernel_stddev: Of the kernel's start.
        dropout: Share of the recurrent outputs hidden in training.
    """

    num_hidden: int = 150
    num_gibbs_steps: int = 15
    negatives: Negatives = "sampled"
    dynamic_visible_bias: bool = True
    kernel_stddev: float = 0.01
    dropout: float = 0.0


@dataclasses.dataclass(frozen=True)
class TRBMConfig:
    """RBMs on the last frames and hidden means, `models.TRBM`.

    Args:
        num_hidden: Hidden units.
        order: How many frames back it looks.
        variant: Which connections it has; "-VV" leaves those between visible units out.
        num_gibbs_steps: Steps of contrastive divergence.
        negatives: What stands against the data in training.
    """

    num_hidden: int = 150
    order: int = 4
    variant: Literal["full", "-VV", "-HH", "-VH"] = "full"
    num_gibbs_steps: int = 15
    negatives: Negatives = "sampled"


@dataclasses.dataclass(frozen=True)
class EchoStateConfig:
    """A fixed random reservoir with a ridge-regression readout, `models.EchoStateNetwork`.

    Args:
        num_recurrent: Units of the reservoir.
        spectral_radius: Of its recurrent kernel.
        input_scale: Of its input kernel.
        integration: Share of the past that each unit keeps at a step.
        ridge: Penalty on the readout's squares.
    """

    num_recurrent: int = 1000
    spectral_radius: float = 0.9
    input_scale: float = 0.3
    integration: float = 0.0
    ridge: float = 10.0


@dataclasses.dataclass(frozen=True)
class HMMModelConfig:
    """A hidden Markov model of frames, `models.HMM`; each epoch is one pass of EM.

    Args:
        num_states: Its states.
        initialization: What its states are before the first pass.
        smoothing: Pseudo-count of everything that is counted.
    """

    num_states: int = 50
    initialization: Literal["k_means", "gaussian_mixture"] = "k_means"
    smoothing: float = 0.1


@dataclasses.dataclass(frozen=True)
class SimpleCellConfig:
    """`cells.SimpleCell`.

    Args:
        units: Recurrent units.
        activation: Their non-linearity.
        activity_l1: Penalty on the size of each output.
    """

    units: int = 100
    activation: Activation = "tanh"
    activity_l1: float = 0.0


@dataclasses.dataclass(frozen=True)
class LeakyCellConfig:
    """`cells.LeakyCell`.

    Args:
        units: Recurrent units.
        leaky_share: How many of them are leaky.
        activation: Their non-linearity.
    """

    units: int = 100
    leaky_share: float = 0.5
    activation: Activation = "tanh"


@dataclasses.dataclass(frozen=True)
class SkipCellConfig:
    """`cells.SkipCell`.

    Args:
        units: Recurrent units.
        num_steps: How many steps back the second recurrent kernel reaches.
        activation: Their non-linearity.
    """

    units: int = 100
    num_steps: int = 4
    activation: Activation = "tanh"


@dataclasses.dataclass(frozen=True)
class MRNNCellConfig:
    """`cells.MRNNCell`.

    Args:
        units: Recurrent units.
        num_factors: Factors of the recurrent kernel that each frame chooses.
    """

    units: int = 100
    num_factors: int = 100


@dataclasses.dataclass(frozen=True)
class TensorCellConfig:
    """`cells.TensorCell`.

    Args:
        units: Recurrent units.
    """

    units: int = 30


@dataclasses.dataclass(frozen=True)
class LSTMCellConfig:
    """`cells.LSTMCell`, the thesis' form.

    Args:
        units: Units of its state and of its memory.
        forget_bias: What the forget gates start from.
    """

    units: int = 100
    forget_bias: float = 5.0


@dataclasses.dataclass(frozen=True)
class KerasCellConfig:
    """Cells of Keras: `SimpleRNNCell`, `LSTMCell` or `GRUCell`, or a stack of them.

    Args:
        kind: Which.
        units: Recurrent units of each.
        num_layers: How many stand above each other.
    """

    kind: Literal["simple", "lstm", "gru"] = "lstm"
    units: int = 100
    num_layers: int = 1


CellConfig = (
    SimpleCellConfig | LeakyCellConfig | SkipCellConfig | MRNNCellConfig | TensorCellConfig
    | LSTMCellConfig | KerasCellConfig
)


@dataclasses.dataclass(frozen=True)
class BernoulliHeadConfig:
    """`heads.BernoulliHead`, which has no settings."""


@dataclasses.dataclass(frozen=True)
class NADEHeadConfig:
    """`heads.NADEHead`.

    Args:
        num_hidden: Its hidden units.
    """

    num_hidden: int = 150


@dataclasses.dataclass(frozen=True)
class RBMHeadConfig:
    """`heads.RBMHead`.

    Args:
        num_hidden: Its hidden units.
        num_gibbs_steps: Steps of contrastive divergence.
        negatives: What stands against the data in training.
    """

    num_hidden: int = 150
    num_gibbs_steps: int = 15
    negatives: Negatives = "sampled"


@dataclasses.dataclass(frozen=True)
class SequenceConfig:
    """Any cell with any head, `models.SequenceModel`.

    Args:
        cell: What remembers.
        head: How likely the next frame is.
        dropout: Share of the recurrent outputs hidden in training.
    """

    cell: CellConfig
    head: BernoulliHeadConfig | NADEHeadConfig | RBMHeadConfig
    dropout: float = 0.0


ModelConfig = (
    RNNConfig | RNNRBMConfig | RNNNADEConfig | RTRBMConfig | TRBMConfig | EchoStateConfig
    | HMMModelConfig | SequenceConfig
)
