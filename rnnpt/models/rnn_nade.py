"""The RNN-NADE: a recurrent network that sets the biases of a NADE at each step."""

from typing import Any

import keras

from rnnpt.heads import NADEHead
from rnnpt.models._named import NamedModel, simple_cell


@keras.saving.register_keras_serializable(package="rnnpt")
class RNNNADE(NamedModel):
    """A recurrent network that sets the biases of a NADE at each step.

    Use it for polyphony: chords as with the RNN-RBM, and a likelihood that is exact, in training
    and in evaluation. For another recurrence, such as an LSTM, give its cell and a `NADEHead` to
    `SequenceModel`.

    Equation: h_t = activation(W_2 v_t + W_3 h_(t-1) + b_h); at step t the NADE has the visible
    bias b_v + W'' h_(t-1) and the hidden bias b_h + W' h_(t-1), and one kernel and one decoder for
    all steps.

    Args:
        num_hidden: K, hidden units of the NADE.
        num_recurrent: H, recurrent units.
        activation: of the recurrent units.
        seed: of the initial weights, and of everything random in training.
        **kwargs: of `SequenceModel`, such as `dropout`.

    Example:
        >>> model = RNNNADE(num_hidden=6, num_recurrent=4)
        >>> model.build_for(num_visible=8)
        >>> tuple(model.head.decoder.shape)
        (8, 6)

    Source: Boulanger-Lewandowski et al. 2012; Bengio et al. 2012, sections 3.3 and 4.1.
    """

    def __init__(
        self,
        num_hidden: int = 150,
        num_recurrent: int = 100,
        activation: str = "tanh",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        cell = simple_cell(num_recurrent, activation, seed)
        head = NADEHead(
            num_hidden,
            kernel_initializer=keras.initializers.GlorotNormal(seed=seed + 2),
            decoder_initializer=keras.initializers.GlorotNormal(seed=seed + 3))
        # W' and W'' start near zero, so that the NADE begins as one NADE for all steps.
        readout = keras.initializers.RandomNormal(stddev=0.01, seed=seed + 4)
        super().__init__(cell, head, seed=seed, readout_initializer=readout, **kwargs)
        self._config = {
            "num_hidden": num_hidden, "num_recurrent": num_recurrent, "activation": activation,
            "seed": seed}
