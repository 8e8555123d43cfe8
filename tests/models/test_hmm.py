"""The hidden Markov model: its likelihood, and expectation maximisation through `fit`."""

import keras
import numpy as np
import pytest
from scipy.special import expit

from rnnpt import datasets, models
from rnnpt.models import _em
from tests.catalogue import make_batch
from tests.reference import all_frames, hmm

NUM_VISIBLE = 5


def make_model(twin: hmm.HMM, **kwargs: object) -> models.HMM:
    """Returns a model with the twin's parameters."""
    model = models.HMM(len(twin.start), **kwargs)
    model.build_for(twin.emission.shape[1])
    model.cell.initial_state[0].assign(np.log(twin.start))
    model.cell.transition_logits.assign(np.log(twin.transition))
    model.head.component_logits.assign(twin.emission)
    model.is_started.assign(1)
    return model


def make_pieces(num_pieces: int = 6, seed: int = 0) -> list[np.ndarray]:
    """Returns pieces that go round among four frames, now and then with a wrong unit."""
    rng = np.random.default_rng(seed)
    kinds = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [1, 0, 0, 1, 1], [0, 1, 1, 0, 1]], bool)
    return [kinds[(np.arange(9 + i) + i) % 4] ^ (rng.random([9 + i, NUM_VISIBLE]) < 0.05)
            for i in range(num_pieces)]


def test_log_prob_is_the_sum_over_every_path():
    twin, frames = hmm.random_hmm(3, NUM_VISIBLE), make_batch(1, 5)["frames"]
    log_prob = make_model(twin).log_prob(frames)
    assert log_prob.numpy() == pytest.approx([twin.log_prob(frames[0])], abs=1e-5)


@pytest.mark.filterwarnings("ignore:distutils Version classes are deprecated:DeprecationWarning")
def test_log_prob_is_that_of_tensorflow_probability():
    import tensorflow_probability as tfp  # TFP 0.25 warns as it looks at TensorFlow's version.
    twin = hmm.random_hmm(4, 8, seed=1)
    frames = (np.random.default_rng(2).random([3, 40, 8]) < 0.4).astype(np.float32)
    peer = tfp.distributions.HiddenMarkovModel(
        tfp.distributions.Categorical(probs=twin.start.astype(np.float32)),
        tfp.distributions.Categorical(probs=twin.transition.astype(np.float32)),
        tfp.distributions.Independent(
            tfp.distributions.Bernoulli(logits=twin.emission.astype(np.float32)), 1),
        num_steps=40)
    np.testing.assert_allclose(
        make_model(twin).log_prob(frames), peer.log_prob(frames), rtol=0, atol=1e-4)


def test_sequences_of_one_length_have_probabilities_that_sum_to_one():
    twin = hmm.random_hmm(2, 2)
    frames = all_frames(6).reshape([64, 3, 2])
    # Sixty-four float32 numbers.
    assert np.exp(make_model(twin).log_prob(frames)).sum() == pytest.approx(1, abs=1e-6)


def test_one_pass_is_expectation_maximisation_over_every_path():
    twin = hmm.random_hmm(2, 3)
    rng, smoothing = np.random.default_rng(3), 0.25
    pieces = [(rng.random([length, 3]) < 0.5).astype(float) for length in (4, 1, 3)]
    start, transition = np.full(2, smoothing), np.full([2, 2], smoothing)
    on, off = np.full([2, 3], smoothing), np.full([2, 3], smoothing)
    for piece in pieces:
        for path, log_prob in twin.path_log_probs(piece).items():
            weight = np.exp(log_prob - twin.log_prob(piece))
            start[path[0]] += weight
            for frame, state in zip(piece, path):
                on[state] += weight * frame
                off[state] += weight * (1 - frame)
            for state, following in zip(path, path[1:len(piece)]):
                transition[state, following] += weight
    logits = _em.Logits(np.log(twin.start), np.log(twin.transition), twin.emission)
    improved, log_prob = _em.improve(pieces, logits, smoothing)
    np.testing.assert_allclose(log_prob, sum(map(twin.log_prob, pieces)), rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.exp(improved.start), start / start.sum(), atol=1e-10)
    np.testing.assert_allclose(
        np.exp(improved.transition), transition / transition.sum(axis=1, keepdims=True), atol=1e-10)
    np.testing.assert_allclose(expit(improved.emission), on / (on + off), atol=1e-10)


def test_counts_of_known_states_are_smoothed_frequencies():
    pieces = [np.array([[1, 0], [1, 1], [0, 0]]), np.array([[0, 1]])]
    logits = _em.count(pieces, np.array([0, 0, 1, 1]), num_states=2, smoothing=0.5)
    np.testing.assert_allclose(np.exp(logits.start), [1.5, 1.5])
    np.testing.assert_allclose(np.exp(logits.transition), [[1.5, 1.5], [0.5, 0.5]])
    np.testing.assert_allclose(expit(logits.emission), [[2.5 / 3, 0.5], [0.5 / 3, 0.5]])


@pytest.mark.parametrize("initialization", ["k_means", "gaussian_mixture"])
def test_fit_raises_the_likelihood_and_finds_the_cycle(initialization):
    sequences = datasets.Sequences(make_pieces())
    model = models.HMM(4, initialization, smoothing=1e-3)
    history = model.fit(sequences.pieces(4), epochs=10, verbose=0).history
    assert np.all(np.diff(history["log_likelihood"]) > -1e-4)
    assert history["loss"] == [-value for value in history["log_likelihood"]]
    following = model.cell.transition_logits.numpy().argmax(axis=1)
    assert following[following[following[following]]].tolist() == [0, 1, 2, 3]
    assert len(set(following)) == 4


def test_an_epoch_more_goes_on_from_the_parameters_and_segments_are_put_together():
    sequences = datasets.Sequences(make_pieces())
    first, second = models.HMM(3), models.HMM(3)
    whole = first.fit(sequences.segments(100, batch_size=6), epochs=4, verbose=0).history
    cut = [second.fit(sequences.segments(4, batch_size=6), initial_epoch=epoch, epochs=epoch + 1,
                      verbose=0).history["log_likelihood"][0] for epoch in range(4)]
    # Pieces come in another order, and with them sums of float64 that are kept in float32.
    np.testing.assert_allclose(cut, whole["log_likelihood"], rtol=0, atol=1e-5)


def test_fit_speaks_to_callbacks_and_evaluates_after_each_pass():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    train, valid = (datasets.Sequences(make_pieces(seed=seed)).pieces() for seed in (0, 1))
    model = models.HMM(3)
    history = model.fit(train, epochs=5, validation_data=valid, callbacks=[Stop()], verbose=0)
    assert history.epoch == [0, 1]
    evaluated = model.evaluate(valid, verbose=0, return_dict=True)
    assert history.history["val_log_likelihood"][-1] == evaluated["log_likelihood"]
    again = model.evaluate(train, verbose=0, return_dict=True)
    following = model.fit(train, verbose=0).history["log_likelihood"][0]
    assert following == pytest.approx(again["log_likelihood"], abs=1e-5)


def test_counting_alone_gives_a_model_that_fit_goes_on_from():
    sequences = datasets.Sequences(make_pieces())
    counted, fitted = models.HMM(4, "gaussian_mixture"), models.HMM(4, "gaussian_mixture")
    counted.count_from(sequences.pieces())
    before = counted.log_prob(sequences.sequences[0][None])
    assert (counted.is_started, counted.head.component_logits.shape) == (1, (4, NUM_VISIBLE))
    histories = [model.fit(sequences.pieces(), verbose=0).history for model in (counted, fitted)]
    assert histories[0] == histories[1]
    assert counted.log_prob(sequences.sequences[0][None]) != before


@pytest.mark.parametrize("make, error, message", [
    (lambda: models.HMM(0), ValueError, "must be a positive integer, got 0"),
    (lambda: models.HMM(2, "gmm"), ValueError, "initialization must be one of .* got 'gmm'"),
    (lambda: models.HMM(2, smoothing=0.0), ValueError, "smoothing must be a positive .* got 0.0"),
    (lambda: models.HMM(99).fit(make_batch(), verbose=0), ValueError,
     "num_states must be at most the number of frames, 15, got 99"),
    (lambda: models.HMM(2).fit(make_batch(), class_weight={}), TypeError,
     r"HMM.fit must be given .* got \['class_weight'\]"),
    (lambda: models.HMM(2).fit(datasets.Sequences(make_pieces()).pieces().repeat()), ValueError,
     "x must end, got a dataset that repeats for ever"),
    (lambda: models.HMM(2).fit({**make_batch(), "starts": [True, False, True]}), ValueError,
     "starts must be True where a row begins, got False in row 1"),
    (lambda: models.HMM(2).fit({**make_batch(), "mask": np.zeros([3, 6], bool)}), ValueError,
     "x must hold at least one real frame, got none"),
    (lambda: models.HMM(2).fit({"frames": np.full([1, 2, 3], 0.5)}), ValueError,
     "frames must be 0 or 1 .* got 0.5"),
])
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
