"""Schedules against plain Python, at their boundaries and far beyond float32."""

import bisect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpt import schedules

KERAS_DECAY = keras.optimizers.schedules.PolynomialDecay(0.5, 1_000, 0.1, power=2.0)
FAR = 2 ** 40

# Every schedule, with its value before update `step` in plain Python.
TWINS = {
    "Piecewise": (
        schedules.Piecewise([0, 3, 2 ** 24 + 1, FAR], [0.1, 0.2, 0.3, 0.4, 0.05]),
        lambda step: [0.2, 0.3, 0.4, 0.05][bisect.bisect([3, 2 ** 24 + 1, FAR], step)]),
    "constant Piecewise": (schedules.Piecewise([], [0.3]), lambda step: 0.3),
    "ExponentiallySpaced": (
        schedules.ExponentiallySpaced(600_000),
        lambda step: schedules.MOMENTUM_LADDER[
            sum(step >= 200_000 / 2 ** power for power in range(7))]),
    "NesterovMomentum": (schedules.NesterovMomentum(), lambda step: 1 - 3 / (step + 5)),
    "Doubling": (
        schedules.Doubling(5e-5), lambda step: 5e-5 * 2 ** bisect.bisect(
            [100, 200, 500, 1_000], step)),
    "LinearDecay": (
        schedules.LinearDecay(0.01, 3_000), lambda step: 0.01 * max(1 - step / 3_000, 0)),
    "Capped": (
        schedules.Capped(schedules.NesterovMomentum(), 0.99),
        lambda step: min(1 - 3 / (step + 5), 0.99)),
    "FinalPhase of a rate": (
        schedules.FinalPhase(0.005, 10_007, divisor=10),
        lambda step: 0.005 if step < 9_006 else 0.0005),
    "FinalPhase of a momentum": (
        schedules.FinalPhase(schedules.NesterovMomentum(), 1_000, cap=0.99),
        lambda step: min(1 - 3 / (step + 5), 0.99 if step >= 900 else 1)),
    "FinalPhase of Keras' own": (
        schedules.FinalPhase(KERAS_DECAY, 100, divisor=4, share=0.5),
        lambda step: float(KERAS_DECAY(step)) / (4 if step >= 50 else 1)),
}
PLACES = [place + shift for place in (
    0, 3, 50, 100, 200, 500, 900, 1_000, 3_000, 3_125, 6_250, 9_006, 10_007, 12_500, 100_000,
    200_000, 2 ** 24 + 1, FAR) for shift in (-1, 0, 1) if place + shift >= 0]


@pytest.mark.parametrize("schedule, twin", TWINS.values(), ids=list(TWINS))
def test_a_schedule_is_its_equation_in_a_graph_and_out_of_it(schedule, twin):
    traced = tf.function(schedule, input_signature=[tf.TensorSpec([], tf.int64)])
    for step in PLACES:
        value = traced(tf.constant(step, tf.int64))
        assert value.dtype == keras.config.floatx()
        # float32 rounds once.
        np.testing.assert_allclose(value, twin(step), rtol=1e-6)
        if step < 2 ** 31:
            np.testing.assert_allclose(schedule(step), value, rtol=1e-6)


@pytest.mark.parametrize("schedule, twin", TWINS.values(), ids=list(TWINS))
def test_a_config_makes_the_same_schedule_and_is_json(schedule, twin):
    config = keras.optimizers.schedules.serialize(schedule)
    copy = keras.optimizers.schedules.deserialize(json.loads(json.dumps(config)))
    assert type(copy) is type(schedule) and copy.get_config() == schedule.get_config()
    for step in PLACES:
        step = tf.constant(step, tf.int64)
        np.testing.assert_array_equal(copy(step), schedule(step))


@pytest.mark.parametrize("schedule, twin", TWINS.values(), ids=list(TWINS))
def test_no_value_is_out_of_bounds(schedule, twin):
    low, high = schedules.bounds_of(schedule)
    values = [twin(step) for step in PLACES]
    assert low <= min(values) + 1e-9 and max(values) <= high + 1e-9


def test_bounds_of_numbers_and_of_keras_schedules():
    assert schedules.bounds_of(0.3) == (0.3, 0.3)
    assert schedules.bounds_of(keras.optimizers.schedules.PolynomialDecay(0.5, 10, 0.25)) == (
        0.25, 0.5)
    assert schedules.bounds_of(schedules.NesterovMomentum())[1] < 1


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    boundaries=st.lists(st.integers(0, 2 ** 50), unique=True, max_size=6).map(sorted),
    seed=st.integers(0, 99), data=st.data())
def test_the_next_value_serves_from_its_boundary_on(boundaries, seed, data):
    values = np.random.default_rng(seed).random(len(boundaries) + 1).astype(np.float32).tolist()
    schedule = schedules.Piecewise(boundaries, values)
    places = [place + shift for place in boundaries for shift in (-1, 0, 1)]
    step = data.draw(st.sampled_from([place for place in places if place >= 0] or [0]))
    expected = values[sum(place <= step for place in boundaries)]
    assert float(schedule(tf.constant(step, tf.int64))) == expected


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    num_updates=st.integers(1, 2 ** 45), tenths=st.integers(0, 10),
    value=st.integers(0, 1023), cap=st.integers(0, 1023))
def test_the_final_phase_has_its_share_and_never_turns_up(num_updates, tenths, value, cap):
    share, value, cap = tenths / 10, value / 1024, cap / 1024
    momentum = schedules.FinalPhase(value, num_updates, cap=cap, share=share)
    rate = schedules.FinalPhase(value, num_updates, divisor=8.0, share=share)
    assert abs(num_updates - momentum.start - share * num_updates) <= 0.5 + 1e-9 * num_updates
    for step in {max(momentum.start - 1, 0), momentum.start, num_updates}:
        final, step = step >= momentum.start, tf.constant(step, tf.int64)
        assert float(momentum(step)) == (min(value, cap) if final else value)
        assert float(rate(step)) == (value / 8 if final else value)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(num_updates=st.integers(300, 10 ** 9))
def test_a_shorter_run_keeps_the_shape_of_the_ladder(num_updates):
    schedule = schedules.ExponentiallySpaced(num_updates)
    assert schedule.boundaries[-1] == round(num_updates / 3)
    for early, late in zip(schedule.boundaries, schedule.boundaries[1:]):
        # Twice as late, but for rounding each to a whole update.
        assert abs(late - 2 * early) <= 1.5
    assert float(schedule(schedule.boundaries[-1])) == np.float32(0.999)
    assert float(schedule(schedule.boundaries[-1] - 1)) == np.float32(0.997)


@pytest.mark.parametrize("make, message", [
    (lambda: schedules.Piecewise([5, 3], [1, 2, 3]), r"boundaries must be increasing.*\[5, 3\]"),
    (lambda: schedules.Piecewise([3, 3], [1, 2, 3]), r"boundaries must be increasing.*\[3, 3\]"),
    (lambda: schedules.Piecewise([-1], [1, 2]), r"boundaries must be increasing.*from 0.*\[-1\]"),
    (lambda: schedules.Piecewise([1.5], [1, 2]), r"boundaries must be .* integers.*\[1.5\]"),
    (lambda: schedules.Piecewise([1, 2], [1, 2]), "values must be one more .* got 2 and 2"),
    (lambda: schedules.Piecewise([1], [1, -2]), "values must be .* at least 0, got -2"),
    (lambda: schedules.Doubling(0.1, [200, 100]), r"iterations must be increasing.*\[200, 100\]"),
    (lambda: schedules.Doubling(float("inf")), "initial must be finite .* got inf"),
    (lambda: schedules.LinearDecay(-0.1, 10), "initial must be .* at least 0, got -0.1"),
    (lambda: schedules.LinearDecay(0.1, 0), "num_updates must be a positive integer, got 0"),
    (lambda: schedules.ExponentiallySpaced(20), "num_updates must tell .* apart, got 20"),
    (lambda: schedules.ExponentiallySpaced(2.5), "num_updates must be a positive .* got 2.5"),
    (lambda: schedules.ExponentiallySpaced(600, ratio=1.0), "ratio must be .* above 1, got 1.0"),
    (lambda: schedules.Capped(0.9, -1), "cap must be finite and at least 0, got -1"),
    (lambda: schedules.FinalPhase(0.1, 10), "one of divisor and cap .* got divisor=None, cap=None"),
    (lambda: schedules.FinalPhase(0.1, 10, 2, 0.9), "one of divisor and cap .* cap=0.9"),
    (lambda: schedules.FinalPhase(0.1, 10, 0.5), "divisor must be at least 1, got 0.5"),
    (lambda: schedules.FinalPhase(0.1, 10, 2, share=1.5), "share must be from 0 to 1, got 1.5"),
    (lambda: schedules.FinalPhase(0.1, -3, 2), "num_updates must be a positive .* got -3")])
def test_bad_input_is_refused_by_name_and_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()
