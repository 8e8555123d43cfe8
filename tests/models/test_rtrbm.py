"""The RTRBM against its twin: the biases, the gradient by hand, the tied kernel."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells, models
from tests.models.exact import float64, predict, rbm_log_prob
from tests.reference import all_frames, log_sum_exp, rtrbm

NUM_VISIBLE, NUM_HIDDEN, NUM_STEPS = 4, 3, 5


def small_model(num_gibbs_steps: int = 1, dynamic: bool = True) -> models.RTRBM:
    """Returns a model with weights of a visible size, its biases and r_0 included."""
    model = models.RTRBM(NUM_HIDDEN, num_gibbs_steps, dynamic_visible_bias=dynamic)
    model.build_for(NUM_VISIBLE)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=w.shape) * 0.7 for w in model.get_weights()])
    return model


def variables(model: models.RTRBM) -> dict[str, keras.Variable]:
    """Returns the variables of a model under the twin's names."""
    found = {
        "kernel": model.cell.kernel, "recurrent_kernel": model.cell.recurrent_kernel,
        "bias": model.cell.bias, "initial_state": model.cell.initial_state[0],
        "visible_bias": model.readout.visible_bias.bias}
    if model.dynamic_visible_bias:
        found["visible_kernel"] = model.readout.visible_bias.kernel
    return found


def weights(model: models.RTRBM) -> rtrbm.Weights:
    """Returns what the twin takes; no W'' is a W'' of zero."""
    return {"visible_kernel": np.zeros([NUM_HIDDEN, NUM_VISIBLE]),
            **{name: value.numpy() for name, value in variables(model).items()}}


def sequence(seed: int = 2) -> np.ndarray:
    """Returns one binary sequence (T, V), float64."""
    return (np.random.default_rng(seed).random([NUM_STEPS, NUM_VISIBLE]) < 0.5).astype(float)


@pytest.mark.parametrize("dynamic", [True, False])
def test_the_gradient_is_that_of_the_equations_with_exact_rbms(dynamic):
    with float64():
        model, frames = small_model(dynamic=dynamic), sequence()
    by_name = variables(model)
    with tf.GradientTape() as tape:
        log_prob = rbm_log_prob(model, frames)
    gradients = tape.gradient(log_prob, [v.value for v in by_name.values()])
    expected = rtrbm.gradient(weights(model), frames)
    np.testing.assert_allclose(log_prob, rtrbm.log_prob(weights(model), frames), rtol=1e-10)
    for name, found in zip(by_name, gradients):
        np.testing.assert_allclose(found, expected[name], rtol=1e-10, atol=1e-10, err_msg=name)


def test_the_gradient_of_the_twin_is_the_slope_of_its_likelihood():
    model, frames = small_model(), sequence()
    here = {name: value.astype(float) for name, value in weights(model).items()}
    random = np.random.default_rng(3)
    direction = {name: random.normal(size=value.shape) for name, value in here.items()}
    ends = [rtrbm.log_prob(
        {name: value + step * direction[name] for name, value in here.items()}, frames)
        for step in (1e-5, -1e-5)]
    slope = sum((rtrbm.gradient(here, frames)[name] * direction[name]).sum() for name in here)
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-7)


def test_probabilities_of_a_next_frame_sum_to_one_after_any_past():
    with float64():
        model, past = small_model(), sequence()
    every = all_frames(NUM_VISIBLE)
    log_probs = [float(rbm_log_prob(model, np.concatenate([past, frame[None]])))
                 for frame in every]
    total = np.exp(np.array(log_probs) - float(rbm_log_prob(model, past))).sum()
    assert total == pytest.approx(1, abs=1e-10)


def test_log_prob_is_the_exact_one_within_its_error():
    model, frames = small_model(), sequence()
    estimate, error = model.estimate_log_prob(frames[None], seed=4)
    assert abs(estimate[0] - rtrbm.log_prob(weights(model), frames)) < 4 * error[0] + 1e-4


@pytest.mark.parametrize("num_gibbs_steps, least_cosine", [(1, 0.9), (25, 0.995)])
def test_contrastive_divergence_points_along_the_exact_gradient(num_gibbs_steps, least_cosine):
    model, frames = small_model(num_gibbs_steps), sequence()
    # 4,000 chains from the one sequence: the mean errs by some 1/60 of a chain's spread.
    repeated = tf.constant(np.tile(frames, [4000, 1, 1]), tf.float32)
    by_name = variables(model)
    with tf.GradientTape() as tape:
        parameters = predict(model, repeated)
        loss = tf.reduce_sum(
            model.head.loss(parameters, cells.swap_time(repeated), seed=(5, 6))) / 4000
    found = tape.gradient(loss, [v.value for v in by_name.values()])
    exact = rtrbm.gradient(weights(model), frames)
    one = np.concatenate([-np.ravel(part) for part in found])
    other = np.concatenate([np.ravel(exact[name]) for name in by_name])
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > least_cosine


def test_the_kernel_is_one_variable_of_the_model():
    model = small_model()
    assert model.head.kernel is model.cell.kernel
    own = NUM_VISIBLE * NUM_HIDDEN
    assert model.count_params() == (
        own + NUM_HIDDEN ** 2 + NUM_HIDDEN + NUM_HIDDEN + NUM_VISIBLE + own)
    assert len(model.trainable_variables) == 6
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    model.fit({"frames": sequence()[None]}, verbose=0)
    # The iterations, the learning rate and one momentum a variable.
    assert len(model.optimizer.variables) == 2 + 6


@pytest.mark.parametrize("name", ["model.weights.h5", "model.keras"])
def test_the_kernel_stays_one_through_a_file(name, tmp_path):
    model = small_model()
    if name == "model.keras":
        model.save(tmp_path / name)
        copy = keras.models.load_model(tmp_path / name)
    else:
        model.save_weights(tmp_path / name)
        copy = models.RTRBM(NUM_HIDDEN)
        copy.build_for(NUM_VISIBLE)
        copy.load_weights(tmp_path / name)
    assert copy.head.kernel is copy.cell.kernel
    for one, other in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_static_visible_bias_does_not_know_the_past():
    model = small_model(dynamic=False)
    parameters = model({"frames": sequence()[None]})
    visible = parameters[0, :, :NUM_VISIBLE]
    np.testing.assert_array_equal(
        visible, np.tile(model.readout.visible_bias.bias.numpy(), [NUM_STEPS, 1]))


def test_gaussian_frames_have_the_density_that_the_hidden_units_sum_to():
    model = models.RTRBM(NUM_HIDDEN, visible="gaussian")
    model.build_for(NUM_VISIBLE)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=w.shape) * 0.4 for w in model.get_weights()])
    here, frames = weights(model), random.normal(size=[NUM_STEPS, NUM_VISIBLE])
    hidden, total = all_frames(NUM_HIDDEN), 0.0
    for mean, frame in zip(rtrbm.hidden_means(here, frames), frames):
        machine = rtrbm.machine(here, mean)
        fields = machine.visible_bias + hidden @ machine.kernel.T
        bias = hidden @ machine.hidden_bias
        # Each hidden vector adds a normal density with the mean `fields` and unit variance.
        log_z = log_sum_exp(bias + (fields ** 2).sum(axis=1) / 2) + 2 * np.log(2 * np.pi)
        total += log_sum_exp(bias + fields @ frame) - (frame ** 2).sum() / 2 - log_z
    estimate, error = model.estimate_log_prob(frames[None], seed=4)
    assert abs(estimate[0] - total) < 4 * error[0] + 1e-4


def test_other_visible_units_are_refused():
    with pytest.raises(ValueError, match="visible must be 'binary' or 'gaussian', got 'softmax'"):
        models.RTRBM(3, visible="softmax")


def test_a_schedule_of_gibbs_steps_survives_the_config():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([999], [10, 25])
    model = models.RTRBM(3, num_gibbs_steps=schedule)
    copy = models.RTRBM.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert float(copy.head.num_gibbs_steps(1000)) == 25


def test_fit_raises_the_likelihood_of_a_cycle():
    cycle = np.tile(np.eye(NUM_VISIBLE, dtype=np.float32), [5, 1])[None]
    model = models.RTRBM(8, 5, kernel_stddev=0.1)
    model.build_for(NUM_VISIBLE)
    model.compile(keras.optimizers.Adam(0.03))
    before = rtrbm.log_prob(weights(model), cycle[0])
    model.fit(tf.data.Dataset.from_tensors({"frames": cycle}).repeat(150), verbose=0)
    # 20 frames of 4 units: independent fair units have -2.77 nats a frame.
    assert (rtrbm.log_prob(weights(model), cycle[0]) - before) / 20 > 1.5
