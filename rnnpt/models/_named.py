"""What the named models share: a config of few settings, and the simple cell they start from."""

import keras

from rnnpt.cells import SimpleCell
from rnnpt.models._training import SequenceTraining
from rnnpt.models.sequence import SequenceModel


class NamedModel(SequenceModel):
    """A choice of cell and head that a few settings tell whole.

    A subclass leaves in `_config` all that its constructor takes but for the arguments of
    `SequenceTraining`.
    """

    _config: dict[str, object]

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes; the cell and the head come from it.

        Returns:
            A JSON-ready dictionary.
        """
        return {**SequenceTraining.get_config(self), **self._config}


def simple_cell(units: int, activation: str, seed: int) -> SimpleCell:
    """A simple cell that a seed tells whole.

    Args:
        units: H.
        activation: of the units.
        seed: of the kernels; the one after it is used too.

    Returns:
        The cell, not built yet.
    """
    return SimpleCell(
        units, activation, kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        recurrent_kernel_initializer=keras.initializers.Orthogonal(seed=seed + 1))
