"""Pre-training of a stack of recurrent layers, one after the other from the frames up."""
import dataclasses
from typing import Any

import keras

from rnnpt.pretraining.error import check_count
from rnnpt.pretraining.phase import Phase
from rnnpt.pretraining.schedule import Schedule


@dataclasses.dataclass(frozen=True)
class GreedyStack(Schedule):
    """Each layer learns to predict the next frame, above those that have learned it already.

    A layer trains with a readout to the visible biases, while those below stay as they are; the
    next one begins with that readout. The model is a `SequenceModel` whose cell is a
    `keras.layers.StackedRNNCells`, of layers with as many units each, and whose head has visible
    biases. Use `run` for the pre-training alone, or `phases` as the first ones of a plan whose last
    trains the whole.

    Args:
        num_layers: Of the stack.
        epochs: Passes over the data, of each layer.
        optimizer: Keras optimizer, a fresh one for each layer.
        batch_size: Rows of a batch of pieces.
        segment_length: Most steps of truncated back-propagation.
        seed: Of the order of pieces.

    Raises:
        PlanError: If a count is not an integer of at least 1.

    Example:
        >>> [phase.part for phase in GreedyStack(num_layers=2).phases()]
        ['layer_1', 'layer_2']

    Source: Hinton, Osindero and Teh (2006), whose layers are RBMs; Pasa, Testolin and Sperduti
    (2014), section 1.
    """

    num_layers: int
    epochs: int = 20
    optimizer: Any = dataclasses.field(
        default_factory=lambda: keras.optimizers.Adam(0.001, global_clipnorm=15.0))
    batch_size: int = 16
    segment_length: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("num_layers", self.num_layers)

    def phases(self) -> list[Phase]:
        """Describe the pre-training as the phases of a plan.

        Returns:
            "layer_1" and so on, each on the data "train".
        """
        names = [f"layer_{number}" for number in range(1, self.num_layers + 1)]
        return [Phase(name, "train", self.epochs, self.optimizer, self.batch_size,
                      self.segment_length, part=name) for name in names]
