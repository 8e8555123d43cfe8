"""The leaky cell against its twin, and what its leaks are."""

import keras
import numpy as np
import pytest

from rnnpt import cells
from tests.cells.random_cell import array, assert_equals_twin, with_random_weights
from tests.reference import recurrence


def test_the_cell_equals_the_equation_of_the_paper():
    cell = with_random_weights(cells.LeakyCell(4, (0.1, 0.9), dtype="float64"))
    weights = [array(weight) for weight in (
        cell.kernel, cell.recurrent_kernel, cell.bias, cell.leak, cell.initial_state[0])]
    assert_equals_twin(cell, lambda frames: recurrence.leaky_cell(*weights, frames))


@pytest.mark.parametrize("share, num_leaky", [(0.0, 0), (0.25, 10), (1.0, 40)])
def test_a_share_of_the_units_leaks_within_the_range_and_the_others_not(share, num_leaky):
    cell = cells.LeakyCell(40, (0.02, 0.2), share)
    cell.build((None, 3))
    leak = array(cell.leak)
    assert ((leak[:num_leaky] >= 0.02) & (leak[:num_leaky] <= 0.2)).all()
    assert len(set(leak[:num_leaky])) == num_leaky
    np.testing.assert_array_equal(leak[num_leaky:], 1)


def test_leaks_follow_the_seed():
    drawn = []
    for seed in (1, 1, 2):
        cell = cells.LeakyCell(4, seed=seed)
        cell.build((None, 3))
        drawn.append(array(cell.leak).tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_leaks_are_saved_and_not_trained(tmp_path):
    inputs = keras.Input([None, 3])
    first, second = (
        keras.Model(inputs, keras.layers.RNN(cells.LeakyCell(4, seed=seed))(inputs))
        for seed in (1, 2))
    first.save_weights(tmp_path / "leaky.weights.h5")
    second.load_weights(tmp_path / "leaky.weights.h5")
    first, second = first.layers[-1].cell, second.layers[-1].cell
    np.testing.assert_array_equal(array(first.leak), array(second.leak))
    assert [weight.name for weight in second.non_trainable_weights] == ["leak"]


def test_without_leaky_units_it_is_the_simple_cell():
    leaky = with_random_weights(cells.LeakyCell(4, leaky_share=0.0, dtype="float64"))
    simple = with_random_weights(cells.SimpleCell(4, dtype="float64"))
    frames = np.ones([1, 5, 3])
    outputs = [cells.unroll(cell, frames, cell.get_initial_state(1))[0]
               for cell in (leaky, simple)]
    np.testing.assert_allclose(*outputs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("leak, shown", [
    ((0.0, 0.2), r"\(0.0, 0.2\)"), ((0.2, 1.1), r"\(0.2, 1.1\)"), ((0.3, 0.2), r"\(0.3, 0.2\)"),
    ((-0.1, 0.5), r"\(-0.1, 0.5\)"), (0.5, "0.5"), ((float("nan"), 0.5), r"\(nan, 0.5\)")])
def test_a_leak_that_is_no_range_within_0_and_1_is_refused(leak, shown):
    with pytest.raises(ValueError, match=f"LeakyCell: leak must be .* got {shown}"):
        cells.LeakyCell(4, leak)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_outside_0_and_1_is_refused(share):
    with pytest.raises(ValueError, match=f"LeakyCell: leaky_share must be .* got {share}"):
        cells.LeakyCell(4, leaky_share=share)
