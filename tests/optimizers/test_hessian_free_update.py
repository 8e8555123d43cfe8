"""One Hessian-free update: exact on quadratics, sound where it fails, and as its NumPy twin."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from rnnpt.optimizers import _conjugate_gradient
from rnnpt.optimizers._damping import LevenbergMarquardt
from rnnpt.optimizers._hessian_free_update import (
    HessianFreeProblem,
    HessianFreeState,
    hessian_free_update,
)
from tests.reference.hessian_free import LeastSquares, hessian_free

SIZE = 12


def least_squares_update(world: LeastSquares, curvature_rows, held_out_rows, **options):
    """Returns the function of parameters and state that makes an update, with the twin's world."""
    curved = world.rows(slice(curvature_rows))
    judge = world.rows(slice(curvature_rows, curvature_rows + (held_out_rows or 1)))

    def loss_from(theta, world: LeastSquares):
        return lambda step: tf.reduce_mean(
            (tf.tanh(tf.linalg.matvec(world.inputs, theta + step)) - world.targets) ** 2) / 2

    @tf.function
    def compute(theta, state, numbers):
        loss_at, curved_at, judge_at = (
            loss_from(theta, each) for each in (world, curved, judge))
        problem = HessianFreeProblem(
            *numbers[:2], loss_at, *numbers[2:4], curved_at,
            lambda vector, strength: tf.linalg.matvec(numbers[4] + strength * numbers[5], vector),
            held_out_loss_at=judge_at if held_out_rows else None,
            held_out_loss=judge_at(tf.zeros_like(theta)), gradient_squares=numbers[6])
        return hessian_free_update(problem, state, **options)

    def update(theta: np.ndarray, state: HessianFreeState):
        gradients = curved.gradients(theta)
        numbers = (
            world.loss(theta), world.gradients(theta).mean(axis=0), curved.loss(theta),
            gradients.mean(axis=0), curved.matrix(theta), curved.structure(theta),
            (gradients ** 2).mean(axis=0))
        return compute(
            tf.constant(theta), state, [tf.constant(number, tf.float64) for number in numbers])

    return update


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


def run(problem, state, in_graph=False, **options):
    """Returns what the update gives; one that is traced for a single call takes longer."""
    def compute():
        return hessian_free_update(problem, state, **options)

    return tf.function(compute)() if in_graph else compute()


@pytest.mark.parametrize("options", [
    {}, {"structural_damping": 0.4}, {"held_out_rows": 20}, {"exponent": 0.75},
    {"damped_ratio": True, "structural_damping": 0.4}, {"ratio_of_last": True},
    {"ratio_of_last": True, "damped_ratio": True, "held_out_rows": 20},
    {"held_out_rows": 9, "exponent": 1.0, "structural_damping": 0.1, "max_steps": 60}])
def test_updates_are_those_of_the_twin(options):
    # As many sequences as parameters: the curvature batch is fitted too well.
    world = LeastSquares.random(60, SIZE)
    theta = np.random.default_rng(4).standard_normal(SIZE)
    options = {"max_steps": 9, "exponent": 0.0, "held_out_rows": None} | options
    twin = hessian_free(world, theta, damping=0.1, curvature_rows=SIZE, **options)
    rule = LevenbergMarquardt(damped_ratio=options.pop("damped_ratio", False))
    update = least_squares_update(world, SIZE, rule=rule, **options)
    state = start(0.1)
    for expected in itertools.islice(twin, 6):
        step, state, report = update(theta, state)
        theta = theta + step.numpy()
        assert (report.num_steps, report.chosen_step) == (expected.num_steps, expected.chosen_step)
        assert float(report.step_length) == pytest.approx(expected.length)
        assert float(report.ratio) == pytest.approx(
            expected.ratio, rel=1e-6, abs=1e-7, nan_ok=True)
        assert float(state.damping) == pytest.approx(expected.damping, rel=1e-14)
        # Conjugate gradients make much of the rounding, more with each update.
        np.testing.assert_allclose(theta, expected.theta, rtol=0, atol=1e-8)


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
        quadratic_problem(matrix, gradient), start(5.0), tolerance=0.0,
        rule=LevenbergMarquardt(damped_ratio=damped_ratio))
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
    step, state, report = run(problem, start(1.0), in_graph=True)
    np.testing.assert_array_equal(step, np.zeros(SIZE))
    np.testing.assert_array_equal(state.direction, np.zeros(SIZE))
    assert float(report.step_length) == 0 and np.isnan(report.ratio)
    assert float(state.damping) == 1.5


def test_a_step_that_the_line_search_refuses_raises_the_damping_whatever_the_ratio():
    matrix, gradient = positive()
    problem = quadratic_problem(matrix, gradient)
    falling = problem.loss_at
    # The gradient batch rises wherever the curvature batch falls.
    problem = HessianFreeProblem(**{
        **vars(problem), "loss_at": lambda step: 6 - falling(step)})
    step, state, report = run(problem, start(1.0))
    assert float(report.ratio) > 0.75 and float(report.step_length) == 0
    assert float(state.damping) == 1.5
    np.testing.assert_array_equal(step, np.zeros(SIZE))
    np.testing.assert_array_equal(state.direction, np.zeros(SIZE))


def test_the_ratio_is_that_of_the_step_before_the_line_search_and_on_the_curvature_batch():
    matrix, gradient = positive()
    problem = quadratic_problem(matrix, gradient)
    # The gradient batch is so steep that the step is far too long for it.
    steep = quadratic_problem(100 * matrix, gradient)
    problem = HessianFreeProblem(**{**vars(problem), "loss_at": steep.loss_at})
    _, state, report = run(problem, start(0.0), tolerance=0.0)
    assert 0 < float(report.step_length) < 0.1
    assert float(report.ratio) == pytest.approx(1)
    # The next run begins at the whole direction.
    np.testing.assert_allclose(state.direction, np.linalg.solve(matrix, -gradient), rtol=1e-8)


def overshot_problem(matrix: np.ndarray, gradient: np.ndarray) -> HessianFreeProblem:
    """Returns one whose loss falls, and rises a little after two thirds of the quadratic's way."""
    whole = np.linalg.norm(np.linalg.solve(matrix, gradient))

    def loss_at(step: tf.Tensor) -> tf.Tensor:
        length = tf.norm(step) / whole
        return 3 - tf.minimum(length, 0.6 + (0.66 - length) / 50)

    return HessianFreeProblem(**{
        **vars(quadratic_problem(matrix, gradient)), "loss_at": loss_at,
        "curvature_loss_at": loss_at})


def test_the_next_run_begins_at_the_last_iterate_and_not_at_the_chosen_one():
    matrix, gradient = positive()
    solved = np.linalg.solve(matrix, -gradient)
    step, state, report = run(overshot_problem(matrix, gradient), start(0.0), tolerance=0.0)
    assert int(report.chosen_step) < int(report.num_steps)
    np.testing.assert_allclose(state.direction, solved, rtol=1e-6)
    assert np.linalg.norm(step) < 0.9 * np.linalg.norm(solved)


@pytest.mark.parametrize("ratio_of_last", [False, True])
def test_the_ratio_is_that_of_the_step_or_of_the_last_iterate(ratio_of_last):
    matrix, gradient = positive()
    problem = overshot_problem(matrix, gradient)
    solved = np.linalg.solve(matrix, -gradient)
    step, state, report = run(
        problem, start(0.0), tolerance=0.0, ratio_of_last=ratio_of_last)
    assert int(report.chosen_step) < int(report.num_steps)
    judged = solved if ratio_of_last else step.numpy()
    promised = -gradient @ judged - judged @ matrix @ judged / 2
    decrease = 3 - float(problem.loss_at(tf.constant(judged)))
    assert float(report.ratio) == pytest.approx(decrease / promised)


def test_a_last_iterate_that_broke_its_promise_is_left_for_the_step():
    matrix, gradient = positive()
    # Three times as steep as the matrix says: the whole way raises the loss, a part lowers it.
    problem = HessianFreeProblem(**{
        **vars(quadratic_problem(3 * matrix, gradient)),
        "product": lambda vector, _: tf.linalg.matvec(tf.constant(matrix), vector)})
    step, state, report = run(problem, start(0.0), tolerance=0.0, ratio_of_last=True)
    assert float(report.ratio) < 0 < float(report.step_length)
    np.testing.assert_array_equal(state.direction, step)
    _, state, report = run(problem, start(0.0), tolerance=0.0)
    np.testing.assert_allclose(state.direction, np.linalg.solve(matrix, -gradient), rtol=1e-6)


@pytest.mark.parametrize("what", ["loss", "gradient", "curvature_loss", "curvature_gradient"])
def test_what_is_not_finite_rolls_back_and_raises_the_damping(what):
    matrix, gradient = positive()
    problem = quadratic_problem(matrix, gradient)
    problem = HessianFreeProblem(**{
        **vars(problem), what: getattr(problem, what) * tf.constant(np.nan, tf.float64)})
    # Also where the last update has left a direction to begin with.
    warm = start(1.0)._replace(direction=tf.constant(np.linalg.solve(matrix, -gradient)))
    step, state, report = run(problem, warm, in_graph=True)
    assert float(state.damping) == 1.5
    if what.startswith("curvature"):
        assert np.isnan(report.ratio)
    else:
        assert float(report.step_length) == 0
        np.testing.assert_array_equal(step, np.zeros(SIZE))
        np.testing.assert_array_equal(state.direction, np.zeros(SIZE))


def test_a_product_that_is_not_finite_ends_the_run_and_is_told():
    matrix, gradient = positive()
    problem = quadratic_problem(matrix, gradient)
    problem = HessianFreeProblem(**{
        **vars(problem), "product": lambda vector, _: vector * tf.constant(np.nan, tf.float64)})
    step, state, report = run(problem, start(1.0), in_graph=True)
    assert int(report.reason) == _conjugate_gradient.NOT_FINITE
    np.testing.assert_array_equal(step, np.zeros(SIZE))
    assert float(state.damping) == 1.5
