"""The damping follows the reduction ratio, and stays within its bounds."""

import math

import keras
import pytest
import tensorflow as tf

from rnnpt.optimizers._damping import LevenbergMarquardt, reduction_ratio


@pytest.mark.parametrize(("ratio", "factor"), [
    (0.76, 2 / 3), (2.0, 2 / 3), (0.75, 1), (0.5, 1), (0.25, 1), (0.24, 1.5), (-3.0, 1.5),
    (math.nan, 1.5)])
def test_it_falls_after_a_kept_promise_and_rises_after_a_broken_one(ratio, factor):
    damping = LevenbergMarquardt().adjusted(tf.constant(0.3), tf.constant(ratio))
    assert float(damping) == pytest.approx(0.3 * factor)


def test_it_stays_within_its_bounds():
    rule = LevenbergMarquardt(least=0.1, most=2.0)
    assert float(rule.adjusted(tf.constant(0.11), tf.constant(1.0))) == pytest.approx(0.1)
    assert float(rule.adjusted(tf.constant(1.9), tf.constant(0.0))) == pytest.approx(2.0)


def test_its_numbers_are_arguments():
    rule = LevenbergMarquardt(drop=4 / 5, boost=5 / 4, low=0.3, high=0.7)
    dampings = [float(rule.adjusted(tf.constant(1.0), tf.constant(ratio)))
                for ratio in (0.71, 0.7, 0.3, 0.29)]
    assert dampings == pytest.approx([0.8, 1, 1, 1.25])


def test_it_survives_its_config():
    rule = LevenbergMarquardt(drop=4 / 5, most=5.0, damped_ratio=True)
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(rule)) == rule


@pytest.mark.parametrize("wrong", [
    {"drop": 0.0}, {"drop": 1.1}, {"boost": 0.9}, {"low": 0.8}, {"least": -1.0}, {"most": 1e-11},
    {"boost": math.inf}])
def test_numbers_out_of_order_are_refused(wrong):
    with pytest.raises(ValueError, match="LevenbergMarquardt: needs"):
        LevenbergMarquardt(**wrong)


@pytest.mark.parametrize(("decrease", "promised", "expected"), [
    (0.3, 0.6, 0.5), (-0.3, 0.6, -0.5), (0.3, 0.0, math.nan), (0.3, -0.1, math.nan),
    (math.nan, 0.6, math.nan), (math.inf, 0.6, math.nan), (0.3, math.inf, math.nan)])
def test_the_ratio_is_that_of_the_decreases(decrease, promised, expected):
    ratio = reduction_ratio(tf.constant(decrease), tf.constant(promised))
    assert float(ratio) == pytest.approx(expected, nan_ok=True)


def test_the_ratio_of_a_quadratic_is_one():
    matrix, gradient = tf.constant([[3.0, 1.0], [1.0, 2.0]]), tf.constant([1.0, -1.0])
    step = tf.constant([-0.3, 0.8])
    change = 0.5 * tf.tensordot(step, tf.linalg.matvec(matrix, step), 1) + tf.tensordot(
        gradient, step, 1)

    def loss(point):
        # The quadratic around another point, whose gradient is the one above.
        return 0.5 * tf.tensordot(point, tf.linalg.matvec(matrix, point), 1) + 7

    start = tf.linalg.solve(matrix, gradient[:, tf.newaxis])[:, 0]
    assert float(reduction_ratio(loss(start) - loss(start + step), -change)) == pytest.approx(
        1, rel=1e-4)
