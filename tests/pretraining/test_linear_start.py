"""A network that begins as a linear autoencoder remembers what the autoencoder does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells, heads, models
from rnnpt.datasets import Sequences
from rnnpt.pretraining import (
    PlanError,
    fit_linear_autoencoder,
    fit_readout,
    initialize_recurrence,
    start_linearly,
)

NUM_UNITS = 4


@pytest.fixture
def data() -> Sequences:
    """Pieces of random frames of three columns."""
    rng = np.random.default_rng(0)
    return Sequences([(rng.random([length, 3]) < 0.4).astype("uint8") for length in (7, 4, 9)])


def states_of(cell: cells.Cell, frames: np.ndarray) -> np.ndarray:
    """Returns the states of a built cell after each frame."""
    states = [tf.cast(state, frames.dtype)[tf.newaxis] for state in cell.initial_state]
    found = []
    for frame in frames:
        states = cell.advance(cell.project_inputs(tf.constant(frame[None])), states)
        found.append(states[0][0])
    return np.array(found)


def built(cell: cells.Cell) -> cells.Cell:
    """Returns the cell, built for three columns, its initial state not 0."""
    cell.build((None, 3))
    cell.initial_state[0].assign(np.ones(cell.initial_state[0].shape))
    return cell


@pytest.mark.parametrize("activation, units", [("linear", 4), ("linear", 6), ("relu", 9)])
def test_linear_units_and_pairs_of_rectifiers_are_the_autoencoder(
        double_precision, data, activation, units):
    autoencoder = fit_linear_autoencoder(data, NUM_UNITS)
    cell = built(cells.SimpleCell(units, activation))
    initialize_recurrence(cell, autoencoder, state_size=2.0)
    frames = data.sequences[2].astype(np.float64)
    found = states_of(cell, frames)
    if activation == "relu":
        assert (found[:, :8] >= 0).all()
        found = found[:, :NUM_UNITS] - found[:, NUM_UNITS:2 * NUM_UNITS]
    expected = autoencoder.encode(frames) * 2.0 / autoencoder.state_size
    np.testing.assert_allclose(found[:, :NUM_UNITS], expected, atol=1e-12)


def test_small_states_keep_a_tanh_linear(double_precision, data):
    autoencoder = fit_linear_autoencoder(data, NUM_UNITS)
    frames = data.sequences[2].astype(np.float64)
    errors = []
    for size in (0.1, 0.01):
        cell = built(cells.KerasCell(keras.layers.SimpleRNNCell(NUM_UNITS)))
        initialize_recurrence(cell, autoencoder, size)
        expected = autoencoder.encode(frames) * size / autoencoder.state_size
        errors.append(np.abs(states_of(cell, frames) - expected).max() / size)
    # tanh(z) = z - z^3 / 3 + ...
    assert errors[0] < 0.05
    assert errors[1] == pytest.approx(errors[0] / 100, rel=0.1)


def test_units_that_are_left_hear_and_are_not_heard(data):
    cell = built(cells.SimpleCell(6))
    before = [np.array(weight) for weight in (cell.kernel, cell.recurrent_kernel)]
    initialize_recurrence(cell, fit_linear_autoencoder(data, NUM_UNITS))
    np.testing.assert_array_equal(np.array(cell.kernel)[:, 4:], before[0][:, 4:])
    np.testing.assert_array_equal(np.array(cell.recurrent_kernel)[:, 4:], before[1][:, 4:])
    np.testing.assert_array_equal(np.array(cell.recurrent_kernel)[4:, :4], 0)


def readout_of(model: keras.Model) -> np.ndarray:
    """Returns the kernel and the bias under it."""
    return np.concatenate([np.array(model.readout.kernel), np.array(model.readout.bias)[None]])


def started(data: Sequences, head: heads.Head) -> models.SequenceModel:
    """Returns a model that begins as an autoencoder of the data."""
    model = models.SequenceModel(cells.SimpleCell(NUM_UNITS), head)
    model.build_for(3)
    initialize_recurrence(model.cell, fit_linear_autoencoder(data, NUM_UNITS))
    return model


def loss_of(model: keras.Model, data: Sequences) -> float:
    """Returns the mean loss of a frame."""
    model.compile()
    return -model.evaluate(data.pieces(), verbose=0, return_dict=True)["log_likelihood"]


def test_a_logistic_readout_is_the_best_there_is(double_precision, data):
    model = started(data, heads.BernoulliHead())
    loss = fit_readout(model, data, penalty=1e-6, max_iterations=2000, tolerance=1e-12)
    assert loss == pytest.approx(loss_of(model, data), rel=1e-6)
    best = readout_of(model)
    # Of a convex loss no other readout is better.
    assert fit_readout(model, data, "least_squares") > loss
    rng = np.random.default_rng(1)
    for _ in range(3):
        other = best + 0.1 * rng.normal(size=best.shape)
        model.readout.kernel.assign(other[:-1])
        model.readout.bias.assign(other[-1])
        assert loss_of(model, data) > loss


def test_least_squares_solve_for_the_frames_of_a_gaussian(double_precision, data):
    model = started(data, heads.GaussianHead())
    fit_readout(model, data, "least_squares", penalty=1e-12)
    states = np.concatenate([
        np.concatenate([np.zeros([1, NUM_UNITS]), states_of(
            model.cell, piece.astype(np.float64))])[:-1] for piece in data.sequences])
    frames = np.concatenate(data.sequences).astype(np.float64)
    expected, *_ = np.linalg.lstsq(np.pad(states, [(0, 0), (0, 1)], constant_values=1), frames)
    np.testing.assert_allclose(readout_of(model), expected, atol=1e-6)


@pytest.mark.parametrize("activation, units", [("tanh", 4), ("relu", 9)])
def test_an_rnn_rbm_begins_as_one_and_keeps_its_head(data, activation, units):
    model = models.RNNRBM(5, units, activation=activation)
    model.build_for(3)
    before = [np.array(weight) for weight in (
        model.head.kernel, model.readout.kernel, model.readout.bias)]
    autoencoder = start_linearly(model, data)
    assert autoencoder.num_units == NUM_UNITS
    alone = models.SequenceModel(cells.SimpleCell(units, activation), heads.BernoulliHead())
    alone.build_for(3)
    initialize_recurrence(alone.cell, autoencoder)
    if units == NUM_UNITS:
        fit_readout(alone, data)
        np.testing.assert_allclose(
            np.array(model.readout.kernel)[:, :3], np.array(alone.readout.kernel), atol=1e-3)
    after = [np.array(weight) for weight in (
        model.head.kernel, model.readout.kernel, model.readout.bias)]
    np.testing.assert_array_equal(after[0], before[0])
    for one, other in zip(before[1:], after[1:]):
        np.testing.assert_array_equal(one[..., 3:], other[..., 3:])
        assert (one[..., :3] != other[..., :3]).all()


def test_a_start_looks_into_a_keras_cell_and_refuses_gates(data):
    model = models.SequenceModel(
        cells.KerasCell(keras.layers.SimpleRNNCell(8, "relu")), heads.BernoulliHead())
    model.build_for(3)
    assert start_linearly(model, data).num_units == NUM_UNITS
    gated = models.SequenceModel(cells.LSTMCell(4), heads.BernoulliHead())
    gated.build_for(3)
    with pytest.raises(PlanError, match="as high as wide. Received: .* in LSTMCell"):
        start_linearly(gated, data)


class OddCell(keras.layers.SimpleRNNCell):
    """Has the weights of a simple cell, and another recurrence."""

    def call(self, sequence, states, training=False):
        output, _ = super().call(2 * sequence, states, training)
        return output, [output]


@pytest.mark.parametrize("make, message", [
    (lambda: cells.LSTMCell(8), "as high as wide. Received: .* in LSTMCell"),
    (lambda: cells.SimpleCell(8, "sigmoid"), "units of tanh, linear, relu. Received: sigmoid"),
    (lambda: cells.KerasCell(keras.layers.StackedRNNCells([keras.layers.SimpleRNNCell(8)])),
     "must have a kernel. Received: StackedRNNCells without one"),
    (lambda: cells.LeakyCell(8), "must be a SimpleCell, .* Received: LeakyCell, whose recurrence"),
    (lambda: cells.SkipCell(8, 2), "must be a SimpleCell, .* Received: SkipCell, whose"),
    (lambda: cells.KerasCell(OddCell(8)), "must be a SimpleCell, .* Received: OddCell, whose"),
    (lambda: cells.SimpleCell(3), "have 4 units or more. Received: 3 and 3"),
    (lambda: cells.SimpleCell(6, "relu"), "have 8 units or more. Received: 3 and 6")])
def test_cells_that_cannot_hold_it_are_refused(data, make, message):
    with pytest.raises(PlanError, match=message):
        initialize_recurrence(built(make()), fit_linear_autoencoder(data, NUM_UNITS))


def test_bad_sizes_and_readouts_are_refused(data):
    autoencoder = fit_linear_autoencoder(data, NUM_UNITS)
    with pytest.raises(PlanError, match="state_size=0"):
        initialize_recurrence(built(cells.SimpleCell(4)), autoencoder, state_size=0)
    model = started(data, heads.BernoulliHead())
    with pytest.raises(PlanError, match="method='ridge'"):
        fit_readout(model, data, "ridge")
    with pytest.raises(PlanError, match="penalty=0"):
        fit_readout(model, data, penalty=0)
    with pytest.raises(PlanError, match="tolerance=-1"):
        fit_readout(model, data, tolerance=-1)
    with pytest.raises(PlanError, match="least_squares with a GaussianHead"):
        fit_readout(started(data, heads.GaussianHead()), data)
    with pytest.raises(PlanError, match="Received: NADEHead"):
        fit_readout(started(data, heads.NADEHead(3)), data)
