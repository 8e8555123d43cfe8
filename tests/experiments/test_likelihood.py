"""The log-likelihood of many frames: all alike, or some that correct a cheap estimate of all."""

import types

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import heads
from rnnpt.experiments.accuracy import Chunk
from rnnpt.experiments.config import EvaluationConfig
from rnnpt.experiments.likelihood import Likelihood
from rnnpt.experiments.setting import ConfigError

FRAMES = np.random.default_rng(0).normal([0, 2], size=(30, 2)).astype(np.float32)


class KnownHead:
    """Says the first number of a frame cheaply, off by the second one; both with errors."""

    exact = False
    num_calls = 0

    def num_parameters(self, num_visible):
        return 1

    def estimate_log_prob(self, parameters, frames, seed, schedule):
        is_cheap = schedule == heads.CHEAP_SCHEDULE
        noise = tf.random.stateless_normal(tf.shape(frames)[:1], seed) * (0.5 if is_cheap else 0.1)
        log_probs = frames[:, 0] + (0.0 if is_cheap else frames[:, 1]) + noise
        return log_probs, tf.ones_like(log_probs) * (0.5 if is_cheap else 0.1)


class ExactHead(KnownHead):
    """Needs no estimate."""

    exact = True

    def estimate_log_prob(self, parameters, frames, seed, schedule):
        return frames[:, 0], tf.zeros_like(frames[:, 0])


def measured(num_drawn, seed=0, head=KnownHead()):
    model = types.SimpleNamespace(head=head, num_visible=2)
    likelihood = Likelihood(
        model, EvaluationConfig(num_ais_frames=num_drawn), len(FRAMES), seed)
    for index, rows in enumerate((slice(0, 7), slice(7, 8), slice(8, 30))):
        frames = tf.constant(FRAMES[rows])
        likelihood.add(Chunk(frames[:, :1], frames, frames), tf.constant([seed, index]))
    return likelihood.result()


@pytest.mark.parametrize("num_drawn", [None, 30, 99])
def test_all_frames_get_the_whole_schedule(num_drawn):
    log_likelihood, error = measured(num_drawn)
    assert error == pytest.approx(0.1 / np.sqrt(30))
    assert log_likelihood == pytest.approx(FRAMES.sum(axis=1).mean(), abs=4 * error)


def test_an_exact_head_has_no_error_whatever_is_drawn():
    assert measured(5, head=ExactHead()) == (pytest.approx(FRAMES[:, 0].mean()), 0)


def test_frames_drawn_at_random_correct_the_cheap_estimate_of_all():
    results = np.array([measured(10, seed) for seed in range(60)])
    off, spread = results[:, 0] - FRAMES.sum(axis=1).mean(), results[:, 0].std()
    # The cheap estimate alone is off by 2.3.
    assert abs(off.mean()) < 4 * spread / np.sqrt(60) < 0.2
    # A third of the frames is drawn, each once, so the error that is told is a little too large.
    assert 1 < np.sqrt(np.mean(results[:, 1]**2)) / spread < 1.6


def test_one_frame_tells_no_spread():
    with pytest.raises(ConfigError, match="num_ais_frames must be at least 2, got 1: leave it out"):
        measured(1)
