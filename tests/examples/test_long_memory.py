"""Means and validation sets that the examples of long memory share."""

import numpy as np

from rnnpt import datasets
from tests.examples.script import load

long_memory = load("long_memory")


def test_means_of_the_inputs_are_those_of_the_real_steps():
    # Two of some 84 steps are marked; the numbers are uniform in [0, 1]. Five standard errors.
    problem = datasets.Addition(num_steps=80)
    values, markers = long_memory.input_means(problem, long_memory.validation_set(problem, 100))
    assert abs(values - 0.5) < 5 * (12 * 100 * 80) ** -0.5
    assert abs(markers - 2 / 80) < 1e-6
    problem = datasets.Memorization5Bit(num_steps=10)
    means = long_memory.input_means(problem, problem.all_sequences())
    np.testing.assert_allclose(means.sum(), 1, atol=1e-6)


def test_the_mean_answer_has_the_least_loss_of_those_that_ignore_the_inputs():
    for problem, of_logits in ((datasets.Addition(80), lambda z: z),
                               (datasets.Xor(50), lambda z: 1 / (1 + np.exp(-z))),
                               (datasets.Memorization20Bit(10), lambda z: np.exp(z))):
        sequences = long_memory.validation_set(problem, 100)
        counted = sequences.targets[sequences.weights > 0]
        np.testing.assert_allclose(
            of_logits(long_memory.mean_answer(problem, sequences)), counted.mean(axis=0),
            rtol=1e-5, atol=2 * long_memory.LEAST_CHANCE)
    # The trigger is never an answer, and its logit is finite.
    assert np.isfinite(long_memory.mean_answer(problem, sequences)).all()


def test_validation_sequences_are_those_of_no_small_seed_or_all_that_there_are():
    problem = datasets.Memorization5Bit(num_steps=10)
    assert len(long_memory.validation_set(problem, 100).inputs) == 32
    problem = datasets.Xor(num_steps=10)
    found = long_memory.validation_set(problem, 100).inputs
    np.testing.assert_array_equal(found, long_memory.validation_set(problem, 100).inputs)
    assert all((found != problem.draw(100, seed).inputs).any() for seed in range(3))
