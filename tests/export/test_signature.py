"""What the six signatures answer."""

import itertools
import re

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import numerics
from tests.export.conftest import (
    INPUTS,
    MAX_NUM_STEPS,
    MAX_STEPS,
    NUM_VISIBLE,
    Exported,
    draw_frames,
    int32,
    make_inputs,
)

CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def assert_close(found: dict, expected: dict) -> None:
    """Draws and counts to the bit, floats to float32's rounding."""
    assert set(found) == set(expected)
    for key, value in found.items():
        if key in ("frames", "length", "sample", "frames_scored"):
            np.testing.assert_array_equal(value, expected[key], key)
        else:
            np.testing.assert_allclose(value, expected[key], err_msg=key, **CLOSE)


def test_a_process_without_python_layers_answers_the_same(exported: Exported) -> None:
    requests = [(name, make_inputs(exported, name, num_rows, num_steps))
                for name in INPUTS for num_rows, num_steps in ((1, 5), (4, 3), (2, 0))]
    for (name, inputs), answer in zip(requests, exported.answer(requests), strict=True):
        assert_close(answer, exported.call(name, **inputs))


def test_start_is_the_learned_state(exported: Exported) -> None:
    state = exported.call("start", session=int32(5, 5, -1))["state"]
    np.testing.assert_array_equal(state, numerics.pack(exported.model.initial_state(3)))


def test_step_is_the_models_step(exported: Exported) -> None:
    inputs = make_inputs(exported, "step", 8, 0)
    answer = exported.call("step", **inputs)
    model = exported.model
    parameters, state = model.step(
        tf.constant(inputs["frame"]), numerics.unpack(inputs["state"], model.state_sizes))
    np.testing.assert_allclose(answer["state"], numerics.pack(state), **CLOSE)
    np.testing.assert_allclose(
        answer["probabilities"], model.head.mean(parameters, inputs["seed"]), **CLOSE)
    np.testing.assert_array_equal(
        answer["sample"], model.head.sample(parameters, inputs["seed"], inputs["temperature"]))


def test_serving_default_is_the_mean_after_the_last_real_frame(exported: Exported) -> None:
    frames, length = draw_frames(4, 5), int32(5, 3, 0, 5)
    model = exported.model
    state = model.advance(
        tf.constant(frames), tf.sequence_mask(length, 5), model.initial_state(4))
    mean = model.head.mean(model.parameters(state), np.tile(int32(3, 0), (4, 1)))
    answer = exported.call("serving_default", frames=frames, length=length)
    np.testing.assert_allclose(answer["probabilities"], mean, **CLOSE)


def test_generate_is_the_models_generate(exported: Exported) -> None:
    inputs = {**make_inputs(exported, "generate", 3, 4), "temperature": np.full(3, 0.3, np.float32),
              "state": exported.call("start", session=int32(0, 0, 0))["state"],
              "num_steps": int32(6, 6, 6)}
    drawn = exported.model.generate(
        inputs["frames"], 6, inputs["seed"], 0.3, length=inputs["length"])
    np.testing.assert_array_equal(exported.call("generate", **inputs)["frames"], drawn)


def test_generate_is_a_chain_of_steps(exported: Exported) -> None:
    prime, seed, temperature = draw_frames(2, 3), int32([1, 2], [3, 4]), np.ones(2, np.float32)
    state = exported.call("start", session=int32(0, 0))["state"]
    answer = exported.call(
        "generate", state=state, frames=prime, length=int32(3, 3), num_steps=int32(4, 4),
        seed=seed, temperature=temperature)
    heard, drawn = list(prime.swapaxes(0, 1)), []
    for t in range(-2, 5):
        step = exported.call(
            "step", frame=heard.pop(0), state=state, temperature=temperature,
            seed=numerics.fold_in(seed, max(t, 0)))
        state = step["state"]
        if 0 <= t < 4:
            drawn.append(step["sample"])
            heard.append(step["sample"])
    np.testing.assert_array_equal(answer["frames"], np.stack(drawn, axis=1))
    np.testing.assert_allclose(answer["state"], state, **CLOSE)


def test_draw_is_generate_of_one_frame(exported: Exported) -> None:
    inputs = make_inputs(exported, "draw", 3, 1)
    drawn = exported.call("draw", **inputs)
    expected = exported.call(
        "generate", **inputs, frames=np.zeros((3, 1, NUM_VISIBLE), np.float32),
        length=int32(0, 0, 0), num_steps=int32(1, 1, 1))
    np.testing.assert_array_equal(drawn["sample"], expected["frames"][:, 0])
    np.testing.assert_allclose(drawn["state"], expected["state"], **CLOSE)


def test_rows_draw_as_many_frames_as_each_asks_for(exported: Exported) -> None:
    inputs = {**make_inputs(exported, "generate", 3, 4), "num_steps": int32(2, 0, 9)}
    answer = exported.call("generate", **inputs)
    assert answer["frames"].shape == (3, 9, NUM_VISIBLE)
    np.testing.assert_array_equal(answer["length"], [2, 0, 9])
    assert not answer["frames"][0, 2:].any() and not answer["frames"][1].any()
    for row in range(3):
        alone = exported.call("generate", **{key: value[row:row + 1]
                                             for key, value in inputs.items()})
        np.testing.assert_array_equal(
            answer["frames"][row, :inputs["num_steps"][row]], alone["frames"][0])
        np.testing.assert_allclose(answer["state"][row], alone["state"][0], **CLOSE)


@pytest.mark.parametrize("num_rows", [0, 2])
def test_hearing_and_drawing_may_be_two_calls(exported: Exported, num_rows: int) -> None:
    inputs = make_inputs(exported, "generate", num_rows, 4)
    at_once = exported.call("generate", **inputs)
    nothing = np.zeros(num_rows, np.int32)
    heard = exported.call("generate", **{**inputs, "num_steps": nothing})
    assert heard["frames"].shape == (num_rows, 0, NUM_VISIBLE)
    drawn = exported.call("generate", **{
        **inputs, "state": heard["state"], "frames": inputs["frames"][:, :0], "length": nothing})
    assert_close(drawn, at_once)


@pytest.mark.parametrize("name", ["serving_default", "step", "draw", "generate", "score"])
def test_a_row_has_its_answer_whatever_its_neighbours(exported: Exported, name: str) -> None:
    inputs = make_inputs(exported, name, 5, 6)
    together = exported.call(name, **inputs)
    order = [3, 0, 4]
    chosen = exported.call(name, **{key: value[order] for key, value in inputs.items()})
    if name == "generate":
        together["frames"] = together["frames"][:, :inputs["num_steps"][order].max()]
    assert_close(chosen, {key: value[order] for key, value in together.items()})


@pytest.mark.parametrize("name", ["serving_default", "generate", "score"])
def test_padding_changes_nothing(exported: Exported, name: str) -> None:
    inputs = {**make_inputs(exported, name, 3, 5), "length": int32(2, 0, 5)}
    padded = inputs["frames"].copy()
    for row, length in enumerate(inputs["length"]):
        padded[row, length:] = -9.0
    padded = np.concatenate([padded, np.full((3, 2, NUM_VISIBLE), 7.0, np.float32)], axis=1)
    assert_close(exported.call(name, **{**inputs, "frames": padded}),
                 exported.call(name, **inputs))


def test_score_is_the_exact_log_likelihood(exported: Exported) -> None:
    frames, length = draw_frames(3, 5), int32(5, 2, 0)
    answer = exported.call("score", frames=frames, length=length)
    model, mask = exported.model, np.arange(5) < length[:, np.newaxis]
    parameters = model({"frames": frames, "mask": mask})
    if model.head.exact:
        exact = model.log_prob(frames, mask)
        np.testing.assert_array_equal(answer["standard_error"], 0)
        np.testing.assert_allclose(answer["log_likelihood"], exact, **CLOSE)
    else:
        world = np.array(list(itertools.product([0, 1], repeat=NUM_VISIBLE)), np.float32)
        energies = model.head.free_energy(parameters[:, :, np.newaxis], world[np.newaxis])
        log_z = tf.reduce_logsumexp(-energies, axis=-1)
        log_prob = -model.head.free_energy(parameters, frames) - log_z
        exact = np.where(mask, log_prob, 0).sum(axis=1)
        error = answer["standard_error"]
        # Five standard errors, and an error small enough to mean something.
        assert (np.abs(answer["log_likelihood"] - exact) <= 5 * error).all()
        assert (error <= 0.1).all() and error[0] > error[2] == 0
    np.testing.assert_array_equal(answer["frames_scored"], length)


def with_one(array: np.ndarray, value: float) -> np.ndarray:
    """A copy with another number in its last place."""
    array = array.copy()
    array.flat[-1] = value
    return array


WRONG = [
    ("generate", "frames", lambda a: a[..., :4], r"frames must have the shape \(B, T, 6\), got\]"
     r" \[2 3 4\]"),
    ("generate", "frames", lambda a: a[0], r"frames must have the shape \(B, T, 6\), got\] \[3 6"),
    ("generate", "frames", lambda a: a[..., np.newaxis], r"frames must .*\] \[2 3 6...\]"),
    ("score", "frames", lambda a: with_one(a, np.nan), r"frames must be finite, got\] \[nan\]"),
    ("serving_default", "frames", lambda a: with_one(a, np.inf), r"frames must be .*\] \[inf\]"),
    ("serving_default", "frames", lambda a: np.zeros((2, MAX_STEPS + 1, 6), np.float32),
     r"frames must have at most 12 steps, got\] \[13\] \[send the last ones\]"),
    ("score", "length", lambda a: with_one(a, 4), r"length must be from 0 to the .*\] \[4\]"),
    ("generate", "length", lambda a: with_one(a, -1), r"length must be from 0 .*\] \[-1\]"),
    ("score", "length", lambda a: a[:1], r"length must have the shape \(B,\), got\] \[1\]"),
    ("score", "length", lambda a: a[0], r"length must have the shape \(B,\), got\] \[\]"),
    ("generate", "num_steps", lambda a: with_one(a, MAX_NUM_STEPS + 1),
     r"num_steps must be from 0 to 10, got\] \[11\] \[go on from"),
    ("generate", "num_steps", lambda a: with_one(a, -2), r"num_steps must be .*\] \[-2\]"),
    ("generate", "temperature", lambda a: with_one(a, 0), r"temperature must be positive .*\[0\]"),
    ("step", "temperature", lambda a: with_one(a, np.nan), r"temperature must be .*\] \[nan\]"),
    ("step", "temperature", lambda a: a[:, np.newaxis], r"temperature must have .*\] \[2 1\]"),
    ("step", "seed", lambda a: a[:, :1], r"seed must have the shape \(B, 2\), got\] \[2 1\]"),
    ("step", "state", lambda a: a[:, :-1], r"state must have the shape \(B, \d\), got\] \[2 "),
    ("step", "state", lambda a: with_one(a, np.nan), r"state must be finite, got\] \[nan\]"),
    ("step", "frame", lambda a: a[:, :1], r"frame must have the shape \(B, 6\), got\] \[2 1\]"),
    ("start", "session", lambda a: a[0], r"session must have the shape \(B,\), got\] \[\]"),
]


def test_wrong_input_is_an_invalid_argument_that_says_why(exported: Exported) -> None:
    requests = []
    for name, key, spoil, _ in WRONG:
        inputs = make_inputs(exported, name, 2, 3)
        requests.append((name, {**inputs, key: spoil(inputs[key])}))
    for (_, _, _, message), answer in zip(WRONG, exported.answer(requests), strict=True):
        code, text = answer["error"]
        assert code == "3"  # TF_INVALID_ARGUMENT
        assert re.search(message, text), text


def test_each_input_of_each_signature_has_its_shape_asserted(exported: Exported) -> None:
    spoilt = [
        lambda a: a[..., np.newaxis], lambda a: a[0], lambda a: np.concatenate([a, a], axis=-1)]
    requests, rules = [], []
    for name, keys in INPUTS.items():
        inputs = make_inputs(exported, name, 2, 3)
        for key, spoil in itertools.product(keys, spoilt):
            value = spoil(inputs[key])
            # The first input's rows are what the others' are counted by.
            if value.ndim == 1 and key == keys[0]:
                continue
            requests.append((name, {**inputs, key: value}))
            rules.append(rf"{key} must have the shape \(B.*\), got\]")
    for (name, _), rule, answer in zip(requests, rules, exported.answer(requests), strict=True):
        code, text = answer["error"]
        assert code == "3" and re.search(rule, text), (name, text)
