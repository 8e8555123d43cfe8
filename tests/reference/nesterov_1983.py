"""A twin of Nesterov's method of 1983, in the thesis' own variables."""

from collections.abc import Callable, Iterator

import numpy as np


def nesterov_1983(
    f: Callable[[np.ndarray], float],
    gradient: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    rate: float,
    restart: bool = False,
) -> Iterator[tuple[np.ndarray, float]]:
    """Yields theta_t and epsilon_t, t = 0, 1, ... (Sutskever 2013, eqs. 7.3 to 7.6; i from 0)."""
    y, a, theta, last = start, 1.0, start, np.inf
    while True:
        slope = gradient(y)
        # As close to equality as the rounding of f allows.
        rounding = 8 * np.finfo(np.float64).eps * abs(f(y))
        while f(y) - f(y - rate * slope) + rounding < rate * slope @ slope / 2:
            rate /= 2
        previous, theta = theta, y - rate * slope
        yield theta, rate
        next_a = (1 + np.sqrt(4 * a ** 2 + 1)) / 2
        y = theta + (a - 1) * (theta - previous) / next_a
        a = next_a
        if restart:
            if f(theta) > last:
                y, a = theta, 1.0
            last = f(theta) if a > 1 else np.inf
