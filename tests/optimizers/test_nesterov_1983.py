"""Nesterov's method of 1983 against its twin, its bounds and what it refuses."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import optimizers
from rnnpt.optimizers.graph_error import plain_errors
from tests.reference.nesterov_1983 import nesterov_1983

pytestmark = pytest.mark.usefixtures("double_precision")

NUM_UPDATES = 100


class Quadratic:
    """(theta - optimum)' curvature (theta - optimum) / 2, with a given spectrum."""

    def __init__(self, condition: float, seed: int, size: int = 20) -> None:
        random = np.random.default_rng(seed)
        basis, _ = np.linalg.qr(random.normal(size=[size, size]))
        self.convexity, self.lipschitz = 0.01, 0.01 * condition
        spectrum = np.geomspace(self.convexity, self.lipschitz, size)
        self.curvature = basis @ np.diag(spectrum) @ basis.T
        self.optimum, self.start = random.normal(size=[2, size])
        self.squared_distance = np.sum((self.start - self.optimum) ** 2)

    def gradient(self, theta: np.ndarray) -> np.ndarray:
        return self.curvature @ (theta - self.optimum)

    def loss(self, theta: np.ndarray) -> float:
        return (theta - self.optimum) @ self.gradient(theta) / 2


class Banana:
    """A curved valley, which is not convex: sum of 5 (theta_(i+1) - theta_i^2)^2 + (1 - theta_i)^2.
    """

    start = np.array([-1.2, 1.0, 0.5, -0.3])

    def gradient(self, theta: np.ndarray) -> np.ndarray:
        gap = theta[1:] - theta[:-1] ** 2
        slope = np.zeros_like(theta)
        slope[1:] = 10 * gap
        slope[:-1] -= 20 * gap * theta[:-1] + 2 * (1 - theta[:-1])
        return slope

    def loss(self, theta):
        # Also of tensors.
        return sum(5 * (theta[i + 1] - theta[i] ** 2) ** 2 + (1 - theta[i]) ** 2 for i in range(3))


def tensor_loss(problem: Quadratic | Banana, theta: tf.Tensor) -> tf.Tensor:
    """Returns the loss in TensorFlow."""
    if isinstance(problem, Banana):
        return problem.loss(theta)
    distance = theta - problem.optimum
    return tf.reduce_sum(distance * tf.linalg.matvec(problem.curvature, distance)) / 2


def descend(problem: Quadratic | Banana, num_updates: int, **kwargs: object):
    """Returns theta after each update (T, N), and the optimizer, whose variables are two."""
    variables = [tf.Variable(problem.start[:2]), tf.Variable(problem.start[2:])]
    optimizer = optimizers.Nesterov1983(**kwargs)
    optimizer.build(variables)
    objective = optimizers.Objective(
        variables, lambda: tensor_loss(problem, tf.concat([*variables], axis=0)))

    @tf.function
    def update() -> tf.Tensor:
        optimizer.minimize(objective)
        return tf.concat([*variables], axis=0)

    return np.array([update() for _ in range(num_updates)]), optimizer


def twin(problem: Quadratic | Banana, rate: float, restart: bool, num_updates: int):
    """Returns theta (T, N) and the rate (T,) after each update of the twin."""
    steps = nesterov_1983(problem.loss, problem.gradient, problem.start, rate, restart)
    thetas, rates = zip(*itertools.islice(steps, num_updates))
    return np.array(thetas), np.array(rates)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("problem", [Quadratic(100, seed=1), Quadratic(1000, seed=2), Banana()],
                         ids=["quadratic", "steep quadratic", "banana"])
def test_the_method_equals_its_twin(problem, restart):
    found, optimizer = descend(problem, NUM_UPDATES, restart=restart, learning_rate=700.0)
    expected, rates = twin(problem, 700.0, restart, NUM_UPDATES)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    assert float(optimizer.learning_rate) == rates[-1] < 700


def test_restarts_change_the_path():
    plain, restarted = (twin(Banana(), 1.0, restart, NUM_UPDATES)[0] for restart in (False, True))
    assert np.abs(plain - restarted).max() > 0.1


def test_the_first_rate_is_the_reciprocal_of_a_lipschitz_coefficient():
    problem, found = Quadratic(100, seed=1), []
    for seed in range(3):
        start, optimizer = [tf.constant(problem.start)], optimizers.Nesterov1983(seed=seed)
        other = start[0] + tf.random.stateless_normal([20], [seed, 1], dtype=tf.float64)
        rate = optimizers.estimate_learning_rate(
            start, [tf.constant(problem.gradient(start[0].numpy()))], [other],
            [tf.constant(problem.gradient(other.numpy()))])
        assert 1 / problem.lipschitz <= rate <= 1 / problem.convexity
        thetas, optimizer = descend(problem, 1, seed=seed)
        rate = float(optimizer.learning_rate)
        # Where the search has begun: a rate between the two, halved till the loss fell enough.
        found.append(rate)
        np.testing.assert_allclose(
            thetas[0], problem.start - rate * problem.gradient(problem.start), rtol=1e-10)
        assert 1 / (2 * problem.lipschitz) <= rate <= 1 / problem.convexity
    assert len(set(found)) == 3
    assert found[0] == float(descend(problem, 1, seed=0)[1].learning_rate)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("condition", [10, 100, 1000])
@pytest.mark.parametrize("seed", range(2))
def test_the_bound_for_convex_functions_holds_at_every_step(condition, seed, restart):
    problem = Quadratic(condition, seed)
    thetas, _ = descend(problem, 200, restart=restart, seed=seed)
    losses = np.array([problem.loss(theta) for theta in thetas])
    bound = 4 * problem.lipschitz * problem.squared_distance / (np.arange(200) + 2) ** 2
    assert (losses <= bound).all()


@pytest.mark.parametrize("condition", [30, 1000])
@pytest.mark.parametrize("seed", range(2))
def test_restarts_reach_the_rate_of_the_best_momentum_within_a_factor_of_one(condition, seed):
    # Eq. 7.15 is met with no step more than it says, and long after the plain method falls short.
    problem, num_updates = Quadratic(condition, seed), int(25 * condition ** 0.5)
    root = (problem.convexity / problem.lipschitz) ** 0.5
    bound = (problem.lipschitz * problem.squared_distance
             * (1 - root) ** np.arange(1, num_updates + 1))
    losses = [
        np.array([problem.loss(theta)
                  for theta in descend(problem, num_updates, restart=restart, seed=seed)[0]])
        for restart in (False, True)]
    assert (losses[1] <= bound).all()
    assert losses[0][-1] > bound[-1]


def test_a_run_goes_on_from_its_variables_bit_for_bit():
    problem = Banana()
    whole, _ = descend(problem, 40, restart=True)
    first, optimizer = descend(problem, 25, restart=True)
    problem.start = first[-1]
    resumed = optimizers.Nesterov1983.from_config(optimizer.get_config())
    variables = [tf.Variable(problem.start[:2]), tf.Variable(problem.start[2:])]
    resumed.build(variables)
    for variable, value in zip(resumed.variables, optimizer.variables, strict=True):
        variable.assign(value)
    objective = optimizers.Objective(
        variables, lambda: problem.loss(tf.concat([*variables], axis=0)))
    update = tf.function(lambda: resumed.minimize(objective))
    for expected in whole[25:]:
        update()
        np.testing.assert_array_equal(np.concatenate([one.numpy() for one in variables]), expected)


def test_a_loss_below_its_rounding_keeps_the_rate():
    # At the optimum of a loss far from 0 nothing can fall any more.
    variable = tf.Variable(np.full([5], 0.3))
    objective = optimizers.Objective(
        [variable], lambda: 1e6 + tf.reduce_sum((variable - 0.1) ** 2))
    optimizer = optimizers.Nesterov1983()
    optimizer.build([variable])
    update = tf.function(lambda: optimizer.minimize(objective))
    for _ in range(60):
        update()
    assert float(optimizer.learning_rate) >= 0.25
    np.testing.assert_allclose(variable, np.full([5], 0.1), atol=1e-4)


@pytest.mark.parametrize("loss, value", [
    (lambda theta: tf.reduce_sum(tf.math.log(theta)), "nan"),
    (lambda theta: tf.reduce_sum(theta) + np.inf, "inf")])
def test_a_loss_that_is_not_finite_stops_in_one_line_and_leaves_theta(loss, value):
    variable = tf.Variable(np.array([-1.0, 2.0]))
    optimizer = optimizers.Nesterov1983(learning_rate=0.1)
    optimizer.build([variable])
    objective = optimizers.Objective([variable], lambda: loss(variable))
    message = f"and loss and gradient be finite.*loss = {value} .*in step 1$"
    with pytest.raises(optimizers.NoProgressError, match=message) as caught:
        with plain_errors():
            tf.function(lambda: optimizer.minimize(objective))()
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(variable, [-1.0, 2.0])


def test_a_rate_that_leads_to_no_number_is_halved():
    # x - log x from 3 with the gradient 2/3: the rates 10 and 5 lead below 0.
    variable = tf.Variable(np.array([3.0]))
    optimizer = optimizers.Nesterov1983(learning_rate=10.0)
    optimizer.build([variable])
    objective = optimizers.Objective(
        [variable], lambda: tf.reduce_sum(variable - tf.math.log(variable)))
    tf.function(lambda: optimizer.minimize(objective))()
    assert float(optimizer.learning_rate) == 2.5
    np.testing.assert_allclose(variable, [3 - 2.5 * 2 / 3])


def test_a_loss_that_is_not_a_function_of_the_weights_is_told():
    variable, calls = tf.Variable(np.array([1.0])), tf.Variable(0.0, dtype=tf.float64)
    optimizer = optimizers.Nesterov1983(learning_rate=0.1, max_halvings=7)
    optimizer.build([variable])

    def rising() -> tf.Tensor:
        return variable[0] + calls.assign_add(1.0)

    message = "must lower the loss.*at most 7 halvings.*got loss = 2 .*in step 1$"
    with pytest.raises(optimizers.NoProgressError, match=message):
        with plain_errors():
            tf.function(lambda: optimizer.minimize(optimizers.Objective([variable], rising)))()


@pytest.mark.parametrize("arguments, message", [
    ({"learning_rate": -0.5}, "learning_rate must be finite and at least 0, got -0.5"),
    ({"learning_rate": np.nan}, "learning_rate must be finite and at least 0, got nan"),
    ({"max_halvings": -1}, "max_halvings must be at least 0, got -1")])
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        optimizers.Nesterov1983(**arguments)


def test_a_constraint_is_refused():
    layer = keras.layers.Dense(1, kernel_constraint="non_neg")
    layer.build([None, 2])
    with pytest.raises(ValueError, match="must have no constraint, got one of .*kernel"):
        optimizers.Nesterov1983().build(layer.trainable_variables)


def test_a_config_makes_an_equal_optimizer():
    optimizer = optimizers.Nesterov1983(True, 0.5, 3, 9, name="method")
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert copy.get_config() == optimizer.get_config() == {
        "restart": True, "learning_rate": 0.5, "seed": 3, "max_halvings": 9, "name": "method"}
