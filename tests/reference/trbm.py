"""Float64 twin of the TRBM: filtering and learning frame by frame, its RBMs summed in full."""

import numpy as np

from tests.reference import RBM, all_frames, sigmoid

#: Weights of one model by name: kernel W (V, K), bias b_h and visible_bias b_v; a kernel a lag for
#: visible_kernel W_n (m, V, K), recurrent_kernel W'_n (m, K, K) and autoregressive_kernel A_n
#: (m, V, V), zero where the variant has none; and past_frames (m, V) and past_means (m, K), the
#: latest first.
Weights = dict[str, np.ndarray]


def windows(weights: Weights, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns v_(t-1) .. v_(t-m), (T + 1, m, V), and p_(t-1) .. p_(t-m), (T + 1, m, K): eq. 3.5."""
    visible, hidden = [weights["past_frames"]], [weights["past_means"]]
    for frame in frames:
        mean = sigmoid(frame @ weights["kernel"] + dynamic_bias(weights, visible[-1], hidden[-1]))
        visible.append(np.concatenate([frame[None], visible[-1][:-1]]))
        hidden.append(np.concatenate([mean[None], hidden[-1][:-1]]))
    return np.array(visible), np.array(hidden)


def dynamic_bias(weights: Weights, visible: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Returns B_h of the frame after windows (m, V) and (m, K): eq. 3.2."""
    bias = weights["bias"].copy()
    for n in range(len(visible)):
        bias += visible[n] @ weights["visible_kernel"][n]
        bias += hidden[n] @ weights["recurrent_kernel"][n]
    return bias


def machine(weights: Weights, visible: np.ndarray, hidden: np.ndarray) -> RBM:
    """Returns the RBM of the frame after windows: eqs. 3.1 and 3.2, the p in place of the h."""
    visible_bias = weights["visible_bias"] + sum(
        frame @ kernel for frame, kernel in zip(visible, weights["autoregressive_kernel"]))
    return RBM(weights["kernel"], visible_bias, dynamic_bias(weights, visible, hidden))


def log_prob(weights: Weights, frames: np.ndarray) -> float:
    """Returns the sum of log P(v_t | v and p before t) of one sequence."""
    visible, hidden = windows(weights, frames)
    return sum(machine(weights, visible[t], hidden[t]).log_prob(frame)
               for t, frame in enumerate(frames))


def update(weights: Weights, frames: np.ndarray) -> Weights:
    """Returns eqs. 3.7 to 3.10 summed over the frames, each E_Q2 by summing over every frame.

    The biases and the learned past move likewise: what stands for a frame before the first goes
    with W_n and A_n, what stands for a mean with W'_n.
    """
    visible, hidden = windows(weights, frames)
    every = all_frames(frames.shape[1])
    total = {name: np.zeros_like(value) for name, value in weights.items()}
    for t, frame in enumerate(frames):
        rbm = machine(weights, visible[t], hidden[t])
        chances = rbm.probabilities()
        means = sigmoid(every @ rbm.kernel + rbm.hidden_bias)
        mean = sigmoid(frame @ rbm.kernel + rbm.hidden_bias)  # E_Q1[h_t] = p_t
        total["kernel"] += np.outer(frame, mean) - (every * chances[:, None]).T @ means
        hidden_error, visible_error = mean - chances @ means, frame - chances @ every
        total["bias"] += hidden_error
        total["visible_bias"] += visible_error
        for n in range(len(visible[t])):
            total["visible_kernel"][n] += np.outer(visible[t][n], hidden_error)
            total["recurrent_kernel"][n] += np.outer(hidden[t][n], hidden_error)
            total["autoregressive_kernel"][n] += np.outer(visible[t][n], visible_error)
            if n >= t:  # v_(t-n-1) comes before the first frame
                total["past_frames"][n - t] += (
                    weights["visible_kernel"][n] @ hidden_error
                    + weights["autoregressive_kernel"][n] @ visible_error)
                total["past_means"][n - t] += weights["recurrent_kernel"][n] @ hidden_error
    return total
