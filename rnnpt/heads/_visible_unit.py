"""The visible units of an RBM given its hidden ones: binary, or real and Gaussian."""

import dataclasses
import math

import tensorflow as tf

# Half the spacing of the float32 uniforms that `numerics` draws: keeps a quantile finite.
_HALF_SPACING = 2.0 ** -24
# Chosen for the least standard error on validation frames of two trained RNN-RBMs.
_FLATTENING = 0.65
_LEAST_MEAN = 1e-6


@dataclasses.dataclass(frozen=True)
class BinaryUnits:
    """Units in {0, 1} with p(v|fields) proportional to exp(v'fields)."""

    def energy(self, frames: tf.Tensor) -> float | tf.Tensor:
        """The part of the energy that is the units' own.

        Args:
            frames: (..., V).

        Returns:
            Nats (...), or a scalar.
        """
        return 0.0

    def mean(self, fields: tf.Tensor, factor: tf.Tensor | float = 1.0) -> tf.Tensor:
        """The mean of each unit.

        Args:
            fields: (..., V).
            factor: multiplies the energy: an inverse temperature.

        Returns:
            (..., V).
        """
        return tf.sigmoid(factor * fields)

    def draw(
        self, mean: tf.Tensor, uniforms: tf.Tensor, factor: tf.Tensor | float = 1.0
    ) -> tf.Tensor:
        """One draw of each unit.

        Args:
            mean: what `mean` gave with the same factor (..., V).
            uniforms: one number in [0, 1) a unit (..., V).
            factor: multiplies the energy.

        Returns:
            (..., V).
        """
        return tf.cast(uniforms < mean, mean.dtype)

    def log_partition(self, fields: tf.Tensor) -> tf.Tensor:
        """Log of the sum over all v of exp(v'fields).

        Args:
            fields: (..., V).

        Returns:
            Nats (...).
        """
        return tf.reduce_sum(tf.nn.softplus(fields), axis=-1)

    def base_fields(self, means: tf.Tensor) -> tf.Tensor:
        """Fields under which the units have about these means, and are a little less sure.

        Args:
            means: (..., V).

        Returns:
            (..., V).
        """
        means = tf.clip_by_value(means, _LEAST_MEAN, 1 - _LEAST_MEAN)
        return _FLATTENING * (tf.math.log(means) - tf.math.log1p(-means))


@dataclasses.dataclass(frozen=True)
class GaussianUnits:
    """Real units with p(v|fields) proportional to exp(v'fields - |v|^2 / (2 stddev^2)).

    Args:
        stddev: of each unit.
    """

    stddev: float

    def energy(self, frames: tf.Tensor) -> tf.Tensor:
        """The part of the energy that is the units' own.

        Args:
            frames: (..., V).

        Returns:
            Nats (...).
        """
        return tf.reduce_sum(tf.square(frames), axis=-1) / (2 * self.stddev ** 2)

    def mean(self, fields: tf.Tensor, factor: tf.Tensor | float = 1.0) -> tf.Tensor:
        """The mean of each unit, which no temperature changes.

        Args:
            fields: (..., V).
            factor: multiplies the energy.

        Returns:
            (..., V).
        """
        return self.stddev ** 2 * fields

    def draw(
        self, mean: tf.Tensor, uniforms: tf.Tensor, factor: tf.Tensor | float = 1.0
    ) -> tf.Tensor:
        """One draw of each unit: the normal quantile of a uniform number.

        Args:
            mean: what `mean` gave (..., V).
            uniforms: one number in [0, 1) a unit (..., V).
            factor: multiplies the energy.

        Returns:
            (..., V), within 6 standard deviations of the mean: a uniform number has 23 bits.
        """
        noise = tf.math.ndtri(uniforms + tf.constant(_HALF_SPACING, uniforms.dtype))
        return mean + self.stddev * tf.math.rsqrt(tf.cast(factor, mean.dtype)) * noise

    def log_partition(self, fields: tf.Tensor) -> tf.Tensor:
        """Log of the integral over all v of exp(v'fields - |v|^2 / (2 stddev^2)).

        Args:
            fields: (..., V).

        Returns:
            Nats (...).
        """
        variance = self.stddev ** 2
        each = variance * tf.square(fields) + math.log(2 * math.pi * variance)
        return 0.5 * tf.reduce_sum(each, axis=-1)

    def base_fields(self, means: tf.Tensor) -> tf.Tensor:
        """Fields under which the units have these means.

        Args:
            means: (..., V).

        Returns:
            (..., V).
        """
        return means / self.stddev ** 2


VisibleUnits = BinaryUnits | GaussianUnits
