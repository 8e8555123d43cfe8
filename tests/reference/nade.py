"""The neural autoregressive distribution estimator, unit after unit."""

from typing import NamedTuple

import numpy as np

from tests import reference


class NADE(NamedTuple):
    """One NADE with at most a few visible units."""

    kernel: np.ndarray
    decoder: np.ndarray
    visible_bias: np.ndarray
    hidden_bias: np.ndarray

    def conditionals(self, frame: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """P(v_i = 1 | v_1 .. v_(i-1)) of each unit, its log-odds over the temperature."""
        chances = []
        for i in range(len(frame)):
            fields = self.hidden_bias.copy()
            for j in range(i):
                fields = fields + frame[j] * self.kernel[j]
            log_odds = self.visible_bias[i] + self.decoder[i] @ reference.sigmoid(fields)
            chances.append(reference.sigmoid(log_odds / temperature))
        return np.array(chances)

    def log_prob(self, frame: np.ndarray, temperature: float = 1.0) -> float:
        """Log P(v), the sum of the logarithms of its conditionals."""
        on = self.conditionals(frame, temperature)
        return float(np.sum(np.log(np.where(frame == 1, on, 1 - on))))

    def probabilities(self, temperature: float = 1.0) -> np.ndarray:
        """P(v) of every frame, (2^V,)."""
        frames = reference.all_frames(len(self.visible_bias))
        return np.exp([self.log_prob(frame, temperature) for frame in frames])

    def mean(self) -> np.ndarray:
        """The expected frame, summed over every frame."""
        return self.probabilities() @ reference.all_frames(len(self.visible_bias))

    def gradient(self, frame: np.ndarray) -> "NADE":
        """D(log P(v))/d(each field), by the chain rule unit after unit."""
        found = NADE(*(np.zeros_like(part) for part in self))
        errors = frame - self.conditionals(frame)
        for i, error in enumerate(errors):
            hidden = reference.sigmoid(self.hidden_bias + frame[:i] @ self.kernel[:i])
            by_fields = error * self.decoder[i] * hidden * (1 - hidden)
            found.visible_bias[i] += error
            found.decoder[i] += error * hidden
            found.hidden_bias[:] += by_fields
            for j in range(i):
                found.kernel[j] += frame[j] * by_fields
        return found


def rnn_nade_log_prob(
    weights: dict[str, np.ndarray], frames: np.ndarray, activation: str = "tanh"
) -> np.ndarray:
    """Returns log P(v_t | v_1 .. v_(t-1)) of each frame of one sequence (T, V)."""
    states = reference.simple_cell(
        weights["kernel"], weights["recurrent_kernel"], weights["bias"], activation,
        weights["initial_state"], frames)
    biases = states[:-1] @ weights["readout_kernel"] + weights["readout_bias"]
    num_visible = frames.shape[1]
    return np.array([
        NADE(weights["nade_kernel"], weights["nade_decoder"], bias[:num_visible],
             bias[num_visible:]).log_prob(frame)
        for bias, frame in zip(biases, frames)])
