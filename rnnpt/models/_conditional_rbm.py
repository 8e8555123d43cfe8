"""What the models that are one RBM a frame have in common: the head, and the visible bias."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt.heads import GaussianRBMHead, RBMHead

_HEADS = {"binary": RBMHead, "gaussian": GaussianRBMHead}


def make_head(visible: str, num_hidden: int, **kwargs: Any) -> RBMHead:
    """The RBM for a kind of visible units.

    Args:
        visible: "binary" or "gaussian".
        num_hidden: K.
        **kwargs: of `RBMHead`.

    Returns:
        The head; Gaussian units have unit variance.

    Raises:
        ValueError: if there is no such kind.
    """
    if visible not in _HEADS:
        raise ValueError(
            f"visible must be 'binary' or 'gaussian', got {visible!r}; 'gaussian' is for real "
            "frames of unit variance")
    return _HEADS[visible](num_hidden, **kwargs)


def small_normal(seed: int, stddev: float = 0.005) -> keras.initializers.Initializer:
    """How weights from the past start: near zero, so that one RBM stands for all frames.

    Args:
        seed: of the draw.
        stddev: of the normal; by default as in Sutskever 2013, section 3.11.3.

    Returns:
        The initializer.
    """
    return keras.initializers.RandomNormal(stddev=stddev, seed=seed)


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
        **kwargs: Any,
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
