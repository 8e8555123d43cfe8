"""The visible bias of an RBM whose past may move it."""

import keras
import tensorflow as tf


class VisibleBias(keras.layers.Layer):
    """A bias and, where there is a kernel for it, what the past adds.

    Args:
        num_visible: V.
        kernel_initializer: how the kernel (D, V) from the past starts; None for no kernel.
        bias_initializer: how the bias (V,) starts.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self,
        num_visible: int,
        kernel_initializer: object | None,
        bias_initializer: object = "zeros",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.num_visible = num_visible
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the bias and the kernel.

        Args:
            input_shape: shape of what is known of the past (..., D).
        """
        self.bias = self.add_weight(
            name="bias", shape=(self.num_visible,), initializer=self.bias_initializer)
        self.kernel = None
        if self.kernel_initializer is not None:
            self.kernel = self.add_weight(
                name="kernel", shape=(input_shape[-1], self.num_visible),
                initializer=self.kernel_initializer)
        super().build(input_shape)

    def call(self, past: tf.Tensor) -> tf.Tensor:
        """The bias at each frame.

        Args:
            past: what is known of the past (..., D).

        Returns:
            (..., V).
        """
        if self.kernel is not None:
            return self.bias + tf.tensordot(past, self.kernel, axes=1)
        shape = tf.concat([tf.shape(past)[:-1], [self.num_visible]], axis=0)
        return tf.broadcast_to(tf.convert_to_tensor(self.bias), shape)
