"""The plain recurrent network: exact and fast."""

from typing import Any

import keras

from rnnpt.heads import BernoulliHead
from rnnpt.models._named import NamedModel, simple_cell


@keras.saving.register_keras_serializable(package="rnnpt")
class RNN(NamedModel):
    """A plain recurrent network with independent outputs.

    Use it as the first model of any set; it is exact and fast.

    Equation: h_t = activation(W_hx v_t + W_hh h_(t-1) + b_h), P(v_t) = sigmoid(W_oh h_(t-1) + b_o).

    Args:
        num_hidden: H, the number of recurrent units.
        activation: of the recurrent units.
        seed: of the initial weights, and of everything random in training.
        spectral_radius: of the recurrent kernel at the start, 15 connections a unit, beside an
            input kernel of as many (`initializers.SpectralRadius`, `initializers.Sparse`), for
            training by momentum; where None, it is orthogonal.
        **kwargs: of `SequenceModel`, such as `dropout`.

    Raises:
        ValueError: if `spectral_radius` is no number from 0 on.

    Example:
        >>> model = RNN(num_hidden=8)
        >>> model.build_for(num_visible=88)
        >>> model.count_params()
        1576

    Source: Pasa, Testolin and Sperduti 2014, section 2; Boulanger-Lewandowski et al. 2012; the
    sparse start: Sutskever 2013, section 7.4.1.
    """

    def __init__(
        self,
        num_hidden: int = 200,
        activation: str = "tanh",
        seed: int = 0,
        spectral_radius: float | None = None,
        **kwargs: Any,
    ) -> None:
        cell = simple_cell(num_hidden, activation, seed, spectral_radius)
        super().__init__(
            cell, BernoulliHead(), seed=seed,
            readout_initializer=keras.initializers.GlorotUniform(seed=seed + 2), **kwargs)
        self._config = {
            "num_hidden": num_hidden, "activation": activation, "seed": seed,
            "spectral_radius": spectral_radius}
