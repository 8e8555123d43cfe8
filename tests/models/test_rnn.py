"""The plain RNN and the RNN-RBM against their twins, and as distributions over whole sequences."""

import numpy as np
import pytest

from rnnpt import models
from tests import reference
from tests.catalogue import NUM_VISIBLE, make_batch, with_random_weights

ACTIVATIONS = ["tanh", "sigmoid", "relu"]


def weights_of(model: models.SequenceModel) -> dict[str, np.ndarray]:
    """Returns the weights by the names that the twins use."""
    weights = {
        "kernel": model.cell.kernel, "recurrent_kernel": model.cell.recurrent_kernel,
        "bias": model.cell.bias, "initial_state": model.cell.initial_state[0],
        "readout_kernel": model.readout.kernel, "readout_bias": model.readout.bias}
    if not model.head.exact:
        weights["rbm_kernel"] = model.head.kernel
    return {name: weight.numpy().astype(np.float64) for name, weight in weights.items()}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_rnn_log_prob_equals_its_twin(activation):
    model, batch = with_random_weights(models.RNN(4, activation)), make_batch()
    log_prob, error = model.estimate_log_prob(batch["frames"], batch["mask"])
    for row, length in enumerate(batch["mask"].sum(axis=1)):
        expected = reference.rnn_log_prob(
            weights_of(model), batch["frames"][row, :length], activation)
        np.testing.assert_allclose(log_prob[row], expected.sum(), rtol=1e-5)
    np.testing.assert_array_equal(error, 0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_rnn_rbm_log_prob_lies_within_its_standard_error_of_its_twin(activation):
    # Three rows, 100 AIS runs a frame: five standard errors, and float32.
    model, batch = with_random_weights(models.RNNRBM(3, 4, activation=activation)), make_batch()
    log_prob, error = model.estimate_log_prob(batch["frames"], batch["mask"])
    for row, length in enumerate(batch["mask"].sum(axis=1)):
        expected = reference.rnn_rbm_log_prob(
            weights_of(model), batch["frames"][row, :length], activation)
        assert abs(log_prob[row] - expected.sum()) < 5 * error[row] + 1e-4
    assert (error.numpy() > 0).all() and (error.numpy() < 0.1).all()


def test_probabilities_of_all_sequences_sum_to_one():
    model = models.RNN(4)
    model.build_for(3)
    random = np.random.default_rng(9)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    every = reference.all_frames(6).reshape([64, 2, 3])
    assert abs(np.exp(model.log_prob(every)).sum() - 1) < 1e-5


def test_generated_first_frames_have_the_probabilities_of_the_learned_start():
    # 5,000 sequences of one frame over 3 units: five standard errors of a frequency.
    model, num_rows = models.RNN(4), 5_000
    model.build_for(3)
    random = np.random.default_rng(9)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    drawn = model.generate(np.zeros([num_rows, 0, 3]), 1, seed=1)[:, 0].numpy()
    expected = np.exp(model.log_prob(reference.all_frames(3)[:, None]))
    frequencies = np.bincount((drawn @ [4, 2, 1]).astype(int), minlength=8) / num_rows
    bound = 5 * np.sqrt(expected * (1 - expected) / num_rows)
    assert (abs(frequencies - expected) < bound).all()


def test_generated_frames_follow_the_conditional_of_the_prime_at_its_temperature():
    # As above, after a prime, logits halved.
    model, num_rows = with_random_weights(models.RNN(4)), 5_000
    prime = make_batch(batch_size=1)["frames"]
    state = model.advance(prime, None, model.initial_state(1))
    logits = model.parameters(state)[0].numpy()
    drawn = model.generate(np.tile(prime, [num_rows, 1, 1]), 1, seed=1, temperature=2.0)
    expected = reference.sigmoid(logits / 2)
    bound = 5 * np.sqrt(expected * (1 - expected) / num_rows)
    assert (abs(np.mean(drawn[:, 0], axis=0) - expected) < bound).all()


@pytest.mark.parametrize("make", [models.RNN, models.RNNRBM])
def test_the_seed_sets_the_initial_weights(make):
    built = []
    for seed in (1, 1, 2):
        model = make(num_hidden=4, seed=seed)
        model.build_for(NUM_VISIBLE)
        built.append(np.concatenate([np.ravel(w) for w in model.get_weights()]))
    np.testing.assert_array_equal(built[0], built[1])
    assert not np.array_equal(built[0], built[2])


def test_a_sparse_start_has_its_spectral_radius_and_its_connections():
    model = models.RNN(40, spectral_radius=1.2)
    model.build_for(88)
    kernel, recurrent = (each.numpy() for each in (model.cell.kernel, model.cell.recurrent_kernel))
    assert abs(abs(np.linalg.eigvals(recurrent)).max() - 1.2) < 1e-5
    for each in (kernel, recurrent):
        np.testing.assert_array_equal(np.count_nonzero(each, axis=0), 15)
    # 600 draws: five standard errors of a standard deviation.
    assert abs(kernel[kernel != 0].std() / 0.3 - 1) < 5 / np.sqrt(2 * 600)
    again = models.RNN.from_config(model.get_config())
    again.build_for(88)
    np.testing.assert_array_equal(again.cell.recurrent_kernel, recurrent)


def test_a_negative_spectral_radius_is_refused():
    with pytest.raises(ValueError, match="radius must be .*got -1"):
        models.RNN(4, spectral_radius=-1)


@pytest.mark.parametrize("make, name, message", [
    (models.RNN, "num_hidden", "units must be .*got 0"),
    (models.RNNRBM, "num_hidden", "num_hidden must be .*got 0"),
    (models.RNNRBM, "num_recurrent", "units must be .*got 0"),
    (models.RNNRBM, "num_gibbs_steps", "num_gibbs_steps must be .*got 0")])
def test_a_model_of_no_units_is_refused(make, name, message):
    with pytest.raises(ValueError, match=message):
        make(**{name: 0})


def test_an_activation_that_keras_does_not_know_is_refused():
    with pytest.raises(ValueError, match="wobble"):
        models.RNN(4, activation="wobble")
