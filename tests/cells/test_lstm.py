"""The thesis' LSTM against its twin, and what its forget gates start with."""

import numpy as np
import pytest

from rnnpt import cells
from tests.cells.random_cell import array, assert_equals_twin, with_random_weights
from tests.reference import lstm

UNITS, NUM_MEMORY = 4, 2
GATES = ["ig", "o", "f", "i"]


def twin_weights(cell: cells.LSTMCell) -> lstm.Weights:
    """Returns the weights of a cell under their names in the thesis."""
    kernel, bias = array(cell.kernel), array(cell.bias)
    recurrent_kernel, gate_kernel = array(cell.recurrent_kernel), array(cell.gate_kernel)
    weights = {
        "hv": kernel[:, :UNITS].T, "b_h": bias[:UNITS],
        "hh": recurrent_kernel[:UNITS].T, "hm": recurrent_kernel[UNITS:].T}
    for i, name in enumerate(GATES):
        columns = slice(NUM_MEMORY * i, NUM_MEMORY * (i + 1))
        weights |= {
            f"{name}v": kernel[:, UNITS:][:, columns].T, f"b_{name}": bias[UNITS:][columns],
            f"{name}h": gate_kernel[:UNITS, columns].T, f"{name}m": gate_kernel[UNITS:, columns].T}
    return weights


def test_the_cell_equals_the_equations_of_the_thesis():
    cell = with_random_weights(cells.LSTMCell(UNITS, NUM_MEMORY, dtype="float64"))
    output, memory = map(array, cell.initial_state)
    assert_equals_twin(cell, lambda frames: lstm.lstm_cell(
        twin_weights(cell), output[:UNITS], memory, output[UNITS:], frames))


def test_a_new_cell_keeps_what_its_memory_holds():
    cell = cells.LSTMCell(
        UNITS, NUM_MEMORY, kernel_initializer="zeros", gate_kernel_initializer="zeros",
        dtype="float64")
    cell.build((None, 3))
    states = [np.zeros([1, UNITS + NUM_MEMORY]), np.array([[1.0, -2.0]])]
    _, (_, memory) = cells.unroll(cell, np.zeros([1, 20, 3]), states)
    # Nothing comes in through the gates' zero inputs; a forget gate is sigmoid(5).
    np.testing.assert_allclose(memory, states[1] * (1 + np.exp(-5.0)) ** -20, rtol=1e-10)


def test_only_the_forget_gates_start_with_a_bias():
    cell = cells.LSTMCell(UNITS, NUM_MEMORY, forget_bias=3.0)
    cell.build((None, 3))
    gates = array(cell.bias)[UNITS:].reshape([4, NUM_MEMORY])
    np.testing.assert_array_equal(array(cell.bias)[:UNITS], 0)
    np.testing.assert_array_equal(gates, [[3.0, 3.0] if name == "f" else [0, 0] for name in GATES])


def test_there_are_as_many_memory_units_as_hidden_ones_by_default():
    cell = cells.LSTMCell(UNITS)
    assert cell.get_config()["num_memory"] == UNITS and cell.output_size == 2 * UNITS


@pytest.mark.parametrize("units, num_memory, value", [(0, 3, 0), (-1, 3, -1), (3, 0, 0)])
def test_a_number_of_units_that_is_none_is_refused(units, num_memory, value):
    with pytest.raises(ValueError, match=f"LSTMCell: every number of units .* got {value}"):
        cells.LSTMCell(units, num_memory)


def test_a_forget_bias_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="LSTMCell: forget_bias must be .* got inf"):
        cells.LSTMCell(3, forget_bias=float("inf"))
