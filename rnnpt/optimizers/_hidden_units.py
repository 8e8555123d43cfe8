"""The hidden units of a Keras model, for structural damping: what its recurrent layers give out."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf

# The units of each layer (B, ...), and the metric of their distance, of the same shape.
Hidden = list[tuple[tf.Tensor, tf.Tensor]]
# Of what makes the units: its slope as a function of them.
_SLOPES = {
    keras.activations.tanh: lambda units: 1 - units ** 2,
    keras.activations.sigmoid: lambda units: units * (1 - units)}


def recurrent_layers(model: keras.Model) -> list[keras.layers.RNN]:
    """The recurrent layers of a model, inside of others too.

    Args:
        model: built.

    Returns:
        `keras.layers.RNN` and what is derived from it.
    """
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]


@contextlib.contextmanager
def recorded_units(layers: Sequence[keras.layers.RNN]) -> Iterator[Hidden]:
    """While it lasts, what recurrent layers give out at each step is written down.

    Equation: two runs whose units differ by little, d, are as far apart as the sum of
    metric d^2 / 2. Of a `keras.layers.SimpleRNN` the metric is 1 / f'(z), f being its nonlinearity
    and z what that acts on: then it is f'(z) for a difference of the latter, as in a
    `SequenceModel`. That is the cross-entropy for sigmoid, the same of units that are -1 or 1 for
    tanh, and the squared error for linear and ReLU units. It is the squared error for all other
    layers, whose units are no function of one pre-activation each.

    Args:
        layers: of a model that is called meanwhile.

    Yields:
        For each call of a layer the units (B, T, ...) and their metric, of that shape: 0 where a
        step is masked.

    Raises:
        ValueError: if the steps of a layer are out of sight.

    Source: Sutskever 2013, section 4.2.3.
    """
    graph = tf.compat.v1.get_default_graph()
    found: Hidden = []
    in_sight: dict[keras.layers.RNN, bool] = {}

    def record(layer: keras.layers.RNN, units: tf.Tensor, mask: object) -> None:
        # Tensors of a loop around the layer are of no use outside of it.
        if tf.compat.v1.get_default_graph() is graph:
            found.append((units, _metric(layer, tf.stop_gradient(units), mask)))
            in_sight.setdefault(layer, True)
        else:
            in_sight[layer] = False

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_watched(layer, record))
        yield found
    lost = [layer.name for layer in layers if not in_sight.get(layer)]
    if lost:
        raise ValueError(
            "SecondOrderModel: structural_damping must be 0 where a recurrent layer is used within "
            f"a loop, such as that of TimeDistributed, or not at all, got {', '.join(lost)}; let "
            "the shape of the data be known, or leave the damping out")


@contextlib.contextmanager
def _watched(layer: keras.layers.RNN, record: Callable[..., None]) -> Iterator[None]:
    """While it lasts, a layer computes its whole sequence, whatever it returns."""
    run = layer.inner_loop

    def inner_loop(
        sequences: tf.Tensor, initial_state: object, mask: object, training: bool = False
    ) -> tuple:
        returned, layer.return_sequences = layer.return_sequences, True
        try:
            last, units, states = run(sequences, initial_state, mask, training)
        finally:
            layer.return_sequences = returned
        record(layer, units, mask)
        return last, units, states

    setattr(layer, "inner_loop", inner_loop)
    try:
        yield
    finally:
        delattr(layer, "inner_loop")


def _metric(layer: keras.layers.RNN, units: tf.Tensor, mask: object) -> tf.Tensor:
    metric = tf.ones_like(units)
    # What is derived from it may do anything.
    if type(layer.cell) is keras.layers.SimpleRNNCell and layer.cell.activation in _SLOPES:
        # A unit without a slope does not move.
        metric = tf.math.divide_no_nan(metric, _SLOPES[layer.cell.activation](units))
    if mask is None:
        return metric
    [mask, *_] = tf.nest.flatten(mask)
    if layer.go_backwards:
        mask = tf.reverse(mask, [1])
    shape = [*tf.unstack(tf.shape(units)[:2]), *[1] * (len(units.shape) - 2)]
    return tf.where(tf.cast(tf.reshape(mask, shape), tf.bool), metric, tf.zeros_like(metric))
