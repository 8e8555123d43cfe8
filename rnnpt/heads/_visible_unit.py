"""The visible units of an RBM given its hidden ones: binary, or real and Gaussian."""

import dataclasses
import math

import tensorflow as tf

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

    def mean(self, fields: tf.Tensor, factor: tf.Tensor | None = None) -> tf.Tensor:
        """The mean of each unit.

        Args:
            fields: (..., V).
            factor: multiplies the energy: an inverse temperature; 1 where None.

        Returns:
            (..., V).
        """
        return tf.sigmoid(fields if factor is None else factor * fields)

    def num_uniforms(self, num_units: int) -> int:
        """How many uniform numbers a draw takes.

        Args:
            num_units: V.

        Returns:
            One a unit.
        """
        return num_units

    def draw(
        self, mean: tf.Tensor, uniforms: tf.Tensor, factor: tf.Tensor | None = None
    ) -> tf.Tensor:
        """One draw of each unit.

        Args:
            mean: what `mean` gave with the same factor (..., V).
            uniforms: numbers in [0, 1) (..., U).
            factor: multiplies the energy; 1 where None.

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

    def mean(self, fields: tf.Tensor, factor: tf.Tensor | None = None) -> tf.Tensor:
        """The mean of each unit, which no temperature changes.

        Args:
            fields: (..., V).
            factor: multiplies the energy; 1 where None.

        Returns:
            (..., V).
        """
        return fields if self.stddev == 1 else self.stddev ** 2 * fields

    def num_uniforms(self, num_units: int) -> int:
        """How many uniform numbers a draw takes.

        Args:
            num_units: V.

        Returns:
            Two a pair of units; the last pair may have one unit only.
        """
        return num_units + num_units % 2

    def draw(
        self, mean: tf.Tensor, uniforms: tf.Tensor, factor: tf.Tensor | None = None
    ) -> tf.Tensor:
        """One draw of each unit, two from the radius and the angle of each pair of numbers.

        Args:
            mean: what `mean` gave (..., V).
            uniforms: numbers in [0, 1) (..., U).
            factor: multiplies the energy; 1 where None.

        Returns:
            (..., V), within 6 standard deviations of the mean: a uniform number has 23 bits.

        Source: Box and Muller 1958.
        """
        scale = math.sqrt(2) * self.stddev
        if factor is not None:
            scale *= tf.math.rsqrt(tf.cast(factor, mean.dtype))
        heights, turns = tf.split(uniforms, 2, axis=-1)
        # The scale goes to the half of the numbers that the radius is.
        radius = scale * tf.sqrt(-tf.math.log(1 - heights))
        angle = 2 * math.pi * turns
        noise = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=-1)
        return mean + noise[..., :mean.shape[-1]]

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
