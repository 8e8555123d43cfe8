"""Logistic regressions against their definitions."""

import numpy as np
import pytest
import scipy.optimize

from rnnpt.pretraining._logistic_regression import cross_entropy, logistic_regression

PENALTY = 1e-3


def draw(dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """Returns inputs that differ much in size (300, 5), and units of which one never is on."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=[300, 5]) @ rng.normal(size=[5, 5]) * [1, 0.1, 3, 0.01, 1] + 2
    targets = rng.random([300, 3]) < 1 / (1 + np.exp(-inputs[:, [0, 2, 4]])) * [1, 0.3, 0]
    return inputs.astype(dtype), targets.astype(dtype)


def objective(flat: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> float:
    """Returns it, written down."""
    weights = flat.reshape(inputs.shape[1] + 1, -1)
    logits = inputs @ weights[:-1] + weights[-1]
    losses = np.log1p(np.exp(logits)) - targets * logits
    return losses.sum() / len(inputs) + PENALTY * np.square(weights[:-1]).sum() / 2


@pytest.mark.parametrize("num_rows", [1, 300, 1024, 2500])
def test_the_cross_entropy_and_its_slopes(num_rows):
    inputs, targets = (np.resize(each, [num_rows, each.shape[1]]) for each in draw())
    weights = np.random.default_rng(1).normal(size=[6, 3])
    loss, slopes = cross_entropy(weights, inputs, targets)
    penalty = PENALTY * np.square(weights[:-1]).sum() / 2
    np.testing.assert_allclose(loss + penalty, objective(weights.ravel(), inputs, targets))
    slopes[:-1] += PENALTY * weights[:-1]
    expected = scipy.optimize.approx_fprime(weights.ravel(), objective, 1e-7, inputs, targets)
    np.testing.assert_allclose(slopes.ravel(), expected, atol=1e-5)


def test_large_log_odds_do_not_overflow():
    loss, slopes = cross_entropy(
        np.array([[1e4], [0.0]]), np.array([[1.0], [-1.0]]), np.array([[0.0], [0.0]]))
    assert loss == 5000
    np.testing.assert_array_equal(slopes, [[0.5], [0.5]])


def test_it_finds_what_a_slow_minimizer_finds():
    inputs, targets = draw()
    kernel, bias = logistic_regression(inputs, targets, PENALTY, 1000, 1e-15)
    # The bias of a unit that never is on has no end.
    slow = scipy.optimize.minimize(
        objective, np.zeros(12), (inputs, targets[:, :2]), "L-BFGS-B",
        options={"maxiter": 5000, "maxfun": 10 ** 6, "ftol": 1e-15, "gtol": 1e-9}).x.reshape(6, 2)
    np.testing.assert_allclose(kernel[:, :2], slow[:-1], atol=1e-3)
    np.testing.assert_allclose(bias[:2], slow[-1], atol=1e-3)
    assert np.isfinite(kernel).all() and np.isfinite(bias).all() and bias[2] < -5


def test_single_precision_finds_the_same_and_a_tolerance_stops_sooner():
    losses = []
    for dtype, tolerance in (("float64", 1e-15), ("float32", 1e-7), ("float32", 1e-2)):
        inputs, targets = draw(dtype)
        kernel, bias = logistic_regression(inputs, targets, PENALTY, 1000, tolerance)
        losses.append(objective(np.concatenate([kernel, bias[None]]).ravel(), *draw()))
    assert losses[0] - 1e-12 <= losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert losses[1] < losses[2] < 1.05 * losses[0]
