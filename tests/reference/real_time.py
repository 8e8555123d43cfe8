"""Twin of real-time recurrent learning: Williams and Zipser 1989, one number at a time."""

import numpy as np

from tests.reference import sigmoid


class OnlineRNN:
    """A tanh RNN with a Bernoulli readout that learns by gradient descent after each frame.

    `weights` are kernel, recurrent_kernel, bias, initial state, readout kernel and readout bias.
    """

    def __init__(self, weights: list[np.ndarray], learning_rate: float) -> None:
        self.weights = [weight.copy() for weight in weights]
        self.learning_rate = learning_rate

    def run(self, frames: np.ndarray, lengths: list[int]) -> None:
        """Learns from rows of frames (B, T, V), each to its own length."""
        states = [self.weights[3].copy() for _ in frames]
        sensitivities = [self._begin() for _ in frames]
        for t in range(frames.shape[1]):
            rows = [row for row, length in enumerate(lengths) if t < length]
            gradients = [np.zeros_like(weight) for weight in self.weights]
            for row in rows:
                self._add(gradients, states[row], sensitivities[row], frames[row, t])
            for weight, gradient in zip(self.weights, gradients):
                weight -= self.learning_rate * gradient / len(rows)
            for row in rows:
                states[row], sensitivities[row] = self._advance(
                    states[row], sensitivities[row], frames[row, t])

    def _begin(self) -> list[np.ndarray]:
        units = len(self.weights[3])
        begun = [np.zeros([units, *weight.shape]) for weight in self.weights[:4]]
        begun[3] = np.eye(units)
        return begun

    def _add(self, gradients, state, sensitivity, frame) -> None:
        readout, bias = self.weights[4:]
        error = sigmoid(state @ readout + bias) - frame
        back = readout @ error
        for gradient, parts in zip(gradients, sensitivity):
            for unit, part in enumerate(parts):
                gradient += back[unit] * part
        gradients[4] += np.outer(state, error)
        gradients[5] += error

    def _advance(self, state, sensitivity, frame):
        kernel, recurrent_kernel, bias, _ = self.weights[:4]
        new = np.tanh(frame @ kernel + state @ recurrent_kernel + bias)
        moved = [np.zeros_like(part) for part in sensitivity]
        for unit in range(len(state)):
            for part, past in zip(moved, sensitivity):
                for other in range(len(state)):
                    part[unit] += recurrent_kernel[other, unit] * past[other]
            moved[0][unit][:, unit] += frame
            moved[1][unit][:, unit] += state
            moved[2][unit][unit] += 1
            for part in moved:
                part[unit] *= 1 - new[unit] ** 2
        return new, moved
