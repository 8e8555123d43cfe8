"""One update of Krylov subspace descent: its basis, and the minimum over it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from rnnpt.optimizers._krylov_update import krylov_basis, krylov_update
from tests.optimizers.curved_problem import (
    curved_problem,
    quadratic_problem,
    value_and_gradient_at,
    where_nothing_is_a_number,
)
from tests.reference.curved import krylov_vectors, make_loss

SIZE = 6


def positive() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns a positive matrix, a gradient and a direction."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((SIZE, SIZE))
    return root @ root.T + np.eye(SIZE), rng.standard_normal(SIZE), rng.standard_normal(SIZE)


def run(problem, direction, gradient_at=None, **options):
    """Returns what the update gives."""
    def of_the_problem(step):
        with tf.GradientTape() as tape:
            tape.watch(step)
            loss = problem.curvature_loss_at(step)
        return loss, tape.gradient(loss, step)

    return krylov_update(
        problem, gradient_at or of_the_problem, tf.constant(direction), **options)


def basis_of(matrix, gradient, direction, num_vectors) -> tuple[np.ndarray, np.ndarray]:
    basis, projected = krylov_basis(
        lambda vector: tf.linalg.matvec(matrix, vector), tf.constant(gradient),
        tf.constant(direction), num_vectors)
    return basis.numpy(), projected.numpy()


def test_the_basis_is_orthonormal_and_that_of_the_krylov_space_and_the_direction():
    matrix, gradient, direction = positive()
    basis, projected = basis_of(matrix, gradient, direction, 3)
    np.testing.assert_allclose(basis @ basis.T, np.eye(4), atol=1e-14)
    vectors = krylov_vectors(matrix, gradient, direction, 3)
    # The same space has the same projection.
    expected = vectors.T @ np.linalg.solve(vectors @ vectors.T, vectors)
    np.testing.assert_allclose(basis.T @ basis, expected, atol=1e-10)
    np.testing.assert_allclose(projected, basis @ matrix @ basis.T, atol=1e-12)


def test_a_space_that_is_exhausted_ends_in_zeros():
    matrix = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    gradient = np.array([1.0, 1.0, 0, 0, 0, 0])
    basis, projected = basis_of(matrix, gradient, 2 * gradient + np.eye(SIZE)[5], 4)
    np.testing.assert_allclose(basis[2:4], 0, atol=1e-12)
    np.testing.assert_allclose(basis[4], np.eye(SIZE)[5], atol=1e-12)
    np.testing.assert_allclose(projected, basis @ matrix @ basis.T, atol=1e-12)


def test_a_quadratic_is_solved_by_one_iteration_over_the_whole_space():
    matrix, gradient, _ = positive()
    step, report = run(
        quadratic_problem(matrix, gradient), np.zeros(SIZE), num_vectors=SIZE, max_iterations=5)
    np.testing.assert_allclose(step, np.linalg.solve(matrix, -gradient), rtol=1e-8)
    assert int(report.num_iterations) == 1 and int(report.num_vectors) == SIZE
    assert float(report.step_length) == 1
    assert float(report.gradient_norm) == pytest.approx(np.linalg.norm(gradient))


def test_the_step_is_the_minimum_of_the_loss_over_the_space():
    loss, weights = make_loss(is_logistic=True)
    direction = np.random.default_rng(1).standard_normal(SIZE)
    step, report = run(
        curved_problem(loss, weights), direction,
        lambda step: value_and_gradient_at(loss, weights + step), num_vectors=2,
        max_iterations=60, tolerance=1e-11)
    vectors = krylov_vectors(loss.matrix(weights), loss.gradient(weights), direction, 2)
    expected = loss.minimum(weights, vectors)
    np.testing.assert_allclose(weights + step, expected, atol=1e-9)
    assert int(report.num_vectors) == 3
    assert float(report.new_loss) == pytest.approx(loss.loss(expected))
    assert float(report.loss) == pytest.approx(loss.loss(weights))


def test_no_eigenvalue_is_below_the_floor():
    # Where nothing bends the step is as long as if there were 1e-4 of the greatest curvature.
    gradient, other = np.eye(2)
    step, _ = run(
        quadratic_problem(np.diag([4.0, 0.0]), gradient + 1e-6 * other), np.zeros(2),
        num_vectors=2, max_iterations=1, floor=1e-4)
    np.testing.assert_allclose(step, [-0.25, -1e-6 / 4e-4], rtol=1e-6)


def test_where_every_step_leads_to_no_number_the_parameters_stay():
    matrix, gradient, direction = positive()
    problem = where_nothing_is_a_number(quadratic_problem(matrix, gradient))
    step, report = run(
        problem, direction, lambda step: (problem.loss_at(step), tf.constant(gradient)))
    np.testing.assert_array_equal(step, np.zeros(SIZE))
    assert float(report.step_length) == 0 and float(report.new_loss) == 3


@pytest.mark.parametrize("name", ["product", "gradient", "loss"])
def test_what_is_no_number_leads_to_none(name):
    matrix, gradient, direction = positive()
    problem = quadratic_problem(matrix, gradient)
    nan = tf.constant(np.nan * gradient if name == "gradient" else np.nan, tf.float64)
    value = (lambda vector, _: vector * nan) if name == "product" else nan
    step, report = run(dataclasses.replace(problem, **{name: value}), direction, num_vectors=3)
    assert np.isfinite(step).all()
    # Without a matrix there is the gradient.
    assert (float(report.step_length) > 0) == (name == "product")
