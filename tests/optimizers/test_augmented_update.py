"""One update of augmented Hessian-free optimization: exact on quadratics, else by the loss."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from rnnpt.optimizers import _conjugate_gradient
from rnnpt.optimizers._augmented_update import augmented_update, search_share
from tests.optimizers.curved_problem import (
    curved_problem,
    quadratic_problem,
    where_nothing_is_a_number,
)
from tests.reference.curved import augmented_step, make_loss

SIZE = 12


def positive() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns a positive matrix, a gradient and a direction."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((SIZE, SIZE))
    return root @ root.T + np.eye(SIZE), rng.standard_normal(SIZE), rng.standard_normal(SIZE)


def run(problem, direction, **options):
    """Returns what the update gives, computed in a graph."""
    return tf.function(lambda: augmented_update(problem, tf.constant(direction), **options))()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_quadratic_is_solved_in_one_update(share):
    matrix, gradient, direction = positive()
    step, report = run(
        quadratic_problem(matrix, gradient), share * direction, max_steps=14, tolerance=0.0)
    np.testing.assert_allclose(step, np.linalg.solve(matrix, -gradient), rtol=1e-8)
    # Of a quadratic the quadratic's own coefficients are right, at the first glance.
    assert int(report.num_evaluations) == int(report.num_steps) + share
    assert float(report.direction_share) == share and float(report.step_length) == 1
    assert float(report.new_loss) == pytest.approx(
        3 - 0.5 * gradient @ np.linalg.solve(matrix, gradient), rel=1e-14)
    assert float(report.gradient_norm) == pytest.approx(np.linalg.norm(gradient))


def test_the_vectors_are_of_the_one_batch_and_the_coefficients_of_the_other():
    matrix, gradient, direction = positive()
    problem = quadratic_problem(matrix, gradient)
    half = quadratic_problem(matrix, gradient / 2)
    step, report = run(
        dataclasses.replace(problem, curvature_loss_at=half.curvature_loss_at), direction,
        max_steps=11, tolerance=0.0)
    np.testing.assert_allclose(step, np.linalg.solve(matrix, -gradient) / 2, rtol=1e-8)
    assert float(report.direction_share) == pytest.approx(0.5)


def test_each_vector_costs_one_product():
    matrix, gradient, direction = positive()
    num_products = 0

    def product(vector, _):
        nonlocal num_products
        num_products += 1
        return tf.linalg.matvec(matrix, vector)

    problem = dataclasses.replace(quadratic_problem(matrix, gradient), product=product)
    augmented_update(problem, tf.constant(direction), max_steps=5, tolerance=0.0)
    assert num_products == 5 + 1


@pytest.mark.parametrize("is_logistic", [False, True])
def test_it_does_as_its_twin_with_every_vector_stored(is_logistic):
    loss, weights = make_loss(is_logistic)
    weights *= 3  # where the quadratic is not to be trusted
    problem = curved_problem(loss, weights)
    direction = np.random.default_rng(1).standard_normal(len(weights))
    expected, shares = augmented_step(loss, weights, direction, 4)
    assert not np.allclose(shares, 1)
    step, report = run(problem, direction, max_steps=4, tolerance=0.0)
    np.testing.assert_allclose(step, expected, rtol=1e-7)
    assert float(report.direction_share) == pytest.approx(shares[0])
    assert float(report.new_loss) == pytest.approx(loss.loss(weights + expected))
    assert int(report.reason) == _conjugate_gradient.LIMIT


def test_it_stops_where_the_loss_makes_no_more_progress():
    matrix, gradient, direction = positive()
    _, report = run(quadratic_problem(matrix, gradient), direction, max_steps=300)
    assert int(report.reason) == _conjugate_gradient.PROGRESS
    # 11 vectors beside the direction solve it; that no more is gained shows 10 steps later.
    assert 11 <= int(report.num_steps) <= SIZE + 11


@pytest.mark.parametrize("bend, share, evaluations", [
    (1.0, 1.0, 1), (1.2, 1.0, 1), (2.0, 0.5, 3), (40.0, 1 / 40, 3), (0.4, 2.5, 3),
    (0.1, 10.0, 3), (-1.0, 16.0, 3)])
def test_the_share_is_where_the_loss_is_least(bend, share, evaluations):
    # The quadratic has 1 for the bend.
    found, loss, tried = search_share(
        lambda step: 5 - 2 * step[0] + bend * step[0] ** 2, tf.zeros(1, tf.float64),
        tf.ones(1, tf.float64), tf.constant(5.0, tf.float64), tf.constant(1.0, tf.float64))
    assert float(found) == pytest.approx(share) and int(tried) == evaluations
    assert float(loss) == pytest.approx(5 - 2 * share + bend * share ** 2)


@pytest.mark.parametrize("limit, share", [(0.5, 1 / 8), (0.1, 1 / 64), (0.001, 0.0)])
def test_where_the_loss_is_no_number_the_share_is_less(limit, share):
    found, loss, _ = search_share(
        lambda step: tf.where(step[0] > limit, tf.constant(np.nan, tf.float64), -step[0]),
        tf.zeros(1, tf.float64), tf.ones(1, tf.float64), tf.zeros([], tf.float64),
        tf.constant(1.0, tf.float64))
    assert (float(found), float(loss)) == (share, -share)


def test_a_promise_below_rounding_is_taken_unless_the_loss_rises():
    found = [search_share(
        lambda step: 1 + slope * step[0], tf.zeros(1, tf.float64), tf.ones(1, tf.float64),
        tf.ones([], tf.float64), tf.constant(1e-16, tf.float64)) for slope in (1e-15, 1e-14)]
    assert [float(share) for share, _, _ in found] == [1.0, 0.0]


def test_where_every_step_leads_to_no_number_the_parameters_stay():
    matrix, gradient, direction = positive()
    problem = where_nothing_is_a_number(quadratic_problem(matrix, gradient))
    step, report = run(problem, direction, max_steps=5)
    np.testing.assert_array_equal(step, np.zeros(SIZE))
    assert float(report.step_length) == 0 and float(report.new_loss) == 3


@pytest.mark.parametrize("name", ["product", "gradient", "curvature_loss", "loss"])
def test_what_is_no_number_moves_nothing(name):
    matrix, gradient, direction = positive()
    problem = quadratic_problem(matrix, gradient)
    nan = tf.constant(np.nan * gradient if name == "gradient" else np.nan, tf.float64)
    value = (lambda vector, _: vector * nan) if name == "product" else nan
    step, report = run(dataclasses.replace(problem, **{name: value}), direction, max_steps=5)
    assert np.isfinite(step).all()
    if name != "curvature_loss":
        np.testing.assert_array_equal(step, np.zeros(SIZE))
    if name in ("product", "gradient"):
        assert int(report.reason) == _conjugate_gradient.NOT_FINITE


def test_where_the_searches_find_nothing_the_gradient_batch_has_the_last_word():
    matrix, gradient, _ = positive()
    problem = quadratic_problem(matrix, gradient)
    problem = dataclasses.replace(
        problem, curvature_loss_at=lambda step: problem.loss + tf.norm(step))
    step, report = run(problem, np.zeros(SIZE), max_steps=3)
    best = gradient @ gradient / (gradient @ matrix @ gradient)
    np.testing.assert_allclose(step, -best * gradient, rtol=1e-10)
    assert float(report.new_loss) < 3
