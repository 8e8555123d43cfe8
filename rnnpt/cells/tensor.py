"""The tensor cell: every visible unit has a recurrent matrix of its own."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt.cells.cell import Cell


@keras.saving.register_keras_serializable(package="rnnpt")
class TensorCell(Cell):
    """A recurrence whose matrix is the sum of the matrices of the units that are on.

    Use it where V and H are small; it is what a `MRNNCell` factors. It has V H^2 weights, a step
    costs V H^2 products a row, and a sequence of T frames holds T H^2 numbers a row while it runs:
    at V = 88 and H = 100 that is 0.9 million weights, and 40 kB a frame.

    Equation: h_t = tanh(frames_t kernel + h_(t-1) R_t + bias),
    R_t = sum over v of frames_t(v) recurrent_kernels(v).

    Args:
        units: H, the number of recurrent units.
        kernel_initializer: how the kernel (V, H) starts.
        recurrent_kernels_initializer: how the recurrent kernels (V, H, H) start; a normal of 0.5 /
            sqrt(H) by default, with which R_t has a spectral radius of 1 at a chord of four.
        **kwargs: of `Cell`.

    Source: Sutskever 2013, eqs. 5.1 and 5.3; eq. 5.2 is the readout.
    """

    bounded = True
    nonlinearity = staticmethod(tf.tanh)

    def __init__(
        self,
        units: int,
        kernel_initializer: object = "glorot_uniform",
        recurrent_kernels_initializer: object = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(state_sizes=[units], **kwargs)
        self.units = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_kernels_initializer = keras.initializers.get(
            recurrent_kernels_initializer
            or keras.initializers.RandomNormal(stddev=0.5 / units ** 0.5))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernels and the bias.

        Args:
            input_shape: shape of the frames (..., V).
        """
        num_visible = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(num_visible, self.units), initializer=self.kernel_initializer)
        self.recurrent_kernels = self.add_weight(
            name="recurrent_kernels", shape=(num_visible, self.units, self.units),
            initializer=self.recurrent_kernels_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        super().build(input_shape)

    def project_inputs(self, frames: tf.Tensor) -> tf.Tensor:
        """The frames' recurrent matrices, and what they add to the pre-activations.

        Args:
            frames: (..., V).

        Returns:
            Matrices, flat, and projected frames (..., H^2 + H).
        """
        flat = tf.reshape(self.recurrent_kernels, [-1, self.units ** 2])
        kernel = tf.concat([flat, self.kernel], axis=1)
        bias = tf.pad(self.bias, [[self.units ** 2, 0]])
        return tf.nn.bias_add(tf.tensordot(frames, kernel, axes=1), bias)

    def pre_activations(
        self, projected: tf.Tensor, states: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        """What the nonlinearity acts on.

        Args:
            projected: one step of `project_inputs` (B, H^2 + H).
            states: [h], with h (B, H).

        Returns:
            One tensor (B, H).
        """
        flat, added = tf.split(projected, [self.units ** 2, self.units], axis=-1)
        matrices = tf.reshape(flat, [-1, self.units, self.units])
        # So small products are quicker without a matrix product.
        recurrent = tf.reduce_sum(matrices * states[0][:, :, tf.newaxis], axis=1)
        return [added + recurrent]

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_kernels_initializer": keras.initializers.serialize(
                self.recurrent_kernels_initializer),
        }
