"""From a named experiment to trained weights in its run folder, and back to the model."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras

from rnnpt import datasets, optimizers, pretraining
from rnnpt.experiments import run_folder
from rnnpt.experiments.accuracy import accuracy_function
from rnnpt.experiments.config import ExperimentConfig, FitConfig, PhaseConfig
from rnnpt.experiments.model import build_model
from rnnpt.experiments.model_config import KerasCellConfig, SequenceConfig
from rnnpt.experiments.setting import ConfigError


def train(
    run_dir: Path,
    config: ExperimentConfig,
    splits: datasets.Splits,
    progress: bool | None = None,
) -> pretraining.PlanResult:
    """Trains an experiment in its run folder, or goes on where that stopped.

    Args:
        run_dir: The run folder, which `run_folder.open_run` has opened.
        config: The experiment.
        splits: Its music.
        progress: True for bars, False for a line a phase, None for bars on a terminal only.

    Returns:
        The history of all phases and the best epoch.
    """
    model = build_model(config.model, config.seed)
    train = splits.train
    phases = [_fit_phase(config.fit, train)]
    sources = {"train": lambda: train}
    schedule = _schedule(config) if config.pretrain.epochs else None
    if schedule is not None:
        before = config.pretrain
        first = [dataclasses.replace(phase, patience=before.patience, kernel_l2=before.kernel_l2)
                 for phase in schedule.phases()]
        phases = [*first, *phases]
        sources |= schedule.sources(train, run_dir)
    return pretraining.run_plan(
        model, phases, sources, splits.valid, config.seed, run_dir, progress, _start(config),
        _probe(model, splits.valid, config),
    )


def load_model(run_dir: Path, num_visible: int = 88) -> keras.Model:
    """Makes the model of a run folder, with its best weights.

    Args:
        run_dir: The run folder.
        num_visible: Width V of a frame.

    Returns:
        A `SequenceModel`.

    Raises:
        ConfigError: If the folder holds no run, no trained weights yet, or another model's.
    """
    config = run_folder.read_config(run_dir)
    path = run_dir / run_folder.BEST_WEIGHTS
    if not path.is_file():
        raise ConfigError(
            f"run_dir must hold trained weights, got {str(run_dir)!r} without {path.name}: go on "
            f"with rnnpt train --run_dir {run_dir}."
        )
    model = build_model(config.model, config.seed)
    model.build_for(num_visible)
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise ConfigError(
            f"run_dir must hold the weights of its own model, got {path}, which does not fit "
            f"{run_folder.CONFIG} ({str(error).splitlines()[0]}): train anew with --overwrite."
        ) from error
    return model


def _fit_phase(config: FitConfig, train: datasets.Sequences) -> pretraining.Phase:
    """Returns the phase on the data."""
    batches = train.segments(config.segment_length, config.batch_size).cardinality()
    rate: float | keras.optimizers.schedules.LearningRateSchedule = config.learning_rate
    if config.decay == "linear":
        rate = keras.optimizers.schedules.PolynomialDecay(
            config.learning_rate, config.epochs * int(batches), end_learning_rate=0.0
        )
    return pretraining.Phase(
        "fit",
        "train",
        config.epochs,
        _optimizer(config, rate),
        config.batch_size,
        config.segment_length,
        config.patience,
        kernel_l2=config.kernel_l2,
    )


def _start(config: ExperimentConfig) -> pretraining.Start | None:
    """Returns what sets the first weights, if anything does."""
    before = config.pretrain
    if before.schedule == "linear":
        return pretraining.linear_start()
    if before.schedule == "inputs":
        return pretraining.input_start(before.frame_epochs, before.learning_rate, seed=config.seed)
    return None


def _probe(
    model: keras.Model, valid: datasets.Sequences, config: ExperimentConfig
) -> pretraining.Probe | None:
    """Returns the accuracy on the validation pieces, if the log shall have it."""
    if not config.accuracy_every:
        return None
    model.build_for(valid.num_visible)
    # One sample of each of many frames: to a fraction of a percent, in a fraction of an epoch.
    cheap = dataclasses.replace(config.evaluation, num_samples=1)
    return pretraining.Probe(
        "val_accuracy", config.accuracy_every, accuracy_function(model, valid, cheap, config.seed))


def _schedule(config: ExperimentConfig) -> pretraining.Schedule | None:
    """Returns the phases before the data themselves, if there are any."""
    makers: dict[str, Callable[[ExperimentConfig], pretraining.Schedule]] = {
        "hmm": _hmm, "parts": _parts, "layers": _stack}
    make = makers.get(config.pretrain.schedule)
    return None if make is None else make(config)


def _hmm(config: ExperimentConfig) -> pretraining.HMM:
    """Returns the phase on sequences drawn from a hidden Markov model, and how they are drawn."""
    return pretraining.HMM(
        num_states=config.hmm.num_states,
        num_sequences=config.hmm.num_sequences,
        epochs=config.pretrain.epochs,
        optimizer=_optimizer(config.pretrain, config.pretrain.learning_rate),
        batch_size=config.pretrain.batch_size,
        segment_length=config.pretrain.segment_length,
        tolerance=config.hmm.tolerance,
        max_iterations=config.hmm.max_iterations,
        seed=config.seed,
    )


def _parts(config: ExperimentConfig) -> pretraining.SeparateParts:
    """Returns the phases on single frames and of the recurrence by itself."""
    before = config.pretrain
    # Contrastive divergence has no loss for a curvature.
    of_frames = dataclasses.replace(before, optimizer="adam") if (
        before.optimizer == "hessian_free") else before
    return pretraining.SeparateParts(
        frame_epochs=before.frame_epochs,
        epochs=before.epochs,
        frame_optimizer=_optimizer(of_frames, before.learning_rate),
        optimizer=_optimizer(before, before.learning_rate),
        batch_size=before.batch_size,
        segment_length=before.segment_length,
        seed=config.seed,
    )


def _stack(config: ExperimentConfig) -> pretraining.GreedyStack:
    """Returns the phases of the layers of a stack."""
    before, model = config.pretrain, config.model
    cell = model.cell if isinstance(model, SequenceConfig) else None
    num_layers = cell.num_layers if isinstance(cell, KerasCellConfig) else 1
    if num_layers < 2:
        raise ConfigError(
            "pretrain.schedule must not be layers for a model without a stack, got a "
            f"{type(model).__name__}: take gru_jsb with model.cell.num_layers=2."
        )
    return pretraining.GreedyStack(
        num_layers, before.epochs, _optimizer(before, before.learning_rate), before.batch_size,
        before.segment_length, config.seed)


def _optimizer(
    config: PhaseConfig, rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """Returns a phase's optimizer."""
    if config.optimizer == "hessian_free":
        return optimizers.HessianFree(
            config.damping, config.structural_damping, config.curvature_rows)
    common = {
        "learning_rate": rate,
        # Keras counts a decay of 0 as one.
        "weight_decay": config.weight_decay or None,
        "global_clipnorm": config.clip_norm,
    }
    if config.optimizer == "adam":
        return keras.optimizers.Adam(**common)
    return keras.optimizers.SGD(momentum=config.momentum, nesterov=True, **common)
