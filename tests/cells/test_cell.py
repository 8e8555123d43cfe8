"""What holds for every cell, whichever it is, at both precisions and inside Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells
from tests.catalogue import CELLS, NUM_VISIBLE
from tests.cells.random_cell import make_frames, with_random_weights

EVERY_CELL = pytest.mark.parametrize("make", CELLS.values(), ids=list(CELLS))


@EVERY_CELL
def test_keras_rnn_layer_equals_unroll(make):
    cell = with_random_weights(make(dtype="float64"), NUM_VISIBLE)
    frames, mask = make_frames(NUM_VISIBLE)
    layer = keras.layers.RNN(cell, return_sequences=True, return_state=True, dtype="float64")
    after, *states = layer(frames, mask=mask)
    before, unrolled = cells.unroll(cell, frames, cell.get_initial_state(3), mask)
    np.testing.assert_allclose(
        after[:, :-1][mask[:, 1:]], before[:, 1:][mask[:, 1:]], rtol=0, atol=1e-10)
    for state, other in zip(states, unrolled, strict=True):
        # A row of padding alone is left out: Keras gives back zeros there.
        np.testing.assert_allclose(state[:2], other[:2], rtol=0, atol=1e-10)


@EVERY_CELL
def test_a_masked_row_ends_as_it_would_alone(make):
    cell = with_random_weights(make(dtype="float64"), NUM_VISIBLE)
    frames, mask = make_frames(NUM_VISIBLE)
    _, states = cells.unroll(cell, frames, cell.get_initial_state(3), mask)
    for row, length in enumerate(mask.sum(axis=1)):
        alone = cell.get_initial_state(1)
        for frame in frames[row, :length]:
            alone = cell.advance(cell.project_inputs(frame[None]), alone)
        for state, other in zip(states, alone, strict=True):
            np.testing.assert_allclose(state[row], other[0], rtol=0, atol=1e-10)


@EVERY_CELL
def test_gradients_reach_every_trained_weight(make):
    cell = with_random_weights(make(dtype="float64"), NUM_VISIBLE)
    frames, mask = make_frames(NUM_VISIBLE)
    with tf.GradientTape() as tape:
        outputs, _ = cells.unroll(cell, frames, cell.get_initial_state(3), mask)
        loss = tf.reduce_sum(tf.boolean_mask(tf.sin(outputs), mask))
    for variable, gradient in zip(
            cell.trainable_variables, tape.gradient(loss, cell.trainable_variables)):
        assert gradient is not None and np.abs(tf.convert_to_tensor(gradient)).max() > 0, \
            variable.path


@EVERY_CELL
def test_both_precisions_agree(make):
    first, second = (
        with_random_weights(make(dtype=dtype), NUM_VISIBLE) for dtype in ("float64", "float32"))
    frames, mask = make_frames(NUM_VISIBLE)
    answers = [
        cells.unroll(cell, frames.astype(cell.dtype), cell.get_initial_state(3), mask)[0]
        for cell in (first, second)]
    assert answers[0].dtype == tf.float64 and answers[1].dtype == tf.float32
    np.testing.assert_allclose(answers[0][mask], answers[1][mask], rtol=1e-5, atol=1e-5)
