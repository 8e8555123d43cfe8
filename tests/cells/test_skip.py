"""The cell with skip connections against its twin."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells
from tests.cells.random_cell import array, assert_equals_twin, make_frames, with_random_weights
from tests.reference import recurrence


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("num_steps", [2, 4, 9])
def test_the_cell_equals_the_twin(num_steps, activation):
    cell = with_random_weights(
        cells.SkipCell(4, num_steps, activation=activation, dtype="float64"))
    weights = [array(weight) for weight in (
        cell.kernel, cell.recurrent_kernel, cell.skip_kernel, cell.bias)]
    latest_first = np.concatenate([array(state) for state in cell.initial_state])
    past = latest_first.reshape([num_steps, 4])[::-1]
    assert_equals_twin(
        cell, lambda frames: recurrence.skip_cell(*weights, activation, past, frames))


def test_a_gradient_skips_the_steps_between():
    cell = with_random_weights(cells.SkipCell(4, 5, dtype="float64"))
    cell.recurrent_kernel.assign(np.zeros([4, 4]))
    frames = tf.constant(make_frames()[0][:1])
    with tf.GradientTape() as tape:
        tape.watch(frames)
        _, states = cells.unroll(cell, frames, cell.get_initial_state(1))
        last = tf.reduce_sum(states[0])
    reached = np.abs(tape.gradient(last, frames)[0]).max(axis=1) > 0
    # Without the other recurrence, h_6 knows of frame 6 and, five steps before it, of frame 1.
    np.testing.assert_array_equal(reached, [True, False, False, False, False, True])


@pytest.mark.parametrize("num_steps", [1, 0, 2.5])
def test_a_number_of_steps_that_skips_none_is_refused(num_steps):
    with pytest.raises(ValueError, match=f"SkipCell: num_steps must be .* got {num_steps}"):
        cells.SkipCell(4, num_steps)
