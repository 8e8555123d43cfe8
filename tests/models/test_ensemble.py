import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import models, optimizers, schedules
from rnnpt.initializers import Sparse, SpectralRadius
from rnnpt.optimizers.graph_error import plain_errors
from tests.reference.ensemble import loss_and_gradients

OUTPUTS = ("real", "binary", "categorical")
INITIALIZERS = (Sparse(2, 0.5), SpectralRadius(1.2, 3), Sparse(3, 0.7))


def make(seeds=(3, 8, 5), output="real", **kwargs):
    """Returns a small ensemble in float64, built for 2 inputs, its biases no longer at zero."""
    kwargs = {"initializers": INITIALIZERS, "dtype": "float64"} | kwargs
    model = models.RNNEnsemble(4, 3, list(seeds), output, **kwargs)
    model.build((None, None, None, 2))
    for seed, weight in enumerate((model.bias, model.initial_state, model.readout_bias)):
        draws = [np.random.default_rng([seed, member]).normal(size=weight.shape[1:])
                 for member in seeds]
        weight.assign(np.stack(draws))
    return model


def draw_batch(num_members=3, num_steps=7, output="real", seed=0):
    """Returns a batch of 5 sequences a member, the last steps of some not counted."""
    random = np.random.default_rng(seed)
    shape = (num_members, 5, num_steps)
    targets = random.normal(size=[*shape, 3])
    if output == "binary":
        targets = (targets > 0).astype(float)
    if output == "categorical":
        targets = np.eye(3)[targets.argmax(-1)]
    return random.normal(size=[*shape, 2]), targets, (random.random(shape) < 0.7).astype(float)


def of_member(batch, member):
    """Returns the batch of one member alone."""
    return tuple(part[member:member + 1] for part in batch)


def gradients_of(model, batch):
    """Returns losses and gradients."""
    with tf.GradientTape() as tape:
        losses = model.member_losses(*batch)
        total = tf.reduce_sum(losses)
    return losses, tape.gradient(total, model.trainable_variables)


def fit(model, batches, optimizer):
    """Trains on some batches, one update each."""
    model.compile(optimizer)
    data = tf.data.Dataset.from_tensor_slices(
        tuple(np.stack(parts) for parts in zip(*batches)))
    return model.fit(data, shuffle=False, verbose=0).history


@pytest.mark.parametrize("output", OUTPUTS)
def test_losses_and_gradients_equal_the_twin(output):
    model, batch = make(output=output), draw_batch(output=output)
    losses, gradients = gradients_of(model, batch)
    for member in range(3):
        weights = [weight.numpy()[member] for weight in model.trainable_variables]
        loss, expected = loss_and_gradients(
            weights, *(part[member] for part in batch), output)
        np.testing.assert_allclose(losses[member], loss, rtol=1e-10)
        for gradient, reference in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(gradient[member], reference, rtol=1e-10, atol=1e-12)


def test_outputs_of_the_last_steps_alone_have_the_same_gradients():
    batch = draw_batch(num_steps=200)
    batch[2][:, :, :-3] = 0
    every, last = (gradients_of(make(num_answers=number), batch) for number in (None, 3))
    for one, other in zip([every[0], *every[1]], [last[0], *last[1]]):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make_optimizer", [
    lambda: keras.optimizers.Adam(0.01),
    lambda: optimizers.Momentum(0.02, schedules.NesterovMomentum()),
    lambda: optimizers.Nesterov(schedules.Piecewise([2], [0.02, 0.01]), 0.9)])
@pytest.mark.parametrize("clip_norm", [None, 0.3])
def test_each_member_is_trained_as_it_would_be_alone(make_optimizer, clip_norm):
    batches = [draw_batch(output="categorical", seed=seed) for seed in range(6)]
    together = make(output="categorical", clip_norm=clip_norm)
    history = fit(together, batches, make_optimizer())
    for member, seed in enumerate(together.seeds):
        alone = make([seed], "categorical", clip_norm=clip_norm)
        alone_history = fit(
            alone, [of_member(batch, member) for batch in batches], make_optimizer())
        np.testing.assert_allclose(history[f"loss_{seed}"], alone_history["loss"], rtol=1e-6)
        for one, other in zip(together.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_allclose(one[member], other[0], rtol=1e-10, atol=1e-12)


def test_a_member_that_is_lost_leaves_the_others_alone():
    batches = [draw_batch(seed=seed) for seed in range(3)]
    good, bad = make(), make()
    bad.readout_bias.assign(bad.readout_bias.numpy() + np.array([0, np.inf, 0])[:, None, None])
    for model in (good, bad):
        fit(model, batches, keras.optimizers.Adam(0.01))
    for one, other in zip(good.get_weights(), bad.get_weights()):
        np.testing.assert_array_equal(one[[0, 2]], other[[0, 2]])
    assert np.isnan(bad.get_weights()[0][1]).any()


def test_the_gradient_of_each_member_is_clipped_by_its_own_norm():
    batch, rate, bound = draw_batch(), 0.125, 20.0
    free, clipped = make(), make(clip_norm=bound)
    before = [weight.numpy() for weight in free.trainable_variables]
    gradients = gradients_of(free, batch)[1]
    norms = np.sqrt(sum(np.sum(np.square(each), axis=(1, 2)) for each in gradients))
    assert norms.min() < bound < norms.max()
    fit(clipped, [batch], keras.optimizers.SGD(rate))
    for start, gradient, weight in zip(before, gradients, clipped.trainable_variables):
        expected = start - rate * gradient * np.minimum(1, bound / norms)[:, None, None]
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_steps_that_do_not_count_may_hold_anything():
    model, (inputs, targets, weights) = make(), draw_batch()
    spoiled = np.where(weights[..., None] > 0, targets, np.nan)
    np.testing.assert_array_equal(
        gradients_of(model, (inputs, targets, weights))[0],
        model.member_losses(inputs, spoiled, weights))


def test_shared_sequences_are_those_of_every_member():
    model, batch = make(), [part[0] for part in draw_batch()]
    copies = [np.repeat(part[None], 3, axis=0) for part in batch]
    np.testing.assert_array_equal(model(batch[0]), model(copies[0]))
    np.testing.assert_array_equal(model.member_losses(*batch), model.member_losses(*copies))


def test_kernels_are_drawn_by_the_seed_of_each_member():
    model = make(seeds=[3, 8])
    for member, seed in enumerate((3, 8)):
        np.testing.assert_array_equal(
            model.kernel.numpy()[member], Sparse(2, 0.5, seed=3 * seed)((2, 4), "float64"))
        np.testing.assert_array_equal(
            model.recurrent_kernel.numpy()[member],
            SpectralRadius(1.2, 3, seed=3 * seed + 1)((4, 4), "float64"))
        np.testing.assert_array_equal(
            model.readout_kernel.numpy()[member],
            Sparse(3, 0.7, seed=3 * seed + 2)((4, 3), "float64"))


def test_a_model_from_its_config_or_file_has_the_same_outputs(tmp_path):
    model, inputs = make(num_answers=2, clip_norm=2.0, output="binary"), draw_batch()[0]
    copy = models.RNNEnsemble.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    copy.build((None, None, None, 2))
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(model(inputs), copy(inputs))
    model.save(tmp_path / "ensemble.keras")
    loaded = keras.models.load_model(tmp_path / "ensemble.keras")
    np.testing.assert_array_equal(model(inputs), loaded(inputs))


def test_evaluate_reports_the_loss_of_each_member():
    model, batch = make(), draw_batch()
    model.compile(keras.optimizers.SGD(0.1))
    figures = model.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True)
    losses = model.member_losses(*batch).numpy()
    np.testing.assert_allclose(
        [figures[name] for name in ("loss", "loss_3", "loss_8", "loss_5")],
        [losses.mean(), *losses], rtol=1e-6)


@pytest.mark.parametrize("is_shared", [False, True])
def test_weights_before_the_answers_are_refused(is_shared):
    batch = draw_batch()
    if is_shared:
        batch = tuple(part[0] for part in batch)
    count = np.count_nonzero(batch[2][..., :-2])
    with pytest.raises(ValueError, match=(
            rf"^weights must be 0 before .* \(raise num_answers\), got {count} others$")):
        with plain_errors():
            make(num_answers=2).member_losses(*batch)


@pytest.mark.parametrize("change, message", [
    ({"units": 0}, "units .*got 0"),
    ({"num_outputs": 1.5}, "num_outputs .*got 1.5"),
    ({"num_answers": -1}, "num_answers .*got -1"),
    ({"seeds": []}, r"seeds .*got \[\]"),
    ({"seeds": [1, 1]}, r"seeds .*got \[1, 1\]"),
    ({"seeds": [-1]}, r"seeds .*got \[-1\]"),
    ({"output": "rael"}, "output .*got 'rael'"),
    ({"clip_norm": 0.0}, "clip_norm .*got 0.0"),
    ({"initializers": INITIALIZERS[:2]}, "initializers .*got 2"),
])
def test_bad_arguments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        models.RNNEnsemble(**{"units": 4, "num_outputs": 1, "seeds": [0]} | change)


@pytest.mark.parametrize("name", ["clipnorm", "global_clipnorm"])
def test_a_norm_over_all_members_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}=2.0"):
        make().compile(keras.optimizers.SGD(0.1, **{name: 2.0}))


def test_a_second_loss_is_refused():
    with pytest.raises(ValueError, match="loss='mse'"):
        make().compile("sgd", loss="mse")
