"""The accuracy that is measured again and again is the table's, of the weights of the moment."""

import numpy as np
import pytest

from rnnpt import datasets, models
from rnnpt.experiments import evaluation
from rnnpt.experiments.accuracy import Chunks, accuracy_function
from rnnpt.experiments.config import EvaluationConfig

SMALL = EvaluationConfig(
    num_samples=3, num_gibbs_steps=4, num_ais_runs=2, num_ais_temperatures=2, num_frames=6)


def make_pieces():
    rng = np.random.default_rng(0)
    return datasets.Sequences([rng.random((length, 5)) < 0.4 for length in (8, 3, 5)])


def make_rnn():
    model = models.RNN(num_hidden=4, seed=1)
    model.build_for(5)
    return model


def make_rbm():
    model = models.RNNRBM(num_hidden=3, num_recurrent=4, num_gibbs_steps=1, seed=1)
    model.build_for(5)
    return model


@pytest.mark.parametrize("make_model", [make_rnn, make_rbm])
def test_it_is_the_tables_first_accuracy(make_model):
    model, pieces = make_model(), make_pieces()
    measure = accuracy_function(model, pieces, SMALL, seed=4)
    assert measure() == evaluation.evaluate_model(model, pieces, SMALL, seed=4)[0].accuracy
    assert measure() == measure() != accuracy_function(model, pieces, SMALL, seed=5)()


def test_it_follows_the_weights():
    model, pieces = make_rnn(), make_pieces()
    measure = accuracy_function(model, pieces, SMALL)
    measure()
    kernel, _ = model.readout.get_weights()
    model.readout.set_weights([0 * kernel, np.array([40, -40, -40, 40, -40], np.float32)])
    frame, frames = np.array([1, 0, 0, 1, 0]), pieces.frames()
    shared = (frames * frame).sum(axis=1)
    expected = np.mean(shared / np.maximum(frames.sum(axis=1), 2))
    assert measure() == pytest.approx(100 * expected)


def test_chunks_hold_every_frame_and_the_one_before_it():
    pieces = make_pieces()
    chunks = list(Chunks(make_rnn(), pieces, SMALL))
    frames = np.concatenate([chunk.frames for chunk in chunks])
    previous = np.concatenate([chunk.previous for chunk in chunks])
    np.testing.assert_array_equal(frames, pieces.frames())
    np.testing.assert_array_equal(previous, np.concatenate(
        [np.concatenate([np.zeros((1, 5)), piece[:-1]]) for piece in pieces.sequences]))
    assert max(len(chunk.frames) for chunk in chunks) == SMALL.num_frames
