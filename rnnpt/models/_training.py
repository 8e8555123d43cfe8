"""How a `SequenceModel` goes through Keras `fit` and `evaluate`."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.cells import Cell, swap_time, unroll
from rnnpt.heads import Head
from rnnpt.models import _batch
from rnnpt.models._curved import Curved
from rnnpt.models._recurrence import Recurrence, of_sequences
from rnnpt.models._replicas import sum_over_replicas
from rnnpt.models._running_figure import RunningFigures
from rnnpt.models._truncation import BackwardWindow, CarriedState
from rnnpt.models._update import check_compile, check_optimizer, update, with_look_ahead
from rnnpt.optimizers import CurvatureTraining, CurvedObjective, ReportingOptimizer
from rnnpt.optimizers.graph_error import plain_errors

# Purposes of the streams that are drawn from one model seed.
_TRAIN, _TEST, _CHOICE, _DROPOUT = range(4)


class SequenceTraining(CurvatureTraining):
    """The part of `SequenceModel` that Keras' trainer calls; it holds no layer of its own.

    The loss that is logged is the sum over real frames divided by their number, also across the
    replicas of a strategy, and the penalty on weights; with an optimizer that takes a curvature,
    whose objective has that penalty once a sequence, its share in a frame. Between two batches of
    training the last state of each row is carried over (truncated back-propagation, Bengio et al.
    2012, section 4.1.1) where `starts` is False.

    Args:
        num_backward_steps: k2 of truncated back-propagation, at least the k1 steps of a batch: how
            many steps back from a batch's end its gradient goes. The batch's own where None.
        dropout: share of the cell's outputs that are hidden from the readout in training, others at
            each step; the recurrence itself forgets nothing (Zaremba, Sutskever and Vinyals 2014).
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: if `num_backward_steps` is no positive integer or `dropout` outside [0, 1).
    """

    # Whether `evaluate` is called by `fit`.
    _in_fit = False
    cell: Cell
    head: Head
    num_visible: Any

    def __init__(
        self, num_backward_steps: int | None = None, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if num_backward_steps is not None and (
                not isinstance(num_backward_steps, int) or num_backward_steps < 1):
            raise ValueError(
                f"{type(self).__name__}: num_backward_steps must be a positive integer or None, "
                f"got {num_backward_steps!r}; None goes back through one batch")
        if not 0 <= dropout < 1:
            raise ValueError(
                f"{type(self).__name__}: dropout must be a share from 0 to less than 1, got "
                f"{dropout}; 0 hides nothing, 0.5 every second output")
        self.num_backward_steps = num_backward_steps
        self.dropout = dropout

    def fit(self, x: object = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """`keras.Model.fit` on batches of sequences; with `Nesterov`, `SwapLookAhead` is at work.

        Args:
            x: a `tf.data.Dataset` of batch dicts, or one dict of arrays.
            *args: of `keras.Model.fit`.
            **kwargs: of `keras.Model.fit`.

        Returns:
            Keras' history; "loss" a real frame, and "log_likelihood" in nats a frame: exact, or
            for RBM heads the cheap estimate on at most 100 validation frames.

        Raises:
            ValueError: if `compile` was given a loss or metrics, or an optimizer for which the
                head's loss is none; or if the batches hold frames that the head does not know.
        """
        check_compile(self, "the head has its loss, and fit reports log_likelihood")
        check_optimizer(self.optimizer, self.head, self.dropout, self.num_backward_steps)
        with self.distribute_strategy.scope():
            self.build_for(_batch.width(x))
        if not isinstance(x, tf.data.Dataset):
            _batch.check_values(x, self.head)
        # Keras warns that it does not shuffle a dataset; ours are shuffled by their own seed.
        kwargs.setdefault("shuffle", not isinstance(x, tf.data.Dataset))
        args, kwargs = with_look_ahead(self.optimizer, args, kwargs)
        self._in_fit = True
        try:
            with plain_errors():
                return super().fit(x, *args, **kwargs)
        finally:
            self._in_fit = False

    def evaluate(self, x: object = None, *args: Any, **kwargs: Any) -> object:
        """`keras.Model.evaluate` on batches of sequences.

        Args:
            x: a `tf.data.Dataset` of batch dicts, or one dict of arrays.
            *args: of `keras.Model.evaluate`.
            **kwargs: of `keras.Model.evaluate`.

        Returns:
            "loss" and "log_likelihood", as Keras gives them; the full estimate outside `fit`.

        Raises:
            ValueError: if the batches hold frames that the head does not know.
        """
        with self.distribute_strategy.scope():
            self.build_for(_batch.width(x))
        cheap = self._in_fit and not self.head.exact
        if cheap != self._figures.is_cheap:
            self._figures.is_cheap, self.test_function = cheap, None
        if cheap:
            num_batches = kwargs.get("steps") or _batch.num_batches(x, kwargs.get("batch_size"))
            self._figures.spread(num_batches * self._num_replicas)
        with plain_errors():
            return super().evaluate(x, *args, **kwargs)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What `fit` resets at each epoch."""
        return self._figures.metrics if self.built else []

    def _maybe_symbolic_build(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: `fit` has built the model. Keras would average a batch, masks included."""

    def train_step(self, data: _batch.Batch) -> dict[str, tf.Tensor]:
        """One update.

        Args:
            data: a batch.

        Returns:
            The running "loss", and "log_likelihood" where it is exact.
        """
        if self.takes_curvature:
            return self.objective_step(data)
        frames, mask, starts = _batch.unpack_batch(data)
        frames = _batch.assert_support(frames, mask, self.head)
        step = tf.convert_to_tensor(self.optimizer.iterations)
        seed = numerics.fold_in(numerics.fold_in(numerics.as_seed(self.seed), _TRAIN), step)
        if self._num_replicas > 1:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            seed = numerics.fold_in(seed, replica)

        def evaluate() -> tuple[tf.Tensor, tuple[Any, ...]]:
            outputs = self._carried.unroll(self.cell, frames, mask, starts)
            valid = tf.transpose(mask)
            parameters = self.readout(self._drop(outputs, seed))
            total, count = self._total_loss(parameters, swap_time(frames), valid, seed, step)
            activity = self._total_activity(outputs, valid)
            penalty = tf.add_n(self.losses) if self.losses else 0.0
            loss = ((total + activity) / self._over_replicas(count)
                    + penalty / self._num_replicas)
            return loss, (total, count, activity, penalty)

        logs = self._figures.add(*update(
            self.optimizer, self.trainable_variables, evaluate, self._carried.variables))
        if isinstance(self.optimizer, ReportingOptimizer):
            logs |= self.optimizer.figures
        return logs

    def curved_objective(self, data: _batch.Batch) -> CurvedObjective:
        """The loss of whole sequences with its curvature.

        Args:
            data: a batch.

        Returns:
            The loss summed over time, and its mean over sequences. Rows of padding alone, which
            have run out of pieces, are none: where a batch of enough rows has too few besides,
            those that it has give the curvature, and the last of them are held out.
        """
        frames, mask, starts = _batch.unpack_batch(data)
        frames = _batch.assert_support(frames, mask, self.head)
        check = tf.debugging.Assert(tf.reduce_all(starts), [
            "starts must be True in every row, since an optimizer with a curvature trains "
            "whole sequences, got", starts])
        with tf.control_dependencies([check]):
            is_real = tf.reduce_any(mask, axis=1)
        rows = tuple(tf.boolean_mask(each, is_real) for each in (frames, mask))
        return Curved(self, rows, num_rows=tf.shape(frames)[0]).objective(self.optimizer)

    def log_batch(self, data: _batch.Batch, loss: tf.Tensor) -> dict[str, tf.Tensor]:
        """Move the running figures on by a batch of whole sequences.

        Args:
            data: a batch.
            loss: of all sequences after the update ().

        Returns:
            The running figures.
        """
        frames, mask, _ = _batch.unpack_batch(data)
        penalty = tf.add_n(self.losses) if self.losses else tf.zeros_like(loss)
        if self.cell.activity_l1:
            # Only a forward pass tells the penalty on activities from the loss.
            total, count, activity = Curved(self, (frames, mask)).sums(self.optimizer.rows_at_once)
        else:
            rows, count = self._num_real(mask, loss.dtype)
            total, activity = (loss - penalty) * rows, 0.0
        return self._figures.add(total, count, activity, self._of_a_frame(penalty, mask))

    def test_step(self, data: _batch.Batch) -> dict[str, tf.Tensor]:
        """The figures of one batch, each row from the learned initial state.

        Args:
            data: a batch.

        Returns:
            The running "loss" and "log_likelihood".
        """
        frames, mask, _ = _batch.unpack_batch(data)
        frames = _batch.assert_support(frames, mask, self.head)
        # The frames so far tell the batches apart, so that their estimates err independently.
        seed = numerics.fold_in(
            numerics.fold_in(numerics.as_seed(self.seed), _TEST), self._figures.num_frames)
        outputs, _ = unroll(
            self.cell, frames, self.initial_state(tf.shape(frames)[0]), mask, time_major=True)
        penalty = self._of_a_frame(tf.add_n(self.losses), mask) if self.losses else 0.0
        parameters, frames, mask = self.readout(outputs), swap_time(frames), tf.transpose(mask)
        total, count = self._total_loss(parameters, frames, mask, seed)
        logs = self._figures.add(total, count, self._total_activity(outputs, mask), penalty)
        if not self.head.exact:
            logs["log_likelihood"] = self._figures.add_estimate(
                parameters, frames, mask, seed, numerics.fold_in(seed, _CHOICE))
        return logs

    def batch_sums(self, batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The loss of whole sequences, where the head is exact.

        Args:
            batch: frames (B, T, V) and their mask (B, T).

        Returns:
            The sum of the loss over real frames and their number, and the sum of the penalty on
            activities.
        """
        frames, mask = batch
        outputs, _ = unroll(
            self.cell, frames, self.initial_state(tf.shape(frames)[0]), mask, time_major=True)
        real = tf.transpose(mask)
        # An exact head draws nothing.
        total, count = self._total_loss(
            self.readout(outputs), swap_time(frames), real, seed=tf.constant([0, 0]))
        activity = self._total_activity(outputs, real)
        return total, tf.cast(count, total.dtype), tf.cast(activity, total.dtype)

    def recurrence(self, batch: tuple[tf.Tensor, ...]) -> Recurrence:
        """What the curvature of the loss is taken of.

        Args:
            batch: frames (B, T, V) and their mask (B, T).

        Returns:
            A step between each frame and the next.
        """
        return of_sequences(self, *batch)

    def _total_loss(
        self,
        parameters: tf.Tensor,
        frames: tf.Tensor,
        mask: tf.Tensor,
        seed: tf.Tensor,
        step: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Sum of the loss over real frames, and their number; everything time-major."""
        count = tf.reduce_sum(tf.cast(mask, parameters.dtype))
        if self.head.exact:
            # Cheaper than picking the real frames out, which chains of draws are not.
            losses = self.head.loss(parameters, frames, seed, step)
            return numerics.masked_sum(losses, mask), count
        places = tf.where(mask)
        losses = self.head.loss(
            tf.gather_nd(parameters, places), tf.gather_nd(frames, places), seed, step)
        return tf.reduce_sum(losses), count

    def _drop(self, outputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        if not self.dropout:
            return outputs
        return tf.nn.experimental.stateless_dropout(
            outputs, self.dropout, numerics.fold_in(seed, _DROPOUT),
            rng_alg=numerics.RANDOM_ALGORITHM)

    def _total_activity(self, outputs: tf.Tensor, mask: tf.Tensor) -> float | tf.Tensor:
        """The cell's penalty on its outputs (T, B, H), summed over real frames."""
        if not self.cell.activity_l1:
            return 0.0
        size = tf.reduce_sum(tf.abs(outputs), axis=-1)
        return self.cell.activity_l1 * numerics.masked_sum(size, mask)

    def _of_a_frame(self, penalty: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The penalty on weights as it is logged, of a batch with a mask (B, T)."""
        if not self.takes_curvature:
            return penalty
        # An objective with a curvature adds it to the loss of a sequence.
        rows, frames = (
            self._over_replicas(each) for each in self._num_real(mask, penalty.dtype))
        return penalty * rows / frames

    def _num_real(self, mask: tf.Tensor, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
        """How many rows have a real frame, and how many frames are, of a mask (B, T)."""
        rows = tf.reduce_any(mask, axis=1)
        return tf.reduce_sum(tf.cast(rows, dtype)), tf.reduce_sum(tf.cast(mask, dtype))

    def _over_replicas(self, count: tf.Tensor) -> tf.Tensor:
        """The number of frames or rows in all replicas, at least 1."""
        return tf.maximum(sum_over_replicas(count), 1.0)

    def _make_carried_state(self) -> None:
        """Variables that are neither trained, saved nor exported."""
        self._figures = RunningFigures(self.head, self.cell.activity_l1)
        self._num_replicas = self.distribute_strategy.num_replicas_in_sync
        self._carried = (
            CarriedState(self.state_sizes) if self.num_backward_steps is None else
            BackwardWindow(self.num_backward_steps, self.num_visible, self.state_sizes))

    def get_config(self) -> dict[str, object]:
        """What every model's constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(), "num_backward_steps": self.num_backward_steps,
            "dropout": self.dropout}
