"""The Bernoulli head: units of a frame independent given the past."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.heads.head import Head, inverse_temperature


@keras.saving.register_keras_serializable(package="rnnpt")
class BernoulliHead(Head):
    """Independent binary units; the parameters are their log-odds.

    Use it for a plain RNN: exact, fast, blind to chords as such.

    Equation: log P(frame) = sum over v of the Bernoulli log-likelihood of unit v.

    With `support="unit"` the frames are real numbers, such as gray pixels, and the same sum is
    minus their cross-entropy: the KL divergence of `metrics.kl_divergence` but for a constant of
    the frames, so that its gradient and its curvature are those of the divergence. What is drawn
    is still 0 or 1; `mean` is the predicted frame.

    Args:
        support: which frames there are, "binary", or "unit" for all from 0 to 1.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if `support` is neither.

    Source: Boulanger-Lewandowski et al. 2012, the RNN row of Table 1; Bengio et al. 2012, 4.1;
    Sutskever 2013, section 4.5.1 for real frames.
    """

    def __init__(self, support: str = "binary", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if support not in ("binary", "unit"):
            raise ValueError(
                f"BernoulliHead: support must be 'binary' or 'unit', got {support!r}; take "
                "GaussianHead for frames that are not from 0 to 1")
        self.support = support

    def num_parameters(self, num_visible: int) -> int:
        """One log-odds a unit.

        Args:
            num_visible: V.

        Returns:
            V.
        """
        return num_visible

    def log_prob(self, parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """Exact log-likelihood of frames.

        Args:
            parameters: log-odds (..., V).
            frames: (..., V), in {0, 1}, or from 0 to 1.

        Returns:
            Nats a frame (...).
        """
        return numerics.bernoulli_log_prob(parameters, frames)

    def curvature(self, logits: tf.Tensor, tangents: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """The Hessian of the loss at the log-odds, times a direction.

        Args:
            logits: log-odds (..., V).
            tangents: the direction (..., V).
            frames: not used.

        Returns:
            (..., V).
        """
        return numerics.bernoulli_curvature(logits, tangents)

    def sample(
        self, parameters: tf.Tensor, seed: tf.Tensor, temperature: float | tf.Tensor = 1.0
    ) -> tf.Tensor:
        """Draw each unit on its own.

        Args:
            parameters: log-odds (..., V).
            seed: of the draw.
            temperature: divides the log-odds.

        Returns:
            Frames (..., V), in {0, 1}.
        """
        uniforms = numerics.uniform(seed, tf.shape(parameters))
        return numerics.bernoulli_sample(parameters * inverse_temperature(temperature), uniforms)

    def mean(self, parameters: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Exact probabilities.

        Args:
            parameters: log-odds (..., V).
            seed: not used.

        Returns:
            Probabilities (..., V).
        """
        return tf.sigmoid(parameters)

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {**super().get_config(), "support": self.support}
