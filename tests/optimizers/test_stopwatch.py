"""Seconds of a part of a graph: begun after what comes first, ended when all is known."""

import time

import pytest
import tensorflow as tf

from rnnpt.optimizers._stopwatch import timed

SECONDS = 0.05


def slowly(value: tf.Tensor) -> tf.Tensor:
    """Returns the value, after a while."""
    def wait(value: tf.Tensor) -> tf.Tensor:
        time.sleep(SECONDS)
        return value

    return tf.py_function(wait, [value], value.dtype)


@pytest.mark.parametrize("in_graph", [False, True])
def test_each_part_has_its_own_seconds(in_graph):
    def measure() -> tuple[tf.Tensor, ...]:
        first, before = timed(lambda: {"value": slowly(tf.constant(1.0))})
        second, after = timed(lambda: slowly(slowly(first["value"])), after=first)
        # Depends on nothing, and is yet not computed before its time.
        third, alone = timed(lambda: slowly(tf.constant(2.0)), after=second)
        return first["value"] + second + third, before, after, alone

    began = time.perf_counter()
    total, before, after, alone = (tf.function(measure) if in_graph else measure)()
    elapsed = time.perf_counter() - began
    assert float(total) == 4
    assert before >= SECONDS and after >= 2 * SECONDS and alone >= SECONDS
    assert before + after + alone <= elapsed
