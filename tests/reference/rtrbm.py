"""Float64 twin of the RTRBM: its RBMs summed in full, its gradient written out by hand."""

import numpy as np

from tests.reference import RBM, sigmoid

#: Weights of one model by name: kernel W, recurrent_kernel W', bias b_h, visible_bias b_v,
#: visible_kernel W'' and initial_state r_0.
Weights = dict[str, np.ndarray]


def hidden_means(weights: Weights, frames: np.ndarray) -> np.ndarray:
    """Returns r_0 .. r_T of one sequence (T, V): Sutskever 2013, eq. 3.20; (T + 1, K)."""
    means = [weights["initial_state"]]
    for frame in frames:
        means.append(sigmoid(
            frame @ weights["kernel"] + weights["bias"]
            + means[-1] @ weights["recurrent_kernel"]))
    return np.array(means)


def machine(weights: Weights, mean: np.ndarray) -> RBM:
    """Returns the RBM of the frame that follows hidden means: eq. 3.15, with W'' of 2012."""
    return RBM(
        weights["kernel"], weights["visible_bias"] + mean @ weights["visible_kernel"],
        weights["bias"] + mean @ weights["recurrent_kernel"])


def log_prob(weights: Weights, frames: np.ndarray) -> float:
    """Returns L of eq. 3.21, exact."""
    means = hidden_means(weights, frames)
    return sum(machine(weights, mean).log_prob(frame) for mean, frame in zip(means, frames))


def gradient(weights: Weights, frames: np.ndarray) -> Weights:
    """Returns dL of one sequence: eqs. 3.23 to 3.25, each RBM's part exact in place of CD.

    The thesis prints them with slips that finite differences tell: in eq. 3.23 the RBM's part is
    that of frame t + 1; eq. 3.24 leaves out that W' also sets the RBM's biases, from r_0 on; and
    in the first sum of eq. 3.25 what multiplies v_t is r_t (1 - r_t) dL/dr_t.
    """
    means = hidden_means(weights, frames)
    total = {name: np.zeros_like(value) for name, value in weights.items()}
    num_visible, num_hidden = weights["kernel"].shape
    from_next = np.zeros(num_hidden)  # dL/dr_t, 0 at the end
    for t in range(len(frames), 0, -1):
        before, after, frame = means[t - 1], means[t], frames[t - 1]
        to_recurrence = after * (1 - after) * from_next
        flat = -machine(weights, before).gradient(frame)
        to_kernel, to_visible, to_hidden = np.split(
            flat, [num_visible * num_hidden, num_visible * num_hidden + num_visible])
        total["kernel"] += np.outer(frame, to_recurrence) + to_kernel.reshape(num_visible, -1)
        total["recurrent_kernel"] += np.outer(before, to_recurrence + to_hidden)
        total["bias"] += to_recurrence + to_hidden
        total["visible_bias"] += to_visible
        total["visible_kernel"] += np.outer(before, to_visible)
        from_next = ((to_recurrence + to_hidden) @ weights["recurrent_kernel"].T
                     + to_visible @ weights["visible_kernel"].T)
    total["initial_state"] = from_next
    return total
