"""A deep belief network with a few units, everything summed; the top RBM is the last of a list."""

import numpy as np

from tests.reference import RBM, all_frames, log_sum_exp, sigmoid


def conditional_log_probs(
    vectors: np.ndarray, given: np.ndarray, kernel: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Returns log P of each vector (M, n) where its log-odds are bias + given W, (M,)."""
    on = sigmoid(bias + given @ kernel)
    return np.log(np.where(vectors == 1, on, 1 - on)).sum(axis=-1)


def log_prob(rbms: list[RBM], vector: np.ndarray) -> float:
    """Returns log M(v) = log sum_h P(v|h) Q(h), Q the network above the first RBM."""
    if len(rbms) == 1:
        return rbms[0].log_prob(vector)
    kernel, visible_bias, hidden_bias = rbms[0]
    hidden = all_frames(len(hidden_bias))
    down = conditional_log_probs(vector, hidden, kernel.T, visible_bias)
    return log_sum_exp(down + [log_prob(rbms[1:], each) for each in hidden])


def lower_bound(rbms: list[RBM], vector: np.ndarray) -> float:
    """Returns eq. 2.35 of one frame, its log Q(h) bounded in the same way (after eq. 2.36)."""
    if len(rbms) == 1:
        return rbms[0].log_prob(vector)
    kernel, visible_bias, hidden_bias = rbms[0]
    hidden = all_frames(len(hidden_bias))
    up = conditional_log_probs(hidden, vector, kernel, hidden_bias)
    down = conditional_log_probs(vector, hidden, kernel.T, visible_bias)
    above = np.array([lower_bound(rbms[1:], each) for each in hidden])
    return float(np.exp(up) @ (above + down - up))


def aggregated_posterior(rbm: RBM, frames: np.ndarray) -> np.ndarray:
    """Returns eq. 2.34: the mean of P(h|v) over frames, for each h, (2^K,)."""
    hidden = all_frames(len(rbm.hidden_bias))
    return np.mean([
        np.exp(conditional_log_probs(hidden, frame, rbm.kernel, rbm.hidden_bias))
        for frame in frames], axis=0)
