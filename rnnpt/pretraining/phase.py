"""One stretch of training, as data."""
import copy
import dataclasses
import math
from typing import Any

import keras

from rnnpt.pretraining.error import PlanError, check_count
from rnnpt.pretraining.part import PARTS, is_part


@dataclasses.dataclass(frozen=True)
class Phase:
    """One stretch of training: what trains, on which data, for how long.

    Args:
        name: Of the phase, in the log.
        data: Key of `sources` in `run_plan`.
        epochs: Most passes over the data.
        optimizer: Keras optimizer, or its config as `keras.optimizers.serialize` gives it; kept as
            the config, so each run of the phase begins with a fresh one. Every epoch is one `fit`:
            an optimizer that averages weights puts its average in at every epoch's end.
        batch_size: Rows of a batch (B).
        segment_length: Most steps of truncated back-propagation (T). For an optimizer that takes a
            curvature, which wants whole sequences, longer pieces are cut (`Sequences.cut`).
        patience: Epochs without a better validation log-likelihood after which the phase ends and
            its best weights come back; None trains all epochs and keeps the last weights.
        recipe: How its data are made, for the record; a run with another recipe is another run.
        part: What is trained: "model", or "frames", "recurrence" or "layer_1" and so on of it (see
            `part_of`).
        kernel_l2: Of a penalty on the kernels of what is trained: half the sum of their squares,
            times this, is added to the loss, which is of a sequence for an optimizer that takes a
            curvature and of a frame for others.

    Raises:
        PlanError: If a count is less than 1, `kernel_l2` no number from 0 on, `optimizer` no Keras
            optimizer, or there is no such part.

    Example:
        >>> import keras
        >>> phase = Phase("fine-tune", "train", 200, keras.optimizers.Adam(0.001), patience=20)
        >>> phase.optimizer["class_name"]
        'Adam'
    """

    name: str
    data: str
    epochs: int
    optimizer: Any
    batch_size: int = 16
    segment_length: int = 100
    patience: int | None = None
    recipe: dict[str, Any] = dataclasses.field(default_factory=dict)
    part: str = "model"
    kernel_l2: float = 0.0

    def __post_init__(self) -> None:
        if not is_part(self.part):
            raise PlanError(f"`part` must be one of {', '.join(PARTS)}, or layer_1 and so on. "
                            f"Received: part={self.part!r}. Pass 'model' for the whole.")
        for name in ("epochs", "batch_size", "segment_length"):
            check_count(name, getattr(self, name))
        if self.patience is not None:
            check_count("patience", self.patience)
        if not 0 <= self.kernel_l2 < math.inf:
            raise PlanError("`kernel_l2` must be a number from 0 on. Received: "
                            f"kernel_l2={self.kernel_l2}. Pass 0 for no penalty.")
        if isinstance(self.optimizer, keras.optimizers.Optimizer):
            object.__setattr__(self, "optimizer", keras.optimizers.serialize(self.optimizer))
        elif not isinstance(self.optimizer, dict) or "class_name" not in self.optimizer:
            raise PlanError("`optimizer` must be a Keras optimizer or its serialised config. "
                            f"Received: optimizer={self.optimizer!r}. Pass for example "
                            "keras.optimizers.Adam(0.001).")

    def new_optimizer(self) -> keras.optimizers.Optimizer:
        """Make the phase's optimizer.

        Returns:
            An optimizer that has accumulated nothing.
        """
        # Keras changes the dictionary it is given.
        return keras.optimizers.deserialize(copy.deepcopy(self.optimizer))
