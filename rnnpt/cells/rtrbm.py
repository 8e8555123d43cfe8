"""The recurrence of the RTRBM: the hidden means of an RBM, passed on."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt.cells._tied import TiedCell


@keras.saving.register_keras_serializable(package="rnnpt")
class RTRBMCell(TiedCell):
    """The mean-field hidden units of a recurrent temporal RBM, with a learned start.

    Use it through `models.RTRBM`, where its kernel is the RBM's too; on its own it is a sigmoid
    recurrence that starts small, as the RTRBM does.

    Equation: r_t = sigmoid(frames_t kernel + r_(t-1) recurrent_kernel + bias), r_0 learned.

    Args:
        units: K, the number of hidden units.
        kernel_initializer: how the kernel W (V, K) starts; a normal of 0.01 by default.
        recurrent_kernel_initializer: how the recurrent kernel W' (K, K) starts; a normal of 0.005
            by default.
        bias_initializer: how the bias b_h (K,) starts.
        **kwargs: of `Cell`.

    Source: Sutskever 2013, eq. 3.20 and, for the start, section 3.11.3 (where W comes from a
    short training of an RBM).
    """

    bounded = True

    def __init__(
        self,
        units: int,
        kernel_initializer: object = None,
        recurrent_kernel_initializer: object = None,
        bias_initializer: object = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(state_sizes=[units], **kwargs)
        self.units = units
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or keras.initializers.RandomNormal(stddev=0.01))
        self.recurrent_kernel_initializer = keras.initializers.get(
            recurrent_kernel_initializer or keras.initializers.RandomNormal(stddev=0.005))
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the bias and the kernels, but for one that is tied.

        Args:
            input_shape: shape of the frames (..., V).
        """
        self._make_kernel(input_shape[-1])
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(self.units, self.units),
            initializer=self.recurrent_kernel_initializer)
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer=self.bias_initializer)
        super().build(input_shape)

    def project_inputs(self, frames: tf.Tensor) -> tf.Tensor:
        """What the frames add to the pre-activations, for all steps in one product.

        Args:
            frames: (..., V).

        Returns:
            Projected frames (..., K).
        """
        return tf.nn.bias_add(tf.tensordot(frames, self.kernel, axes=1), self.bias)

    def advance(self, projected: tf.Tensor, states: list[tf.Tensor]) -> list[tf.Tensor]:
        """The hidden means after one more frame.

        Args:
            projected: one step of `project_inputs` (B, K).
            states: [r], with r (B, K).

        Returns:
            The new [r].
        """
        return [tf.sigmoid(projected + tf.matmul(states[0], self.recurrent_kernel))]

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_kernel_initializer": keras.initializers.serialize(
                self.recurrent_kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
