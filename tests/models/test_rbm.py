"""`RBM` in small worlds, against sums over every frame."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import models
from tests import reference

NUM_VISIBLE = 6
#: Four frames, some of whose units agree and some of which do not.
MODES = np.array([
    [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1]], np.float32)

#: What each unit counts for in the number of a frame among all frames.
PLACES = 2 ** np.arange(NUM_VISIBLE)[::-1]


def random_model(seed: int = 1, **kwargs) -> models.RBM:
    """Returns a small RBM with weights of about 1."""
    model = models.RBM(4, seed=seed, **kwargs)
    model.build_for(NUM_VISIBLE)
    random = np.random.default_rng(seed)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def twin_of(model: models.RBM) -> reference.RBM:
    """Returns the float64 twin."""
    return reference.RBM(*(np.array(weight, np.float64) for weight in (
        model.head.kernel, model.visible_bias, model.hidden_bias)))


@pytest.mark.parametrize("arguments", [
    {"num_gibbs_steps": 5},
    {"num_gibbs_steps": 25, "negatives": "mean_field"},
    {"num_gibbs_steps": keras.optimizers.schedules.PiecewiseConstantDecay([199], [1, 5])},
    {"num_gibbs_steps": 10, "num_chains": 100}], ids=["CD", "mean field", "schedule", "PCD"])
def test_training_comes_close_to_the_entropy_of_a_multimodal_set(arguments):
    random = np.random.default_rng(0)
    flipped = random.random([2000, NUM_VISIBLE]) < 0.1
    frames = np.abs(MODES[random.integers(0, 4, 2000)] - flipped)
    shares = np.bincount(frames.astype(int) @ PLACES, minlength=64) / 2000
    entropy = -np.sum(shares * np.log(np.where(shares > 0, shares, 1)))
    means = frames.mean(axis=0)
    independent = means @ np.log(means) + (1 - means) @ np.log(1 - means)

    model = models.RBM(8, seed=3, **arguments)
    # A rate that falls: at a constant one the likelihood goes on swinging, most with chains.
    rate = keras.optimizers.schedules.PolynomialDecay(0.05, 1200, end_learning_rate=0.0)
    model.compile(keras.optimizers.Adam(rate), steps_per_execution=40)
    # In the order they come: Keras' own shuffling hangs on what else has drawn.
    errors = model.fit(
        frames, epochs=30, batch_size=50, shuffle=False, verbose=0).history["reconstruction_error"]
    reached = shares @ np.log(twin_of(model).probabilities())
    # Nats: 1.04 lie between independent units and the entropy, which nothing exceeds.
    assert independent < -entropy - 1 < -entropy - 0.15 < reached < -entropy
    assert errors[-1] < errors[0] / 2


def test_ais_is_within_three_standard_errors_of_the_truth():
    for seed in range(5):
        model = random_model(seed)
        estimate, error = model.estimate_log_prob(MODES, seed=seed)
        exact = [twin_of(model).log_prob(frame) for frame in MODES]
        assert 0 < error < 0.1
        np.testing.assert_allclose(estimate, exact, atol=3 * float(error) + 1e-5)


def test_conditionals_and_free_energy_are_those_of_the_twin():
    model = random_model()
    twin = twin_of(model)
    hidden = reference.sigmoid(twin.hidden_bias + MODES @ twin.kernel)
    np.testing.assert_allclose(model.hidden_mean(MODES), hidden, atol=1e-5)
    np.testing.assert_allclose(model.predict(MODES, verbose=0), hidden, atol=1e-5)
    np.testing.assert_allclose(
        model.reconstruct(MODES), reference.sigmoid(twin.visible_bias + hidden @ twin.kernel.T),
        atol=1e-5)
    np.testing.assert_allclose(
        model.free_energy(MODES), [twin.free_energy(frame) for frame in MODES], atol=1e-5)


def test_samples_match_the_exact_probabilities():
    model = random_model()
    drawn = model.sample(20_000, seed=5, num_steps=200).numpy()
    counts = np.bincount(drawn.astype(int) @ PLACES, minlength=64)
    # Total variation of 20,000 draws over 64 frames: below sqrt(64 / 20,000) / 2 on average.
    assert np.abs(counts / 20_000 - twin_of(model).probabilities()).sum() / 2 < 0.03


def test_evaluate_reports_the_likelihood_and_validation_does_not():
    model = random_model()
    model.compile("sgd")
    figures = model.evaluate(MODES, verbose=0, return_dict=True)
    assert figures["log_likelihood"] == pytest.approx(
        float(np.mean(model.log_prob(MODES))), abs=1e-5)
    assert figures["reconstruction_error"] == pytest.approx(
        float(np.mean((MODES - model.reconstruct(MODES)) ** 2)), abs=1e-6)
    assert model.evaluate(MODES, verbose=0) == list(figures.values())
    history = model.fit(MODES, validation_data=MODES, verbose=0).history
    assert set(history) == {
        "loss", "reconstruction_error", "val_reconstruction_error", "val_free_energy"}


def test_the_visible_bias_can_start_at_the_log_odds_of_the_data():
    model = models.RBM(3)
    frames = np.random.default_rng(0).random([4000, 3]) < [0.1, 0.5, 0.999]
    model.initialize_visible_bias(frames)
    np.testing.assert_allclose(
        tf.sigmoid(model.visible_bias), (frames.sum(axis=0) + 0.5) / 4001, atol=1e-6)
    all_on = models.RBM(3)
    all_on.initialize_visible_bias(np.ones([10, 2]))
    np.testing.assert_allclose(all_on.visible_bias, np.log([21, 21]), rtol=1e-5)


def test_gaussian_frames_have_their_density():
    """Without hidden units' weights the frames are normal, and AIS is exact."""
    model = models.RBM(2, visible="gaussian", stddev=0.5)
    frames = np.random.default_rng(0).normal([3.0, -1.0], 0.5, [2000, 2]).astype(np.float32)
    model.initialize_visible_bias(frames)
    model.head.kernel.assign(tf.zeros([2, 2]))
    mean = frames.mean(axis=0)
    exact = -(((frames - mean) / 0.5) ** 2).sum(axis=1) / 2 - 2 * np.log(0.5 * np.sqrt(2 * np.pi))
    estimate, error = model.estimate_log_prob(frames)
    np.testing.assert_allclose(estimate, exact, atol=3 * float(error) + 1e-4)
    np.testing.assert_allclose(model.reconstruct(frames)[0], mean, rtol=1e-5)
    drawn = model.sample(4000, seed=1, num_steps=3).numpy()
    # Five standard errors of a mean of 4,000 draws.
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=5 * 0.5 / np.sqrt(4000))


def test_a_gaussian_rbm_learns_two_clusters():
    random = np.random.default_rng(2)
    centres = np.array([[2.0, 2.0, -2.0], [-2.0, -2.0, 2.0]])
    frames = centres[random.integers(0, 2, 2000)] + random.normal(size=[2000, 3])
    model = models.RBM(2, visible="gaussian", num_gibbs_steps=3, seed=1)
    model.initialize_visible_bias(frames)
    before = float(np.mean(model.log_prob(frames)))
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(frames, epochs=5, batch_size=20, verbose=0)
    # The entropy of the mixture is, but for the little overlap, log 2 + 3/2 log(2 pi e).
    entropy = np.log(2) + 1.5 * np.log(2 * np.pi * np.e)
    assert before < -entropy - 2
    assert float(np.mean(model.log_prob(frames))) > -entropy - 0.5


def test_a_dataset_trains_as_an_array_does():
    weights = []
    for x in (MODES, tf.data.Dataset.from_tensor_slices(MODES).batch(2)):
        model = models.RBM(3, seed=4)
        model.compile("sgd")
        model.fit(x, batch_size=None if x is not MODES else 2, epochs=2, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_from_its_config_trains_the_same():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [1, 2])
    model = models.RBM(
        3, num_gibbs_steps=schedule, num_chains=5, negatives="mean_field", seed=7)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert type(copy) is models.RBM and copy.get_config() == model.get_config()
    other_seed = models.RBM.from_config({**model.get_config(), "seed": 8})
    histories = []
    for each in (model, copy, other_seed):
        each.compile("sgd")
        histories.append(each.fit(MODES, epochs=2, verbose=0, shuffle=False).history)
    assert histories[0] == histories[1] != histories[2]


@pytest.mark.parametrize("arguments", [{}, {"num_chains": 3}, {"visible": "gaussian"}])
def test_files_carry_a_model_over(arguments, tmp_path):
    model = random_model(**arguments)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(MODES, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = models.RBM(4, **{**arguments, "seed": 5})
    again.build_for(NUM_VISIBLE)
    again.load_weights(tmp_path / "model.weights.h5")
    for other in (loaded, again):
        np.testing.assert_array_equal(other.sample(3, 1, 5), model.sample(3, 1, 5))
        np.testing.assert_array_equal(other.log_prob(MODES), model.log_prob(MODES))
    first, second = (
        each.fit(MODES, epochs=2, verbose=0, shuffle=False).history for each in (model, loaded))
    assert first == second


@pytest.mark.parametrize("arguments, message", [
    ({"num_hidden": 0}, "num_hidden must be a positive integer, got 0"),
    ({"num_gibbs_steps": 0}, "num_gibbs_steps must be a positive integer.* got 0"),
    ({"num_chains": 0}, "num_chains must be a positive integer, got 0"),
    ({"negatives": "drawn"}, "negatives must be 'sampled' or 'mean_field', got 'drawn'"),
    ({"visible": "gaussian", "stddev": 0.0}, "stddev must be a positive number, got 0"),
    ({"visible": "real"}, "visible must be 'binary' or 'gaussian', got 'real'")])
def test_arguments_that_are_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.RBM(**{"num_hidden": 3, **arguments})


@pytest.mark.parametrize("call, message", [
    (lambda model: model.fit(MODES * 2), "frames must be from 0 to 1 for RBMHead.*got 2"),
    (lambda model: model.fit(-MODES), "frames must be from 0 to 1 for RBMHead.*got -1"),
    (lambda model: model.fit(MODES, validation_data=MODES * 3), "frames must be .*got 3"),
    (lambda model: model.fit(tf.data.Dataset.from_tensors(MODES * 2), verbose=0),
     "frames must be from 0 to 1 for RBMHead.*got 2"),
    (lambda model: model.fit(tf.data.Dataset.from_tensors((MODES, MODES))),
     "a dataset must be of batches .*got"),
    (lambda model: model.fit(MODES[:, :4]), "frames must be 6 wide.*got 4"),
    (lambda model: model.fit(MODES[0]), r"frames must have the shape .*got \(6,\)"),
    (lambda model: model.log_prob(MODES * np.nan), "frames must be finite, got NaN"),
    (lambda model: model.hidden_mean(MODES[:, :4]), "frames must be 6 wide.*got 4"),
    (lambda model: model.evaluate(MODES * 2), "frames must be .*got 2"),
    (lambda model: model.sample(0, seed=1), "num_frames must be a positive integer, got 0"),
    (lambda model: model.sample(1, seed=1, num_steps=0), "num_steps must be .*got 0"),
    (lambda model: models.RBM(2).sample(1, seed=1), "must be built .*got one of no width")])
def test_bad_input_is_refused_by_name_and_value(call, message):
    model = random_model()
    model.compile("sgd")
    with pytest.raises(ValueError, match=message):
        call(model)


@pytest.mark.parametrize("arguments", [{"loss": "mse"}, {"metrics": ["mse"]}])
def test_a_loss_in_compile_is_refused(arguments):
    model = random_model()
    model.compile("sgd", **arguments)
    with pytest.raises(ValueError, match="compile must be given no loss and no metrics, got loss="):
        model.fit(MODES)
