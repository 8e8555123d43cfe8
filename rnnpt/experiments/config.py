"""The named experiments, as data. This file imports no TensorFlow: it is read for `--help`.

A config says everything that decides a result: the data, the model, the phases of its training,
the evaluation and the seed. `rnnpt train --config NAME --set fit.epochs=3` changes one of them.
"""

import dataclasses
from typing import Literal

from rnnpt.experiments.model_config import (
    BernoulliHeadConfig,
    CellConfig,
    EchoStateConfig,
    HMMModelConfig,
    KerasCellConfig,
    LeakyCellConfig,
    LSTMCellConfig,
    ModelConfig,
    MRNNCellConfig,
    NADEHeadConfig,
    RBMHeadConfig,
    RNNConfig,
    RNNNADEConfig,
    RNNRBMConfig,
    RTRBMConfig,
    SequenceConfig,
    SimpleCellConfig,
    SkipCellConfig,
    TensorCellConfig,
    TRBMConfig,
)
from rnnpt.experiments.setting import ConfigError


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
        optimizer: Keras' optimizer; "sgd" is Nesterov's with `momentum`. "hessian_free" is
            `optimizers.HessianFree` on batches of whole sequences, into which pieces longer than
            `segment_length` are cut (`Sequences.cut`): it wants a `batch_size` of many, has
            `damping`, and goes by no learning rate, decay or clip.
        learning_rate: Step size.
        momentum: For "sgd" only.
        weight_decay: What every update takes off each weight, as a share of the learning rate
            (Loshchilov and Hutter's decoupled decay).
        kernel_l2: Of a penalty on the kernels: half the sum of their squares, times this, is added
            to the loss, of a frame, or for "hessian_free" of a sequence.
        clip_norm: The gradient of all weights together is cut to this norm.
        batch_size: Rows of a batch.
        segment_length: Steps of truncated back-propagation through time.
        damping: For "hessian_free" only, the first lambda.
        structural_damping: For "hessian_free" only, mu.
        curvature_rows: For "hessian_free" only, how many pieces of a batch, its first, give the
            curvature; none takes all.
        patience: Epochs without a better validation log-likelihood before the phase ends with its
            best weights; none trains all epochs.
    """

    epochs: int
    optimizer: Literal["adam", "sgd", "hessian_free"] = "adam"
    learning_rate: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0
    kernel_l2: float = 0.0
    clip_norm: float = 15.0
    batch_size: int = 16
    segment_length: int = 100
    damping: float = 0.3
    structural_damping: float = 0.0
    curvature_rows: int | None = None
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
class PretrainConfig(PhaseConfig):
    """What comes before the phase on the data.

    It has all that `PhaseConfig` has; with 0 epochs "hmm", "parts" and "layers" are left out.
    "linear" goes by nothing of it, and "inputs" by the learning rate alone; the single frames of
    "inputs" and "parts" come a hundred at once.

    Args:
        schedule: "hmm" for sequences drawn from a hidden Markov model; "parts" for single frames
            and then the recurrence by itself; "linear" for a start as a linear autoencoder of the
            data, with a readout that fits it, which takes no epochs; "inputs" for an input kernel
            that is an RBM's of single frames; "layers" for each layer of a stack of cells by
            itself, from the frames up.
        frame_epochs: Of "parts" and "inputs", passes over the single frames.
    """

    schedule: Literal["hmm", "parts", "linear", "inputs", "layers"] = "hmm"
    frame_epochs: int = 20


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How the table is measured.

    Args:
        num_samples: Frames drawn a time step for the accuracy of the 2012 rule.
        num_gibbs_steps: Steps of the chain that draws them, for RBM models.
        num_ais_runs: Runs of annealed importance sampling a frame, for RBM models.
        num_ais_temperatures: Steps of each run.
        num_ais_frames: Frames, drawn at random, that get all this work; the others a cheap
            estimate, which those correct. None for all frames.
        batch_size: Pieces that are read at a time.
        num_frames: Frames whose samples are in memory at a time.

    Raises:
        ConfigError: If there is nothing of what must be there, or one run, which has no error.
    """

    num_samples: int = 20
    num_gibbs_steps: int = 50
    num_ais_runs: int = 100
    num_ais_temperatures: int = 100
    num_ais_frames: int | None = None
    batch_size: int = 8
    num_frames: int = 512

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            least, value = 2 if field.name == "num_ais_runs" else 1, getattr(self, field.name)
            if value is not None and value < least:
                raise ConfigError(
                    f"evaluation.{field.name} must be at least {least}, got {value}: leave it out "
                    f"for {field.default}.")


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """Everything that decides an experiment's result.

    Args:
        data: Which music, a name that `rnnpt data list` shows; "midi_folder:PATH" for own files.
        model: Which model.
        pretrain: What comes before it.
        fit: The phase on the data.
        hmm: The hidden Markov model of `pretrain`.
        evaluation: How the table is measured.
        accuracy_every: Epochs of each phase from one accuracy on the validation pieces to the next
            in the log, of one sample a frame; 0 leaves it out.
        seed: Of weights, batches and every draw.
    """

    data: str
    model: ModelConfig
    fit: FitConfig
    pretrain: PretrainConfig = PretrainConfig(epochs=0)
    hmm: HMMConfig = HMMConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    accuracy_every: int = 0
    seed: int = 0


#: Adam with a rate that falls to 0, and decay of the weights. Chosen on JSB's validation pieces for
#: the RNN and, below, the NADE and RBM models; a start that was not tuned for the other cells.
_JSB_FIT = FitConfig(
    epochs=80, learning_rate=0.01, decay="linear", weight_decay=0.1, batch_size=8, patience=80)
_JSB_NADE_FIT = dataclasses.replace(_JSB_FIT, learning_rate=0.03, weight_decay=0.05)
_JSB_RBM_FIT = dataclasses.replace(_JSB_FIT, learning_rate=0.02, weight_decay=0.15)
#: Nottingham has ten times the frames; a start that was not tuned.
_NOTTINGHAM_FIT = FitConfig(
    epochs=60, learning_rate=0.01, decay="linear", weight_decay=0.02, batch_size=16, patience=60)


def _on_jsb(model: ModelConfig, fit: FitConfig = _JSB_FIT) -> ExperimentConfig:
    return ExperimentConfig(data="jsb_chorales", model=model, fit=fit)


def _rbm_on_jsb(model: ModelConfig) -> ExperimentConfig:
    # Models with strong couplings are overrated by the default's 100 temperatures: see
    # estimate_log_prob with schedules of more.
    return dataclasses.replace(
        _on_jsb(model, _JSB_RBM_FIT), evaluation=EvaluationConfig(num_ais_temperatures=500))


def _jsb_cell(cell: CellConfig) -> ExperimentConfig:
    """A cell with independent notes."""
    return _on_jsb(SequenceConfig(cell, BernoulliHeadConfig(), dropout=0.5))


CONFIGS = {
    "rnn_jsb": _on_jsb(
        RNNConfig(num_hidden=100),
        dataclasses.replace(_JSB_FIT, epochs=100, weight_decay=0.3, patience=100)),
    "leaky_rnn_jsb": _jsb_cell(LeakyCellConfig()),
    "rectified_rnn_jsb": _jsb_cell(SimpleCellConfig(activation="relu", activity_l1=0.001)),
    "skip_rnn_jsb": _jsb_cell(SkipCellConfig()),
    "mrnn_jsb": _jsb_cell(MRNNCellConfig()),
    "tensor_rnn_jsb": _jsb_cell(TensorCellConfig()),
    "lstm_jsb": _jsb_cell(LSTMCellConfig()),
    "gru_jsb": _jsb_cell(KerasCellConfig(kind="gru")),
    "rnn_rbm_jsb": _rbm_on_jsb(
        RNNRBMConfig(num_recurrent=150, negatives="mean_field", activation="sigmoid")),
    "rtrbm_jsb": _rbm_on_jsb(RTRBMConfig(negatives="mean_field")),
    "trbm_jsb": _rbm_on_jsb(TRBMConfig(negatives="mean_field")),
    "lstm_rbm_jsb": _rbm_on_jsb(
        SequenceConfig(LSTMCellConfig(), RBMHeadConfig(negatives="mean_field"))),
    "rnn_nade_jsb": _on_jsb(
        RNNNADEConfig(dropout=0.5),
        dataclasses.replace(_JSB_NADE_FIT, epochs=120, weight_decay=0.03, patience=120)),
    "lstm_nade_jsb": _on_jsb(
        SequenceConfig(LSTMCellConfig(), NADEHeadConfig(), dropout=0.5), _JSB_NADE_FIT),
    "echo_state_jsb": _on_jsb(
        EchoStateConfig(spectral_radius=0.5, input_scale=0.5, ridge=30.0), FitConfig(epochs=1)),
    "hmm_jsb": _on_jsb(HMMModelConfig(num_states=200), FitConfig(epochs=5, patience=5)),
    "gmm_hmm_jsb": _on_jsb(
        HMMModelConfig(initialization="gaussian_mixture"), FitConfig(epochs=1)),
    # Units and rate that validation chose on all three large sets: see results/starts.md.
    "rnn_nottingham": ExperimentConfig(
        data="nottingham", model=RNNConfig(num_hidden=200),
        fit=dataclasses.replace(_NOTTINGHAM_FIT, learning_rate=0.003)),
    "rnn_nade_nottingham": ExperimentConfig(
        data="nottingham", model=RNNNADEConfig(num_recurrent=200), fit=_NOTTINGHAM_FIT),
    "lstm_nade_nottingham": ExperimentConfig(
        data="nottingham", model=SequenceConfig(LSTMCellConfig(200), NADEHeadConfig()),
        fit=_NOTTINGHAM_FIT),
    "rnn_rbm_chorales": ExperimentConfig(
        data="chorales",
        model=RNNRBMConfig(),
        hmm=HMMConfig(num_states=25, num_sequences=500),
        pretrain=PretrainConfig(epochs=10, learning_rate=0.01, weight_decay=0.15, batch_size=8),
        fit=dataclasses.replace(_JSB_RBM_FIT, epochs=60, patience=60),
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
