"""Twin of the Gaussian head: densities of independent real units."""

import numpy as np


def variance(raw: np.ndarray, minimum_std: float) -> np.ndarray:
    """Returns what a learned parameter stands for: the floor's square and an exponential."""
    return minimum_std ** 2 + np.exp(raw)


def density(
    mean: np.ndarray, frame: np.ndarray, variances: np.ndarray | float = 1.0
) -> np.ndarray:
    """Returns prod_v exp(-(x_v - m_v)^2 / (2 s_v)) / sqrt(2 pi s_v) of frames (..., V)."""
    variances = np.broadcast_to(variances, np.shape(mean))
    each = np.exp(-(frame - mean) ** 2 / (2 * variances)) / np.sqrt(2 * np.pi * variances)
    return np.prod(each, axis=-1)
