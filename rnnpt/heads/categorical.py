"""The categorical head: one symbol of several at each step."""

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.heads.head import Head, inverse_temperature


@keras.saving.register_keras_serializable(package="rnnpt")
class CategoricalHead(Head):
    """One of V symbols, a frame being one-hot; the parameters are their logits.

    Use it for text, or for one voice of a melody. Each frame costs a product with a matrix (H, V):
    for thousands of symbols see `FactoredCategoricalHead`.

    Equation: log P(frame) = sum over v of frame_v log softmax(parameters)_v.

    Args:
        **kwargs: of `keras.layers.Layer`.

    Source: Bengio et al. 2012, section 4.2; Sutskever 2013, section 5.1.
    """

    support = "one_hot"

    def num_parameters(self, num_visible: int) -> int:
        """One logit a symbol.

        Args:
            num_visible: V.

        Returns:
            V.
        """
        return num_visible

    def log_prob(self, parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """Exact log-likelihood of frames.

        Args:
            parameters: logits (..., V).
            frames: (..., V), one-hot.

        Returns:
            Nats a frame (...).
        """
        return -tf.nn.softmax_cross_entropy_with_logits(labels=frames, logits=parameters)

    def curvature(self, logits: tf.Tensor, tangents: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """The Hessian of the loss at the logits, times a direction.

        Args:
            logits: (..., V).
            tangents: the direction (..., V).
            frames: not used.

        Returns:
            (..., V).
        """
        return numerics.categorical_curvature(tf.nn.softmax(logits), tangents)

    def sample(
        self, parameters: tf.Tensor, seed: tf.Tensor, temperature: float | tf.Tensor = 1.0
    ) -> tf.Tensor:
        """Draw one symbol a frame.

        Args:
            parameters: logits (..., V).
            seed: of the draw.
            temperature: divides the logits.

        Returns:
            Frames (..., V), one-hot.
        """
        parameters = tf.convert_to_tensor(parameters)
        scale = tf.cast(inverse_temperature(temperature), parameters.dtype)
        uniforms = numerics.uniform(seed, tf.shape(parameters)[:-1])
        symbols = numerics.categorical_sample(parameters * scale, uniforms)
        return tf.one_hot(symbols, parameters.shape[-1], dtype=parameters.dtype)

    def mean(self, parameters: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Exact probabilities.

        Args:
            parameters: logits (..., V).
            seed: not used.

        Returns:
            Probabilities (..., V).
        """
        return tf.nn.softmax(parameters)
