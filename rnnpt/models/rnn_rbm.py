"""The RNN-RBM: a recurrent network that sets the biases of a restricted Boltzmann machine."""

from typing import Any

import keras

from rnnpt.models._conditional_rbm import make_head
from rnnpt.models._named import NamedModel, simple_cell


@keras.saving.register_keras_serializable(package="rnnpt")
class RNNRBM(NamedModel):
    """A recurrent network that sets the biases of a restricted Boltzmann machine at each step.

    Use it for polyphony: the RBM gives chords, the network gives them an order.

    Equation: h_t = activation(W_2 v_t + W_3 h_(t-1) + b_h); at step t the RBM has the visible bias
    b_v + W'' h_(t-1) and the hidden bias b_h + W' h_(t-1), and one kernel W for all steps.

    Args:
        num_hidden: K, hidden units of the RBM.
        num_recurrent: H, recurrent units.
        num_gibbs_steps: k of contrastive divergence, a number or a schedule, as `RBMHead` takes
            it.
        activation: of the recurrent units.
        visible: "binary", or "gaussian" for real frames of unit variance.
        negatives: what stands against the data in training, "sampled" or "mean_field", as `RBMHead`
            takes it; the second is less noisy.
        seed: of the initial weights, and of everything random in training.
        **kwargs: of `SequenceModel`, such as `dropout`.

    Raises:
        ValueError: if there is no such kind of visible units.

    Example:
        >>> model = RNNRBM(num_hidden=6, num_recurrent=4)
        >>> model.build_for(num_visible=8)
        >>> tuple(model.head.kernel.shape)
        (8, 6)

    Source: Boulanger-Lewandowski et al. 2012, section 4; Pasa, Testolin and Sperduti 2014,
    section 2; for Gaussian units Sutskever 2013, eq. 2.33.
    """

    def __init__(
        self,
        num_hidden: int = 150,
        num_recurrent: int = 100,
        num_gibbs_steps: Any = 15,
        activation: str = "tanh",
        visible: str = "binary",
        negatives: str = "sampled",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        cell = simple_cell(num_recurrent, activation, seed)
        head = make_head(
            visible, num_hidden, num_gibbs_steps=num_gibbs_steps, negatives=negatives,
            kernel_initializer=keras.initializers.GlorotNormal(seed=seed + 2))
        # W' and W'' start near zero, so that the RBM begins as one RBM for all steps.
        readout = keras.initializers.RandomNormal(stddev=0.01, seed=seed + 3)
        super().__init__(cell, head, seed=seed, readout_initializer=readout, **kwargs)
        self._config = {
            "num_hidden": num_hidden, "num_recurrent": num_recurrent,
            "num_gibbs_steps": head.get_config()["num_gibbs_steps"], "activation": activation,
            "visible": visible, "negatives": negatives, "seed": seed}
