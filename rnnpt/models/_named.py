"""What the named models share: a config of few settings, and the simple cell they start from."""

import keras

from rnnpt.cells import SimpleCell
from rnnpt.initializers import Sparse, SpectralRadius
from rnnpt.models._training import SequenceTraining
from rnnpt.models.sequence import SequenceModel

#: Of the sparse connections from the input (Sutskever 2013, section 7.4.1, memorization).
_INPUT_SCALE = 0.3


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


def simple_cell(
    units: int, activation: str, seed: int, spectral_radius: float | None = None
) -> SimpleCell:
    """A simple cell that a seed tells whole.

    Args:
        units: H.
        activation: of the units.
        seed: of the kernels; the one after it is used too.
        spectral_radius: of a sparse recurrent kernel, beside a sparse input kernel; where None, the
            recurrent kernel is orthogonal and the input kernel Glorot and Bengio's.

    Returns:
        The cell, not built yet.
    """
    kernel: keras.initializers.Initializer = keras.initializers.GlorotUniform(seed=seed)
    recurrent: keras.initializers.Initializer = keras.initializers.Orthogonal(seed=seed + 1)
    if spectral_radius is not None:
        kernel = Sparse(scale=_INPUT_SCALE, seed=seed, or_all=True)
        recurrent = SpectralRadius(spectral_radius, seed=seed + 1, or_all=True)
    return SimpleCell(
        units, activation, kernel_initializer=kernel, recurrent_kernel_initializer=recurrent)
