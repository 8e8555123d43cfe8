"""The basis of conjugate gradients beside a vector: conjugate, and as good as it can be."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt.optimizers._conjugate_basis import conjugate_basis
from rnnpt.optimizers._conjugate_gradient import conjugate_gradients, dot

SIZE = 8


def make_quadratic(condition: float = 30.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns a positive matrix, a gradient and a direction."""
    rng = np.random.default_rng(0)
    vectors, _ = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))
    values = np.geomspace(1, condition, SIZE)
    return (vectors * values) @ vectors.T, rng.standard_normal(SIZE), rng.standard_normal(SIZE)


def run(matrix, gradient, direction, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns c_0, c_1, .. (num_steps + 1, N), and the coefficients of the quadratic."""
    def product(vector: tf.Tensor) -> tf.Tensor:
        return tf.linalg.matvec(matrix, vector)

    augmentation, coefficient, basis = conjugate_basis(
        product, tf.constant(gradient), tf.constant(direction))
    vectors, coefficients = [direction], [float(coefficient)]
    for _ in range(num_steps):
        curved = product(basis.vector)
        coefficient = basis.square / dot(basis.vector, curved)
        vectors.append(basis.vector.numpy())
        coefficients.append(float(coefficient))
        basis = basis.following(augmentation, coefficient, curved)
    return np.array(vectors), np.array(coefficients)


@pytest.mark.parametrize("condition", [30.0, 1e6])
def test_each_vector_is_conjugate_to_the_direction(condition):
    matrix, gradient, direction = make_quadratic(condition)
    vectors, _ = run(matrix, gradient, direction, 3 * SIZE)
    sizes = np.sqrt(np.einsum("in,nm,im->i", vectors, matrix, vectors))
    # Also beyond the last vector that rounding leaves any sense in.
    np.testing.assert_allclose(
        vectors[1:] @ matrix @ vectors[0] / (sizes[1:] * sizes[0]), 0, atol=1e-9)


def test_the_vectors_are_conjugate_to_each_other():
    matrix, gradient, direction = make_quadratic()
    vectors, _ = run(matrix, gradient, direction, SIZE - 1)
    products = vectors @ matrix @ vectors.T
    sizes = np.sqrt(np.diag(products))
    np.testing.assert_allclose(products / np.outer(sizes, sizes), np.eye(SIZE), atol=1e-8)


@pytest.mark.parametrize("num_steps", [0, 1, 3, SIZE - 1])
def test_the_coefficients_give_the_minimum_over_the_space(num_steps):
    matrix, gradient, direction = make_quadratic()
    vectors, coefficients = run(matrix, gradient, direction, num_steps)
    best = np.linalg.solve(vectors @ matrix @ vectors.T, -vectors @ gradient)
    np.testing.assert_allclose(coefficients @ vectors, best @ vectors, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(
        coefficients, -vectors @ gradient / np.einsum("in,nm,im->i", vectors, matrix, vectors),
        rtol=1e-7)
    if num_steps == SIZE - 1:
        np.testing.assert_allclose(
            coefficients @ vectors, np.linalg.solve(matrix, -gradient), rtol=1e-8)


def test_without_a_direction_it_is_conjugate_gradients():
    matrix, gradient, _ = make_quadratic()
    vectors, coefficients = run(matrix, gradient, np.zeros(SIZE), 4)
    path = conjugate_gradients(
        lambda vector: tf.linalg.matvec(matrix, vector), tf.constant(gradient),
        tf.zeros(SIZE, tf.float64), max_steps=4, tolerance=0.0)
    np.testing.assert_allclose(coefficients @ vectors, path.solution, rtol=1e-10)


def test_a_direction_without_curvature_is_left_out():
    matrix, gradient, direction = make_quadratic()
    # Nothing bends along the direction.
    out = np.eye(SIZE) - np.outer(direction, direction) / (direction @ direction)
    matrix = -np.outer(direction, direction) + out @ matrix @ out
    vectors, coefficients = run(matrix, gradient, direction, 1)
    assert coefficients[0] == 0
    np.testing.assert_array_equal(vectors[1], -gradient)
