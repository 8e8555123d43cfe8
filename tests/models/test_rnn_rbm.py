"""The RNN-RBM of real frames against its twin; of binary ones see test_rnn."""

import keras
import numpy as np
import pytest

from rnnpt import models
from tests.catalogue import NUM_VISIBLE, make_batch, with_random_weights
from tests.reference.gaussian_rbm import GaussianRBM


def test_gaussian_log_prob_lies_within_its_standard_error_of_its_twin():
    # One row of four frames, 100 AIS runs a frame: five standard errors, and float32.
    model = with_random_weights(models.RNNRBM(3, 4, visible="gaussian"))
    frames = np.random.default_rng(5).normal(size=[1, 4, NUM_VISIBLE]).astype(np.float32)
    log_prob, error = model.estimate_log_prob(frames)
    expected = 0.0
    for biases, frame in zip(model({"frames": frames})[0].numpy(), frames[0]):
        rbm = GaussianRBM(
            model.head.kernel.numpy(), biases[:NUM_VISIBLE], biases[NUM_VISIBLE:], 1.0)
        expected -= rbm.free_energy(frame) + rbm.log_partition()
    assert abs(log_prob[0] - expected) < 5 * error[0] + 1e-4


def test_a_schedule_of_steps_comes_back_from_the_config():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([999], [10, 25])
    model = models.RNNRBM(3, 4, num_gibbs_steps=schedule)
    copy = models.RNNRBM.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert copy.head.num_gibbs_steps(1000) == 25


def test_persistent_chains_move_in_training_only():
    model = models.RNNRBM(3, 4, num_gibbs_steps=1)
    model.head.num_chains = 4
    model.compile(keras.optimizers.SGD(0.1))
    model.evaluate(make_batch(), verbose=0)
    assert not model.head.chains.numpy().any()
    model.fit(make_batch(), verbose=0)
    assert model.head.chains.numpy().any()


def test_visible_units_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="visible must be .*got 'real'"):
        models.RNNRBM(3, 4, visible="real")
