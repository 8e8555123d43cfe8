"""Tangents by automatic derivatives: of a function with a known one, and what they keep alive."""

import gc

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

from rnnpt.models._derivative import tangents_of


def moved(weights, inputs):
    """Returns outputs that hang on one thing, on both and on none."""
    [weight], [frame] = weights, inputs
    return [tf.tanh(frame @ weight), tf.square(frame), tf.ones([2])]


def test_tangents_are_those_of_the_known_derivative():
    rng = np.random.default_rng(0)
    frame, weight, frame_tangent, weight_tangent = (
        tf.constant(rng.normal(size=shape)) for shape in 2 * ([2, 3], [3, 4]))
    outputs, tangents = tangents_of(moved, [weight], [frame], [weight_tangent], [frame_tangent])
    np.testing.assert_array_equal(outputs[0], tf.tanh(frame @ weight))
    expected = [(1 - outputs[0] ** 2) * (frame_tangent @ weight + frame @ weight_tangent),
                2 * frame * frame_tangent, tf.zeros([2])]
    for tangent, value in zip(tangents, expected, strict=True):
        np.testing.assert_allclose(tangent, value, rtol=0, atol=1e-12)


def test_no_graph_is_kept_alive():
    def count():
        gc.collect()
        return sum(isinstance(each, FuncGraph) for each in gc.get_objects())

    @tf.function
    def trace(frame):
        # Of a shape that no other test has: what is kept once is not kept anew.
        weight = tf.ones([3, 41])
        return tangents_of(moved, [weight], [frame], [weight], [frame])[1]

    before = count()
    trace(tf.ones([37, 3]))
    assert count() > before
    del trace
    assert count() == before
