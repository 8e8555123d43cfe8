"""One update of Krylov subspace descent."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rnnpt.optimizers._conjugate_gradient import dot
from rnnpt.optimizers._hessian_free_update import HessianFreeProblem
from rnnpt.optimizers._line_search import backtracking
from rnnpt.optimizers._minimizer import minimizer

# Of what is left of a product beside the basis: below so many units of rounding there is nothing.
_NUM_ROUNDINGS = 100


class KrylovReport(NamedTuple):
    """What an update did; scalars.

    Args:
        loss: of the gradient batch, before the update.
        new_loss: of the same, after it.
        num_vectors: of the basis.
        num_iterations: of BFGS.
        num_evaluations: of the loss of the curvature batch and its gradient that these took.
        step_length: of the line search; 0 where the parameters stayed.
        gradient_norm: of the gradient batch.
    """

    loss: tf.Tensor
    new_loss: tf.Tensor
    num_vectors: tf.Tensor
    num_iterations: tf.Tensor
    num_evaluations: tf.Tensor
    step_length: tf.Tensor
    gradient_norm: tf.Tensor


def krylov_update(
    problem: HessianFreeProblem,
    value_and_gradient_at: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    direction: tf.Tensor,
    *,
    num_vectors: int = 20,
    max_iterations: int = 30,
    tolerance: float = 1e-5,
    floor: float = 1e-4,
) -> tuple[tf.Tensor, KrylovReport]:
    """One step: the minimum of the loss over a small space, found by BFGS.

    Equation: B (K + 1, N) is an orthonormal basis of g, G g, .., G^(K-1) g and the last direction;
    B G B' = V diag(e) V'. With every e_i at least `floor` of the greatest, BFGS minimises
    f(theta + B'V diag(e)^(-1/2) z) from z = 0, where its first matrix, the identity, is that of the
    quadratic.

    The paper ends here; we let the line search on the gradient batch shorten the step where it is
    too long. K = 20 and a floor of 1e-4 are what the method is commonly run with; the numbers that
    end BFGS are ours.

    Args:
        problem: the objective around the present parameters.
        value_and_gradient_at: of the curvature batch, after a step (N,): () and (N,).
        direction: the step of the update before (N,), 0 at first.
        num_vectors: K.
        max_iterations: of BFGS.
        tolerance: BFGS ends where no part of its gradient is greater than so much of the first one.
        floor: of the eigenvalues, in (0, 1].

    Returns:
        The step away from the parameters (N,), which is the next direction, and the report.

    Source: Vinyals and Povey 2011, algorithms 1 and 2.
    """
    dtype = problem.gradient.dtype
    basis, projected = krylov_basis(
        lambda vector: problem.product(vector, tf.zeros([], dtype)), problem.gradient, direction,
        num_vectors)
    scaled = _scale(basis, projected, floor)

    def at(coefficients: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        loss, gradient = value_and_gradient_at(tf.linalg.matvec(scaled, coefficients, True))
        return loss, tf.linalg.matvec(scaled, gradient)

    first = tf.reduce_max(tf.abs(tf.linalg.matvec(scaled, problem.curvature_gradient)))
    found = minimizer("bfgs_minimize")(
        at, tf.zeros(scaled.shape[:1], dtype), tolerance=tf.cast(tolerance, dtype) * first,
        scale_initial_inverse_hessian=False, max_iterations=max_iterations)
    step = tf.linalg.matvec(scaled, found.position, True)
    length, new_loss = backtracking(
        lambda length: problem.loss_at(length * step), problem.loss,
        tf.cast(dot(problem.gradient, step), dtype))
    is_step = (length > 0) & tf.reduce_any(step != 0)
    # What moves nothing may hold what is no number.
    return tf.where(is_step, length * step, tf.zeros_like(step)), KrylovReport(
        loss=problem.loss, new_loss=new_loss,
        num_vectors=tf.reduce_sum(tf.cast(tf.reduce_any(basis != 0, axis=1), tf.int32)),
        num_iterations=found.num_iterations, num_evaluations=found.num_objective_evaluations,
        step_length=tf.where(is_step, length, 0), gradient_norm=tf.norm(problem.gradient))


def krylov_basis(
    product: Callable[[tf.Tensor], tf.Tensor],
    gradient: tf.Tensor,
    direction: tf.Tensor,
    num_vectors: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """An orthonormal basis of g, G g, .., G^(K-1) g and the last direction.

    Equation: b_1 = g / |g|; b_(k+1) is what G b_k has beside b_1 .. b_k, of length 1; the last is
    what the direction has beside all of these. Where nothing is left but rounding, the vector is 0.

    Args:
        product: G times a vector (N,).
        gradient: g (N,).
        direction: (N,).
        num_vectors: K.

    Returns:
        B (K + 1, N), and B G B' (K + 1, K + 1).

    Source: Vinyals and Povey 2011, algorithm 1.
    """
    size, dtype = num_vectors + 1, direction.dtype

    def advance(
        step: tf.Tensor, vector: tf.Tensor, basis: tf.Tensor, projected: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        vector = _remainder(tf.ensure_shape(vector, direction.shape), basis)
        basis = tf.tensor_scatter_nd_update(basis, [[step]], [vector])
        curved = product(vector)
        # G is symmetric: what a vector has with those after it stands in their rows.
        projected = tf.tensor_scatter_nd_update(
            projected, [[step]], [tf.linalg.matvec(basis, curved)])
        return step + 1, tf.where(step + 1 == num_vectors, direction, curved), basis, projected

    rows, matrix = tf.zeros([size, *direction.shape], dtype), tf.zeros([size, size], dtype)
    _, _, basis, projected = tf.while_loop(
        lambda step, *_: step < size, advance, (tf.constant(0), gradient, rows, matrix),
        # The gradient's own shape may be unknown.
        shape_invariants=(
            tf.TensorShape([]), tf.TensorShape([None]), rows.shape, matrix.shape))
    lower = tf.linalg.band_part(projected, -1, 0)
    return basis, lower + tf.transpose(lower) - tf.linalg.diag(tf.linalg.diag_part(lower))


def _remainder(vector: tf.Tensor, basis: tf.Tensor) -> tf.Tensor:
    """What a vector has beside a basis, of length 1; 0 where that is but rounding."""
    left = vector
    for _ in range(2):  # Once is not enough where little is left.
        left -= tf.linalg.matvec(basis, tf.linalg.matvec(basis, left), True)
    rounding = _NUM_ROUNDINGS * np.finfo(vector.dtype.as_numpy_dtype).eps
    norm = tf.norm(left)
    return tf.where(norm > rounding * tf.norm(vector), left / norm, tf.zeros_like(left))


def _scale(basis: tf.Tensor, projected: tf.Tensor, floor: float) -> tf.Tensor:
    """The basis in which the floored quadratic has the identity for its matrix."""
    # A matrix that is not finite, which nothing can be made of, would stop the decomposition.
    identity = tf.eye(projected.shape[0], dtype=projected.dtype)
    projected = tf.where(
        tf.reduce_all(tf.math.is_finite(projected)), projected, identity)
    values, vectors = tf.linalg.eigh(tf.cast(projected, tf.float64))
    greatest = values[-1]
    values = tf.maximum(values, floor * greatest)
    # Without any curvature the quadratic tells nothing of lengths.
    scales = tf.where(greatest > 0, tf.math.rsqrt(values), tf.ones_like(values))
    return tf.matmul(
        tf.cast(scales[:, tf.newaxis] * tf.transpose(vectors), basis.dtype), basis)
