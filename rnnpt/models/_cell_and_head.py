"""What a predictor of its own sequence and one of another share: a cell, a readout and a head."""

from typing import Any, Self

import keras
import tensorflow as tf

from rnnpt.cells import Cell, as_cell
from rnnpt.heads import Head
from rnnpt.optimizers import CurvatureTraining


class CellAndHead(CurvatureTraining):
    """A cell that remembers, and a head whose parameters a readout makes of the cell's outputs.

    Args:
        cell: of `rnnpt.cells` or of Keras.
        head: what the remembered is turned into.
        readout_initializer: how the matrix from the cell's output (H, P) starts.
        **kwargs: of the next class, at last of `keras.Model`.

    Raises:
        TypeError: if `cell` is no cell or `head` no Head.
    """

    # XLA makes a rolled recurrence two to three times slower on a CPU; Keras would switch it on.
    supports_jit = False

    def __init__(
        self, cell: Cell | keras.Layer, head: Head, readout_initializer: object, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(head, Head):
            raise TypeError(
                f"{type(self).__name__}: head must be a rnnpt Head, got {type(head).__name__}; "
                "build one from rnnpt.heads")
        self.cell = as_cell(cell)
        self.head = head
        self.readout_initializer = keras.initializers.get(readout_initializer)

    def initial_state(self, batch_size: int | tf.Tensor) -> list[tf.Tensor]:
        """The learned state before the first step.

        Args:
            batch_size: B.

        Returns:
            State tensors (B, S_i).
        """
        return self.cell.get_initial_state(batch_size)

    def get_config(self) -> dict[str, object]:
        """What the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "cell": keras.saving.serialize_keras_object(self.cell),
            "head": keras.saving.serialize_keras_object(self.head),
            "readout_initializer": keras.initializers.serialize(self.readout_initializer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Undo `get_config`.

        Args:
            config: what `get_config` gave.

        Returns:
            A model with the same parts and no variables yet.
        """
        config = dict(config)
        for name in {"cell", "head"} & config.keys():
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)

    def _build_chain(self, input_width: int, output_width: int) -> None:
        """Build the cell, the readout from its outputs (..., H) to parameters, and the head."""
        for part, width in ((self.cell, input_width), (self.head, output_width)):
            if not part.built:  # Keras builds the parts of a model that it loads.
                part.build((None, width))
        self.readout = keras.layers.Dense(
            self.head.num_parameters(output_width), kernel_initializer=self.readout_initializer,
            name="readout")
        self.readout.build((None, self.cell.output_size))
