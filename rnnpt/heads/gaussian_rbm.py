"""The Gaussian RBM head: real frames whose units hold to each other through binary hidden ones."""

import math
from typing import Any

import keras

from rnnpt.heads._visible_unit import GaussianUnits
from rnnpt.heads.rbm import RBMHead


@keras.saving.register_keras_serializable(package="rnnpt")
class GaussianRBMHead(RBMHead):
    """A conditional RBM of real frames; all else is as `RBMHead` has it.

    Use it for real data scaled to unit variance whose units move together, such as motion capture.

    Equation: P(v, h) = exp(-|v|^2 / (2 stddev^2) + v'visible_bias + h'hidden_bias + v'W h) / Z, so
    that given h the units of v are independent and normal, with the means
    stddev^2 (visible_bias + W h) and the standard deviation stddev. A frame has a density: its
    log-likelihood may be positive. A temperature divides the energy, so that it multiplies
    stddev^2 and leaves these means. Where the modes of v lie several stddev apart, the estimate of
    log Z needs more than the default temperatures, and its standard error does not tell.

    Args:
        num_hidden: K, the number of hidden units.
        stddev: of each visible unit given the hidden ones, in units of the data.
        **kwargs: of `RBMHead`.

    Raises:
        ValueError: if `stddev` is not a positive number.

    Source: Sutskever 2013, eq. 2.33.
    """

    support = "real"

    def __init__(self, num_hidden: int, stddev: float = 1.0, **kwargs: Any) -> None:
        super().__init__(num_hidden, **kwargs)
        if not 0 < stddev < math.inf:
            raise ValueError(
                f"GaussianRBMHead: stddev must be a positive number, got {stddev}; 1 suits data "
                "scaled to unit variance")
        self.stddev = stddev
        self._units = GaussianUnits(stddev)

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {**super().get_config(), "stddev": self.stddev}
