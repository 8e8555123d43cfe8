"""One update of a sequence model by an optimizer that takes the curvature of its loss."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from rnnpt.cells import swap_time, unroll
from rnnpt.models._gauss_newton import Linearization, Tensors
from rnnpt.optimizers import CurvedObjective, HessianFree, Objective, SummedObjective

if TYPE_CHECKING:
    from rnnpt.models._training import SequenceTraining


class Curved:
    """The loss of whole sequences, summed over their frames and its mean over sequences.

    Args:
        model: built, of an exact head.
        frames: (B, T, V).
        mask: True on real frames (B, T).
        starts: True where a row begins (B,): here, everywhere.
        seed: which every head's loss takes, though an exact one draws nothing.
    """

    def __init__(
        self,
        model: "SequenceTraining",
        frames: tf.Tensor,
        mask: tf.Tensor,
        starts: tf.Tensor,
        seed: tf.Tensor,
    ) -> None:
        check = tf.debugging.Assert(tf.reduce_all(starts), [
            "starts must be True in every row, since an optimizer with a curvature trains whole "
            "sequences, got", starts])
        with tf.control_dependencies([check]):
            self._frames = tf.identity(frames)
        self._model, self._mask, self._seed = model, mask, seed

    def update(self, optimizer: HessianFree) -> tuple[tf.Tensor, ...]:
        """Train on the batch.

        Args:
            optimizer: of the model.

        Returns:
            After the update: the sum of the loss over real frames and their number, the sum of the
            penalty on activities, and the penalty on weights.
        """
        whole = self._objective(self._frames, self._mask, optimizer.rows_at_once)
        frames, mask = (
            each[:optimizer.curvature_rows] for each in (self._frames, self._mask))
        optimizer.minimize(CurvedObjective(
            whole, self._objective(frames, mask, None), lambda: self._product(frames, mask)))
        rows = optimizer.rows_at_once or tf.shape(self._frames)[0]
        _, *sums = tf.while_loop(
            lambda part, *_: part < self._num_parts(rows),
            lambda part, *sums: (part + 1, *(
                one + other for one, other in zip(sums, self._sums(
                    *self._part(self._frames, self._mask, part, rows))))),
            (tf.constant(0), *[tf.zeros([], self._frames.dtype)] * 3))
        return *sums, self._penalty()

    def _objective(
        self, frames: tf.Tensor, mask: tf.Tensor, rows_at_once: int | None
    ) -> Objective:
        size = tf.cast(tf.shape(frames)[0], frames.dtype)

        def loss_of(frames: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
            total, _, activity = self._sums(frames, mask)
            return (total + activity) / size

        variables = self._model.trainable_variables
        if rows_at_once is None:
            return Objective(variables, lambda: loss_of(frames, mask) + self._penalty())
        return SummedObjective(
            variables, lambda part: loss_of(*self._part(frames, mask, part, rows_at_once))
            + tf.where(tf.equal(part, 0), self._penalty(), 0), self._num_parts(rows_at_once))

    def _product(
        self, frames: tf.Tensor, mask: tf.Tensor
    ) -> Callable[[Tensors, tf.Tensor], Tensors]:
        linearization = Linearization(self._model, frames, mask)
        if not self._model.losses:
            return linearization.product
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

        return product

    def _sums(self, frames: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, ...]:
        model = self._model
        outputs, _ = unroll(
            model.cell, frames, model.initial_state(tf.shape(frames)[0]), mask, time_major=True)
        real = tf.transpose(mask)
        total, count = model._total_loss(
            model.readout(outputs), swap_time(frames), real, self._seed)
        activity = model._total_activity(outputs, real)
        return total, tf.cast(count, total.dtype), tf.cast(activity, total.dtype)

    def _penalty(self) -> tf.Tensor:
        losses = self._model.losses
        return tf.add_n(losses) if losses else tf.zeros([], self._frames.dtype)

    def _num_parts(self, rows_at_once: int | tf.Tensor) -> tf.Tensor:
        return -(-tf.shape(self._frames)[0] // rows_at_once)

    def _part(
        self, frames: tf.Tensor, mask: tf.Tensor, part: tf.Tensor, rows_at_once: int | tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        rows = slice(part * rows_at_once, (part + 1) * rows_at_once)
        return frames[rows], mask[rows]
