"""The echo-state network: its readout is least squares, whichever way the frames come."""

import keras
import numpy as np
import pytest
import sklearn.linear_model
import tensorflow as tf

from rnnpt import datasets, models, pretraining
from rnnpt.models._ridge import NormalEquations
from tests.catalogue import NUM_VISIBLE, make_batch
from tests.reference import bernoulli_log_prob, reservoir

Batch = dict[str, np.ndarray]


def make_data() -> Batch:
    """Returns 20 rows of lengths 12 down to 1, whose last unit is never on."""
    batch = make_batch(20, 12, seed=4)
    batch["frames"][..., -1] = 0
    return batch


def fitted(batch: Batch | tf.data.Dataset, **arguments: object) -> models.EchoStateNetwork:
    """Returns a small network after one epoch."""
    model = models.EchoStateNetwork(**{"num_recurrent": 8, "ridge": 0.5, "seed": 3, **arguments})
    model.compile()
    model.fit(batch, shuffle=False, verbose=0)
    return model


def twin_inputs(model: models.EchoStateNetwork, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Returns the states before each real frame, and the frames, by the twin."""
    kernels = [weight.numpy().astype(np.float64)
               for weight in (model.cell.kernel, model.cell.recurrent_kernel)]
    integration = np.full(8, model.cell.integration)
    pieces = [frames[mask] for frames, mask in zip(batch["frames"], batch["mask"])]
    states = [reservoir.states(*kernels, integration, np.zeros(8), piece)[:-1] for piece in pieces]
    return np.concatenate(states), np.concatenate(pieces).astype(np.float64)


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 1e3])
def test_the_normal_equations_solve_ridge_regression(ridge):
    random = np.random.default_rng(1)
    inputs, targets = random.normal(size=[50, 6]) + 3, random.normal(size=[50, 2]) - 2
    equations = NormalEquations(6, 2)
    equations.add(random.normal(size=[9, 6]), random.normal(size=[9, 2]))
    equations.reset()
    for part in (slice(0, 20), slice(20, 20), slice(20, 50)):
        equations.add(inputs[part], targets[part])
    peer = sklearn.linear_model.Ridge(ridge, solver="svd").fit(inputs, targets)
    for kernel, bias in ((peer.coef_.T, peer.intercept_),
                         reservoir.ridge_regression(inputs, targets, ridge)):
        found = equations.solve(ridge)
        np.testing.assert_allclose(found[0], kernel, rtol=0, atol=1e-8)
        np.testing.assert_allclose(found[1], bias, rtol=0, atol=1e-8)


@pytest.mark.parametrize("head", ["bernoulli", "gaussian"])
def test_fit_writes_the_ridge_regression_of_frames_on_states(head):
    batch = make_data()
    model = fitted(batch, head=head, integration=0.3)
    kernel, bias = reservoir.ridge_regression(*twin_inputs(model, batch), 0.5)
    np.testing.assert_allclose(model.readout.kernel, kernel, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.readout.bias, bias, rtol=1e-5, atol=1e-5)


def test_the_log_likelihood_is_that_of_clipped_linear_probabilities():
    batch = make_data()
    model = fitted(batch)
    states, frames = twin_inputs(model, batch)
    kernel, bias = reservoir.ridge_regression(states, frames, 0.5)
    probabilities = reservoir.clipped_probabilities(
        states @ kernel + bias, frames.sum(axis=0), len(frames), margin=0.1)
    assert (probabilities != states @ kernel + bias).any()
    log_odds = np.log(probabilities / (1 - probabilities))
    expected = sum(map(bernoulli_log_prob, log_odds, frames))
    found = tf.reduce_sum(model.log_prob(batch["frames"], batch["mask"]))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_mean_of_the_gaussian_head_is_linear_in_the_state():
    batch = make_data()
    model = fitted(batch, head="gaussian")
    states, frames = twin_inputs(model, batch)
    kernel, bias = reservoir.ridge_regression(states, frames, 0.5)
    np.testing.assert_allclose(
        model(batch)[batch["mask"]], states @ kernel + bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frame", [0.0, 1.0])
def test_units_that_never_change_stay_possible_to_change(frame):
    # 400,000 frames: float32 has no number between 1 and their share of changes.
    frames = np.full([4, 100_000, 1], frame, np.float32)
    model = fitted({"frames": frames})
    log_odds = np.array(model({"frames": frames[:1, :5]}))
    least = 0.1 * 0.5 / 400_001
    np.testing.assert_allclose(
        log_odds * (2 * frame - 1), np.log((1 - least) / least), rtol=1e-4)


def test_segments_and_shuffled_pieces_give_the_readout_of_whole_pieces():
    batch = make_data()
    pieces = datasets.Sequences(
        [frames[mask] for frames, mask in zip(batch["frames"], batch["mask"])])
    whole = fitted(batch)
    for data in (pieces.pieces(batch_size=3), pieces.segments(5, batch_size=4, seed=6)):
        model = fitted(data)
        for weight, expected in zip(model.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-6)


def test_one_pass_is_enough_and_figures_are_of_the_readout_before_the_pass():
    batch, other = make_data(), make_batch(4, 7, seed=8)
    model = models.EchoStateNetwork(8, seed=3)
    model.compile("adam")
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()))
    logs = model.fit(batch, epochs=3, validation_data=other, callbacks=[watch],
                     shuffle=False, verbose=0).history
    np.testing.assert_allclose(logs["log_likelihood"][0], NUM_VISIBLE * np.log(0.5), rtol=1e-6)
    evaluated = model.evaluate(batch, verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["log_likelihood"][1:], evaluated["log_likelihood"], rtol=1e-5)
    evaluated = model.evaluate(other, verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["val_log_likelihood"], evaluated["log_likelihood"], rtol=1e-5)
    for weights in seen[1:]:
        for one, first in zip(weights, seen[0], strict=True):
            np.testing.assert_array_equal(one, first)
    assert int(model.optimizer.iterations) == 3


def test_evaluation_and_empty_frames_leave_the_readout_alone():
    batch = make_data()
    model = fitted(batch)
    weights = model.get_weights()
    model.evaluate(make_batch(2, 3), verbose=0)
    model.fit({**batch, "mask": np.zeros_like(batch["mask"])}, verbose=0)
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def echo_of_noise(delay: int) -> Batch:
    """Returns rows of a random unit, and of one that repeats it `delay` frames later."""
    noise = np.random.default_rng(2).random([8, 300]) < 0.5
    echo = np.pad(noise, [[0, 0], [delay, 0]])[:, :300]
    return {"frames": np.stack([noise, echo], axis=-1).astype(np.float32)}


def test_a_spectral_radius_near_one_hears_an_echo_that_a_small_one_does_not():
    # The noise costs log 2 a frame; the echo another log 2, where it is not foreseen.
    near, small = (
        fitted(echo_of_noise(8), num_recurrent=200, spectral_radius=radius, input_scale=0.1,
               ridge=1e-6).evaluate(echo_of_noise(8), verbose=0, return_dict=True)["loss"]
        for radius in (0.9, 0.2))
    assert near < 1.2 * np.log(2) and small > 1.8 * np.log(2)


def test_a_plan_carries_it_out(tmp_path):
    batch = make_data()
    data = datasets.Sequences([frames[mask] for frames, mask in zip(
        batch["frames"], batch["mask"])])
    phase = pretraining.Phase("solve", "train", 2, keras.optimizers.SGD(), segment_length=5)
    model = models.EchoStateNetwork(8, ridge=0.5, seed=3)
    result = pretraining.run_plan(
        model, [phase], {"train": lambda: data}, data, seed=1, directory=tmp_path, progress=False)
    assert [row["updates"] for row in result.history] == [1, 2]
    np.testing.assert_allclose(
        result.history[1]["loss"], result.history[0]["val_loss"], rtol=1e-5)
    for one, other in zip(model.get_weights(), fitted(batch).get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("arguments, message", [
    ({"head": "rbm"}, "head must be one of .*'bernoulli', 'gaussian'.*got 'rbm'"),
    ({"ridge": 0.0}, "ridge must be a positive number, got 0.0"),
    ({"ridge": float("inf")}, "ridge must be a positive number, got inf"),
    ({"integration": 1.0}, "integration must be from 0 on and below 1, got 1.0"),
    ({"dropout": 0.5}, "dropout must be 0, got 0.5"),
    ({"num_backward_steps": 5}, "num_backward_steps must be None, got 5"),
    ({"num_recurrent": 0}, "number of units must be a positive integer, got 0")])
def test_bad_arguments_are_refused_by_name_and_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.EchoStateNetwork(**arguments)


def test_real_frames_for_the_bernoulli_head_are_refused():
    with pytest.raises(ValueError, match="frames must be 0 or 1 for BernoulliHead.*got 0.5"):
        fitted({"frames": np.full([2, 3, 4], 0.5, np.float32)})
