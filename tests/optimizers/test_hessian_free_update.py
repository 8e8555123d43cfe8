"""One Hessian-free update: exact on quadratics, sound where it fails, and as its NumPy twin."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt.optimizers import _conjugate_gradient
from rnnpt.optimizers._hessian_free_update import (
    HessianFreeProblem,
    HessianFreeState,
    hessian_free_update,
)

SIZE = 12


def quadratic_problem(matrix, gradient, loss: float = 3.0) -> HessianFreeProblem:
    """Returns a quadratic around the present parameters; both batches are one."""
    matrix, gradient = tf.constant(matrix), tf.constant(gradient)

    def loss_at(step):
        curved = tf.linalg.matvec(matrix, step)
        return loss + tf.tensordot(gradient, step, 1) + 0.5 * tf.tensordot(step, curved, 1)

    return HessianFreeProblem(
        tf.constant(loss, gradient.dtype), gradient, loss_at,
        tf.constant(loss, gradient.dtype), gradient, loss_at,
        lambda vector, _: tf.linalg.matvec(matrix, vector))


def positive(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns a positive matrix and a gradient."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((SIZE, SIZE))
    return root @ root.T + np.eye(SIZE), rng.standard_normal(SIZE)


def start(damping: float) -> HessianFreeState:
    """Returns the state before the first update."""
    return HessianFreeState(tf.zeros(SIZE, tf.float64), tf.constant(damping, tf.float64))


def run(problem, state, **options):
    """Returns what the update gives, computed in a graph."""
    return tf.function(lambda: hessian_free_update(problem, state, **options))()


def test_without_damping_it_solves_a_quadratic_in_one_update():
    matrix, gradient = positive()
    step, state, report = run(quadratic_problem(matrix, gradient), start(0.0), tolerance=0.0)
    np.testing.assert_allclose(state.direction, np.linalg.solve(matrix, -gradient), rtol=1e-8)
    # The step is the first of the iterates whose losses are equal, to their rounding.
    np.testing.assert_allclose(step, state.direction, atol=1e-7)
    assert float(report.ratio) == pytest.approx(1) and float(report.step_length) == 1
    assert float(report.gradient_norm) == pytest.approx(np.linalg.norm(gradient))
    assert float(report.new_loss) == pytest.approx(
        3 - 0.5 * gradient @ np.linalg.solve(matrix, gradient), rel=1e-14)
    assert SIZE <= int(report.chosen_step) <= int(report.num_steps) <= 2 * SIZE


@pytest.mark.parametrize("damped_ratio", [False, True])
def test_with_damping_the_ratio_is_as_its_quadratic(damped_ratio):
    matrix, gradient = positive()
    step, state, report = run(
        quadratic_problem(matrix, gradient), start(5.0), tolerance=0.0, damped_ratio=damped_ratio)
    expected = np.linalg.solve(matrix + 5 * np.eye(SIZE), -gradient)
    np.testing.assert_allclose(step, expected, rtol=1e-8)
    decrease = -gradient @ expected - expected @ matrix @ expected / 2
    promised = decrease - damped_ratio * 5 * expected @ expected / 2
    assert float(report.ratio) == pytest.approx(decrease / promised)
    assert float(state.damping) == pytest.approx(5 * 2 / 3)


def test_structural_damping_is_lambda_times_mu_strong():
    matrix, gradient = positive()
    other = np.diag(np.arange(1.0, SIZE + 1))
    problem = quadratic_problem(matrix, gradient)
    problem = HessianFreeProblem(**{**vars(problem), "product": lambda vector, strength: (
        tf.linalg.matvec(tf.constant(matrix) + strength * tf.constant(other), vector))})
    _, state, report = run(problem, start(2.0), tolerance=0.0, structural_damping=0.5)
    np.testing.assert_allclose(
        state.direction, np.linalg.solve(matrix + 2 * np.eye(SIZE) + other, -gradient), rtol=1e-8)
    # The ratio's quadratic is that of the objective, which has no damping in it.
    assert float(report.ratio) == pytest.approx(1)


def test_the_next_run_begins_at_the_decayed_end_of_the_last():
    matrix, gradient = positive()
    problem = quadratic_problem(matrix, gradient)
    _, state, _ = run(problem, start(0.0), tolerance=0.0)
    step, _, _ = run(problem, state, max_steps=1, decay=0.9, tolerance=0.0)
    begin = 0.9 * state.direction.numpy()
    residual = matrix @ begin + gradient
    expected = begin - residual @ residual / (residual @ matrix @ residual) * residual
    np.testing.assert_allclose(step, expected, rtol=1e-8)


def test_a_quadratic_that_lies_raises_the_damping():
    # The objective is ten times as steep as the matrix says.
    matrix, gradient = positive()
    problem = quadratic_problem(10 * matrix, gradient)
    problem = HessianFreeProblem(**{**vars(problem), "product": lambda vector, _: (
        tf.linalg.matvec(tf.constant(matrix), vector))})
    _, state, report = run(problem, start(0.1), tolerance=0.0)
    assert float(report.ratio) < 0.25
    assert float(state.damping) == pytest.approx(0.15)
    assert float(report.new_loss) <= float(report.loss)


def test_where_every_step_leads_to_no_number_the_parameters_stay():
    matrix, gradient = positive()
    problem = quadratic_problem(matrix, gradient)

    def loss_at(step):
        return tf.where(tf.reduce_any(step != 0), tf.constant(np.nan, tf.float64), loss)

    loss = problem.loss
    problem = HessianFreeProblem(**{
        **vars(problem), "loss_at": loss_at, "curvature_loss_at": loss_at})
    step, state, report = run(problem, start(1.0))
    np.testing.assert_array_equal(step, np.zeros(SIZE))
    np.testing.assert_array_equal(state.direction, np.zeros(SIZE))
    assert float(report.step_length) == 0 and np.isnan(report.ratio)
    assert float(state.damping) == 1.5


def test_a_product_that_is_not_finite_ends_the_run_and_is_told():
    matrix, gradient = positive()
    problem = quadratic_problem(matrix, gradient)
    problem = HessianFreeProblem(**{
        **vars(problem), "product": lambda vector, _: vector * tf.constant(np.nan, tf.float64)})
    step, state, report = run(problem, start(1.0))
    assert int(report.reason) == _conjugate_gradient.NOT_FINITE
    np.testing.assert_array_equal(step, np.zeros(SIZE))
    assert float(state.damping) == 1.5
