"""Twins of the momentum methods, in the thesis' own variables: theta and v."""

from collections.abc import Callable, Iterator

import numpy as np

Gradient = Callable[[np.ndarray], np.ndarray]
Series = Callable[[int], float]


def momentum(
    gradient: Gradient, start: np.ndarray, rate: Series, momentum: Series
) -> Iterator[np.ndarray]:
    """Yields theta_1, theta_2, ... of classical momentum (Sutskever 2013, eqs. 7.1 and 7.2)."""
    theta, v, t = start, np.zeros_like(start), 0
    while True:
        v = momentum(t) * v - rate(t) * gradient(theta)
        theta = theta + v
        yield theta
        t += 1


def nesterov(
    gradient: Gradient, start: np.ndarray, rate: Series, momentum: Series
) -> Iterator[np.ndarray]:
    """Yields theta_1, theta_2, ... of the accelerated gradient (eqs. 7.12 and 7.13)."""
    theta, v, t = start, np.zeros_like(start), 0
    while True:
        v = momentum(t) * v - rate(t) * gradient(theta + momentum(t) * v)
        theta = theta + v
        yield theta
        t += 1


def simplified_nesterov(
    gradient: Gradient, start: np.ndarray, rate: Series, momentum: Series
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields Theta and v by eqs. 6 and 7 of Bengio, Boulanger-Lewandowski and Pascanu 2012."""
    theta, v, t = start, np.zeros_like(start), 1
    while True:
        slope = gradient(theta)
        theta = (theta + momentum(t) * momentum(t - 1) * v
                 - (1 + momentum(t)) * rate(t - 1) * slope)
        v = momentum(t - 1) * v - rate(t - 1) * slope
        yield theta, v
        t += 1


def nesterov_1983_momentum(num_steps: int) -> list[float]:
    """Returns mu_0, mu_1, ... of eqs. 7.5 and 7.8."""
    a, found = 1.0, []
    for _ in range(num_steps):
        following = (1 + np.sqrt(4 * a ** 2 + 1)) / 2
        found.append((a - 1) / following)
        a = following
    return found


def clip(gradients: list[np.ndarray], threshold: float) -> list[np.ndarray]:
    """Returns gradients whose common norm is at most the threshold."""
    norm = np.sqrt(sum((gradient ** 2).sum() for gradient in gradients))
    return [gradient * min(1.0, threshold / norm) for gradient in gradients]
