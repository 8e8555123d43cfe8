"""Twins of the reservoir and of its readout."""

import numpy as np


def states(
    kernel: np.ndarray, recurrent_kernel: np.ndarray, integration: np.ndarray, state: np.ndarray,
    frames: np.ndarray,
) -> np.ndarray:
    """Returns h_0 .. h_T of one sequence (T, V): Sutskever 2013, eq. 2.45, an alpha a unit."""
    visited = [state]
    for frame in frames:
        new = np.tanh(visited[-1] @ recurrent_kernel + frame @ kernel)
        visited.append(integration * visited[-1] + (1 - integration) * new)
    return np.array(visited)


def ridge_regression(
    inputs: np.ndarray, targets: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns kernel and bias: plain least squares, of centred rows and of one row a weight."""
    num_inputs, mean, target_mean = inputs.shape[1], inputs.mean(axis=0), targets.mean(axis=0)
    rows = np.concatenate([inputs - mean, np.sqrt(ridge) * np.eye(num_inputs)])
    wanted = np.concatenate([targets - target_mean, np.zeros([num_inputs, targets.shape[1]])])
    kernel = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    return kernel, target_mean - mean @ kernel


def clipped_probabilities(
    linear: np.ndarray, num_on: np.ndarray, num_frames: int, margin: float
) -> np.ndarray:
    """Returns probabilities no less than a share of how often a unit is on, and off."""
    base_rate = (num_on + 0.5) / (num_frames + 1)
    return np.minimum(np.maximum(linear, margin * base_rate), 1 - margin * (1 - base_rate))
