"""Cells with random weights, and sequences of several lengths to run them over."""

from collections.abc import Callable

import keras
import numpy as np

from rnnpt import cells

LENGTHS = [6, 2, 0]
NUM_VISIBLE = 3


def with_random_weights(cell: cells.Cell, num_visible: int = NUM_VISIBLE) -> cells.Cell:
    """Returns the cell, built, with every trainable weight at random, the initial states too."""
    cell.build((None, num_visible))
    random = np.random.default_rng(1)
    for variable in cell.trainable_variables:
        variable.assign(random.normal(size=variable.shape) * 0.5)
    return cell


def make_frames(num_visible: int = NUM_VISIBLE) -> tuple[np.ndarray, np.ndarray]:
    """Returns binary frames (3, 6, V), zero where padded, and a mask of `LENGTHS`."""
    frames = (np.random.default_rng(2).random([3, 6, num_visible]) < 0.5).astype("float64")
    mask = np.arange(6) < np.array(LENGTHS)[:, None]
    return frames * mask[..., None], mask


def array(variable: keras.Variable) -> np.ndarray:
    """Returns the value of a variable."""
    return keras.ops.convert_to_numpy(variable)


def assert_equals_twin(cell: cells.Cell, run: Callable[[np.ndarray], np.ndarray]) -> None:
    """Fails where a built cell differs from a twin: outputs (T + 1, H) of frames (T, V)."""
    frames, mask = make_frames()
    outputs, states = cells.unroll(cell, frames, cell.get_initial_state(3), mask)
    last = cell.output(states)
    for row, length in enumerate(LENGTHS):
        expected = run(frames[row, :length])
        np.testing.assert_allclose(outputs[row, :length], expected[:-1], rtol=0, atol=1e-10)
        np.testing.assert_allclose(last[row], expected[-1], rtol=0, atol=1e-10)
