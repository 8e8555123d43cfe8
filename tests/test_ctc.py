"""A worked test: connectionist temporal classification, the thesis' and TensorFlow's.

The thesis (Sutskever 2013, section 2.8.5, eqs. 2.46 to 2.51) draws one of K labels or a blank at
each step and drops the blanks: two equal labels in a row are two labels. TensorFlow's
`tf.nn.ctc_loss` (Graves et al. 2006) first merges equal labels in a row into one: a label may last
several steps, and two equal labels need a blank between them. So TensorFlow sums over other
alignments, and the two agree only where none of the steps merge.

The thesis' formula comes out of TensorFlow with one certain blank between every two steps: T steps
become 2T - 1, no two labels are neighbours any more, and the factors of the new steps are 1.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import ctc

NUM_LABELS, NUM_STEPS = 2, 4
# Without and with equal neighbours, and as many as there are steps. TensorFlow refuses none at all.
LABELS = [[0], [1, 0], [0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 1]]
# A logit whose probability beside the others is zero, in float64 too.
NEVER = -1e4


def random_logits(seed: int = 0) -> np.ndarray:
    """Returns logits of the labels and the blank, which is the last, (T, K + 1)."""
    return np.random.default_rng(seed).normal(size=[NUM_STEPS, NUM_LABELS + 1])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the probabilities of each step."""
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def with_certain_blanks(logits: tf.Tensor) -> tf.Tensor:
    """Returns the steps (T, K + 1) with a step between every two that can only be blank."""
    blank = tf.concat([tf.fill([NUM_LABELS], NEVER), [0.0]], axis=0)
    between = tf.broadcast_to(tf.cast(blank, logits.dtype), tf.shape(logits))
    return tf.reshape(tf.stack([logits, between], axis=1), [-1, NUM_LABELS + 1])[:-1]


def tensorflow_log_prob(logits: tf.Tensor, labels: list[int]) -> tf.Tensor:
    """Returns TensorFlow's log P(labels) of one sequence of logits (T, K + 1)."""
    sparse = tf.SparseTensor(
        [[0, place] for place in range(len(labels))], np.array(labels, np.int32), [1, len(labels)])
    return -tf.nn.ctc_loss(
        sparse, logits[:, tf.newaxis], None, [len(logits)], blank_index=NUM_LABELS)[0]


@pytest.mark.parametrize("labels", [[], *LABELS])
def test_the_dynamic_programme_sums_over_every_alignment(labels):
    probabilities = softmax(random_logits())
    every = ctc.all_alignments(probabilities, labels, merge=False)
    assert abs(ctc.dynamic_programme(probabilities, labels) - every) < 1e-10


def test_the_probabilities_of_all_label_sequences_sum_to_one():
    probabilities = softmax(random_logits())
    total = sum(
        ctc.dynamic_programme(probabilities, list(labels))
        for length in range(NUM_STEPS + 1)
        for labels in itertools.product(range(NUM_LABELS), repeat=length))
    assert abs(total - 1) < 1e-10


@pytest.mark.parametrize("labels", LABELS)
def test_with_certain_blanks_between_tensorflow_has_the_thesis_likelihood(labels):
    logits = random_logits()
    expected = np.log(ctc.dynamic_programme(softmax(logits), labels))
    # In float64 too TensorFlow's recursion has float32 constants.
    for dtype in (tf.float64, tf.float32):
        found = tensorflow_log_prob(with_certain_blanks(tf.constant(logits, dtype)), labels)
        assert abs(found - expected) < 1e-5


@pytest.mark.parametrize("labels", [[1, 0], [0, 0, 0]])
def test_with_certain_blanks_between_tensorflow_has_the_thesis_gradient(labels):
    logits = tf.constant(random_logits())
    with tf.GradientTape() as tape:
        tape.watch(logits)
        log_prob = tensorflow_log_prob(with_certain_blanks(logits), labels)
    step, expected = 1e-6, np.zeros(logits.shape)
    for place in np.ndindex(*logits.shape):
        either = [logits.numpy(), logits.numpy()]
        either[0][place] -= step
        either[1][place] += step
        low, high = (np.log(ctc.dynamic_programme(softmax(each), labels)) for each in either)
        expected[place] = (high - low) / (2 * step)
    np.testing.assert_allclose(tape.gradient(log_prob, logits), expected, rtol=0, atol=1e-5)


# But for the labels with so many equal neighbours that the blanks between them find no step.
@pytest.mark.parametrize("labels", [each for each in LABELS if each not in ([0] * 3, [1] * 4)])
def test_as_it_is_tensorflow_merges_equal_neighbours(labels):
    logits = random_logits()
    expected = np.log(ctc.all_alignments(softmax(logits), labels, merge=True))
    assert abs(tensorflow_log_prob(tf.constant(logits), labels) - expected) < 1e-5


def test_the_two_definitions_differ_both_ways_where_steps_merge():
    probabilities = softmax(random_logits())
    merged, plain = (
        {tuple(labels): ctc.all_alignments(probabilities, labels, merge) for labels in LABELS}
        for merge in (True, False))
    # A label may last: more alignments for labels without equal neighbours. Two equal labels need
    # a blank between them: fewer for those with.
    assert merged[0,] > 1.1 * plain[0,] and merged[1, 0] > 1.1 * plain[1, 0]
    assert merged[0, 0, 0] == 0 < plain[0, 0, 0]
    # Where every step has another label than the one before, nothing merges.
    assert merged[0, 1, 0, 1] == plain[0, 1, 0, 1]
