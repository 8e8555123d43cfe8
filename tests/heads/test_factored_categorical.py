"""The factored head against its twin, the plain head and frequencies; classes of equal mass."""

import json

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import heads
from tests.reference import categorical

CLASS_OF = [2, 0, 1, 1, 2, 2, 0]
NUM_FEATURES = 3


def random_head(dtype: str = "float64") -> heads.FactoredCategoricalHead:
    """Returns a head of seven words in three classes with normal weights."""
    head = heads.FactoredCategoricalHead(CLASS_OF, NUM_FEATURES, dtype=dtype)
    head.build((None, 7))
    random = np.random.default_rng(1)
    head.set_weights([random.normal(size=weight.shape) for weight in head.get_weights()])
    return head


def twin(head: heads.FactoredCategoricalHead, features: np.ndarray) -> np.ndarray:
    """Returns the probabilities of all words by the twin, (7,)."""
    return categorical.factored_probabilities(*head.get_weights(), CLASS_OF, features)


def test_probabilities_of_all_words_sum_to_one_and_equal_the_twin():
    head, features = random_head(), np.random.default_rng(2).normal(size=[4, NUM_FEATURES])
    log_prob = head.log_prob(np.repeat(features[:, None], 7, axis=1), np.tile(np.eye(7), [4, 1, 1]))
    expected = [twin(head, each) for each in features]
    np.testing.assert_allclose(np.exp(log_prob), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.exp(log_prob).sum(axis=1), 1, rtol=0, atol=1e-10)
    np.testing.assert_allclose(head.mean(features, seed=(0, 0)), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("class_of", [[0] * 5, [3, 1, 0, 4, 2]])
def test_with_one_class_or_one_word_a_class_it_is_the_categorical_head(class_of):
    head = heads.FactoredCategoricalHead(class_of, NUM_FEATURES, dtype="float64")
    head.build((None, 5))
    random = np.random.default_rng(3)
    features = random.normal(size=[6, NUM_FEATURES])
    kernel, bias = random.normal(size=[5, NUM_FEATURES]), random.normal(size=[5])
    frames = np.eye(5)[random.integers(5, size=6)]
    if len(set(class_of)) == 1:  # one row for the class, then one a word
        head.set_weights([np.vstack([np.zeros([1, NUM_FEATURES]), kernel]), np.append(0, bias)])
    else:  # one row a class, then the words by class; a word's own row says nothing
        order = np.argsort(class_of)
        head.set_weights([np.vstack([kernel[order], random.normal(size=kernel.shape)]),
                          np.append(bias[order], random.normal(size=5))])
    logits = features @ kernel.T + bias
    np.testing.assert_allclose(
        head.log_prob(features, frames), heads.CategoricalHead().log_prob(logits, frames),
        rtol=0, atol=1e-10)


def test_the_gradient_is_that_of_the_probabilities_of_all_words():
    head, random = random_head(), np.random.default_rng(4)
    features = tf.constant(random.normal(size=[9, NUM_FEATURES]))
    frames = np.eye(7)[random.integers(7, size=9)]
    sources = [features, *(weight.value for weight in head.trainable_weights)]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        short = tf.reduce_sum(head.log_prob(features, frames))
        long = tf.reduce_sum(frames * tf.math.log(head.mean(features, seed=(0, 0))))
    for one, other in zip(tape.gradient(short, sources), tape.gradient(long, sources)):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_frequencies_of_words_follow_both_logits_over_the_temperature(temperature):
    # 200,000 draws: five standard errors of a frequency p, 5 sqrt(p (1 - p) / n).
    head, num_draws, features = random_head("float32"), 200_000, np.array([0.5, -1.0, 0.3])
    drawn = head.sample(
        tf.tile(tf.constant(features[np.newaxis], tf.float32), [num_draws, 1]), (1, 2),
        temperature).numpy()
    assert ((drawn == 0) | (drawn == 1)).all() and (drawn.sum(axis=-1) == 1).all()
    kernel, bias = (weight / temperature for weight in head.get_weights())
    expected = categorical.factored_probabilities(kernel, bias, CLASS_OF, features)
    bound = 5 * np.sqrt(expected * (1 - expected) / num_draws)
    assert (np.abs(drawn.mean(axis=0, dtype=np.float64) - expected) < bound).all()


def test_a_seed_and_a_temperature_a_row_are_that_row_s_own():
    head, random = random_head("float32"), np.random.default_rng(5)
    features = random.normal(size=[40, NUM_FEATURES]).astype(np.float32)
    seeds, temperature = random.integers(1000, size=[40, 2]), np.linspace(0.1, 5, 40)
    together = head.sample(features, seeds, temperature.astype(np.float32)).numpy()
    rows = [31, 2, 17]
    some = head.sample(features[rows], seeds[rows], temperature[rows].astype(np.float32))
    np.testing.assert_array_equal(some, together[rows])


def test_no_frame_has_no_likelihood_and_no_draw():
    head = random_head("float32")
    nothing = tf.zeros([0, NUM_FEATURES])
    assert head.log_prob(nothing, tf.zeros([0, 7])).shape == (0,)
    assert head.sample(nothing, (1, 2)).shape == (0, 7)


def test_the_config_is_plain_json():
    head = heads.FactoredCategoricalHead(np.array(CLASS_OF), NUM_FEATURES)
    assert json.loads(json.dumps(head.get_config()))["class_of"] == CLASS_OF


@pytest.mark.parametrize("class_of, error, message", [
    ([], ValueError, r"class_of must be a list .* got the shape \(0,\)"),
    ([[0, 1]], ValueError, r"class_of must be a list .* got the shape \(1, 2\)"),
    ([0.0, 1.0], TypeError, "class_of must hold integers, got float64"),
    ([0, -1], ValueError, "class_of must use each class .* got class -1"),
    ([0, 2, 2], ValueError, "class_of must use each class .* got no symbol in class 1 of 3"),
    ([1, 1], ValueError, "class_of must use each class .* got no symbol in class 0 of 2"),
])
def test_classes_that_do_not_divide_the_words_are_refused(class_of, error, message):
    with pytest.raises(error, match=message):
        heads.FactoredCategoricalHead(class_of, 4)


@pytest.mark.parametrize("num_features", [0, -2, 1.5])
def test_features_that_are_none_are_refused(num_features):
    with pytest.raises(ValueError, match=f"num_features must be .* got {num_features};"):
        heads.FactoredCategoricalHead([0], num_features)


@pytest.mark.parametrize("num_visible", [6, 8])
def test_classes_of_another_number_of_symbols_are_refused_before_training(num_visible):
    head = heads.FactoredCategoricalHead(CLASS_OF, NUM_FEATURES)
    with pytest.raises(ValueError, match=f"class_of must .* the {num_visible} units .* got 7;"):
        head.build((None, num_visible))


def test_classes_of_a_text_hold_an_equal_mass():
    # Counts as in a text (Zipf's law), 10,000 words in 30 classes as in the paper: but for the
    # first words, which hold more than a share, every class is within a word of its share.
    counts = 1e6 / np.arange(1, 10_001)
    random = np.random.default_rng(6)
    random.shuffle(counts)
    class_of = heads.frequency_classes(counts, 30)
    masses = np.bincount(class_of, counts)
    alone = np.bincount(class_of) == 1
    share = masses[~alone].sum() / (~alone).sum()
    largest = max(counts[class_of == which].max() for which in np.flatnonzero(~alone))
    assert len(masses) == 30 and alone.sum() < 5
    assert (np.abs(masses[~alone] - share) <= largest).all()
    # More frequent words are in earlier classes.
    assert (np.diff(class_of[np.argsort(-counts)]) >= 0).all()


@pytest.mark.parametrize("counts, num_classes, expected", [
    ([1, 1, 1, 1, 1, 1], 3, [0, 0, 1, 1, 2, 2]),
    ([1, 100, 1, 1, 1], 3, [1, 0, 1, 2, 2]),
    ([5, 0, 0], 3, [0, 1, 2]),
    ([3, 1, 2], 1, [0, 0, 0]),
    ([3, 1, 2], 3, [0, 2, 1]),
    ([0, 0, 7, 7], 2, [1, 1, 0, 1]),
])
def test_no_class_is_without_a_word(counts, num_classes, expected):
    np.testing.assert_array_equal(heads.frequency_classes(counts, num_classes), expected)


@pytest.mark.parametrize("num_classes", [0, -1, 4, 1.5])
def test_a_number_of_classes_that_the_words_do_not_fill_is_refused(num_classes):
    with pytest.raises(ValueError, match=f"num_classes must .* the 3 words, got {num_classes};"):
        heads.frequency_classes([3, 2, 1], num_classes)


@pytest.mark.parametrize("counts, found", [
    ([[1, 2]], r"\[\[1\. 2\.\]\]"), ([1, -2], r"\[ 1\. -2\.\]"), ([0, 0], r"\[0\. 0\.\]"),
    ([], r"\[\]"), ([1, np.inf], r"\[ 1\. inf\]"), ([1, np.nan], r"\[ 1\. nan\]")])
def test_counts_that_are_none_are_refused(counts, found):
    with pytest.raises(ValueError, match=f"counts must be .* got {found};"):
        heads.frequency_classes(counts, 1)
