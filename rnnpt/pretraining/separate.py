"""Pre-training of the two parts of a model by themselves: of single frames, and of the recurrence.

Source: Boulanger-Lewandowski, Bengio and Vincent, Modeling temporal dependencies in
high-dimensional sequences (2012), section 4.
"""
import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np

from rnnpt.datasets import Sequences
from rnnpt.pretraining.error import check_count
from rnnpt.pretraining.phase import Phase
from rnnpt.pretraining.schedule import Schedule, Source


def _adam() -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(0.001, global_clipnorm=15.0)


@dataclasses.dataclass(frozen=True)
class SeparateParts(Schedule):
    """First the head on shuffled frames, as if they had no order; then the recurrence without it.

    An RBM is trained by contrastive divergence on single frames, which starts its kernel and its
    biases; then the network by the cross-entropy of its visible biases alone, sigmoid(b_v + W'' h),
    which starts the cell, W'' and b_v, the initial state among them. W' keeps its small numbers.
    Both train the visible bias, and that of the recurrence stays. The model is a `SequenceModel`
    whose head has weights and visible biases. Use `run` for the pre-training
    alone, or `phases` and `sources` as the first parts of a plan.

    Args:
        frame_epochs: Passes over the frames.
        epochs: Passes of the recurrence over the pieces.
        frame_optimizer: Keras optimizer of the head, or its config.
        optimizer: That of the recurrence.
        frames_at_once: Of a batch.
        batch_size: Rows of a batch of pieces.
        segment_length: Most steps of truncated back-propagation.
        seed: Of the order of frames and pieces.

    Raises:
        PlanError: If a count is not an integer of at least 1.

    Example:
        >>> [phase.part for phase in SeparateParts().phases()]
        ['frames', 'recurrence']

    Source: Boulanger-Lewandowski et al. (2012), section 4.
    """

    frame_epochs: int = 20
    epochs: int = 100
    frame_optimizer: Any = dataclasses.field(default_factory=_adam)
    optimizer: Any = dataclasses.field(default_factory=_adam)
    frames_at_once: int = 100
    batch_size: int = 16
    segment_length: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("frame_epochs", "frames_at_once"):
            check_count(name, getattr(self, name))

    def phases(self) -> list[Phase]:
        """Describe the pre-training as the phases of a plan.

        Returns:
            "frames" on the data "frames", and "recurrence" on the data "train".
        """
        return [
            Phase("frames", "frames", self.frame_epochs, self.frame_optimizer, self.frames_at_once,
                  1, part="frames"),
            Phase("recurrence", "train", self.epochs, self.optimizer, self.batch_size,
                  self.segment_length, part="recurrence")]

    def sources(self, sequences: Sequences, directory: Path | None = None) -> dict[str, Source]:
        """Say how the data of the phases are made.

        Args:
            sequences: The training data.
            directory: Not used: nothing is dear.

        Returns:
            What makes "frames", every frame a piece by itself, and "train".
        """
        def frames() -> Sequences:
            return Sequences(list(np.concatenate(sequences.sequences)[:, None]))

        return {"frames": frames, "train": lambda: sequences}
