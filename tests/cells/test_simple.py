"""The simple cell against its twin, alone, over sequences, and inside Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells
from tests import reference

LENGTHS = [6, 2, 0]


def make_cell(activation: str = "tanh", dtype: str = "float64") -> cells.SimpleCell:
    """Returns a cell of 4 units over 3 visible ones, with every weight at random."""
    cell = cells.SimpleCell(4, activation, dtype=dtype)
    cell.build((None, 3))
    random = np.random.default_rng(1)
    cell.set_weights([random.normal(size=w.shape) * 0.5 for w in cell.get_weights()])
    return cell


def make_frames(dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """Returns frames (3, 6, 3) and a mask of the lengths 6, 2 and 0."""
    frames = (np.random.default_rng(2).random([3, 6, 3]) < 0.5).astype(dtype)
    mask = np.arange(6) < np.array(LENGTHS)[:, None]
    return frames * mask[..., None], mask


def twin_states(cell: cells.SimpleCell, activation: str, frames: np.ndarray) -> np.ndarray:
    """Returns h_0 .. h_T of one sequence by the twin."""
    weights = [keras.ops.convert_to_numpy(weight).astype(np.float64) for weight in (
        cell.kernel, cell.recurrent_kernel, cell.bias, cell.initial_state[0])]
    return reference.simple_cell(*weights[:3], activation, weights[3], frames)


@pytest.mark.parametrize("activation", list(reference.ACTIVATIONS))
def test_unroll_equals_the_twin_and_stands_still_where_masked(activation):
    cell, (frames, mask) = make_cell(activation), make_frames()
    outputs, (state,) = cells.unroll(cell, frames, cell.get_initial_state(3), mask)
    for row, length in enumerate(LENGTHS):
        states = twin_states(cell, activation, frames[row, :length])
        np.testing.assert_allclose(outputs[row, :length], states[:-1], rtol=0, atol=1e-10)
        np.testing.assert_allclose(state[row], states[-1], rtol=0, atol=1e-10)


def test_unroll_without_a_mask_takes_every_frame():
    cell, (frames, _) = make_cell(), make_frames()
    outputs, (state,) = cells.unroll(cell, frames, cell.get_initial_state(3))
    for row in range(3):
        states = twin_states(cell, "tanh", frames[row])
        np.testing.assert_allclose(outputs[row], states[:-1], rtol=0, atol=1e-10)
        np.testing.assert_allclose(state[row], states[-1], rtol=0, atol=1e-10)


def test_unroll_goes_on_from_the_state_that_it_is_given():
    cell, (frames, mask) = make_cell(), make_frames()
    whole, whole_state = cells.unroll(cell, frames, cell.get_initial_state(3), mask)
    first, state = cells.unroll(cell, frames[:, :4], cell.get_initial_state(3), mask[:, :4])
    second, state = cells.unroll(cell, frames[:, 4:], state, mask[:, 4:])
    joined = np.concatenate([first, second], 1)
    np.testing.assert_allclose(joined[mask], np.array(whole)[mask], rtol=0, atol=1e-10)
    np.testing.assert_allclose(state, whole_state, rtol=0, atol=1e-10)


def test_call_is_a_step_on_the_projected_frame():
    cell, (frames, _) = make_cell(), make_frames()
    state = cell.get_initial_state(3)
    called = cell(frames[:, 0], states=state)
    stepped = cell.step(cell.project_inputs(frames[:, 0]), state)
    for row in range(3):
        expected = twin_states(cell, "tanh", frames[row, :1])[1]
        for output, (new_state,) in (called, stepped):
            np.testing.assert_allclose(output[row], expected, rtol=0, atol=1e-10)
            np.testing.assert_allclose(new_state[row], expected, rtol=0, atol=1e-10)


def test_the_initial_state_is_learned():
    cell, (frames, mask) = make_cell(), make_frames()
    with tf.GradientTape() as tape:
        outputs, _ = cells.unroll(cell, frames, cell.get_initial_state(3), mask)
        first = tf.reduce_sum(outputs[:, 0])
    # Each of three rows starts from the same variable, whose value is its first output.
    gradient = tape.gradient(first, cell.trainable_variables)
    learned = [g for g, v in zip(gradient, cell.trainable_variables) if "initial" in v.path]
    np.testing.assert_array_equal(learned, np.full([1, 4], 3.0))


def test_gradients_through_time_equal_differences():
    cell, (frames, mask) = make_cell(), make_frames()
    direction = [np.random.default_rng(3).normal(size=w.shape) for w in cell.get_weights()]

    def loss():
        outputs, (state,) = cells.unroll(cell, frames, cell.get_initial_state(3), mask)
        return tf.reduce_sum(outputs ** 2) + tf.reduce_sum(state ** 3)

    with tf.GradientTape() as tape:
        value = loss()
    slope = sum(np.vdot(g, d) for g, d in zip(
        tape.gradient(value, cell.trainable_variables), direction))
    weights, step = cell.get_weights(), 1e-5
    around = []
    for sign in (1, -1):
        cell.set_weights([w + sign * step * d for w, d in zip(weights, direction)])
        around.append(float(loss()))
    # Central differences: an error of step^2 times a third derivative.
    np.testing.assert_allclose(slope, (around[0] - around[1]) / (2 * step), rtol=1e-7)


def test_keras_rnn_layer_equals_unroll():
    cell, (frames, mask) = make_cell(dtype="float32"), make_frames("float32")
    layer = keras.layers.RNN(cell, return_sequences=True, return_state=True)
    after, state = layer(frames, mask=mask)
    before, (unrolled,) = cells.unroll(cell, frames, cell.get_initial_state(3), mask)
    np.testing.assert_allclose(after[:, :-1][mask[:, 1:]], before[:, 1:][mask[:, 1:]], atol=1e-6)
    np.testing.assert_allclose(state[:2], unrolled[:2], atol=1e-6)


def test_a_functional_keras_model_with_the_cell_survives_saving(tmp_path):
    inputs = keras.Input([None, 3])
    model = keras.Model(inputs, keras.layers.RNN(cells.SimpleCell(4, "relu"))(inputs))
    model.save(tmp_path / "model.keras")
    frames = make_frames("float32")[0]
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(frames), model(frames), rtol=0, atol=1e-6)


@pytest.mark.parametrize("units", [0, -1, 2.5, "4"])
def test_units_that_are_no_positive_integer_are_refused(units):
    with pytest.raises(ValueError, match=f"SimpleCell.*units must be .*got {units!r}"):
        cells.SimpleCell(units)


@pytest.mark.parametrize("method, arguments", [("project_inputs", 1), ("advance", 2)])
def test_a_cell_without_its_recurrence_says_so(method, arguments):
    with pytest.raises(NotImplementedError, match=f"Cell has no {method}"):
        getattr(cells.Cell([2]), method)(*[None] * arguments)
