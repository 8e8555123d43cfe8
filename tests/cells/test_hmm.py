"""The belief of a hidden Markov model against a sum over every path of states."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells
from tests.reference import hmm


def make_cell(twin: hmm.HMM, **kwargs: object) -> cells.HMMCell:
    """Returns a cell with the twin's parameters, its start and transitions not normalised."""
    cell = cells.HMMCell(len(twin.start), dtype="float64", **kwargs)
    cell.build((None, twin.emission.shape[1]))
    cell.initial_state[0].assign(np.log(twin.start) + 2)
    cell.transition_logits.assign(np.log(twin.transition) - 3)
    cell.emission_logits.assign(twin.emission)
    return cell


def test_beliefs_are_those_of_every_path():
    twin = hmm.random_hmm(num_states=3, num_visible=4)
    frames = (np.random.default_rng(1).random([5, 4]) < 0.4).astype(float)
    cell = make_cell(twin)
    outputs, last = cells.unroll(cell, frames[None], cell.get_initial_state(1))
    beliefs = np.exp([*outputs[0], last[0][0]])
    for t, belief in enumerate(beliefs):
        np.testing.assert_allclose(belief, twin.belief(frames[:t]), rtol=0, atol=1e-10)


def test_a_frame_that_only_an_almost_impossible_state_explains_is_still_explained():
    # The second state has a probability of e^-700, too small for any product of float64 numbers
    # with another one, and a frame of one unit with log-odds +-1500 comes from nowhere else.
    twin = hmm.HMM(np.array([0.5, 0.5]), np.full([2, 2], 0.5), np.array([[-1500.0], [1500.0]]))
    cell = make_cell(twin)
    cell.initial_state[0].assign([0.0, -700.0])
    cell.transition_logits.assign([[0.0, -700.0], [-700.0, 0.0]])
    belief, = cell.advance(cell.project_inputs(tf.ones([1, 1], tf.float64)),
                           cell.get_initial_state(1))
    np.testing.assert_allclose(belief, [[-700.0, 0.0]], rtol=1e-10)


def test_emissions_set_before_build_are_shared():
    twin = hmm.random_hmm(num_states=2, num_visible=3)
    owner, cell = make_cell(twin), cells.HMMCell(2, dtype="float64")
    cell.emission_logits = owner.emission_logits
    cell.build((None, 3))
    owner.emission_logits.assign(np.zeros([2, 3]))
    np.testing.assert_allclose(
        cell.project_inputs(np.ones([1, 3])), np.full([1, 2], -3 * np.log(2)), rtol=1e-12)


@pytest.mark.parametrize("num_states", [0, 2.5])
def test_a_number_of_states_that_is_none_is_refused(num_states):
    with pytest.raises(ValueError, match=f"HMMCell: every number of units .* got {num_states}"):
        cells.HMMCell(num_states)
