"""`DeepBeliefNetwork` in small worlds, against sums over every unit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import models
from tests import reference
from tests.models.test_rbm import MODES, NUM_VISIBLE, PLACES, twin_of
from tests.reference import deep_belief


def random_model(num_hidden: tuple[int, ...] = (4, 3), **kwargs) -> models.DeepBeliefNetwork:
    """Returns a small network with weights of about 1."""
    model = models.DeepBeliefNetwork(num_hidden, **kwargs)
    model.build_for(NUM_VISIBLE)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def twins_of(model: models.DeepBeliefNetwork) -> list[reference.RBM]:
    """Returns the float64 twins of the layers."""
    return [twin_of(rbm) for rbm in model.rbms]


def transposed(num_hidden: tuple[int, ...]) -> models.DeepBeliefNetwork:
    """Returns a network whose first layer is random and whose others have their start of `fit`."""
    model = random_model(num_hidden, transposed_start=True)
    lowest = model.rbms[0].get_weights()
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(MODES, epochs=1, verbose=0)
    for before, after in zip(lowest, model.rbms[0].get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    return model


@pytest.mark.parametrize("surplus", [0, 2])
def test_a_transposed_start_models_the_same_hidden_units(surplus):
    lower, upper = twins_of(transposed((4, NUM_VISIBLE + surplus)))
    hidden_units = reference.RBM(lower.kernel.T, lower.hidden_bias, lower.visible_bias)
    np.testing.assert_allclose(
        upper.probabilities(), hidden_units.probabilities(), rtol=0, atol=1e-10)


def test_the_bound_of_a_transposed_start_is_the_likelihood():
    model = transposed((4, NUM_VISIBLE + 1, 4))
    exact = [twin_of(model.rbms[0]).log_prob(frame) for frame in MODES]
    twins = twins_of(model)
    # Float64 of the same float32 weights.
    assert deep_belief.log_prob(twins[:2], MODES[0]) == pytest.approx(exact[0], abs=1e-10)
    for frame, log_prob in zip(MODES, exact):
        assert deep_belief.lower_bound(twins[:2], frame) == pytest.approx(log_prob, abs=1e-10)
    bounds, errors = model.lower_bound(MODES, num_samples=2)
    # Every draw of h gives log P(v) here: what is left is the error of log Z.
    np.testing.assert_allclose(errors, errors[0], rtol=1e-3)
    np.testing.assert_array_less(np.abs(bounds - exact), 4 * errors + 1e-4)


def test_a_layer_trained_above_an_rbm_raises_the_bound():
    model = models.DeepBeliefNetwork(
        (3, 8), num_gibbs_steps=10, layer_inputs="sample", transposed_start=True, seed=3)
    model.build_for(NUM_VISIBLE)
    random = np.random.default_rng(3)
    # An RBM that does not know the data: what it makes of them is not what it expects.
    below, above = model.rbms
    below.set_weights([random.normal(size=weight.shape) for weight in below.get_weights()])
    alone = np.mean([twin_of(below).log_prob(frame) for frame in MODES])
    model._start_transposed(1)
    rate = keras.optimizers.schedules.PolynomialDecay(0.05, 600, end_learning_rate=0.0)
    above.compile(keras.optimizers.Adam(rate))
    # In the order they come: Keras' shuffling of arrays hangs on what else has drawn.
    data = tf.data.Dataset.from_tensor_slices(np.tile(MODES, [300, 1])).batch(20)
    above.fit(model._lift(0, data), epochs=10, verbose=0)
    bound = np.mean([deep_belief.lower_bound(twins_of(model), frame) for frame in MODES])
    exact = np.mean([deep_belief.log_prob(twins_of(model), frame) for frame in MODES])
    # 0.41 nats with this seed, and 0.04 to 0.28 with five others.
    assert alone + 0.2 < bound <= exact < -np.log(4)


def test_fit_returns_a_history_of_each_layer():
    model = models.DeepBeliefNetwork((3, 2), seed=2)
    model.compile("adam")
    histories = model.fit(MODES, epochs=4, verbose=0)
    assert [len(history.history["loss"]) for history in histories] == [4, 4]


@pytest.mark.parametrize("num_hidden", [(3,), (4, 3), (3, 4, 2)])
def test_the_lower_bound_is_within_four_standard_errors_of_the_twin(num_hidden):
    model = random_model(num_hidden)
    bounds, errors = model.lower_bound(MODES, num_samples=400)
    exact = np.array([deep_belief.lower_bound(twins_of(model), frame) for frame in MODES])
    above = np.array([deep_belief.log_prob(twins_of(model), frame) for frame in MODES])
    assert (exact <= above + 1e-10).all() and (errors.numpy() < 0.3).all()
    np.testing.assert_array_less(np.abs(bounds - exact), 4 * errors)


def test_samples_match_the_exact_probabilities():
    model = random_model()
    drawn = model.sample(20_000, seed=4, num_steps=200).numpy()
    counts = np.bincount(drawn.astype(int) @ PLACES, minlength=64)
    exact = np.exp([
        deep_belief.log_prob(twins_of(model), frame)
        for frame in reference.all_frames(NUM_VISIBLE)])
    assert exact.sum() == pytest.approx(1, abs=1e-10)
    # Total variation of 20,000 draws over 64 frames: below sqrt(64 / 20,000) / 2 on average.
    assert np.abs(counts / 20_000 - exact).sum() / 2 < 0.03


def test_the_transform_passes_the_means_up():
    model = random_model((4, 3))
    means = MODES
    for twin in twins_of(model):
        means = reference.sigmoid(twin.hidden_bias + means @ twin.kernel)
    np.testing.assert_allclose(model.transform(MODES), means, atol=1e-5)
    np.testing.assert_allclose(model.predict(MODES, verbose=0), means, atol=1e-5)


@pytest.mark.parametrize("as_dataset", [False, True])
def test_a_layer_learns_the_aggregated_posterior(as_dataset):
    model = random_model((3, 2), layer_inputs="sample")
    frames = np.tile(MODES, [5000, 1])
    dataset = tf.data.Dataset.from_tensor_slices(frames).batch(1000)
    x = dataset if as_dataset else tf.constant(frames)
    lifted = model._lift(0, x)
    drawn = np.concatenate(list(lifted)) if as_dataset else lifted.numpy()
    counts = np.bincount(drawn.astype(int) @ [4, 2, 1], minlength=8)
    exact = deep_belief.aggregated_posterior(twin_of(model.rbms[0]), MODES)
    # Five standard deviations of a share of 20,000 draws are below 5 sqrt(1 / 4 / 20,000).
    np.testing.assert_allclose(counts / 20_000, exact, atol=0.018)


@pytest.mark.parametrize("layer_inputs", ["mean", "sample"])
def test_a_dataset_trains_as_an_array_does(layer_inputs):
    weights = []
    for x in (MODES, tf.data.Dataset.from_tensors(MODES)):
        model = models.DeepBeliefNetwork((3, 2), layer_inputs=layer_inputs)
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(x, epochs=1, batch_size=4 if x is MODES else None, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        # An array is shuffled: its sums go in another order.
        np.testing.assert_allclose(one, other, atol=0.02)


def test_a_model_from_its_config_trains_the_same():
    model = models.DeepBeliefNetwork((3, 6), layer_inputs="sample", transposed_start=True, seed=7)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert type(copy) is models.DeepBeliefNetwork and copy.get_config() == model.get_config()
    data = tf.data.Dataset.from_tensor_slices(MODES).batch(2)
    for each in (model, copy):
        each.compile("sgd")
        each.fit(data, epochs=2, verbose=0)
    for one, other in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_files_carry_a_model_over(tmp_path):
    model = models.DeepBeliefNetwork((4, 3), seed=1)
    model.compile("adam")
    model.fit(MODES, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = models.DeepBeliefNetwork((4, 3), seed=5)
    again.build_for(NUM_VISIBLE)
    again.load_weights(tmp_path / "model.weights.h5")
    for other in (loaded, again):
        np.testing.assert_array_equal(other.transform(MODES), model.transform(MODES))
        np.testing.assert_array_equal(other.sample(3, 1, 5), model.sample(3, 1, 5))
    loaded.fit(MODES, epochs=1, verbose=0)


@pytest.mark.parametrize("arguments, message", [
    ({"num_hidden": ()}, r"num_hidden must name at least one layer, got \(\)"),
    ({"num_hidden": (3, 0)}, "num_hidden must be a positive integer, got 0"),
    ({"num_gibbs_steps": 0}, "num_gibbs_steps must be a positive integer.* got 0"),
    ({"layer_inputs": "logits"}, "layer_inputs must be 'mean' or 'sample', got 'logits'")])
def test_arguments_that_are_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.DeepBeliefNetwork(**{"num_hidden": (3, 2), **arguments})


@pytest.mark.parametrize("call, message", [
    (lambda model: model.fit(MODES * 2), "frames must be from 0 to 1 .*got 2"),
    (lambda model: model.fit(MODES[:, :4]), "frames must be 6 wide.*got 4"),
    (lambda model: model.transform(MODES[:, :4]), "frames must be 6 wide.*got 4"),
    (lambda model: model.lower_bound(MODES, 1), "num_samples must be .* got 1"),
    (lambda model: model.sample(0, seed=1), "num_frames must be a positive integer, got 0"),
    (lambda model: model.sample(1, seed=1, num_steps=0), "num_steps must be .*got 0"),
    (lambda model: models.DeepBeliefNetwork().sample(1, seed=1), "must be built .*got one of no"),
    (lambda model: models.DeepBeliefNetwork().fit(MODES), "fit must come after compile, got"),
    (lambda model: models.DeepBeliefNetwork((9, 5), transposed_start=True).build_for(6),
     "num_hidden must grow for transposed_start, got 5 units two layers above 6"),
    (lambda model: models.DeepBeliefNetwork((9, 9, 5), transposed_start=True).build_for(6),
     "num_hidden must grow for transposed_start, got 5 units two layers above 9")])
def test_bad_input_is_refused_by_name_and_value(call, message):
    model = random_model()
    model.compile("sgd")
    with pytest.raises(ValueError, match=message):
        call(model)
