"""The loss of a model's outputs with its Gauss-Newton matrix, whatever the model."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras
import tensorflow as tf

from rnnpt.optimizers._hidden_units import Hidden
from rnnpt.optimizers.asked_rows import with_asked_rows
from rnnpt.optimizers.objective import (
    CurvedObjective,
    Linearized,
    Objective,
    SummedObjective,
    Tensors,
)
from rnnpt.optimizers.objective_optimizer import ObjectiveOptimizer

Value = TypeVar("Value")


class OutputObjective(CurvedObjective):
    """The loss of a model's outputs, for a `train_step` that trains by any `ObjectiveOptimizer`.

    `SecondOrderModel` and `models.Autoencoder` train by it. The model may be any whose derivatives
    TensorFlow has, loops over time among them; an update keeps what its forward pass over the
    curvature rows has computed, so that a product is one sweep forwards and one backwards.

    Equation: the objective is (the sum of the loss over rows + that of the penalty) / rows. The
    product with v is J' H J v + P v + damping K' D K v. J is the Jacobian of the outputs, H the
    Hessian of the loss in the outputs and P that of the penalty in the weights; K is the Jacobian
    of the hidden units and D their metric. H is positive where the loss is convex in the outputs:
    let them be logits, not probabilities.

    Args:
        optimizer: whose `curvature_rows` and `rows_at_once`, where it has them, say which rows give
            the curvature and how many give a part of the gradient.
        variables: what is trained, Keras variables.
        data: a batch, tensors and None in any nest, each with the rows first.
        outputs_of: gives, of some rows of the data, the model's outputs.
        loss_of: gives, of outputs and their rows of the data, the sum of the loss over rows.
        penalty_of: gives, of the same, a penalty on the weights, summed over rows, which may hang
            on the number of the outputs and not on their values; None for none.
        frozen: Keras variables besides, such as counters of random draws, that each evaluation
            begins with alike and that none moves.
        hidden_of: gives, of some rows of the data, the outputs and a list of hidden units, each
            with their metric, of the same shape, for structural damping; None where they are not
            known.

    Raises:
        ValueError: if the optimizer has structural damping and hidden units are not known; later,
            if a layer adds a loss of its own, an operation has no second derivative, or the batch
            has fewer rows than `curvature_rows` and those to be held out.

    Example:
        >>> layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
        >>> layer.build([None, 1])
        >>> objective = OutputObjective(
        ...     keras.optimizers.SGD(), layer.trainable_variables,
        ...     (tf.constant([[1.0], [3.0]]), tf.constant([[0.0], [1.0]])),
        ...     lambda data: layer(data[0]),
        ...     lambda outputs, data: tf.reduce_sum((outputs - data[1]) ** 2))
        >>> loss, _ = objective.value_and_gradient_at([tf.constant([[1.0]])])
        >>> [product] = objective.linearize().product([tf.constant([[1.0]])], tf.constant(0.0))
        >>> float(loss), float(product[0, 0])
        (2.5, 10.0)

    Source: Schraudolph 2002; Sutskever 2013, section 4.2, eq. 4.7 and algorithm 6.
    """

    def __init__(
        self,
        optimizer: ObjectiveOptimizer,
        variables: Sequence[keras.Variable],
        data: Any,
        outputs_of: Callable[[Any], tf.Tensor],
        loss_of: Callable[[tf.Tensor, Any], tf.Tensor],
        penalty_of: Callable[[tf.Tensor, Any], tf.Tensor] | None = None,
        frozen: Sequence[keras.Variable] = (),
        hidden_of: Callable[[Any], tuple[tf.Tensor, Hidden]] | None = None,
    ) -> None:
        mu = getattr(optimizer, "structural_damping", 0)
        if mu and hidden_of is None:
            raise ValueError(
                f"{type(optimizer).__name__}: structural_damping must be 0 for a model without "
                f"recurrent layers, got {mu}; leave it out, or take a SequenceModel or, inside "
                "SecondOrderModel, a model with a layer such as keras.layers.LSTM")
        self._hidden_of = hidden_of if mu else None
        self._outputs_of, self._loss_of, self._penalty_of = outputs_of, loss_of, penalty_of
        self._frozen = [
            (variable, tf.identity(tf.convert_to_tensor(variable))) for variable in frozen]
        # What makes the parts below needs them.
        self.variables = list(variables)
        share = getattr(optimizer, "share", lambda count: count)
        num_curved = share(getattr(optimizer, "curvature_rows", None))
        curved = with_asked_rows(_rows(data, slice(num_curved)), _num_rows(data), num_curved or 0)
        super().__init__(
            self._objective(data, getattr(optimizer, "rows_at_once", None)),
            self._objective(curved), lambda _: Linearized(self._product(curved), []),
            held_out=None if num_curved is None else lambda count: self._objective(
                _following(data, num_curved, share(count))),
            rows=SummedObjective(
                self.variables, lambda row: self._sum(_rows(curved, slice(row, row + 1))),
                _num_rows(curved), _num_rows(curved)))

    def _objective(self, data: Any, rows_at_once: int | None = None) -> Objective:
        num_rows = _num_rows(data)

        def share(data: Any) -> tf.Tensor:
            loss = self._sum(data)
            return loss / tf.cast(num_rows, loss.dtype)

        if rows_at_once is None:
            return Objective(self.variables, lambda: share(data), num_rows)
        return SummedObjective(
            self.variables, lambda part: share(
                _rows(data, slice(part * rows_at_once, (part + 1) * rows_at_once))),
            -(-num_rows // rows_at_once), num_rows)

    def _sum(self, data: Any) -> tf.Tensor:
        """The loss and the penalty over rows, where the variables are."""
        outputs = self._evaluate(lambda: self._outputs_of(data))
        loss = self._loss_of(outputs, data)
        if self._penalty_of is not None:
            loss += self._penalty_of(outputs, data)
        # That of Keras is of its floatx, whatever the layers are of.
        return tf.cast(loss, self.variables[0].dtype)

    def _product(self, data: Any) -> Callable[[Tensors, tf.Tensor], Tensors]:
        """The product of the matrix where the variables are now."""
        weights = [tf.identity(tf.convert_to_tensor(variable)) for variable in self.variables]
        with _tape() as outer:
            with _tape() as inner:
                inner.watch(weights)
                outputs, hidden = self._evaluate(lambda: self._outputs_and_hidden(data), weights)
            # One sweep is that of the outputs and of the hidden units.
            ends = [outputs, *(units for units, _ in hidden)]
            # What goes backwards is linear in these, so that its slope is the way forwards.
            probes = [tf.zeros_like(end) for end in ends]
            outer.watch(probes)
            slopes = inner.gradient(ends, weights, output_gradients=probes)
            reached = [slope is not None for slope in slopes]
            pulled = [tf.convert_to_tensor(slope) for slope in slopes if slope is not None]
        loss_product = _hessian_product(lambda at: self._loss_of(at[0], data), [outputs])
        penalty_product = self._penalty_product(outputs, data, weights)
        num_rows = _num_rows(data)

        def product(tangents: Tensors, strength: tf.Tensor) -> Tensors:
            try:
                moved, *hidden_moved = outer.gradient(
                    pulled, probes, output_gradients=[
                        tangent for tangent, is_reached in zip(tangents, reached) if is_reached],
                    unconnected_gradients=tf.UnconnectedGradients.ZERO)
            except LookupError as error:
                raise ValueError(
                    "OutputObjective: every operation of the model must have a second derivative, "
                    f"got none for {str(error).split()[-1]}; on a GPU pass use_cudnn=False to its "
                    "LSTM and GRU layers") from error
            # Where a step is masked there may be no number.
            damped = [
                tf.math.multiply_no_nan(tangent, tf.cast(strength, metric.dtype) * metric)
                for tangent, (_, metric) in zip(hidden_moved, hidden)]
            totals = inner.gradient(
                ends, weights, output_gradients=[*loss_product([moved]), *damped],
                unconnected_gradients=tf.UnconnectedGradients.ZERO)
            # A loop over time loses what is known of the shapes.
            return [
                tf.ensure_shape((total + more) / tf.cast(num_rows, weight.dtype), weight.shape)
                for total, more, weight in zip(totals, penalty_product(tangents), weights)]

        return product

    def _outputs_and_hidden(self, data: Any) -> tuple[tf.Tensor, Hidden]:
        return (self._outputs_of(data), []) if self._hidden_of is None else self._hidden_of(data)

    def _penalty_product(
        self, outputs: tf.Tensor, data: Any, weights: Tensors
    ) -> Callable[[Tensors], Sequence[tf.Tensor | float]]:
        penalty_of = self._penalty_of
        if penalty_of is None:
            return lambda tangents: [0.0] * len(tangents)
        return _hessian_product(
            lambda at: self._evaluate(lambda: penalty_of(outputs, data), at), weights)

    def _evaluate(
        self, function: Callable[[], Value], weights: Sequence[tf.Tensor] = ()
    ) -> Value:
        """A function of the variables where they are, or at other weights."""
        held = [*self._frozen, *zip(self.variables, weights)]
        with keras.StatelessScope(state_mapping=held, collect_losses=True) as scope:
            found = function()
        if scope.losses:
            raise ValueError(
                "OutputObjective: layers must add no loss of their own, such as that of an "
                f"activity_regularizer, got {len(scope.losses)}, whose curvature is not known; "
                "leave it out or take an optimizer without a curvature")
        return found


def _hessian_product(
    function: Callable[[Tensors], tf.Tensor], at: Tensors
) -> Callable[[Tensors], Tensors]:
    """Products with the Hessian of a scalar at a point."""
    with _tape() as outer:
        outer.watch(at)
        with _tape() as inner:
            inner.watch(at)
            value = function(at)
        slopes = inner.gradient(value, at, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return lambda tangents: outer.gradient(
        slopes, at, output_gradients=tangents,
        unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _tape() -> tf.GradientTape:
    return tf.GradientTape(persistent=True, watch_accessed_variables=False)


def _num_rows(data: Any) -> tf.Tensor:
    return tf.shape(next(value for value in tf.nest.flatten(data) if value is not None))[0]


def _rows(data: Any, rows: slice) -> Any:
    return tf.nest.map_structure(lambda value: None if value is None else value[rows], data)


def _following(data: Any, start: int, count: int) -> Any:
    """So many rows from one on."""
    end = start + count
    return with_asked_rows(_rows(data, slice(start, end)), _num_rows(data), end)
