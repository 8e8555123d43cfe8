"""Float64 twin of the thesis' LSTM, one matrix and one loop step for each of its terms."""

import numpy as np

from tests.reference import sigmoid

#: The matrices by their names in the thesis, such as "igh" for W_igh, acting on columns; and the
#: biases "b_h", "b_ig", "b_i", "b_o" and "b_f", of which the thesis writes the last alone.
Weights = dict[str, np.ndarray]


def lstm_cell(
    weights: Weights, hidden: np.ndarray, memory: np.ndarray, available: np.ndarray,
    frames: np.ndarray,
) -> np.ndarray:
    """Returns [h_t, m~_t] for t = 0 .. T of one sequence (T, V): Sutskever 2013, 2.37 to 2.43."""
    outputs = [np.concatenate([hidden, available])]
    for frame in frames:
        hidden = np.tanh(_sum(weights, "h", hidden, frame, available))
        input_gate = sigmoid(_sum(weights, "ig", hidden, frame, available))
        inputs = np.tanh(_sum(weights, "i", hidden, frame, available))
        output_gate = sigmoid(_sum(weights, "o", hidden, frame, available))
        forget_gate = sigmoid(_sum(weights, "f", hidden, frame, available))
        memory = memory * forget_gate + inputs * input_gate
        available = memory * output_gate
        outputs.append(np.concatenate([hidden, available]))
    return np.array(outputs)


def _sum(
    weights: Weights, name: str, hidden: np.ndarray, frame: np.ndarray, available: np.ndarray
) -> np.ndarray:
    return (weights[f"{name}h"] @ hidden + weights[f"{name}v"] @ frame
            + weights[f"{name}m"] @ available + weights[f"b_{name}"])
