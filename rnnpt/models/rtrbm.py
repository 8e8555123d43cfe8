"""The recurrent temporal restricted Boltzmann machine."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt.cells import RTRBMCell
from rnnpt.models._conditional_rbm import VisibleBias, make_head, small_normal
from rnnpt.models._named import NamedModel


@keras.saving.register_keras_serializable(package="rnnpt")
class RTRBM(NamedModel):
    """An RBM for each frame whose hidden means are what the next one knows of the past.

    Use it to compare with the RNN-RBM, which has recurrent units of its own. One kernel W (V, K)
    is the recurrence's and the RBM's, one variable; b_h and W' are shared likewise.

    Equation: r_t = sigmoid(W v_t + b_h + W' r_(t-1)), r_0 learned; at step t the RBM has the
    kernel W, the hidden bias b_h + W' r_(t-1) and the visible bias b_v + W'' r_(t-1).

    Args:
        num_hidden: K, hidden units.
        num_gibbs_steps: k of contrastive divergence, a number or a schedule, as `RBMHead` takes
            it.
        visible: "binary", or "gaussian" for real frames of unit variance.
        dynamic_visible_bias: whether the visible bias has W'' (2012), or is b_v at all times
            (2013).
        kernel_stddev: of the normal that W starts from; W', W'' and the biases start from one of
            0.005.
        negatives: what stands against the data in training, "sampled" or "mean_field", as `RBMHead`
            takes it; the second is less noisy.
        seed: of the initial weights, and of everything random in training.
        **kwargs: of `SequenceModel`, such as `dropout`.

    Raises:
        ValueError: if there is no such kind of visible units.

    Example:
        >>> model = RTRBM(num_hidden=6)
        >>> model.build_for(num_visible=8)
        >>> model.head.kernel is model.cell.kernel
        True

    Source: Sutskever 2013, eqs. 3.20 to 3.25 and section 3.11.3; Boulanger-Lewandowski et al.
    2012, section 3, for W''.
    """

    def __init__(
        self,
        num_hidden: int = 150,
        num_gibbs_steps: Any = 15,
        visible: str = "binary",
        dynamic_visible_bias: bool = True,
        kernel_stddev: float = 0.01,
        negatives: str = "sampled",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        cell = RTRBMCell(
            num_hidden, recurrent_kernel_initializer=small_normal(seed + 1),
            bias_initializer=small_normal(seed + 2))
        head = make_head(
            visible, num_hidden, num_gibbs_steps=num_gibbs_steps, negatives=negatives,
            kernel_initializer=small_normal(seed, kernel_stddev))
        super().__init__(
            cell, head, seed=seed, readout_initializer=small_normal(seed + 3), **kwargs)
        self.dynamic_visible_bias = dynamic_visible_bias
        self._config = {
            "num_hidden": num_hidden,
            "num_gibbs_steps": head.get_config()["num_gibbs_steps"], "visible": visible,
            "dynamic_visible_bias": dynamic_visible_bias, "kernel_stddev": kernel_stddev,
            "negatives": negatives, "seed": seed}

    def _build_parts(self, num_visible: int) -> None:
        """Build the head, and the cell and the readout on the head's kernel."""
        self.head.build((None, num_visible))
        self.cell.tie(self.head.kernel)
        self.cell.build((None, num_visible))
        visible_bias = VisibleBias(
            num_visible, self.readout_initializer if self.dynamic_visible_bias else None,
            bias_initializer=small_normal(self.seed + 4), name="visible_bias",
            dtype=self.cell.dtype)
        self.readout = _Readout(self.cell, visible_bias)
        self.readout.build((None, self.cell.output_size))


class _Readout(keras.layers.Layer):
    """The biases of the next frame's RBM, from the hidden means and the cell's own weights."""

    def __init__(self, cell: RTRBMCell, visible_bias: VisibleBias) -> None:
        super().__init__(name="readout", dtype=cell.dtype)
        self.cell = cell
        self.visible_bias = visible_bias

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.visible_bias.build(input_shape)
        super().build(input_shape)

    def call(self, hidden: tf.Tensor) -> tf.Tensor:
        hidden_bias = self.cell.bias + tf.tensordot(hidden, self.cell.recurrent_kernel, axes=1)
        return tf.concat([self.visible_bias(hidden), hidden_bias], axis=-1)
