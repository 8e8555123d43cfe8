"""The multiplicative cell against its twin, and against the tensor that it factors."""

import numpy as np
import pytest

from rnnpt import cells
from tests.cells.random_cell import (
    NUM_VISIBLE,
    array,
    assert_equals_twin,
    make_frames,
    with_random_weights,
)
from tests.reference import recurrence

UNITS = 4


def test_the_cell_equals_the_equations_of_the_thesis():
    cell = with_random_weights(cells.MRNNCell(UNITS, 5, dtype="float64"))
    matrices = [array(weight).T for weight in (
        cell.kernel, cell.factor_kernel, cell.inward_kernel, cell.outward_kernel)]
    state = array(cell.initial_state[0])
    assert_equals_twin(
        cell, lambda frames: recurrence.mrnn_cell(*matrices, array(cell.bias), state, frames))


def test_with_as_many_factors_as_a_tensor_has_rows_it_equals_any_tensor_cell():
    tensor = with_random_weights(cells.TensorCell(UNITS, dtype="float64"))
    cell = with_random_weights(cells.MRNNCell(UNITS, NUM_VISIBLE * UNITS, dtype="float64"))
    for name in ("kernel", "bias"):
        getattr(cell, name).assign(getattr(tensor, name))
    cell.initial_state[0].assign(tensor.initial_state[0])
    # Factor v H + i is row i of the matrix of unit v: that unit opens it, h(i) drives it.
    cell.factor_kernel.assign(np.repeat(np.eye(NUM_VISIBLE), UNITS, axis=1))
    cell.inward_kernel.assign(np.tile(np.eye(UNITS), NUM_VISIBLE))
    cell.outward_kernel.assign(array(tensor.recurrent_kernels).reshape([-1, UNITS]))
    frames = np.random.default_rng(3).normal(size=make_frames()[0].shape)
    (first, first_state), (second, second_state) = (
        cells.unroll(each, frames, each.get_initial_state(3)) for each in (cell, tensor))
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-10)
    np.testing.assert_allclose(first_state, second_state, rtol=0, atol=1e-10)


@pytest.mark.parametrize("num_factors", [0, -2, 2.5])
def test_a_number_of_factors_that_is_none_is_refused(num_factors):
    with pytest.raises(ValueError, match=f"MRNNCell: num_factors must be .* got {num_factors}"):
        cells.MRNNCell(UNITS, num_factors)


@pytest.mark.parametrize("units", [0, 2.5])
def test_a_number_of_units_that_is_none_is_refused(units):
    with pytest.raises(ValueError, match=f"MRNNCell: every number of units .* got {units}"):
        cells.MRNNCell(units, 3)
