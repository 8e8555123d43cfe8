"""Conjugate gradients against NumPy's solver and a plain twin, and each way in which they end."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt.optimizers import _conjugate_gradient
from rnnpt.optimizers._conjugate_gradient import candidate_steps, conjugate_gradients
from rnnpt.optimizers._preconditioner import gradient_preconditioner


def quadratic(size: int, condition: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns a positive matrix of a condition number, and a gradient."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.standard_normal((size, size)))
    return basis * np.geomspace(1, condition, size) @ basis.T, rng.standard_normal(size)


def twin(matrix, gradient, start, num_steps, inverse=None):
    """Returns all iterates and their q, by the textbook."""
    inverse = np.eye(len(gradient)) if inverse is None else inverse
    solution, residual = start, matrix @ start + gradient
    direction = -inverse @ residual
    solutions = [solution]
    for _ in range(num_steps):
        square = residual @ inverse @ residual
        length = square / (direction @ matrix @ direction)
        solution = solution + length * direction
        residual = residual + length * matrix @ direction
        direction = residual @ inverse @ residual / square * direction - inverse @ residual
        solutions.append(solution)
    solutions = np.array(solutions)
    models = np.einsum("si,ij,sj->s", solutions, matrix, solutions) / 2 + solutions @ gradient
    return solutions, models


def run(matrix, gradient, start=None, eager=False, **options):
    """Returns the way, of tensors in float64."""
    matrix, gradient = tf.constant(matrix), tf.constant(gradient)
    start = tf.zeros_like(gradient) if start is None else tf.constant(start)

    def call():
        return conjugate_gradients(
            lambda vector: tf.linalg.matvec(matrix, vector), gradient, start, **options)

    return call() if eager else tf.function(call)()


@pytest.mark.parametrize("eager", [False, True])
def test_it_solves_a_linear_system(eager):
    matrix, gradient = quadratic(30, 100.0)
    path = run(matrix, gradient, eager=eager, max_steps=60, tolerance=0)
    np.testing.assert_allclose(path.solution, np.linalg.solve(matrix, -gradient), atol=1e-9)


@pytest.mark.parametrize("preconditioned", [False, True])
def test_iterates_are_those_of_the_twin_from_a_warm_start(preconditioned):
    # Where the condition is bad, two ways to round are soon far apart.
    matrix, gradient = quadratic(40, 10.0)
    start = np.random.default_rng(3).standard_normal(40)
    scale = np.diag(matrix)
    path = run(matrix, gradient, start, max_steps=25, tolerance=0,
               precondition=(lambda vector: vector / scale) if preconditioned else None)
    solutions, models = twin(
        matrix, gradient, start, 25, np.diag(1 / scale) if preconditioned else None)
    steps = path.candidate_steps.numpy()
    assert steps.tolist() == [1, 2, 3, 4, 5, 7, 9, 11, 14, 18, 24, 25]
    np.testing.assert_allclose(path.candidates, solutions[steps], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(path.models, models[steps], rtol=1e-9)
    assert path.num_steps == 25 and path.reason == _conjugate_gradient.LIMIT


def test_a_preconditioner_that_is_the_matrix_solves_in_one_step():
    matrix, gradient = quadratic(20, 1e4)
    inverse = tf.constant(np.linalg.inv(matrix))
    path = run(matrix, gradient, max_steps=1,
               precondition=lambda vector: tf.linalg.matvec(inverse, vector))
    np.testing.assert_allclose(path.solution, np.linalg.solve(matrix, -gradient), atol=1e-8)


def test_it_ends_at_the_step_at_which_the_twin_makes_no_more_progress():
    matrix, gradient = quadratic(200, 1e3)
    path = run(matrix, gradient, max_steps=200)
    _, models = twin(matrix, gradient, np.zeros(200), 200)

    def settled(step: int) -> bool:
        look_back = max(10, int(np.ceil(step / 10)))
        return step > look_back and models[step] < 0 and (
            (models[step] - models[step - look_back]) / models[step] < look_back * 5e-4)

    assert path.reason == _conjugate_gradient.PROGRESS
    assert path.num_steps == next(step for step in range(201) if settled(step))
    assert path.candidate_steps[-1] == path.num_steps
    np.testing.assert_array_equal(path.candidates[-1], path.solution)
    assert run(matrix, gradient, max_steps=200, min_steps=150).num_steps == 150


def test_it_ends_when_the_objective_has_risen():
    matrix, gradient = quadratic(50, 100.0)

    def objective(solution: tf.Tensor) -> tf.Tensor:
        # Falls to -1 at norm 1, and rises beyond.
        return (tf.norm(solution) - 1) ** 2 - 2

    path = run(matrix, gradient, max_steps=50, tolerance=0, objective=objective)
    solutions, _ = twin(matrix, gradient, np.zeros(50), 50)
    kept = candidate_steps(50)
    decreases = [1 - (np.linalg.norm(solutions[step]) - 1) ** 2 for step in kept]
    expected = next(
        step for place, step in enumerate(kept)
        if decreases[place] < 0.9 * max([0, *decreases[:place]]))
    assert path.reason == _conjugate_gradient.OBJECTIVE and path.num_steps == expected
    assert 1 < expected < 50
    # Looked at where it was kept, so that the walk back need not look again.
    expected = [(np.linalg.norm(solutions[step]) - 1) ** 2 - 2 for step in path.candidate_steps]
    np.testing.assert_allclose(path.losses, expected)


def test_it_does_not_end_before_the_objective_has_ever_fallen():
    matrix, gradient = quadratic(50, 100.0)
    best = np.linalg.solve(matrix, -gradient)

    def objective(solution: tf.Tensor) -> tf.Tensor:
        return tf.norm(solution - best)

    path = run(matrix, gradient, best + 100.0, max_steps=50, tolerance=0, objective=objective)
    assert path.losses[0] > np.linalg.norm(best) > path.losses[-1]


def test_the_objective_is_known_at_every_kept_iterate():
    matrix, gradient = quadratic(50, 100.0)
    path = run(matrix, gradient, max_steps=20, tolerance=0, objective=lambda solution: tf.where(
        tf.norm(solution) > 0.5, tf.constant(np.nan, tf.float64), -tf.norm(solution)))
    lengths = np.linalg.norm(path.candidates, axis=1)
    assert path.candidate_steps[-1] == path.num_steps and len(path.losses) == len(lengths)
    np.testing.assert_allclose(path.losses, np.where(lengths > 0.5, np.inf, -lengths))


def test_a_fixed_number_of_steps_is_taken_whatever_the_progress():
    matrix, gradient = quadratic(200, 1e3)
    assert run(matrix, gradient, max_steps=200).num_steps < 120
    assert run(matrix, gradient, max_steps=120, min_steps=120).num_steps == 120


def test_a_warm_start_above_no_step_is_no_reason_to_end():
    matrix, gradient = quadratic(60, 1e3)
    # Uphill, so that q begins far above 0.
    path = run(matrix, gradient, start=50 * gradient, max_steps=200)
    assert path.models[0] > 0 and path.num_steps > 11
    solved = np.linalg.solve(matrix, -gradient)
    assert path.models[-1] < 0.95 * (gradient @ solved / 2) < 0


def test_a_preconditioner_needs_fewer_steps_where_scales_are_far_apart():
    rng = np.random.default_rng(2)
    scales = np.geomspace(1e-2, 1e2, 80)
    root = np.eye(80) + 0.05 * rng.standard_normal((80, 80))
    matrix, gradient = scales[:, np.newaxis] * (root @ root.T) * scales, rng.standard_normal(80)
    precondition = gradient_preconditioner(
        tf.constant(np.diag(matrix)), tf.constant(0.0, tf.float64), exponent=1.0)
    plain = run(matrix, gradient, max_steps=2000, tolerance=1e-6)
    short = run(matrix, gradient, max_steps=2000, tolerance=1e-6, precondition=precondition)
    np.testing.assert_allclose(
        short.solution, np.linalg.solve(matrix, -gradient), rtol=1e-3, atol=1e-6)
    assert int(short.num_steps) < 0.2 * int(plain.num_steps)


def test_a_direction_without_positive_curvature_ends_it_with_the_iterate_before():
    path = run(np.diag([2.0, -1.0]), np.array([-2.0, -1e-3]), max_steps=5)
    assert path.reason == _conjugate_gradient.CURVATURE
    assert path.num_steps == 1 and np.isfinite(path.solution).all()
    path = run(-np.eye(2), np.ones(2), max_steps=5)
    assert path.num_steps == 0 and path.candidate_steps.numpy().tolist() == [0]
    np.testing.assert_array_equal(path.candidates, [[0, 0]])


def test_a_number_that_is_not_finite_ends_it_with_the_iterate_before():
    calls = tf.Variable(0)

    def product(vector: tf.Tensor) -> tf.Tensor:
        # The first product is that of the start.
        scale = tf.where(calls.assign_add(1) < 4, tf.constant(1.0), tf.constant(np.nan))
        return scale * vector * tf.constant([1.0, 3.0, 7.0, 20.0])

    path = conjugate_gradients(product, tf.ones(4), tf.zeros(4), max_steps=9)
    assert path.reason == _conjugate_gradient.NOT_FINITE and path.num_steps == 2
    assert np.isfinite(path.candidates).all() and np.isfinite(path.models).all()


def test_a_start_that_is_the_solution_stays():
    path = run(np.eye(3), np.zeros(3), max_steps=5)
    assert path.reason == _conjugate_gradient.EXACT and path.num_steps == 0


@pytest.mark.parametrize("max_steps", [1, 2, 3, 10, 300])
def test_kept_steps_grow_by_three_tenths(max_steps):
    steps = candidate_steps(max_steps)
    assert steps[0] == 1 and steps[-1] <= max_steps < 1.3 * steps[-1] + 1
    assert all(later <= np.ceil(1.3 * step + 0.3) for step, later in zip(steps, steps[1:]))
