"""Keras cells as cells of this package, against Keras' own layers."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells
from tests.cells.random_cell import LENGTHS, array, make_frames, with_random_weights


@keras.saving.register_keras_serializable(package="tests")
class CounterCell(keras.layers.Layer):
    """A user's cell: states of two sizes, a tuple, and the second one is given out."""

    state_size = (1, 3)

    def call(self, inputs, states):
        """Count the frames, and sum them."""
        count, total = states
        total = total + inputs
        return total, (count + 1, total)


class DoublingCell(CounterCell):
    """A cell whose output is not among its states."""

    def call(self, inputs, states):
        """Give out twice the sum."""
        total, states = super().call(inputs, states)
        return 2 * total, states


class DroppingCell(CounterCell):
    """A cell with a layer inside that drops units out."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drop = keras.layers.Dropout(0.25)


def stack() -> keras.layers.StackedRNNCells:
    """Returns a GRU over a LSTM over a GRU: five states of three sizes."""
    return keras.layers.StackedRNNCells([
        keras.layers.GRUCell(2, dtype="float64"), keras.layers.LSTMCell(3, dtype="float64"),
        keras.layers.GRUCell(4, dtype="float64")], dtype="float64")


MAKERS: dict[str, Callable[[], keras.layers.Layer]] = {
    "LSTMCell": lambda: keras.layers.LSTMCell(4, dtype="float64"),
    "GRUCell": lambda: keras.layers.GRUCell(4, dtype="float64"),
    "SimpleRNNCell": lambda: keras.layers.SimpleRNNCell(4, "relu", dtype="float64"),
    "StackedRNNCells": stack,
    "one cell in a stack": lambda: keras.layers.StackedRNNCells(
        [keras.layers.LSTMCell(4, dtype="float64")], dtype="float64"),
    "a user's cell": lambda: CounterCell(dtype="float64"),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
def test_unroll_equals_keras_from_the_learned_state(make):
    cell, (frames, mask) = with_random_weights(cells.KerasCell(make())), make_frames()
    outputs, states = cells.unroll(cell, frames, cell.get_initial_state(3), mask)
    last = cell.output(states)
    layer = keras.layers.RNN(cell.cell, return_sequences=True, dtype="float64")
    sizes = cell.cell.state_size
    for row, length in enumerate(LENGTHS):
        initial = keras.tree.pack_sequence_as(
            sizes if keras.tree.is_nested(sizes) else [sizes], cell.get_initial_state(1))
        after = cell.output(cell.get_initial_state(1))
        if length:
            expected = layer(frames[row:row + 1, :length], initial_state=list(initial))[0]
            after = np.concatenate([after, expected])
        np.testing.assert_allclose(outputs[row, :length], after[:-1], rtol=0, atol=1e-10)
        np.testing.assert_allclose(last[row], after[-1], rtol=0, atol=1e-10)


def test_the_state_that_is_given_out_is_found():
    cell = with_random_weights(cells.KerasCell(CounterCell()))
    assert cell.state_size == [1, 3] and cell.output_size == 3
    output, _ = cell(tf.ones([2, 3]), states=cell.get_initial_state(2))
    expected = np.tile(array(cell.initial_state[1]) + 1, [2, 1])
    np.testing.assert_allclose(output, expected, rtol=1e-6)


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
def test_weights_and_config_carry_a_cell_over(make, tmp_path):
    inputs = keras.Input([None, 3])
    cell = cells.KerasCell(make())
    model = keras.Model(inputs, keras.layers.RNN(cell, dtype="float64")(inputs))
    with_random = [np.random.default_rng(1).normal(size=w.shape) for w in model.get_weights()]
    model.set_weights(with_random)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    frames = make_frames()[0]
    np.testing.assert_allclose(loaded(frames), model(frames), rtol=0, atol=1e-10)


def test_as_cell_wraps_keras_cells_and_leaves_others():
    simple, foreign = cells.SimpleCell(4), keras.layers.GRUCell(4)
    assert cells.as_cell(simple) is simple
    wrapped = cells.as_cell(foreign)
    assert isinstance(wrapped, cells.KerasCell) and wrapped.cell is foreign


@pytest.mark.parametrize("value, got", [
    (None, "NoneType"), (keras.layers.Dense(3), "Dense"), (keras.layers.LSTMCell, "type"),
    (keras.layers.LSTM(3), "the layer LSTM; give its cell, LSTMCell")])
def test_what_is_no_cell_is_refused(value, got):
    with pytest.raises(TypeError, match=f"cell must be a rnnpt Cell or a Keras cell, got {got}"):
        cells.as_cell(value)


def test_an_output_that_is_no_state_is_refused():
    cell = cells.KerasCell(DoublingCell())
    with pytest.raises(ValueError, match="cell must return one of its 2 new .* got a DoublingCell"):
        cell.build((None, 3))


@pytest.mark.parametrize("make, name, rate", [
    (lambda: keras.layers.GRUCell(3, dropout=0.5), "dropout", 0.5),
    (lambda: keras.layers.LSTMCell(3, recurrent_dropout=0.1), "recurrent_dropout", 0.1),
    (lambda: keras.layers.StackedRNNCells(
        [keras.layers.GRUCell(3), keras.layers.GRUCell(3, dropout=0.2)]), "dropout", 0.2),
    (DroppingCell, "rate", 0.25)])
def test_dropout_inside_a_cell_is_refused(make, name, rate):
    with pytest.raises(ValueError, match=f"KerasCell: {name} must be 0 in a cell, got {rate}"):
        cells.KerasCell(make())


def test_another_dtype_than_the_cells_is_refused():
    with pytest.raises(ValueError, match="KerasCell: dtype must be .* float32, got float64"):
        cells.KerasCell(keras.layers.GRUCell(3), dtype="float64")


def test_only_known_cells_with_squashed_activations_are_bounded():
    layers = keras.layers
    for cell in (layers.LSTMCell(2), layers.GRUCell(2), layers.SimpleRNNCell(2), stack()):
        assert cells.KerasCell(cell).bounded
    for cell in (layers.LSTMCell(2, activation="relu"), layers.SimpleRNNCell(2, "linear"),
                 layers.GRUCell(2, recurrent_activation="softplus"), CounterCell(),
                 layers.StackedRNNCells([layers.GRUCell(2), layers.GRUCell(2, "relu")])):
        assert not cells.KerasCell(cell).bounded
