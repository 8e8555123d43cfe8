"""One update of a model by an optimizer that takes the curvature of its loss."""

from collections.abc import Sequence
from typing import Protocol

import keras
import tensorflow as tf

from rnnpt.models._gauss_newton import Linearization, swept_loss
from rnnpt.models._recurrence import Predictor, Recurrence, Tensors
from rnnpt.optimizers import (
    CurvatureOptimizer,
    CurvedObjective,
    Linearized,
    Objective,
    SummedObjective,
)
from rnnpt.optimizers.asked_rows import with_asked_rows

#: Tensors of equally many rows.
Batch = tuple[tf.Tensor, ...]


class CurvedModel(Predictor, Protocol):
    """A model whose loss is a sum over steps of a recurrence."""

    losses: Sequence[tf.Tensor]

    def batch_sums(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The loss of some rows.

        Args:
            batch: the rows.

        Returns:
            The sum of the loss over what is scored and the number of it, and the sum of the penalty
            on activities.
        """

    def recurrence(self, batch: Batch) -> Recurrence:
        """What the curvature of the loss is taken of.

        Args:
            batch: the rows.

        Returns:
            Its steps, and what is scored after them.
        """


class Curved:
    """The loss of whole sequences, summed over their steps and its mean over sequences.

    Args:
        model: built, of an exact head.
        batch: its rows.
        num_rows: how many the batch came with, where those that are padding alone were left out of
            it, so that there may be fewer than an optimizer asks for, and none on one of several
            replicas; None for a batch that has all of its rows.
    """

    def __init__(
        self, model: CurvedModel, batch: Batch, num_rows: tf.Tensor | None = None
    ) -> None:
        self._model, self._batch = model, batch
        self._num_left = tf.shape(batch[0])[0]
        self._num_rows = self._num_left if num_rows is None else num_rows
        self._has_gaps = num_rows is not None

    def objective(self, optimizer: CurvatureOptimizer) -> CurvedObjective:
        """The loss of the batch, with its curvature.

        Args:
            optimizer: of the model.

        Returns:
            What it minimizes. Where rows were left out and fewer stay than it asks for, those that
            stay give the curvature, and the last of them are held out.
        """
        num_curved = optimizer.share(optimizer.curvature_rows)
        rows_at_once = optimizer.rows_at_once
        curved = self._rows(0, num_curved)
        return CurvedObjective(
            self._objective(self._batch, rows_at_once), self._objective(curved, rows_at_once),
            lambda kept: self._linearize(curved, kept),
            held_out=None if num_curved is None else lambda count: self._objective(
                self._rows(num_curved, optimizer.share(count)), rows_at_once),
            rows=SummedObjective(
                self._model.trainable_variables, lambda row: self._loss(_part(curved, row, 1))
                + self._penalty(), _num_parts(curved, 1), _num_parts(curved, 1)))

    def sums(self, rows_at_once: int | None) -> tuple[tf.Tensor, ...]:
        """What is logged of the batch.

        Args:
            rows_at_once: rows that are computed at once; None for all.

        Returns:
            The sum of the loss over real frames and their number, and the sum of the penalty on
            activities.
        """
        rows = rows_at_once or tf.maximum(self._num_left, 1)
        _, *sums = tf.while_loop(
            lambda part, *_: part < _num_parts(self._batch, rows),
            lambda part, *sums: (part + 1, *(
                one + other for one, other in zip(
                    sums, self._model.batch_sums(_part(self._batch, part, rows))))),
            (tf.constant(0), *[tf.zeros([], self._batch[0].dtype)] * 3))
        return tuple(sums)

    def _objective(self, batch: Batch, rows_at_once: int | None) -> Objective:
        num_rows = tf.shape(batch[0])[0]
        size = tf.cast(num_rows, batch[0].dtype)

        def loss_of(rows: Batch) -> tf.Tensor:
            # Two threads are better at two halves than at each product of all.
            half = tf.shape(rows[0])[0] // 2
            return tf.add_n([self._loss(each) for each in (
                tuple(each[:half] for each in rows), tuple(each[half:] for each in rows))]) / size

        variables = self._model.trainable_variables
        if rows_at_once is None:
            return Objective(variables, lambda: loss_of(batch) + self._penalty(), num_rows)
        return SummedObjective(
            variables, lambda part: loss_of(_part(batch, part, rows_at_once))
            + tf.where(tf.equal(part, 0), self._penalty(), 0), _num_parts(batch, rows_at_once),
            num_rows)

    def _loss(self, rows: Batch) -> tf.Tensor:
        swept = swept_loss(self._model.recurrence(rows)._replace(share=tf.constant(1.0)))
        if swept is not None:
            return swept
        total, _, activity = self._model.batch_sums(rows)
        return total + activity

    def _rows(self, start: int, count: int | None) -> Batch:
        """So many rows from one on, or the last that there are; all of them where None."""
        batch = with_asked_rows(self._batch, self._num_rows, start + (count or 0))
        if not self._has_gaps or tf.distribute.get_strategy().num_replicas_in_sync == 1:
            batch = with_asked_rows(batch, self._num_left, 1)
        if count is None:
            return batch
        first = tf.clip_by_value(self._num_left - count, 0, start) if self._has_gaps else start
        return tuple(each[first:first + count] for each in batch)

    def _linearize(self, batch: Batch, kept: Tensors) -> Linearized:
        if self._has_gaps:
            kept = [_of_any_rows(each) for each in kept]
        linearization = Linearization(self._model.recurrence(batch), kept)
        if not self._model.losses:
            return Linearized(linearization.product, linearization.kept)
        variables = self._model.trainable_variables
        weights = [tf.identity(tf.convert_to_tensor(variable)) for variable in variables]

        def product(tangents: Tensors, damping: tf.Tensor) -> Tensors:
            return [one + other for one, other in zip(
                linearization.product(tangents, damping), penalty_product(tangents))]

        def penalty_product(tangents: Tensors) -> Tensors:
            with tf.GradientTape() as outer, tf.GradientTape() as inner:
                outer.watch(weights)
                inner.watch(weights)
                with keras.StatelessScope(state_mapping=list(zip(variables, weights))):
                    penalty = self._penalty()
                slopes = inner.gradient(
                    penalty, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            return outer.gradient(
                slopes, weights, output_gradients=tangents,
                unconnected_gradients=tf.UnconnectedGradients.ZERO)

        return Linearized(product, linearization.kept)

    def _penalty(self) -> tf.Tensor:
        losses = self._model.losses
        return tf.add_n(losses) if losses else tf.zeros([], self._batch[0].dtype)


def _num_parts(batch: Batch, rows_at_once: int | tf.Tensor) -> tf.Tensor:
    return -(-tf.shape(batch[0])[0] // rows_at_once)


def _of_any_rows(value: tf.Tensor) -> tf.Tensor:
    """The tensor itself; while a graph is made, its number of rows is as little known as theirs."""
    shape = [None] * (len(value.shape) - 1) + [value.shape[-1]]
    return tf.raw_ops.PlaceholderWithDefault(input=value, shape=shape)


def _part(batch: Batch, part: tf.Tensor, rows_at_once: int | tf.Tensor) -> Batch:
    return tuple(each[part * rows_at_once:(part + 1) * rows_at_once] for each in batch)
