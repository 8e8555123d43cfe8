"""Small smooth losses with their Gauss-Newton matrices, and what second-order methods do to them.

The bases are made by Gram-Schmidt over every vector before, and every matrix is whole.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class CurvedLoss(NamedTuple):
    """The mean loss of one unit over examples, with a penalty on the weights' squares.

    A logistic unit's negative log-likelihood, which is convex, or a tanh unit's squared error,
    which is not.
    """

    inputs: np.ndarray
    targets: np.ndarray
    is_logistic: bool
    penalty: float = 0.05

    def loss(self, weights: np.ndarray) -> float:
        """Returns f."""
        sums = self.inputs @ weights
        losses = (np.log1p(np.exp(sums)) - self.targets * sums if self.is_logistic
                  else 0.5 * (np.tanh(sums) - self.targets) ** 2)
        return float(losses.mean() + 0.5 * self.penalty * weights @ weights)

    def gradient(self, weights: np.ndarray) -> np.ndarray:
        """Returns its gradient."""
        sums = self.inputs @ weights
        slopes = (1 / (1 + np.exp(-sums)) - self.targets if self.is_logistic
                  else (np.tanh(sums) - self.targets) * (1 - np.tanh(sums) ** 2))
        return self.inputs.T @ slopes / len(sums) + self.penalty * weights

    def matrix(self, weights: np.ndarray) -> np.ndarray:
        """Returns J'HJ, for the logistic unit the Hessian."""
        sums = self.inputs @ weights
        on = 1 / (1 + np.exp(-sums))
        curvatures = on * (1 - on) if self.is_logistic else (1 - np.tanh(sums) ** 2) ** 2
        return (self.inputs.T * curvatures) @ self.inputs / len(sums) + self.penalty * np.eye(
            len(weights))

    def minimum(self, weights: np.ndarray, basis: np.ndarray | None = None) -> np.ndarray:
        """Returns the minimum over weights + the span of rows, by Newton's method."""
        basis = np.eye(len(weights)) if basis is None else basis
        for _ in range(30):
            weights = weights - basis.T @ np.linalg.solve(
                basis @ self.matrix(weights) @ basis.T, basis @ self.gradient(weights))
        return weights


def make_loss(is_logistic: bool, size: int = 6) -> tuple[CurvedLoss, np.ndarray]:
    """Returns a loss, and weights to begin with."""
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((20, size)) * np.linspace(0.3, 2, size)
    targets = (rng.random(20) < 0.5).astype(float) * (1 if is_logistic else 1.6) - (
        0 if is_logistic else 0.8)
    return CurvedLoss(inputs, targets, is_logistic), 0.5 * rng.standard_normal(size)


def share_of(phi: Callable[[float], float], promised: float) -> float:
    """Returns how much of a vector to take, phi(0) being the loss without it."""
    zero, first = phi(0.0), phi(1.0)
    ratio = (zero - first) / promised
    share = np.clip(1 / (2 - ratio), 1 / 64, 4) if ratio < 2 else 4.0
    if 0.75 <= share <= 4 / 3:
        return 1.0
    bend, slope, _ = np.polyfit([0, 1, share], [zero, first, phi(share)], 2)
    last = np.clip(-slope / (2 * bend), -16, 16) if bend > 0 else share ** 2
    return float(min([0.0, 1.0, share, last], key=phi))


def augmented_step(
    loss: CurvedLoss, weights: np.ndarray, direction: np.ndarray, num_steps: int
) -> tuple[np.ndarray, list[float]]:
    """Returns the sum over conjugate vectors, its coefficients searched, and their shares."""
    matrix, gradient = loss.matrix(weights), loss.gradient(weights)
    vectors: list[np.ndarray] = []
    # The minimum of the quadratic over the vectors, and the step by the loss itself.
    solution, step, shares = np.zeros_like(weights), np.zeros_like(weights), []
    for index in range(num_steps + 1):
        vector = direction if index == 0 else -(gradient + matrix @ solution)
        for other in vectors:
            vector = vector - other * (other @ matrix @ vector) / (other @ matrix @ other)
        vectors.append(vector)
        best = -vector * (gradient @ vector) / (vector @ matrix @ vector)
        shares.append(share_of(
            lambda share: loss.loss(weights + step + share * best), best @ matrix @ best / 2))
        step, solution = step + shares[-1] * best, solution + best
    return step, shares


def krylov_vectors(
    matrix: np.ndarray, gradient: np.ndarray, direction: np.ndarray, num_vectors: int
) -> np.ndarray:
    """Returns g, G g, .., G^(K-1) g and the direction, each of length 1 (K + 1, N)."""
    vectors = [gradient]
    for _ in range(num_vectors - 1):
        vectors.append(matrix @ vectors[-1])
    return np.array([vector / np.linalg.norm(vector) for vector in [*vectors, direction]])
