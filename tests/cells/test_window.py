"""The window cell against the filtering of the TRBM's twin."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells, models
from tests.reference import trbm

NUM_VISIBLE, UNITS, ORDER = 3, 4, 2


def small_cell(variant: str = "full", **kwargs: object) -> cells.WindowCell:
    """Returns a float64 cell, built, with weights of a visible size."""
    cell = cells.WindowCell(UNITS, ORDER, variant, dtype="float64", **kwargs)
    cell.build((None, NUM_VISIBLE))
    random = np.random.default_rng(1)
    cell.set_weights([random.normal(size=w.shape) * 0.7 for w in cell.get_weights()])
    return cell


def weights(cell: cells.WindowCell) -> trbm.Weights:
    """Returns what the twin's filtering takes, zero where the cell has none."""
    def array(variable: keras.Variable | None, *shape: int) -> np.ndarray:
        return np.zeros(shape) if variable is None else np.reshape(variable, shape)

    past = [*cell.initial_state, None][:2]
    return {
        "kernel": array(cell.kernel, NUM_VISIBLE, UNITS), "bias": array(cell.bias, UNITS),
        "visible_kernel": array(cell.visible_kernel, ORDER, NUM_VISIBLE, UNITS),
        "recurrent_kernel": array(cell.recurrent_kernel, ORDER, UNITS, UNITS),
        "past_frames": array(past[0], ORDER, NUM_VISIBLE),
        "past_means": array(past[1], ORDER, UNITS)}


@pytest.mark.parametrize("variant", ["full", "-VV", "-HH", "-VH"])
def test_the_windows_and_the_bias_are_the_twins(variant):
    cell = small_cell(variant)
    frames = np.random.default_rng(2).normal(size=[5, NUM_VISIBLE])
    outputs, states = cells.unroll(
        cell, tf.constant(np.stack([frames, -frames])), cell.get_initial_state(2))
    for row, sequence in enumerate([frames, -frames]):
        visible, hidden = trbm.windows(weights(cell), sequence)
        expected = np.array([
            trbm.dynamic_bias(weights(cell), *pair) for pair in zip(visible, hidden)])[:-1]
        if variant != "-VV":
            expected = np.concatenate([expected, visible[:-1].reshape([5, -1])], axis=1)
        np.testing.assert_allclose(outputs[row], expected, rtol=1e-10, atol=1e-12)
        for state, window in zip(states, [visible, hidden]):
            np.testing.assert_allclose(state[row], window[-1].ravel(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("variant, names", [
    ("full", {"visible_kernel", "kernel", "recurrent_kernel", "bias", "initial_state_0",
              "initial_state_1"}),
    ("-HH", {"visible_kernel", "bias", "initial_state_0"}),
    ("-VH", {"kernel", "recurrent_kernel", "bias", "initial_state_0", "initial_state_1"})])
def test_a_variant_has_the_weights_that_it_uses(variant, names):
    assert {variable.name for variable in small_cell(variant).weights} == names


@pytest.mark.parametrize("detached", [True, False])
def test_the_gradient_goes_through_the_means_unless_they_are_detached(detached):
    cell = small_cell(detached=detached)
    with tf.GradientTape() as tape:
        outputs, _ = cells.unroll(
            cell, tf.ones([1, 4, NUM_VISIBLE], tf.float64), cell.get_initial_state(1))
        total = tf.reduce_sum(outputs ** 2)
    gradient = tape.gradient(
        total, cell.kernel.value, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    assert gradient.numpy().any() != detached


def test_a_wrong_order_is_named():
    with pytest.raises(ValueError, match="order must be a positive integer, got 0"):
        cells.WindowCell(3, order=0)


def test_a_wrong_variant_is_named():
    with pytest.raises(ValueError, match="variant must be one of full, -VV, .*got 'VV'"):
        cells.WindowCell(3, variant="VV")


def test_a_kernel_of_another_width_is_not_tied():
    kernel = keras.Variable(np.zeros([NUM_VISIBLE, 5]))
    with pytest.raises(ValueError, match=r"kernel must have units=3 columns, got \(3, 5\)"):
        cells.WindowCell(3).tie(kernel)


def test_a_kernel_is_not_tied_to_a_built_cell():
    kernel = keras.Variable(np.zeros([NUM_VISIBLE, UNITS]))
    with pytest.raises(ValueError, match="kernel must be tied before build, got the built cell"):
        small_cell().tie(kernel)


def test_the_two_windows_have_kernels_of_their_own_draws():
    model = models.TRBM(UNITS, ORDER)
    model.build_for(UNITS)
    alone = cells.WindowCell(UNITS, ORDER)
    alone.build((None, UNITS))
    for cell in (model.cell, alone):
        assert (cell.visible_kernel.numpy() != cell.recurrent_kernel.numpy()).all()
