"""The Gaussian head: real units of a frame, independent given the past."""

import math
from typing import Any

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.heads.head import Head, inverse_temperature


@keras.saving.register_keras_serializable(package="rnnpt")
class GaussianHead(Head):
    """Independent real units, of variance 1 or of a variance that the past sets.

    Use it for real data scaled to unit variance, such as motion capture or film. Of unit variance
    it is least squares; a learned variance also tells how sure the model is.

    Equation: log P(frame) = -1/2 sum over v of
    (frame_v - mean_v)^2 / variance_v + log(2 pi variance_v). The parameters are the means; where
    variances are learned, [means, r] with variance_v = minimum_std^2 + exp(r_v). The first term
    keeps a unit that hardly moves from an unbounded likelihood, with a gradient everywhere.

    Args:
        learn_variance: whether the past sets the variances.
        minimum_std: the standard deviation that no learned one goes below, in units of the data:
            what the data are measured to. A frame's density is at most
            (minimum_std sqrt(2 pi))^-V.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if `minimum_std` is not a positive number.

    Example:
        >>> head = GaussianHead()
        >>> round(float(head.log_prob(tf.constant([[0.0, 1.0]]), tf.constant([[0.0, 1.0]]))[0]), 3)
        -1.838

    Source: Bishop 2006, Pattern recognition and machine learning, eqs. 1.46 and 5.12; the floor of
    the variance is ours.
    """

    support = "real"

    def __init__(
        self, learn_variance: bool = False, minimum_std: float = 0.01, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 < minimum_std < math.inf:
            raise ValueError(
                f"GaussianHead: minimum_std must be a positive number, got {minimum_std}; give the "
                "precision of the data, such as 0.01 where their variance is 1")
        self.learn_variance = learn_variance
        self.minimum_std = minimum_std

    def num_parameters(self, num_visible: int) -> int:
        """A mean a unit, and a variance where it is learned.

        Args:
            num_visible: V.

        Returns:
            V, or 2V.
        """
        return 2 * num_visible if self.learn_variance else num_visible

    def log_prob(self, parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """Exact log-density of frames.

        Args:
            parameters: (..., P).
            frames: (..., V), real.

        Returns:
            Nats a frame (...), which may be positive.
        """
        mean, log_variance = self._moments(parameters)
        squares = tf.math.squared_difference(frames, mean) * tf.exp(-log_variance)
        return -0.5 * tf.reduce_sum(squares + log_variance + math.log(2 * math.pi), axis=-1)

    def curvature(self, logits: tf.Tensor, tangents: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """The Fisher information at the parameters, times a direction.

        Of unit variance it is the Hessian of the loss, the identity. Of learned variances the
        Hessian is not positive, and the Fisher information is its mean over frames of the model.

        Args:
            logits: parameters (..., P).
            tangents: the direction (..., P).
            frames: not used.

        Returns:
            (..., P).
        """
        if not self.learn_variance:
            return tf.convert_to_tensor(tangents)
        _, log_variance = self._moments(logits)
        of_mean, of_raw = tf.split(tangents, 2, axis=-1)
        # d log variance / d raw is the share that the learned part has in the variance.
        share = tf.sigmoid(tf.split(logits, 2, axis=-1)[1] - 2 * math.log(self.minimum_std))
        return tf.concat(
            [of_mean * tf.exp(-log_variance), 0.5 * tf.square(share) * of_raw], axis=-1)

    def sample(
        self, parameters: tf.Tensor, seed: tf.Tensor, temperature: float | tf.Tensor = 1.0
    ) -> tf.Tensor:
        """Draw each unit on its own.

        Args:
            parameters: (..., P).
            seed: of the draw.
            temperature: multiplies the variances, as density^(1 / temperature) does.

        Returns:
            Frames (..., V), real.
        """
        mean, log_variance = self._moments(parameters)
        inverse = tf.cast(inverse_temperature(temperature), mean.dtype)
        noise = tf.cast(numerics.normal(seed, tf.shape(mean)), mean.dtype)
        return mean + noise * tf.exp(0.5 * log_variance) * tf.math.rsqrt(inverse)

    def mean(self, parameters: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The exact mean.

        Args:
            parameters: (..., P).
            seed: not used.

        Returns:
            Means of the units (..., V).
        """
        return self._moments(parameters)[0]

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "learn_variance": self.learn_variance,
            "minimum_std": self.minimum_std,
        }

    def _moments(self, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The mean and the log of the variance of each unit (..., V)."""
        parameters = tf.convert_to_tensor(parameters)
        if not self.learn_variance:
            return parameters, tf.zeros_like(parameters)
        mean, raw = tf.split(parameters, 2, axis=-1)
        least = 2 * math.log(self.minimum_std)
        # log(exp(least) + exp(raw)), which does not overflow.
        return mean, least + tf.nn.softplus(raw - least)
