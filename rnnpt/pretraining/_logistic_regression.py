"""Logistic regressions of many units on the same inputs."""

import numpy as np
import scipy.optimize
from scipy.special import logit

# Rows whose log-odds are computed at once: they stay in the cache.
_ROWS_AT_ONCE = 1024


def logistic_regression(
    inputs: np.ndarray, targets: np.ndarray, penalty: float, max_iterations: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """The kernel and the biases that minimise the cross-entropy, by L-BFGS.

    It minimises over coordinates in which the Hessian at the start, where each unit's probability
    is its mean, is the identity: inputs that differ much in size, as states of a linear autoencoder
    do, then need a third of the iterations.

    Equation: the mean over rows of the cross-entropy + penalty |kernel|^2 / 2.

    Args:
        inputs: (N, H), float32 or float64, in which log-odds are computed.
        targets: (N, V), of the same type.
        penalty: positive.
        max_iterations: it stops after.
        tolerance: it stops where an iteration lowers the objective by less than this share of it.

    Returns:
        (H, V) and (V,), float64.
    """
    mean = inputs.mean(axis=0, dtype=np.float64)
    centered = inputs - mean.astype(inputs.dtype)
    variances, axes = np.linalg.eigh((centered.T @ centered).astype(np.float64) / len(inputs))
    rotated = centered @ axes.astype(inputs.dtype)
    # A unit that never is on has finite log-odds too.
    shares = (targets.sum(axis=0, dtype=np.float64) + 0.5) / (len(targets) + 1)
    curvatures = shares * (1 - shares)
    scales = np.concatenate([
        1 / np.sqrt(np.outer(variances.clip(min=0), curvatures) + penalty),
        curvatures[np.newaxis] ** -0.5])

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = scales * flat.reshape(scales.shape)
        loss, slopes = cross_entropy(weights, rotated, targets)
        slopes[:-1] += penalty * weights[:-1]
        return (loss + penalty * np.square(weights[:-1]).sum() / 2, (scales * slopes).ravel())

    start = np.zeros_like(scales)
    start[-1] = logit(shares) / scales[-1]
    found = scipy.optimize.minimize(
        objective, start.ravel(), method="L-BFGS-B", jac=True,
        options={"maxiter": max_iterations, "ftol": tolerance}).x
    weights = scales * found.reshape(scales.shape)
    kernel = axes @ weights[:-1]
    return kernel, weights[-1] - mean @ kernel


def cross_entropy(
    weights: np.ndarray, inputs: np.ndarray, targets: np.ndarray
) -> tuple[float, np.ndarray]:
    """Its mean over rows, summed over units, and the gradient.

    Args:
        weights: a kernel, and the biases under it (H + 1, V).
        inputs: (N, H).
        targets: (N, V).

    Returns:
        Nats, and slopes of the form of the weights.
    """
    kernel, bias = weights[:-1].astype(inputs.dtype), weights[-1].astype(inputs.dtype)
    loss, slopes = 0.0, np.zeros_like(weights)
    for start in range(0, len(inputs), _ROWS_AT_ONCE):
        rows, expected = (each[start:start + _ROWS_AT_ONCE] for each in (inputs, targets))
        logits = rows @ kernel + bias
        # Of -|z|, which does not overflow: log(1 + e^z) = max(z, 0) + log(1 + e^-|z|).
        small = np.exp(-np.abs(logits))
        losses = np.maximum(logits, 0) + np.log1p(small) - expected * logits
        loss += float(losses.sum(dtype=np.float64))
        errors = np.where(logits >= 0, 1, small) / (1 + small) - expected
        slopes[:-1] += rows.T @ errors
        slopes[-1] += errors.sum(axis=0, dtype=np.float64)
    return loss / len(inputs), slopes / len(inputs)
