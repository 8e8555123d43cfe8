"""The RNN-NADE against its twin, and as a distribution over whole sequences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells, heads, models
from tests import reference
from tests.catalogue import NUM_VISIBLE, make_batch, with_random_weights
from tests.reference import nade


def weights_of(model: models.SequenceModel) -> dict[str, np.ndarray]:
    """Returns the weights by the names that the twin uses."""
    weights = {
        "kernel": model.cell.kernel, "recurrent_kernel": model.cell.recurrent_kernel,
        "bias": model.cell.bias, "initial_state": model.cell.initial_state[0],
        "readout_kernel": model.readout.kernel, "readout_bias": model.readout.bias,
        "nade_kernel": model.head.kernel, "nade_decoder": model.head.decoder}
    return {name: weight.numpy().astype(np.float64) for name, weight in weights.items()}


def make_rnn() -> models.SequenceModel:
    """Returns the named model, of a few units."""
    return models.RNNNADE(3, num_recurrent=4)


def make_lstm() -> models.SequenceModel:
    """Returns the same head on a cell with two states."""
    return models.SequenceModel(cells.LSTMCell(4), heads.NADEHead(3))


def with_large_weights(model: models.SequenceModel) -> models.SequenceModel:
    """Returns the model, built for frames of 3 units, its weights of standard deviation 1."""
    model.build_for(3)
    random = np.random.default_rng(9)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
def test_log_prob_equals_its_twin(activation):
    model = with_random_weights(models.RNNNADE(3, num_recurrent=4, activation=activation))
    batch = make_batch()
    log_prob, error = model.estimate_log_prob(batch["frames"], batch["mask"])
    for row, length in enumerate(batch["mask"].sum(axis=1)):
        expected = nade.rnn_nade_log_prob(
            weights_of(model), batch["frames"][row, :length], activation)
        np.testing.assert_allclose(log_prob[row], expected.sum(), rtol=1e-5)
    np.testing.assert_array_equal(error, 0)


def test_log_prob_is_the_sum_of_the_conditionals_of_its_steps():
    model, frames = with_random_weights(models.RNNNADE(3, num_recurrent=4)), make_batch()["frames"]
    state = model.initial_state(3)
    parameters, total = model.parameters(state), np.zeros([3])
    for t in range(frames.shape[1]):
        total += model.head.log_prob(parameters, frames[:, t]).numpy()
        parameters, state = model.step(frames[:, t], state)
    np.testing.assert_allclose(model.log_prob(frames), total, rtol=1e-5)


@pytest.mark.parametrize("make", [make_rnn, make_lstm])
def test_probabilities_of_all_sequences_sum_to_one(make):
    every = reference.all_frames(6).reshape([64, 2, 3])
    assert abs(np.exp(with_large_weights(make()).log_prob(every)).sum() - 1) < 1e-5


@pytest.mark.parametrize("make", [make_rnn, make_lstm])
def test_generated_sequences_have_their_probabilities(make):
    # 20,000 sequences of two frames over 3 units: five standard errors of a frequency, and ten
    # draws, since some sequences are too rare for errors to be normal (Bernstein's inequality).
    model, num_rows = with_large_weights(make()), 20_000
    drawn = model.generate(np.zeros([num_rows, 0, 3]), 2, seed=1).numpy().reshape([num_rows, 6])
    expected = np.exp(model.log_prob(reference.all_frames(6).reshape([64, 2, 3])))
    places = (drawn @ 2 ** np.arange(6)[::-1]).astype(int)
    bound = 5 * np.sqrt(expected * (1 - expected) / num_rows) + 10 / num_rows
    assert (abs(np.bincount(places, minlength=64) / num_rows - expected) < bound).all()


def test_training_learns_which_chord_comes_next():
    # Two chords in turn: the past says which, and nothing is left to chance.
    chords = np.array([[1, 0, 1, 1, 0], [0, 1, 0, 0, 1]], np.float32)
    frames = np.tile(chords, [4, 1])[np.newaxis].repeat(2, axis=0)
    model = models.RNNNADE(6, num_recurrent=8, seed=1)
    model.compile(keras.optimizers.Adam(0.05))
    batch = {**make_batch(2, 8), "frames": frames, "mask": np.ones([2, 8], bool)}
    before = model.log_prob(frames)
    model.fit(tf.data.Dataset.from_tensors(batch).repeat(60), verbose=0)
    assert (before < -20).numpy().all() and (model.log_prob(frames) > -1).numpy().all()
    assert (model.generate(frames, 4, seed=1, temperature=0.1) == frames[:, :4]).numpy().all()


def test_the_seed_sets_the_initial_weights():
    built = []
    for seed in (1, 1, 2):
        model = models.RNNNADE(4, seed=seed)
        model.build_for(NUM_VISIBLE)
        built.append(np.concatenate([np.ravel(w) for w in model.get_weights()]))
    np.testing.assert_array_equal(built[0], built[1])
    assert not np.array_equal(built[0], built[2])


@pytest.mark.parametrize("name, message", [
    ("num_hidden", "num_hidden must be .*got 0"), ("num_recurrent", "units must be .*got 0")])
def test_a_model_of_no_units_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        models.RNNNADE(**{name: 0})
