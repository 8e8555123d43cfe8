"""L-BFGS: the minimum of a convex loss, and updates that go on from each other."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import optimizers
from rnnpt.optimizers.lbfgs import LBFGSState, lbfgs_update
from tests.optimizers.curved_problem import value_and_gradient_at
from tests.reference.curved import make_loss

LOSS, WEIGHTS = make_loss(is_logistic=True)
SIZE = len(WEIGHTS)


def run(weights, state=None, gradient_at=value_and_gradient_at, **options):
    """Returns what an update gives."""
    state = state or LBFGSState(*[tf.zeros([4, SIZE], tf.float64)] * 2)
    return lbfgs_update(lambda at: gradient_at(LOSS, at), tf.constant(weights), state, **options)


def test_it_finds_the_minimum_of_a_convex_loss():
    found, _, report = run(WEIGHTS, max_iterations=60, tolerance=1e-9)
    expected = LOSS.minimum(WEIGHTS)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert bool(report.converged) and bool(report.has_moved)
    assert float(report.loss) == pytest.approx(LOSS.loss(WEIGHTS))
    assert float(report.new_loss) == pytest.approx(LOSS.loss(expected))
    assert float(report.gradient_norm) == pytest.approx(np.linalg.norm(LOSS.gradient(WEIGHTS)))
    assert 5 < int(report.num_iterations) < 60
    assert int(report.num_evaluations) > int(report.num_iterations)
    # There it stays, and remembers.
    again, state, report = run(found, LBFGSState(*[tf.ones([4, SIZE], tf.float64)] * 2),
                               tolerance=1e-6)
    np.testing.assert_array_equal(again, found)
    assert bool(report.converged) and int(report.num_iterations) == 0
    assert (state.position_deltas.numpy() == 1).all()


def test_two_updates_of_three_iterations_are_one_of_six():
    whole, *_ = run(WEIGHTS, max_iterations=6)
    half, state, _ = run(WEIGHTS, max_iterations=3)
    found, _, report = run(half.numpy(), state, max_iterations=3)
    np.testing.assert_allclose(found, whole, rtol=1e-12)
    assert int(report.num_iterations) == 3


def test_what_is_no_number_moves_nothing_and_is_forgotten():
    def gradient_at(loss, at):
        value, gradient = value_and_gradient_at(loss, at)
        return value, gradient * np.nan

    state = LBFGSState(*[tf.ones([4, SIZE], tf.float64)] * 2)
    found, state, report = run(WEIGHTS, state, gradient_at)
    np.testing.assert_array_equal(found, WEIGHTS)
    assert not bool(report.has_moved) and not bool(report.converged)
    assert not np.any(state.position_deltas) and not np.any(state.gradient_deltas)


def test_a_relative_tolerance_ends_it_early():
    _, _, report = run(WEIGHTS, max_iterations=60, relative_tolerance=0.05)
    _, _, other = run(WEIGHTS, max_iterations=60)
    assert bool(report.converged) and int(report.num_iterations) < int(other.num_iterations)


def test_any_keras_model_trains_and_stays_where_it_has_converged():
    inner = keras.Sequential([
        keras.Input([3]), keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.1))])
    model = optimizers.SecondOrderModel(inner)
    model.compile(optimizers.LBFGS(max_failures=1, tolerance=1e-4), loss="mse")
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((8, 3)), rng.standard_normal((8, 1))
    history = model.fit(inputs, targets, batch_size=8, epochs=4, verbose=0).history
    assert history["converged"] == [1] * 4 and history["lbfgs_iterations"][2:] == [0, 0]
    gram = inputs.T @ inputs / 8 - np.outer(inputs.mean(0), inputs.mean(0)) + 0.1 * np.eye(3)
    expected = np.linalg.solve(
        gram, inputs.T @ targets / 8 - np.outer(inputs.mean(0), targets.mean(0)))
    np.testing.assert_allclose(inner.layers[0].kernel, expected, atol=1e-3)
