"""Float64 NumPy twins of cells, heads and models, written from the papers' equations.

They sum over whatever can be summed and loop over whatever can be looped: slow, plain, exact.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "linear": lambda x: x,
}
sigmoid = ACTIVATIONS["sigmoid"]


def all_frames(num_visible: int) -> np.ndarray:
    """Returns every binary frame, (2^V, V)."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=num_visible)))


def log_sum_exp(values: np.ndarray) -> float:
    """Returns log sum exp of all the values, the largest one taken out."""
    largest = values.max()
    return float(largest + np.log(np.exp(values - largest).sum()))


def simple_cell(
    kernel: np.ndarray, recurrent_kernel: np.ndarray, bias: np.ndarray, activation: str,
    state: np.ndarray, frames: np.ndarray,
) -> np.ndarray:
    """Returns h_0 .. h_T of one sequence (T, V): 2012, the RNN's hidden units; (T + 1, H)."""
    states = [state]
    for frame in frames:
        states.append(ACTIVATIONS[activation](
            frame @ kernel + states[-1] @ recurrent_kernel + bias))
    return np.array(states)


def bernoulli_log_prob(logits: np.ndarray, frame: np.ndarray) -> float:
    """Returns log prod_v p_v^x_v (1 - p_v)^(1 - x_v), p = sigmoid(logits), of one frame."""
    on = sigmoid(logits)
    return float(np.sum(np.log(np.where(frame == 1, on, 1 - on))))


class RBM(NamedTuple):
    """One restricted Boltzmann machine with at most a few units."""

    kernel: np.ndarray
    visible_bias: np.ndarray
    hidden_bias: np.ndarray

    def energies(self, frames: np.ndarray) -> np.ndarray:
        """E(v, h) = -v'b_v - h'b_h - v'W h of each frame with each hidden vector, (N, 2^K)."""
        hidden = all_frames(len(self.hidden_bias))
        return -((frames @ self.visible_bias)[:, None] + hidden @ self.hidden_bias
                 + frames @ self.kernel @ hidden.T)

    def free_energy(self, frame: np.ndarray) -> float:
        """F(v) = -log sum_h exp(-E(v, h)), summed over every hidden vector."""
        return -log_sum_exp(-self.energies(frame[None]))

    def log_partition(self) -> float:
        """Log sum_v sum_h exp(-E(v, h))."""
        return log_sum_exp(-self.energies(all_frames(len(self.visible_bias))))

    def log_prob(self, frame: np.ndarray) -> float:
        """Log P(v)."""
        return -self.free_energy(frame) - self.log_partition()

    def probabilities(self, temperature: float = 1.0) -> np.ndarray:
        """P(v) of every frame where exp(-E / temperature) is what is normalised, (2^V,)."""
        energies = self.energies(all_frames(len(self.visible_bias))) / temperature
        weights = np.exp(-energies - log_sum_exp(-energies))
        return weights.sum(axis=1)

    def energy_gradient(self, frames: np.ndarray) -> np.ndarray:
        """DF/d(W, b_v, b_h) of each frame, flat, (N, VK + V + K)."""
        hidden = sigmoid(self.hidden_bias + frames @ self.kernel)
        outer = frames[:, :, None] * hidden[:, None, :]
        return -np.concatenate([outer.reshape(len(frames), -1), frames, hidden], axis=1)

    def gradient(self, frame: np.ndarray) -> np.ndarray:
        """D(-log P(v))/d(W, b_v, b_h): the exact one, flat."""
        every = self.energy_gradient(all_frames(len(self.visible_bias)))
        return self.energy_gradient(frame[None])[0] - self.probabilities() @ every

    def transition(self, num_steps: int) -> np.ndarray:
        """Chances to go from each frame (rows) to each other in some Gibbs steps, (2^V, 2^V)."""
        frames, hidden = (all_frames(len(bias)) for bias in (self.visible_bias, self.hidden_bias))
        to_hidden = _factorised(sigmoid(frames @ self.kernel + self.hidden_bias), hidden)
        to_visible = _factorised(sigmoid(hidden @ self.kernel.T + self.visible_bias), frames)
        return np.linalg.matrix_power(to_hidden @ to_visible, num_steps)

    def contrastive_divergence(self, frame: np.ndarray, num_steps: int) -> np.ndarray:
        """The expected CD-k gradient, over every end of the chain, flat."""
        frames = all_frames(len(self.visible_bias))
        here = int(np.flatnonzero((frames == frame).all(axis=1))[0])
        every = self.energy_gradient(frames)
        return every[here] - self.transition(num_steps)[here] @ every


def _factorised(on: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Returns the probability of each vector (M, n) under each row of probabilities (N, n)."""
    return np.prod(np.where(vectors[None] == 1, on[:, None], 1 - on[:, None]), axis=2)


def _readout(weights: dict[str, np.ndarray], frames: np.ndarray, activation: str) -> np.ndarray:
    states = simple_cell(
        weights["kernel"], weights["recurrent_kernel"], weights["bias"], activation,
        weights["initial_state"], frames)
    return states[:-1] @ weights["readout_kernel"] + weights["readout_bias"]


def rnn_log_prob(
    weights: dict[str, np.ndarray], frames: np.ndarray, activation: str = "tanh"
) -> np.ndarray:
    """Returns log P(v_t | v_1 .. v_(t-1)) of each frame of one sequence (T, V) under an RNN."""
    parameters = _readout(weights, frames, activation)
    return np.array([bernoulli_log_prob(*pair) for pair in zip(parameters, frames)])


def rnn_rbm_log_prob(
    weights: dict[str, np.ndarray], frames: np.ndarray, activation: str = "tanh"
) -> np.ndarray:
    """Returns the same under an RNN-RBM, its partition functions summed in full."""
    biases = _readout(weights, frames, activation)
    num_visible = frames.shape[1]
    return np.array([
        RBM(weights["rbm_kernel"], bias[:num_visible], bias[num_visible:]).log_prob(frame)
        for bias, frame in zip(biases, frames)])
