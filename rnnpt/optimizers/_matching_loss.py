"""A compiled loss as a function of what a functional model computes before its activation."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

_LINEAR, _SIGMOID, _SOFTMAX = "linear", "sigmoid", "softmax"
_ACTIVATIONS = {
    keras.activations.linear: _LINEAR, keras.activations.sigmoid: _SIGMOID,
    keras.activations.softmax: _SOFTMAX}
# The activation that each has, where it is not given logits.
_MATCHES = {
    keras.losses.MeanSquaredError: _LINEAR,
    keras.losses.BinaryCrossentropy: _SIGMOID,
    keras.losses.CategoricalCrossentropy: _SOFTMAX,
    keras.losses.SparseCategoricalCrossentropy: _SOFTMAX,
}
_CLASSES = {
    keras.losses.mean_squared_error: keras.losses.MeanSquaredError,
    keras.losses.binary_crossentropy: keras.losses.BinaryCrossentropy,
    keras.losses.categorical_crossentropy: keras.losses.CategoricalCrossentropy,
    keras.losses.sparse_categorical_crossentropy: keras.losses.SparseCategoricalCrossentropy,
}
_PAIRS = (
    "MeanSquaredError with linear, BinaryCrossentropy with sigmoid, CategoricalCrossentropy or "
    "SparseCategoricalCrossentropy with softmax, or one of these three from_logits=True with "
    "linear")
# Layers that compute `activation` of what they would give without it.
_ACTIVATED = (
    keras.layers.Activation, keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Conv1D,
    keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_SHAPES = (keras.layers.Flatten, keras.layers.Permute, keras.layers.Reshape)


class MatchingLoss:
    """The loss that a model was compiled with, of its outputs before their activation.

    The activation has to be the one that matches: then the loss is convex in what comes before it,
    and its slope there is the outputs less the targets.

    Args:
        model: functional or `keras.Sequential`, built, of one output.
        loss: as `compile` takes it.
        loss_weights: as `compile` takes them.

    Raises:
        ValueError: if the model is of another kind or has several outputs, the activation of its
            last layer does not match the loss, or the loss is no mean over a batch.

    Source: Schraudolph 2002; Sutskever 2013, section 4.2.
    """

    def __init__(self, model: keras.Model, loss: Any, loss_weights: Any = None) -> None:
        self._model = model
        self._layer, activation = _last_layer(model)
        self._is_activated = activation != _LINEAR
        losses = tf.nest.flatten(loss)
        if len(losses) > 1:
            raise ValueError(
                f"SecondOrderModel: loss must be one, for an optimizer that takes a curvature, got "
                f"{len(losses)}; compile the model with that of its output")
        self._loss = _summed(losses[0], activation)
        self._weight = 1.0 if loss_weights is None else float(tf.nest.flatten(loss_weights)[0])

    def outputs(self, x: Any) -> tf.Tensor:
        """What the model computes in training, but for its last activation.

        Args:
            x: inputs (B, ...), as it takes them.

        Returns:
            Logits (B, ..., V); those of a linear layer are the outputs themselves.
        """
        with _without_activation(self._layer) if self._is_activated else contextlib.nullcontext():
            return self._model(x, training=True)

    def total(self, outputs: tf.Tensor, y: Any, sample_weight: tf.Tensor | None) -> tf.Tensor:
        """The loss, summed over outputs, steps and rows.

        Args:
            outputs: as `outputs` gave them (B, ..., V), with Keras' mask.
            y: targets, as the loss takes them.
            sample_weight: a number a row or a step, or None.

        Returns:
            A scalar.
        """
        loss = self._loss(y, outputs, sample_weight)
        return self._weight * loss * tf.cast(self._num_averaged(outputs, y), loss.dtype)

    def count(self, outputs: tf.Tensor, y: Any) -> tf.Tensor:
        """How many terms the mean that Keras would take has.

        Args:
            outputs: as `outputs` gave them (B, ..., V), with Keras' mask.
            y: targets, as the loss takes them.

        Returns:
            The number of outputs of unmasked steps, or of categories drawn, as a real scalar.
        """
        terms = self._terms(outputs, y)
        real = tf.ones_like(terms)
        for masked in (outputs, terms):
            mask = getattr(masked, "_keras_mask", None)
            if mask is not None:
                real *= tf.cast(mask, real.dtype)
        return tf.reduce_sum(real) * tf.cast(self._num_averaged(outputs, y), real.dtype)

    def _terms(self, outputs: tf.Tensor, y: Any) -> tf.Tensor:
        return self._loss.call(tf.cast(y, outputs.dtype), outputs)

    def _num_averaged(self, outputs: tf.Tensor, y: Any) -> int | tf.Tensor:
        """Of how many outputs each term is a mean, where it is one."""
        if _MATCHES[type(self._loss)] == _SOFTMAX:
            return 1
        return tf.size(outputs) // tf.maximum(tf.size(self._terms(outputs, y)), 1)


def _summed(loss: Any, activation: str) -> keras.losses.Loss:
    """A loss of logits, a sum, from one that `compile` takes."""
    loss = keras.losses.get(loss)
    is_known = type(loss) in _MATCHES
    kind = type(loss) if is_known else _CLASSES.get(loss)
    config = loss.get_config() if is_known else {}
    needed = _LINEAR if config.get("from_logits") else _MATCHES.get(kind)
    if kind is None or activation != needed or config.get("axis", -1) != -1:
        name = kind.__name__ if kind else getattr(loss, "__name__", type(loss).__name__)
        told = ", ".join(
            f"{word}={config[word]}" for word in ("from_logits", "axis") if word in config)
        raise ValueError(
            "SecondOrderModel: loss must match the activation of the last layer, for an optimizer "
            f"that takes a curvature, got {name}{told and f'({told})'} with {activation}; take "
            f"{_PAIRS}, after a Dense, Conv, Softmax or Activation layer")
    reduction = config.get("reduction", "mean")
    if reduction not in ("mean", "sum_over_batch_size"):
        raise ValueError(
            "SecondOrderModel: reduction of the loss must be 'sum_over_batch_size', for an "
            f"optimizer that takes a curvature, got {reduction!r}; leave it out")
    config["reduction"] = "sum"
    if kind is not keras.losses.MeanSquaredError:
        config["from_logits"] = True
    return kind(**config, dtype=loss.dtype if is_known else None)


def _last_layer(model: keras.Model) -> tuple[keras.Layer, str]:
    """The layer that computes the outputs but for their shape, and the name of its activation."""
    if not getattr(model, "outputs", None):
        raise ValueError(
            "SecondOrderModel: model must be functional or Sequential, for an optimizer that takes "
            f"a curvature, got {type(model).__name__}; build it as keras.Model(inputs, outputs)")
    if len(model.outputs) > 1:
        raise ValueError(
            "SecondOrderModel: model must have one output, for an optimizer that takes a "
            f"curvature, got {len(model.outputs)}; concatenate them or train one at a time")
    history, reshaped = model.outputs[0]._keras_history, ""
    while isinstance(history.operation, (*_SHAPES, keras.Model)):
        if isinstance(history.operation, keras.Model):
            model = history.operation
            history = model.outputs[history.tensor_index]._keras_history
        else:
            reshaped = f" before {type(history.operation).__name__}"
            node = history.operation._inbound_nodes[history.node_index]
            history = node.input_tensors[0]._keras_history
    layer = history.operation
    if isinstance(layer, keras.layers.TimeDistributed):
        layer = layer.layer
    activation = _activation(layer)
    num_uses = sum(
        node.operation is history.operation
        for nodes in getattr(model, "_nodes_by_depth", {}).values() for node in nodes)
    if activation != _LINEAR and num_uses > 1:
        activation = f"{activation} of a layer used {num_uses} times"
    return layer, activation + reshaped if activation == _SOFTMAX else activation


def _activation(layer: keras.Layer) -> str:
    if isinstance(layer, keras.layers.Softmax):
        return _SOFTMAX if layer.axis == -1 else f"Softmax(axis={layer.axis})"
    if not isinstance(layer, _ACTIVATED):
        return f"the layer {type(layer).__name__}"
    function = layer.activation
    name = getattr(function, "__name__", type(function).__name__)
    package = getattr(function, "__module__", "").split(".")[0]
    return _ACTIVATIONS.get(function, f"{package}.{name}")


@contextlib.contextmanager
def _without_activation(layer: keras.Layer) -> Iterator[None]:
    """While it lasts, the layer gives what it otherwise activates."""
    if isinstance(layer, keras.layers.Softmax):
        setattr(layer, "call", lambda inputs, mask=None: inputs)
        try:
            yield
        finally:
            delattr(layer, "call")
        return
    activation, layer.activation = layer.activation, keras.activations.linear
    try:
        yield
    finally:
        layer.activation = activation
