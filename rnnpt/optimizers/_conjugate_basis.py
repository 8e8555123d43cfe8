"""The basis of conjugate gradients, one vector at a time, conjugate to a given vector too."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from rnnpt.optimizers._conjugate_gradient import dot


class Augmentation(NamedTuple):
    """A vector that a basis begins with.

    Args:
        vector: c_0 (N,).
        curved: G c_0 (N,).
        curvature: c_0'G c_0 (), float64; not above 0 where there is no such vector.
    """

    vector: tf.Tensor
    curved: tf.Tensor
    curvature: tf.Tensor

    def is_used(self) -> tf.Tensor:
        """Whether there is a curvature along it ()."""
        return tf.math.is_finite(self.curvature) & (self.curvature > 0)

    def conjugate(self, vector: tf.Tensor) -> tf.Tensor:
        """What a vector has beside c_0: v - c_0 (G c_0)'v / c_0'G c_0.

        Args:
            vector: (N,).

        Returns:
            A vector (N,), conjugate to c_0.
        """
        share = tf.where(self.is_used(), dot(self.curved, vector) / self.curvature, 0)
        return vector - tf.cast(share, vector.dtype) * self.vector


class ConjugateVector(NamedTuple):
    """One vector of the basis, and what the next one is made of.

    Args:
        vector: c_i (N,).
        residual: r_i, the slope of the quadratic at its minimum over the vectors before (N,).
        square: r_i'r_i (), float64.
    """

    vector: tf.Tensor
    residual: tf.Tensor
    square: tf.Tensor

    def following(
        self, augmentation: Augmentation, coefficient: tf.Tensor, curved: tf.Tensor
    ) -> "ConjugateVector":
        """The next vector.

        Args:
            augmentation: of the basis.
            coefficient: the quadratic's own for c_i ().
            curved: G c_i (N,).

        Returns:
            c_(i+1), with its residual.
        """
        residual = self.residual + tf.cast(coefficient, curved.dtype) * curved
        square = dot(residual, residual)
        vector = tf.cast(square / self.square, curved.dtype) * self.vector - residual
        return ConjugateVector(augmentation.conjugate(vector), residual, square)


def conjugate_basis(
    product: Callable[[tf.Tensor], tf.Tensor], gradient: tf.Tensor, direction: tf.Tensor
) -> tuple[Augmentation, tf.Tensor, ConjugateVector]:
    """The beginning of a basis c_0, c_1, c_2, ... along which a quadratic falls apart.

    Equation: with q(x) = x'G x / 2 + gradient'x, c_0 the direction and P v = v - c_0 (G c_0)'v /
    (c_0'G c_0), which takes out of a vector what is not conjugate to c_0,

        a_0 = -gradient'c_0 / (c_0'G c_0),   r_1 = gradient + a_0 G c_0,   c_1 = -P r_1,
        a_i = r_i'r_i / (c_i'G c_i),         r_(i+1) = r_i + a_i G c_i,
        c_(i+1) = P(-r_(i+1) + (r_(i+1)'r_(i+1) / r_i'r_i) c_i).

    It keeps c_i'G c_j = 0 for all i != j, c_0 among them, and r_i'c_j = 0 for j < i. So a_i =
    -gradient'c_i / (c_i'G c_i), and q(sum a_i c_i) is the sum of the q(a_i c_i): each coefficient
    may be looked for on its own, and with the a_i above the sum is the minimum of q over the space,
    as conjugate gradients have it.

    Why: P'G = G P, and c_0'r_1 = 0 by the choice of a_0. As c_0'G c_i = 0, every later residual
    keeps c_0'r_i = 0, whence c_i'r_i = -r_i'P r_i = -r_i'r_i: this is conjugate gradients for the
    matrix P'G P, which has G's values on all that is conjugate to c_0. One product a vector, and
    nothing to store but c_0, G c_0, c_i and r_i. P is applied to the whole new vector, so that
    rounding cannot bring c_0 back. Without a curvature along c_0 (there is none before the first
    update), P is the identity, and the vectors are those of conjugate gradients.

    Args:
        product: G times a vector (N,).
        gradient: (N,).
        direction: c_0 (N,), or 0.

    Returns:
        c_0, its coefficient a_0 (), 0 without one, and c_1.

    Source: our own; the projection is that of deflated conjugate gradients, Saad, Yeung, Erhel and
    Guyomarc'h 2000, section 3.
    """
    curved = product(direction)
    augmentation = Augmentation(direction, curved, dot(direction, curved))
    coefficient = tf.where(
        augmentation.is_used(), -dot(gradient, direction) / augmentation.curvature, 0)
    residual = tf.where(
        augmentation.is_used(), gradient + tf.cast(coefficient, gradient.dtype) * curved, gradient)
    return augmentation, coefficient, ConjugateVector(
        augmentation.conjugate(-residual), residual, dot(residual, residual))
