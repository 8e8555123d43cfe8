"""The tensor cell against its twin."""

import numpy as np
import pytest

from rnnpt import cells
from tests.cells.random_cell import array, assert_equals_twin, with_random_weights
from tests.reference import recurrence


def test_the_cell_equals_the_equations_of_the_thesis():
    cell = with_random_weights(cells.TensorCell(4, dtype="float64"))
    weights = [array(cell.kernel).T, array(cell.recurrent_kernels).swapaxes(1, 2),
               array(cell.bias), array(cell.initial_state[0])]
    assert_equals_twin(cell, lambda frames: recurrence.tensor_cell(*weights, frames))


def test_the_matrix_of_a_chord_of_four_starts_with_a_spectral_radius_around_one():
    cell = cells.TensorCell(100)
    cell.build((None, 4))
    radius = np.abs(np.linalg.eigvals(array(cell.recurrent_kernels).sum(axis=0))).max()
    # 10,000 normal numbers: the circular law is within some H^-1/2 of its limit.
    assert 0.8 < radius < 1.2


@pytest.mark.parametrize("units", [0, 2.5])
def test_a_number_of_units_that_is_none_is_refused(units):
    with pytest.raises(ValueError, match=f"TensorCell: every number of units .* got {units}"):
        cells.TensorCell(units)
