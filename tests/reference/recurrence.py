"""Float64 twins of the variations on the simple cell: leaky, multiplicative, tensor, skip."""

import numpy as np

from tests.reference import ACTIVATIONS

Array = np.ndarray


def leaky_cell(
    kernel: Array, recurrent_kernel: Array, bias: Array, leak: Array, state: Array, frames: Array,
) -> Array:
    """Returns h_0 .. h_T of one sequence (T, V), alpha = 1 - leak: Bengio et al. 2012, 3.2."""
    alpha, states = 1 - leak, [state]
    for frame in frames:
        inner = np.tanh(frame @ kernel + states[-1] @ recurrent_kernel + bias)
        states.append(alpha * states[-1] + (1 - alpha) * inner)
    return np.array(states)


def mrnn_cell(
    w_hv: Array, w_fv: Array, w_fh: Array, w_hf: Array, bias: Array, state: Array, frames: Array,
) -> Array:
    """Returns h_0 .. h_T: Sutskever 2013, eqs. 5.5 and 5.6, matrices acting on columns."""
    states = [state]
    for frame in frames:
        factors = np.diag(w_fv @ frame) @ w_fh @ states[-1]
        states.append(np.tanh(w_hf @ factors + w_hv @ frame + bias))
    return np.array(states)


def tensor_cell(w_hv: Array, w_hh: Array, bias: Array, state: Array, frames: Array) -> Array:
    """Returns h_0 .. h_T: Sutskever 2013, eqs. 5.1 and 5.3, w_hh one matrix a visible unit."""
    states = [state]
    for frame in frames:
        recurrent = np.zeros_like(w_hh[0])
        for value, matrix in zip(frame, w_hh):
            recurrent = recurrent + value * matrix
        states.append(np.tanh(w_hv @ frame + recurrent @ states[-1] + bias))
    return np.array(states)


def skip_cell(
    kernel: Array, recurrent_kernel: Array, skip_kernel: Array, bias: Array, activation: str,
    past: Array, frames: Array,
) -> Array:
    """Returns h_0 .. h_T: Sutskever 2013, 2.8.2; `past` is h_(1-d) .. h_0, (d, H)."""
    states, num_steps = list(past), len(past)
    for frame in frames:
        states.append(ACTIVATIONS[activation](
            frame @ kernel + states[-1] @ recurrent_kernel + states[-num_steps] @ skip_kernel
            + bias))
    return np.array(states[num_steps - 1:])
