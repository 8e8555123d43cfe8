"""Tangents and slopes of a function without a loop, by TensorFlow's automatic derivatives."""

from collections.abc import Callable

import tensorflow as tf

from rnnpt.models._recurrence import Tensors

# Of weights and of other inputs.
Function = Callable[[Tensors, Tensors], Tensors]


def tangents_of(
    function: Function,
    weights: Tensors,
    inputs: Tensors,
    weight_tangents: Tensors,
    input_tangents: Tensors,
) -> tuple[Tensors, Tensors]:
    """What a function gives, and how that moves.

    Args:
        function: of weights and inputs, without a loop.
        weights: tensors.
        inputs: tensors.
        weight_tangents: how the weights move, of their shapes.
        input_tangents: how the inputs move, of their shapes.

    Returns:
        Its outputs, and their tangents.
    """
    sources = _copies([*weights, *inputs])
    # Not by TensorFlow's accumulator, which keeps a graph of every derivative for ever. What goes
    # backwards is linear in the probes: its slope is the way forwards.
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(sources)
            outputs = function(sources[:len(weights)], sources[len(weights):])
        probes = [tf.zeros_like(output) for output in outputs]
        outer.watch(probes)
        slopes = inner.gradient(
            outputs, sources, output_gradients=probes,
            unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return outputs, outer.gradient(
        slopes, probes, output_gradients=[*weight_tangents, *input_tangents],
        unconnected_gradients=tf.UnconnectedGradients.ZERO)


def slopes_of(
    function: Function, weights: Tensors, inputs: Tensors, output_slopes: Tensors
) -> tuple[Tensors, Tensors]:
    """The slopes of something at weights and inputs, by its slopes at the outputs.

    Args:
        function: of weights and inputs, without a loop.
        weights: tensors.
        inputs: tensors.
        output_slopes: one an output, of its shape.

    Returns:
        Slopes at the weights, and at the inputs.
    """
    weights, inputs = _copies(weights), _copies(inputs)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([*weights, *inputs])
        outputs = function(weights, inputs)
    slopes = tape.gradient(
        outputs, [*weights, *inputs], output_gradients=output_slopes,
        unconnected_gradients=tf.UnconnectedGradients.ZERO)
    slopes = [tf.convert_to_tensor(slope) for slope in slopes]
    return slopes[:len(weights)], slopes[len(weights):]


def _copies(values: Tensors) -> Tensors:
    # A tensor from outside a loop is another one inside, which no tape has seen.
    return [tf.identity(value) for value in values]
