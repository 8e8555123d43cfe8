"""Functions that stand once in a graph."""

import tensorflow as tf

from rnnpt.optimizers._subgraph import made_once


def test_a_function_that_is_called_often_is_traced_once():
    traces = []
    start = tf.Variable(2.0)

    def square(value: tf.Tensor) -> tf.Tensor:
        traces.append(value)
        start.assign_add(1.0)
        return start * value

    @tf.function
    def run() -> list[tf.Tensor]:
        function = made_once(square)
        return [function(tf.constant(value)) for value in (1.0, 2.0, 3.0)]

    # In the order of the calls, though each changes what the next one reads.
    assert [float(value) for value in run()] == [3.0, 8.0, 15.0]
    assert len(traces) == 1
    assert made_once(square) is square
