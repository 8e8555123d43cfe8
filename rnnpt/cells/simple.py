"""The simple recurrent cell: one matrix from the frame, one from the past, one nonlinearity."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt.cells._affine import ACTIVATION_GRADIENTS, AffineStep
from rnnpt.cells.cell import Cell


@keras.saving.register_keras_serializable(package="rnnpt")
class SimpleCell(Cell):
    """The recurrence of a plain RNN, with a learned initial state.

    Use it first: it is the cell of the papers' RNN and of the deterministic part of the RNN-RBM.

    Equation: h_t = activation(frames_t kernel + h_(t-1) recurrent_kernel + bias).

    Args:
        units: H, the number of recurrent units.
        activation: "tanh", "sigmoid", "relu", "linear", or any Keras activation.
        kernel_initializer: how the input kernel (V, H) starts.
        recurrent_kernel_initializer: how the recurrent kernel (H, H) starts.
        **kwargs: of `keras.layers.Layer`.

    Source: Pasa, Testolin and Sperduti 2014, section 2; Boulanger-Lewandowski et al. 2012, eq. for
    the RNN hidden units.
    """

    def __init__(
        self,
        units: int,
        activation: str = "tanh",
        kernel_initializer: object = "glorot_uniform",
        recurrent_kernel_initializer: object = "orthogonal",
        **kwargs: Any,
    ) -> None:
        super().__init__(state_sizes=[units], **kwargs)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.nonlinearity = self.activation
        self.bounded = self.activation in (keras.activations.tanh, keras.activations.sigmoid)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_kernel_initializer = keras.initializers.get(recurrent_kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernels and the bias.

        Args:
            input_shape: shape of the frames (..., V).
        """
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.units),
            initializer=self.kernel_initializer)
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(self.units, self.units),
            initializer=self.recurrent_kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        super().build(input_shape)

    def project_inputs(self, frames: tf.Tensor) -> tf.Tensor:
        """What the frames add to the pre-activations, for all steps in one product.

        Args:
            frames: (..., V).

        Returns:
            Projected frames (..., H).
        """
        return tf.nn.bias_add(tf.tensordot(frames, self.kernel, axes=1), self.bias)

    def pre_activations(
        self, projected: tf.Tensor, states: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        """What the nonlinearity acts on.

        Args:
            projected: one step of `project_inputs` (B, H).
            states: [h], with h (B, H).

        Returns:
            One tensor (B, H).
        """
        return [projected + tf.matmul(states[0], self.recurrent_kernel)]

    def affine_step(self) -> AffineStep | None:
        """The whole of a step, which a subclass may take otherwise.

        Returns:
            Its parts; None in a subclass that does not give them, or where the gradient of the
            activation is not known.
        """
        return self._affine_step() if type(self) is SimpleCell else None

    def _affine_step(self, leak: tf.Tensor | None = None) -> AffineStep | None:
        if self.activation not in ACTIVATION_GRADIENTS:
            return None
        return AffineStep(self.kernel, self.recurrent_kernel, self.bias, self.activation, leak)

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_kernel_initializer": keras.initializers.serialize(
                self.recurrent_kernel_initializer),
        }
