"""The named experiments, as data. This file imports no TensorFlow: it is read for `--help`.

A config says everything that decides a result: the data, the model, the phases of its training,
the evaluation and the seed. `rnnpt train --config NAME --set fit.epochs=3` changes one of them.
"""

import dataclasses
from typing import Literal

from rnnpt.experiments.setting import ConfigError


@dataclasses.dataclass(frozen=True)
class RNNConfig:
    """A recurrent network with independent notes, `models.RNN`.

    Args:
        num_hidden: Recurrent units.
        activation: Their non-linearity.
    """

    num_hidden: int = 200
    activation: Literal["tanh", "sigmoid", "relu"] = "tanh"


@dataclasses.dataclass(frozen=True)
class RNNRBMConfig:
    """A recurrent network that drives an RBM, `models.RNNRBM`.

    Args:
        num_hidden: Hidden units of the RBM.
        num_recurrent: Recurrent units.
        num_gibbs_steps: Steps of contrastive divergence.
    """

    num_hidden: int = 150
    num_recurrent: int = 100
    num_gibbs_steps: int = 15


@dataclasses.dataclass(frozen=True)
class HMMConfig:
    """The hidden Markov model whose sequences the first phase trains on.

    Args:
        num_states: Its states.
        num_sequences: Sequences that it draws.
        max_iterations: EM iterations at most.
        tolerance: EM stops when the log-likelihood gains less, in nats a frame.
    """

    num_states: int = 25
    num_sequences: int = 500
    max_iterations: int = 50
    tolerance: float = 0.001


@dataclasses.dataclass(frozen=True)
class PhaseConfig:
    """One phase of training.

    Args:
        epochs: Passes over the data at most; 0 leaves the phase out.
        optimizer: Keras' optimizer; "sgd" is Nesterov's with `momentum`.
        learning_rate: Step size.
        momentum: For "sgd" only.
        weight_decay: What every update takes off each weight, as a share of the learning rate
            (Loshchilov and Hutter's decoupled decay).
        clip_norm: The gradient of all weights together is cut to this norm.
        batch_size: Rows of a batch.
        segment_length: Steps of truncated back-propagation through time.
        patience: Epochs without a better validation log-likelihood before the phase ends with its
            best weights; none trains all epochs.
    """

    epochs: int
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float = 15.0
    batch_size: int = 16
    segment_length: int = 100
    patience: int | None = None


@dataclasses.dataclass(frozen=True)
class FitConfig(PhaseConfig):
    """The phase on the data themselves, whose number of updates is known beforehand.

    It has all that `PhaseConfig` has.

    Args:
        decay: "linear" takes the learning rate down to 0 over all `epochs` (thesis, 3.11.3).
    """

    decay: Literal["constant", "linear"] = "constant"


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How the table is measured.

    Args:
        num_samples: Frames drawn a time step for the accuracy of the 2012 rule.
        num_gibbs_steps: Steps of the chain that draws them, for RBM models.
        num_ais_runs: Runs of annealed importance sampling a frame, for RBM models.
        num_ais_temperatures: Steps of each run.
        batch_size: Pieces that are read at a time.
        num_frames: Frames whose samples are in memory at a time.
    """

    num_samples: int = 20
    num_gibbs_steps: int = 50
    num_ais_runs: int = 100
    num_ais_temperatures: int = 100
    batch_size: int = 8
    num_frames: int = 512


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """Everything that decides an experiment's result.

    Args:
        data: Which music, a name that `rnnpt data list` shows; "midi_folder:PATH" for own files.
        model: Which model.
        pretrain: The phase on sequences drawn from the hidden Markov model.
        fit: The phase on the data.
        hmm: The hidden Markov model, where `pretrain` has epochs.
        evaluation: How the table is measured.
        seed: Of weights, batches and every draw.
    """

    data: str
    model: RNNConfig | RNNRBMConfig
    fit: FitConfig
    pretrain: PhaseConfig = PhaseConfig(epochs=0)
    hmm: HMMConfig = HMMConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: int = 0


CONFIGS = {
    "rnn_jsb": ExperimentConfig(
        data="jsb_chorales",
        model=RNNConfig(num_hidden=100),
        fit=FitConfig(
            epochs=100, learning_rate=0.01, decay="linear", weight_decay=0.3, batch_size=8,
            patience=100,
        ),
    ),
    "rnn_rbm_jsb": ExperimentConfig(
        data="jsb_chorales",
        model=RNNRBMConfig(num_hidden=150, num_recurrent=100, num_gibbs_steps=15),
        fit=FitConfig(
            epochs=150, learning_rate=0.02, decay="linear", weight_decay=0.15, batch_size=8,
            patience=150,
        ),
    ),
    "rnn_rbm_chorales": ExperimentConfig(
        data="chorales",
        model=RNNRBMConfig(num_hidden=150, num_recurrent=100, num_gibbs_steps=15),
        hmm=HMMConfig(num_states=25, num_sequences=500),
        pretrain=PhaseConfig(epochs=10, learning_rate=0.01, weight_decay=0.15, batch_size=8),
        fit=FitConfig(
            epochs=60, learning_rate=0.02, decay="linear", weight_decay=0.15, batch_size=8,
            patience=60,
        ),
    ),
}


def named(name: str) -> ExperimentConfig:
    """Returns a named config.

    Args:
        name: One of `CONFIGS`.

    Returns:
        The config.

    Raises:
        ConfigError: If there is no config of that name.
    """
    if name not in CONFIGS:
        raise ConfigError(f"config must be one of {', '.join(CONFIGS)}, got {name!r}.")
    return CONFIGS[name]
