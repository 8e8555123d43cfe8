"""A cell's run over a batch, as the curvature of its loss sees it."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import keras
import tensorflow as tf

from rnnpt.cells import Cell, swap_time
from rnnpt.heads import Head

Tensors = list[tf.Tensor]


class Predictor(Protocol):
    """What a model must have: a cell, a head, and what leads from the one to the other."""

    cell: Cell
    head: Head
    readout: Any

    @property
    def trainable_variables(self) -> Sequence[keras.Variable]:
        """What is trained."""

    def initial_state(self, batch_size: int | tf.Tensor) -> Tensors:
        """The states before the first step.

        Args:
            batch_size: B.

        Returns:
            State tensors (B, S_i).
        """


class Recurrence(NamedTuple):
    """N steps of a cell, and what the states at the last K of the N + 1 places in between lead to.

    Args:
        model: built, of an exact head.
        inputs: of each step (N, B, I), finite.
        matters: True where something that is scored hangs on a step (N, B); False only behind the
            last such step of a row.
        targets: what is scored at the last K places (K, B, V), finite where its weight is 0 too.
        weights: of these scores (K, B).
        share: of one row in the mean over rows; a scalar.
    """

    model: Predictor
    inputs: tf.Tensor
    matters: tf.Tensor
    targets: tf.Tensor
    weights: tf.Tensor
    share: tf.Tensor

    def rows(self, start: int | tf.Tensor, end: int | tf.Tensor) -> "Recurrence":
        """Some rows, each with the same share in the mean as before.

        Args:
            start: the first of them.
            end: the first behind them.

        Returns:
            The recurrence of these rows alone.
        """
        return self._replace(**{
            name: getattr(self, name)[:, start:end]
            for name in ("inputs", "matters", "targets", "weights")})

    def loss(self, states: Tensors) -> tf.Tensor:
        """The loss of all rows.

        Args:
            states: at the last K places (K, B, S_i).

        Returns:
            The sum of what is scored, and of the penalty on activities, times the share.
        """
        cell, head = self.model.cell, self.model.head
        outputs = cell.output(states)
        # An exact head draws nothing.
        losses = head.loss(self.model.readout(outputs), self.targets, seed=tf.constant([0, 0]))
        if cell.activity_l1:
            losses += cell.activity_l1 * tf.reduce_sum(tf.abs(outputs), axis=-1)
        weights = tf.cast(self.weights, losses.dtype)
        return tf.cast(self.share, losses.dtype) * tf.reduce_sum(
            tf.math.multiply_no_nan(losses, weights))

    @property
    def places_of_cell(self) -> list[int]:
        """Where the trained variables of the cell are among those of the model."""
        variables = list(self.model.trainable_variables)
        return [next(place for place, other in enumerate(variables) if other is variable)
                for variable in self.model.cell.trainable_variables]

    @property
    def num_steps(self) -> tf.Tensor:
        """N."""
        return tf.shape(self.inputs)[0]

    @property
    def num_rows(self) -> tf.Tensor:
        """B."""
        return tf.shape(self.inputs)[1]

    @property
    def first_scored(self) -> tf.Tensor:
        """The first place whose states are scored, from 0 to N."""
        return self.num_steps + 1 - tf.shape(self.targets)[0]


def of_sequences(model: Predictor, frames: tf.Tensor, mask: tf.Tensor) -> Recurrence:
    """The recurrence of a model that predicts each frame from those before it.

    Args:
        model: built, of an exact head.
        frames: (B, T, V).
        mask: True on real frames (B, T), padding at the end only.

    Returns:
        T - 1 steps, scored at all T places.
    """
    frames, real = swap_time(frames), tf.transpose(mask)
    # A step leads to the frame after the one that it takes.
    matters = real[1:]
    inputs = tf.where(matters[..., tf.newaxis], frames[:-1], tf.zeros_like(frames[:-1]))
    return Recurrence(
        model, inputs, matters, frames, tf.cast(real, frames.dtype),
        1 / tf.cast(tf.shape(frames)[1], frames.dtype))


class Sweep(Protocol):
    """The linearised recurrence, to go through forwards and backwards."""

    states: Tensors

    @property
    def kept(self) -> Tensors:
        """What has been computed of the recurrence, and another sweep of it can be made of."""

    def forwards(self, tangents: Tensors) -> tuple[Tensors, Any]:
        """Tangents of the states by those of the cell's weights.

        Args:
            tangents: one a trainable variable of the cell.

        Returns:
            Tangents at the last K places (K, B, S_i), and what the way back must know of them.
        """

    def backwards(self, slopes: Tensors, hidden: Any, damping: tf.Tensor) -> Tensors:
        """Slopes at the cell's weights.

        Args:
            slopes: at the states of the last K places (K, B, S_i).
            hidden: as `forwards` gave it.
            damping: strength of the structural damping.

        Returns:
            One a trainable variable of the cell.
        """
