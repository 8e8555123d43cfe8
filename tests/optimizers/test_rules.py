"""The update rules and the optimizers made of them against twins in float64."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpt import optimizers, schedules
from tests.reference import momentum as twins

pytestmark = pytest.mark.usefixtures("double_precision")

NUM_UPDATES = 100
RATE = schedules.Piecewise([10, 40, 70], [0.02, 0.05, 0.01, 0.03])
MOMENTUM = schedules.Capped(schedules.NesterovMomentum(), 0.95)


def series(schedule: schedules.StepSchedule) -> twins.Series:
    return lambda step: float(schedule(step))


class Quadratic:
    """(theta - optimum)' curvature (theta - optimum) / 2, with a given spectrum."""

    def __init__(self, spectrum: np.ndarray, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        basis, _ = np.linalg.qr(random.normal(size=[len(spectrum)] * 2))
        self.curvature = basis @ np.diag(spectrum) @ basis.T
        self.optimum, self.start = random.normal(size=[2, len(spectrum)])

    def value(self, theta: np.ndarray) -> float:
        return (theta - self.optimum) @ self.curvature @ (theta - self.optimum) / 2

    def gradient(self, theta: np.ndarray) -> np.ndarray:
        return (theta - self.optimum) @ self.curvature


def walk(
    optimizer: keras.optimizers.Optimizer, problem: Quadratic, num_updates: int = NUM_UPDATES
) -> np.ndarray:
    """Returns what the variable holds after each update, (num_updates, D)."""
    variable = keras.Variable(problem.start)
    optimizer.build([variable])

    @tf.function
    def update() -> tf.Tensor:
        gradient = tf.linalg.matvec(problem.curvature, variable.value - problem.optimum)
        optimizer.apply([gradient], [variable])
        return tf.identity(variable.value)

    return np.stack([update() for _ in range(num_updates)])


def take(twin: object, num_updates: int = NUM_UPDATES) -> list:
    return list(itertools.islice(twin, num_updates))


PROBLEM = Quadratic(np.array([0.01, 0.1, 1.0, 10.0]))


def test_momentum_is_its_twin_with_varying_rate_and_momentum():
    expected = take(twins.momentum(
        PROBLEM.gradient, PROBLEM.start, series(RATE), series(MOMENTUM)))
    found = walk(optimizers.Momentum(RATE, MOMENTUM), PROBLEM)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_simplified_nesterov_is_its_twin_with_varying_rate_and_momentum():
    expected = take(twins.simplified_nesterov(
        PROBLEM.gradient, PROBLEM.start, series(RATE), series(MOMENTUM)))
    found = walk(optimizers.SimplifiedNesterov(RATE, MOMENTUM), PROBLEM)
    np.testing.assert_allclose(found, [theta for theta, _ in expected], atol=1e-10)


def test_nesterov_holds_the_point_ahead_and_steps_back_to_its_twin_after_any_update():
    expected = take(twins.nesterov(
        PROBLEM.gradient, PROBLEM.start, series(RATE), series(MOMENTUM)))
    velocities = np.diff([PROBLEM.start, *expected], axis=0)
    ahead = np.array([series(MOMENTUM)(step + 1) for step in range(NUM_UPDATES)])
    optimizer = optimizers.Nesterov(RATE, MOMENTUM)
    variable = keras.Variable(PROBLEM.start)
    optimizer.build([variable])
    apply = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    for step in range(NUM_UPDATES):
        apply(PROBLEM.gradient(np.array(variable.value)))
        point = expected[step] + ahead[step] * velocities[step]
        np.testing.assert_allclose(variable.value, point, atol=1e-10)
        if step % 3:
            optimizer.step_back()
            np.testing.assert_allclose(variable.value, expected[step], atol=1e-10)
            optimizer.step_ahead()


def test_simplified_nesterov_is_nesterov_at_the_point_ahead_step_by_step():
    np.testing.assert_allclose(
        walk(optimizers.SimplifiedNesterov(RATE, MOMENTUM), PROBLEM),
        walk(optimizers.Nesterov(RATE, MOMENTUM), PROBLEM), atol=1e-10)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2 ** 31), rates=st.lists(st.floats(0, 1), min_size=2, max_size=12),
    momenta=st.lists(st.floats(0, 0.999), min_size=13, max_size=13))
def test_the_simplified_form_is_nesterov_whatever_the_momenta_and_gradients(seed, rates, momenta):
    random = np.random.default_rng(seed)
    theta, v = random.normal(size=[2, 5])
    point, velocity = theta + momenta[0] * v, v
    simple, simple_velocity = point, v
    for step, rate in enumerate(rates):
        gradient = random.normal(size=5)
        point, velocity = optimizers.nesterov_update(
            point, velocity, gradient, rate, momenta[step], momenta[step + 1])
        simple, simple_velocity = optimizers.simplified_nesterov_update(
            simple, simple_velocity, gradient, rate, momenta[step], momenta[step + 1])
        theta, v = optimizers.momentum_update(theta, v, gradient, rate, momenta[step])
        np.testing.assert_allclose(simple, point, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(point - momenta[step + 1] * velocity, theta, atol=1e-10)
        np.testing.assert_allclose(simple_velocity, v, atol=1e-10)


def test_constant_momentum_is_that_of_keras():
    np.testing.assert_allclose(
        walk(optimizers.Momentum(0.02, 0.9), PROBLEM),
        walk(keras.optimizers.SGD(0.02, momentum=0.9), PROBLEM), atol=1e-10)


def test_keras_nesterov_walks_the_points_ahead_of_ours():
    # Keras' form of it, too, commits to the point ahead, with a momentum that does not change.
    np.testing.assert_allclose(
        walk(optimizers.Nesterov(0.02, 0.9), PROBLEM),
        walk(keras.optimizers.SGD(0.02, momentum=0.9, nesterov=True), PROBLEM), atol=1e-10)


SPECTRA = st.lists(st.floats(-5, 0), min_size=1, max_size=8).map(
    lambda exponents: 10.0 ** np.array([0.0, *exponents]))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(spectrum=SPECTRA, scale=st.floats(0.01, 100), seed=st.integers(0, 2 ** 31))
def test_nesterov_keeps_its_bound_on_strongly_convex_quadratics(spectrum, scale, seed):
    # Eq. 7.14 with rate 1/L, t from 0: theta_t comes after t + 1 updates. The momentum is that of
    # eqs. 7.5 and 7.8, whose mu_0 enters at the second update, as the first one has no velocity;
    # and the thesis' approximation of it, 1 - 3 / (step + 5), which satisfies what the proof asks
    # of a_t, a_(t+1)^2 - a_(t+1) <= a_t^2, and begins higher, for which quadratics leave room.
    problem = Quadratic(scale * spectrum, seed)
    distance = ((problem.start - problem.optimum) ** 2).sum()
    exact = [0.0, *twins.nesterov_1983_momentum(200)]
    for momentum in (exact.__getitem__, lambda step: 1 - 3 / (step + 5)):
        path = take(twins.nesterov(
            problem.gradient, problem.start, lambda step: 1 / scale, momentum), 200)
        for t, theta in enumerate(path):
            assert problem.value(theta) <= 4 * scale * distance / (t + 2) ** 2


def test_the_optimizer_keeps_the_bound_where_plain_descent_breaks_it():
    problem = Quadratic(np.array([1.0, 1e-4]), seed=2)
    distance = ((problem.start - problem.optimum) ** 2).sum()
    bound = 4 * distance / (np.arange(400) + 2) ** 2
    optimizer = optimizers.Nesterov(1.0, schedules.NesterovMomentum())
    variable = keras.Variable(problem.start)
    optimizer.build([variable])
    apply = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    for t in range(400):
        apply(problem.gradient(np.array(variable.value)))
        optimizer.step_back()
        assert problem.value(np.array(variable.value)) <= bound[t]
        optimizer.step_ahead()
    descent = walk(keras.optimizers.SGD(1.0), problem, 400)
    assert problem.value(descent[-1]) > bound[-1]


@pytest.mark.parametrize("make, twin", [
    (optimizers.Momentum, twins.momentum), (optimizers.Nesterov, twins.nesterov)])
def test_gradients_are_clipped_to_their_global_norm_as_in_the_twin(make, twin):
    problem = Quadratic(np.array([0.5, 1.0, 2.0, 60.0]), seed=3)
    start = 3 * problem.start

    def gradient(theta: np.ndarray) -> np.ndarray:
        parts = np.split(problem.gradient(theta), [1])
        return np.concatenate(twins.clip(parts, 15.0))

    expected = take(twin(gradient, start, series(RATE), series(MOMENTUM)), 30)
    optimizer = make(RATE, MOMENTUM, global_clipnorm=15.0)
    variables = [keras.Variable(part) for part in np.split(start, [1])]
    optimizer.build(variables)
    norms = []
    for theta in expected:
        point = np.concatenate([np.array(variable.value) for variable in variables])
        norms.append(np.linalg.norm(problem.gradient(point)))
        optimizer.apply(np.split(problem.gradient(point), [1]), variables)
        if make is optimizers.Nesterov:
            optimizer.step_back()
        found = np.concatenate([np.array(variable.value) for variable in variables])
        np.testing.assert_allclose(found, theta, atol=1e-10)
        if make is optimizers.Nesterov:
            optimizer.step_ahead()
    # Some of the gradients are clipped, and some are not.
    assert min(norms) < 15 < max(norms)


def test_weights_decay_where_the_variables_are():
    variable = keras.Variable([2.0, -1.0], dtype="float64")
    decay, rate, momentum = 0.1, 0.5, 0.8
    optimizer = optimizers.Nesterov(rate, momentum, weight_decay=decay)
    point, velocity = np.array([2.0, -1.0]), np.zeros(2)
    for gradient in ([1.0, 0.5], [-0.2, 0.3], [0.1, 0.1]):
        optimizer.apply([tf.constant(gradient, tf.float64)], [variable])
        new = momentum * velocity - rate * np.array(gradient)
        ahead = 0.0 if not velocity.any() else momentum
        theta = point * (1 - rate * decay) - ahead * velocity + new
        point, velocity = theta + momentum * new, new
        np.testing.assert_allclose(variable.value, point, atol=1e-10)


def test_accumulated_gradients_make_one_step_of_their_mean():
    variable, other = (keras.Variable(PROBLEM.start) for _ in range(2))
    schedule = schedules.Piecewise([2, 4], [0.5, 0.8, 0.9])
    slow = schedules.Piecewise([4, 8], [0.5, 0.8, 0.9])
    once = optimizers.Nesterov(0.02, schedule)
    often = optimizers.Nesterov(0.02, slow, gradient_accumulation_steps=2)
    random = np.random.default_rng(0)
    for step in range(6):
        first, second = random.normal(size=[2, 4])
        once.apply([(first + second) / 2], [variable])
        often.apply([tf.constant(first)], [other])
        # In the middle of an accumulation, too.
        often.step_back()
        often.step_ahead()
        often.apply([tf.constant(second)], [other])
        np.testing.assert_allclose(other.value, variable.value, atol=1e-10)


@pytest.mark.parametrize("make", [
    optimizers.Momentum, optimizers.Nesterov, optimizers.SimplifiedNesterov])
@pytest.mark.parametrize("momentum, error, message", [
    (1.0, ValueError, r"momentum must be in \[0, 1\), got 1.0"),
    (-0.1, ValueError, r"momentum must be in \[0, 1\), got -0.1"),
    (float("nan"), ValueError, r"momentum must be in \[0, 1\), got nan"),
    (schedules.Piecewise([5], [0.9, 1.0]), ValueError,
     r"momentum must be in \[0, 1\), got from 0.9 to 1.0"),
    (schedules.FinalPhase(schedules.Doubling(0.3), 9, cap=0.99), ValueError,
     r"momentum must be in \[0, 1\), got from 0.3 to 4.8"),
    (keras.optimizers.schedules.PolynomialDecay(0.5, 50, 1.5), ValueError,
     r"momentum must be in \[0, 1\), got from 0.5 to 1.5"),
    ("much", TypeError, "momentum must be a number or a Keras schedule, got 'much'")])
def test_a_momentum_outside_its_range_is_refused(make, momentum, error, message):
    with pytest.raises(error, match=f"{make.__name__}: {message}"):
        make(0.1, momentum)
