"""Truncated back-propagation, through a batch or more steps than it has."""

import tensorflow as tf

from rnnpt import numerics
from rnnpt.cells import Cell, unroll
from rnnpt.models._hidden import Carried


class CarriedState:
    """The last state of each row of training, which the next batch goes on from.

    Args:
        state_sizes: S_i of the cell.

    Source: Bengio et al. 2012, section 4.1.1.
    """

    def __init__(self, state_sizes: list[int]) -> None:
        self._state_sizes = state_sizes
        self._state = Carried(sum(state_sizes))
        self.variables = [self._state]

    def unroll(
        self, cell: Cell, frames: tf.Tensor, mask: tf.Tensor, starts: tf.Tensor
    ) -> tf.Tensor:
        """Run a cell over a batch, and leave its last states to the next.

        Args:
            cell: the recurrence.
            frames: (B, T, V).
            mask: True on real frames (B, T).
            starts: True where a row does not go on from the batch before (B,).

        Returns:
            The outputs before each frame, (T, B, H).
        """
        state = _where_starts(starts, cell, self._state.read(starts), self._state_sizes)
        outputs, state = unroll(cell, frames, state, mask, time_major=True)
        self._state.assign(tf.stop_gradient(numerics.pack(state)))
        return outputs


class BackwardWindow:
    """The last frames of each row of training, through which the gradient goes back.

    Each batch of k1 steps counts in the loss once, and its gradient is followed through the last
    k2 steps: k1 new ones and k2 - k1 old ones, which are run again with the present weights. The
    state before those is held constant, unless its row began after it: then it is the learned
    initial state.

    Args:
        num_steps: k2.
        num_visible: V.
        state_sizes: S_i of the cell.

    Source: Williams and Peng 1990; Sutskever 2013, section 2.8.6.
    """

    def __init__(self, num_steps: int, num_visible: int, state_sizes: list[int]) -> None:
        self.num_steps = num_steps
        self._state_sizes = state_sizes
        self._frames = Carried(num_steps, num_visible)
        self._mask = Carried(num_steps)
        self._state = Carried(sum(state_sizes))
        # 1 where a row's state is still the learned one.
        self._is_initial = Carried()
        self.variables = [self._frames, self._mask, self._state, self._is_initial]

    def unroll(
        self, cell: Cell, frames: tf.Tensor, mask: tf.Tensor, starts: tf.Tensor
    ) -> tf.Tensor:
        """Run a cell over the window that ends with a batch, and move the window on.

        Args:
            cell: the recurrence.
            frames: (B, T, V), T at most `num_steps`.
            mask: True on real frames (B, T).
            starts: True where a row does not go on from the batch before (B,).

        Returns:
            The outputs before each of the T frames, (T, B, H).
        """
        num_steps = tf.shape(frames)[1]
        check = tf.debugging.Assert(
            num_steps <= self.num_steps,
            [f"num_backward_steps must be at least the steps of a batch, got {self.num_steps} for "
             "batches of", num_steps])
        with tf.control_dependencies([check]):
            past, past_mask, state, is_initial = self._before(cell, starts)
        _, state = unroll(
            cell, past[:, :num_steps], state, past_mask[:, :num_steps], gaps=True)
        is_initial &= ~tf.reduce_any(past_mask[:, :num_steps], axis=1)
        state = [tf.where(is_initial[:, tf.newaxis], one, tf.stop_gradient(one)) for one in state]
        window = self._cut(tf.concat([past[:, num_steps:], frames], axis=1))
        window_mask = self._cut(tf.concat([past_mask[:, num_steps:], mask], axis=1))
        outputs, _ = unroll(cell, window, state, window_mask, time_major=True, gaps=True)
        self._frames.assign(tf.stop_gradient(window))
        self._mask.assign(tf.cast(window_mask, tf.float32))
        self._state.assign(tf.stop_gradient(numerics.pack(state)))
        self._is_initial.assign(tf.cast(is_initial, tf.float32))
        return outputs[-num_steps:]

    def _cut(self, values: tf.Tensor) -> tf.Tensor:
        """The window's length, which is known when the graph is made only if it is said."""
        return tf.ensure_shape(
            values[:, -self.num_steps:], [None, self.num_steps, *values.shape[2:]])

    def _before(
        self, cell: Cell, starts: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], tf.Tensor]:
        """The window before a batch: frames, mask, state before them, and where it is initial."""
        frames, mask, state, is_initial = (
            variable.read(starts)
            for variable in (self._frames, self._mask, self._state, self._is_initial))
        is_initial = starts | (is_initial > 0)
        state = _where_starts(is_initial, cell, state, self._state_sizes)
        return frames, (mask > 0) & ~starts[:, tf.newaxis], state, is_initial


def _where_starts(
    starts: tf.Tensor, cell: Cell, carried: tf.Tensor, state_sizes: list[int]
) -> list[tf.Tensor]:
    """The learned initial states where rows start, else those carried over as (B, S)."""
    learned = cell.get_initial_state(tf.shape(starts)[0])
    return [tf.where(starts[:, tf.newaxis], one, old)
            for one, old in zip(learned, numerics.unpack(carried, state_sizes))]
