"""Hessian-free optimization of a small problem of least squares, with dense matrices."""

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


@dataclasses.dataclass
class LeastSquares:
    """f = mean over rows of (tanh(x theta) - y)^2 / 2; its hidden units are its outputs."""

    inputs: np.ndarray
    targets: np.ndarray

    @classmethod
    def random(cls, num_rows: int, size: int, seed: int = 0) -> "LeastSquares":
        """Returns a problem of badly scaled inputs."""
        rng = np.random.default_rng(seed)
        inputs = rng.standard_normal((num_rows, size)) * np.geomspace(0.3, 1.5, size)
        return cls(inputs, rng.standard_normal(num_rows))

    def rows(self, rows: slice) -> "LeastSquares":
        """Returns the problem of some of the rows."""
        return LeastSquares(self.inputs[rows], self.targets[rows])

    def loss(self, theta: np.ndarray) -> float:
        """Returns f."""
        return np.mean((np.tanh(self.inputs @ theta) - self.targets) ** 2) / 2

    def gradients(self, theta: np.ndarray) -> np.ndarray:
        """Returns the gradient of each row (B, N)."""
        outputs = np.tanh(self.inputs @ theta)
        return ((outputs - self.targets) * (1 - outputs ** 2))[:, np.newaxis] * self.inputs

    def matrix(self, theta: np.ndarray) -> np.ndarray:
        """Returns the Gauss-Newton matrix, of the Jacobian of the outputs."""
        jacobian = (1 - np.tanh(self.inputs @ theta) ** 2)[:, np.newaxis] * self.inputs
        return jacobian.T @ jacobian / len(jacobian)

    def structure(self, theta: np.ndarray) -> np.ndarray:
        """Returns the matrix of structural damping: slopes at the pre-activations."""
        slopes = 1 - np.tanh(self.inputs @ theta) ** 2
        return self.inputs.T @ (slopes[:, np.newaxis] * self.inputs) / len(slopes)


class Update(NamedTuple):
    """What one update came to."""

    theta: np.ndarray
    damping: float
    ratio: float
    num_steps: int
    chosen_step: int
    length: float


def hessian_free(
    problem: LeastSquares,
    theta: np.ndarray,
    *,
    damping: float,
    structural_damping: float = 0.0,
    curvature_rows: int,
    held_out_rows: int | None = None,
    max_steps: int,
    decay: float = 0.95,
    tolerance: float = 5e-4,
    exponent: float = 0.0,
    damped_ratio: bool = False,
    ratio_of_last: bool = False,
) -> Iterator[Update]:
    """Yields the updates of Martens 2010 and Sutskever 2013, section 4.2, one after another."""
    curved = problem.rows(slice(curvature_rows))
    judge = curved if held_out_rows is None else problem.rows(
        slice(curvature_rows, curvature_rows + held_out_rows))
    direction = np.zeros_like(theta)
    while True:
        gradient = problem.gradients(theta).mean(axis=0)
        matrix = curved.matrix(theta)
        damped = matrix + damping * (
            np.eye(len(theta)) + structural_damping * curved.structure(theta))
        squares = (curved.gradients(theta) ** 2).mean(axis=0)

        def loss_of(step: np.ndarray) -> float:
            return judge.loss(theta + step)

        kept, direction = iterates(
            damped, gradient, decay * direction, (squares + damping) ** exponent, loss_of,
            max_steps, tolerance)
        chosen_step, step = walk_back(kept, loss_of)
        judged = direction if ratio_of_last else step
        promised = curved.gradients(theta).mean(axis=0) @ judged + judged @ (
            damped if damped_ratio else matrix) @ judged / 2
        ratio = (curved.loss(theta + judged) - curved.loss(theta)) / promised
        if promised >= 0:
            ratio = math.nan
        length = line_search(problem, theta, step, gradient @ step)
        if length == 0 or not ratio >= 1 / 4:
            damping *= 3 / 2
        elif ratio > 3 / 4:
            damping *= 2 / 3
        if ratio_of_last and not ratio >= 1 / 4:
            direction = length * step
        if length == 0:
            direction = np.zeros_like(theta)
        theta = theta + length * step
        yield Update(theta, damping, ratio, kept[-1][0], chosen_step, length)


def iterates(matrix, gradient, start, scale, loss_of, max_steps, tolerance):
    """Returns the kept iterates of conjugate gradients, each with its step, and the last one."""
    solution, residual = start, matrix @ start + gradient
    direction = -residual / scale
    models, kept, best = [solution @ (residual + gradient) / 2], [], 0.0
    powers = {math.ceil(1.3 ** power) for power in range(99)}
    for step in range(1, max_steps + 1):
        square = residual @ (residual / scale)
        length = square / (direction @ matrix @ direction)
        solution = solution + length * direction
        residual = residual + length * matrix @ direction
        direction = residual @ (residual / scale) / square * direction - residual / scale
        models.append(solution @ (residual + gradient) / 2)
        if step in powers:
            kept.append((step, solution))
            decrease = loss_of(np.zeros_like(solution)) - loss_of(solution)
            if best > 0 and decrease < 0.9 * best:
                break
            best = max(best, decrease)
        look_back = max(10, math.ceil(step / 10))
        if step > look_back and models[-1] < 0 and (
                models[-1] - models[-1 - look_back]) / models[-1] < look_back * tolerance:
            break
    if kept[-1][0] != step:
        kept.append((step, solution))
    return kept, solution


def walk_back(kept, loss_of):
    """Returns step and iterate: backwards while the loss falls, or the best of all."""
    losses = [loss_of(solution) for _, solution in kept]
    chosen = len(kept) - 1
    while chosen and losses[chosen - 1] <= losses[chosen]:
        chosen -= 1
    if losses[chosen] >= loss_of(np.zeros_like(kept[0][1])):
        chosen = int(np.argmin(losses))
    return kept[chosen]


def line_search(problem, theta, step, slope) -> float:
    """Returns the first of 1, 0.8, 0.8^2, ... that lowers the loss enough; 0 for none."""
    for power in range(60):
        length = 0.8 ** power
        promise = 0.01 * min(length * slope, 0)
        if problem.loss(theta + length * step) <= problem.loss(theta) + promise:
            return length
    return 0.0
