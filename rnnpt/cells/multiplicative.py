"""The multiplicative cell: the frame sets the gains of the recurrent connections."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt.cells.cell import Cell


@keras.saving.register_keras_serializable(package="rnnpt")
class MRNNCell(Cell):
    """A recurrence whose matrix is a blend of rank-one matrices, blended anew by each frame.

    Use it where what a frame means depends on what came before it, as with characters. It is a
    `TensorCell` whose tensor is factored: with V H factors it can be any of them, with fewer it has
    fewer parameters.

    Equation: f_t = (frames_t factor_kernel) * (h_(t-1) inward_kernel)
    h_t = tanh(f_t outward_kernel + frames_t kernel + bias).

    Args:
        units: H, the number of recurrent units.
        num_factors: F, the number of rank-one matrices.
        kernel_initializer: how the kernel W_hv (V, H) starts.
        factor_kernel_initializer: how the gains' kernel W_fv (V, F) starts; a normal of 0.5 by
            default, with which a chord of four has gains around 1.
        inward_kernel_initializer: how the kernel from the state to the factors W_fh (H, F) starts.
        outward_kernel_initializer: how the kernel from the factors to the state W_hf (F, H) starts.
        **kwargs: of `Cell`.

    Raises:
        ValueError: if the number of units or of factors is no positive integer.

    Source: Sutskever 2013, eqs. 5.4 to 5.6, with the bias of eq. 5.1; eq. 5.7 is the readout.
    """

    bounded = True
    nonlinearity = staticmethod(tf.tanh)

    def __init__(
        self,
        units: int,
        num_factors: int,
        kernel_initializer: object = "glorot_uniform",
        factor_kernel_initializer: object = None,
        inward_kernel_initializer: object = "orthogonal",
        outward_kernel_initializer: object = "orthogonal",
        **kwargs: Any,
    ) -> None:
        super().__init__(state_sizes=[units], **kwargs)
        if not isinstance(num_factors, int) or num_factors < 1:
            raise ValueError(
                f"MRNNCell: num_factors must be a positive integer, got {num_factors!r}; the "
                "thesis takes as many as units")
        self.units = units
        self.num_factors = num_factors
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.factor_kernel_initializer = keras.initializers.get(
            factor_kernel_initializer or keras.initializers.RandomNormal(stddev=0.5))
        self.inward_kernel_initializer = keras.initializers.get(inward_kernel_initializer)
        self.outward_kernel_initializer = keras.initializers.get(outward_kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernels and the bias.

        Args:
            input_shape: shape of the frames (..., V).
        """
        num_visible = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(num_visible, self.units), initializer=self.kernel_initializer)
        self.factor_kernel = self.add_weight(
            name="factor_kernel", shape=(num_visible, self.num_factors),
            initializer=self.factor_kernel_initializer)
        self.inward_kernel = self.add_weight(
            name="inward_kernel", shape=(self.units, self.num_factors),
            initializer=self.inward_kernel_initializer)
        self.outward_kernel = self.add_weight(
            name="outward_kernel", shape=(self.num_factors, self.units),
            initializer=self.outward_kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        super().build(input_shape)

    def project_inputs(self, frames: tf.Tensor) -> tf.Tensor:
        """The factors' gains, and what the frames add to the pre-activations, in one product.

        Args:
            frames: (..., V).

        Returns:
            Gains and projected frames (..., F + H).
        """
        kernel = tf.concat([self.factor_kernel, self.kernel], axis=1)
        bias = tf.pad(self.bias, [[self.num_factors, 0]])
        return tf.nn.bias_add(tf.tensordot(frames, kernel, axes=1), bias)

    def pre_activations(
        self, projected: tf.Tensor, states: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        """What the nonlinearity acts on.

        Args:
            projected: one step of `project_inputs` (B, F + H).
            states: [h], with h (B, H).

        Returns:
            One tensor (B, H).
        """
        gains, added = tf.split(projected, [self.num_factors, self.units], axis=-1)
        factors = gains * tf.matmul(states[0], self.inward_kernel)
        return [added + tf.matmul(factors, self.outward_kernel)]

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "units": self.units,
            "num_factors": self.num_factors,
            **{name: keras.initializers.serialize(getattr(self, name)) for name in (
                "kernel_initializer", "factor_kernel_initializer", "inward_kernel_initializer",
                "outward_kernel_initializer")},
        }
