"""Float64 twin of a Gaussian RBM: its hidden units summed over, its visible ones integrated out."""

import math
from typing import NamedTuple

import numpy as np

from tests.reference import all_frames, log_sum_exp, sigmoid


class GaussianRBM(NamedTuple):
    """One RBM of real frames with at most a few hidden units: Sutskever 2013, eq. 2.33."""

    kernel: np.ndarray
    visible_bias: np.ndarray
    hidden_bias: np.ndarray
    stddev: float

    def free_energy(self, frame: np.ndarray) -> float:
        """F(v) = -log sum_h exp(-E(v, h)), summed over every hidden vector."""
        hidden = all_frames(len(self.hidden_bias))
        energies = (frame @ frame / (2 * self.stddev ** 2) - frame @ self.visible_bias
                    - hidden @ self.hidden_bias - hidden @ self.kernel.T @ frame)
        return -log_sum_exp(-energies)

    def means(self) -> np.ndarray:
        """The mean of v given each hidden vector, (2^K, V)."""
        hidden = all_frames(len(self.hidden_bias))
        return self.stddev ** 2 * (self.visible_bias + hidden @ self.kernel.T)

    def log_weights(self) -> np.ndarray:
        """Log of the integral over v of exp(-E(v, h)), for each hidden vector, (2^K,)."""
        variance = self.stddev ** 2
        return (all_frames(len(self.hidden_bias)) @ self.hidden_bias
                + len(self.visible_bias) / 2 * math.log(2 * math.pi * variance)
                + np.sum(self.means() ** 2, axis=1) / (2 * variance))

    def log_partition(self) -> float:
        """Log of the integral over v of the sum over h of exp(-E(v, h))."""
        return log_sum_exp(self.log_weights())

    def probabilities(self) -> np.ndarray:
        """P(h) of every hidden vector: the weights of the mixture of normals that v has."""
        return np.exp(self.log_weights() - self.log_partition())

    def at_temperature(self, temperature: float) -> "GaussianRBM":
        """The RBM whose energy is this one's divided by a temperature."""
        return GaussianRBM(
            self.kernel / temperature, self.visible_bias / temperature,
            self.hidden_bias / temperature, self.stddev * math.sqrt(temperature))

    def gradient(self, frame: np.ndarray) -> np.ndarray:
        """D(-log P(v))/d(W, b_v, b_h): the exact one, flat."""
        hidden, means, chances = (
            all_frames(len(self.hidden_bias)), self.means(), self.probabilities())
        on = sigmoid(self.hidden_bias + frame @ self.kernel)
        outer = (means * chances[:, None]).T @ hidden
        return np.concatenate([
            np.ravel(outer - np.outer(frame, on)), chances @ means - frame, chances @ hidden - on])

    def mean_field_gradient(self, frame: np.ndarray) -> np.ndarray:
        """The same, the mean of v given h in place of v in the model's part."""
        means, chances = self.means(), self.probabilities()
        on = sigmoid(self.hidden_bias + frame @ self.kernel)
        model_on = sigmoid(self.hidden_bias + means @ self.kernel)
        outer = (means * chances[:, None]).T @ model_on
        return np.concatenate([
            np.ravel(outer - np.outer(frame, on)), chances @ means - frame,
            chances @ model_on - on])
