"""`Transducer`: a cell that reads one sequence, and a head that says another."""

import numbers
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from rnnpt.cells import Cell, swap_time, unroll
from rnnpt.heads import Head
from rnnpt.models._answer import Answers, Batch, matters
from rnnpt.models._cell_and_head import CellAndHead
from rnnpt.models._curved import Curved
from rnnpt.models._recurrence import Recurrence
from rnnpt.models._replicas import sum_over_replicas
from rnnpt.models._update import check_compile, update, with_look_ahead
from rnnpt.optimizers import CurvedObjective, ReportingOptimizer
from rnnpt.optimizers.graph_error import plain_errors


@keras.saving.register_keras_serializable(package="rnnpt")
class Transducer(CellAndHead):
    """A recurrent network from a sequence of inputs to targets beside them, or at its end.

    Use it for the artificial problems of long memory and for labelled sequences; `SequenceModel` is
    for sequences that predict themselves. `fit` takes (inputs, targets, weights), each batch-major,
    as the problems of `rnnpt.datasets` draw them.

    Equation: h_t = step(x_t, h_(t-1)), h_0 learned; the head's parameters for the target of step t
    are readout(output(h_t)). The loss of a sequence is the sum over steps of weight times the
    head's loss, a batch's is the mean over sequences.

    Args:
        cell: what remembers, of `rnnpt.cells` or of Keras.
        head: with an exact likelihood: `GaussianHead()` is least squares, `BernoulliHead` and
            `CategoricalHead` are cross-entropies of binary and one-hot targets.
        num_outputs: O, the width of a target.
        num_answers: K, at how many steps, the last ones, parameters are computed; all where None.
            Weights before them must be 0.
        readout_initializer: how the matrix from the cell's output (H, P) starts.
        **kwargs: of `keras.Model`.

    Raises:
        TypeError: if `cell` is no cell or `head` no Head.
        ValueError: if the head's likelihood is not exact, or a number is not positive.

    Example:
        >>> from rnnpt import cells, heads
        >>> model = Transducer(cells.SimpleCell(8), heads.GaussianHead(), 1, num_answers=1)
        >>> model(tf.zeros([4, 10, 2])).shape
        TensorShape([4, 1, 1])

    Source: Sutskever 2013, section 2.5 and chapter 4.
    """

    built: bool

    def __init__(
        self,
        cell: Cell | keras.Layer,
        head: Head,
        num_outputs: int,
        num_answers: int | None = None,
        readout_initializer: object = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(cell, head, readout_initializer, **kwargs)
        if not head.exact:
            raise ValueError(
                f"Transducer: head must have an exact likelihood, got {type(head).__name__}; take "
                "for example heads.BernoulliHead")
        for name, value in (("num_outputs", num_outputs), ("num_answers", num_answers)):
            if value is not None and (not isinstance(value, numbers.Integral) or value < 1):
                raise ValueError(
                    f"Transducer: {name} must be a positive integer, got {value!r}; pass a count")
        self.num_outputs = num_outputs
        self.num_answers = num_answers
        self._answers = Answers(head, num_outputs, num_answers)
        self._loss_mean = keras.metrics.Mean("loss")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the variables.

        Args:
            input_shape: of the inputs (B, T, I).

        Raises:
            ValueError: if their width is unknown.
        """
        if self.built:
            return
        width = input_shape[-1]
        if width is None:
            raise ValueError("inputs must have a known width, got None; fix their last axis")
        self._build_chain(width, self.num_outputs)
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The head's parameters at the last steps.

        Args:
            inputs: (B, T, I).
            training: ignored, nothing differs.

        Returns:
            (B, K, P).
        """
        return swap_time(self.readout(self._outputs(tf.cast(inputs, self.compute_dtype))))

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """`keras.Model.fit`; with `Nesterov`, `SwapLookAhead` is at work.

        Args:
            *args: of `keras.Model.fit`.
            **kwargs: of `keras.Model.fit`.

        Returns:
            Keras' history; "loss" as in the class.

        Raises:
            ValueError: if `compile` was given a loss or metrics; or targets are missing, not
                num_outputs wide or none that the head knows; or weights are not one a step, or
                stand before the last `num_answers` steps.
        """
        check_compile(self, "the head has its loss")
        rest, kwargs = with_look_ahead(self.optimizer, args[1:], kwargs)
        with plain_errors():
            return super().fit(*args[:1], *rest, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> object:
        """`keras.Model.evaluate`.

        Args:
            *args: of `keras.Model.evaluate`.
            **kwargs: of `keras.Model.evaluate`.

        Returns:
            "loss", as Keras gives it.

        Raises:
            ValueError: if targets or weights are such as `fit` refuses.
        """
        with plain_errors():
            return super().evaluate(*args, **kwargs)

    def train_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """One update.

        Args:
            data: inputs, targets and weights.

        Returns:
            The running "loss"; with an optimizer that takes the loss itself that after the update,
            with its figures.
        """
        if self.takes_curvature:
            return self.objective_step(data)
        batch = self._unpack(data)

        def evaluate() -> tuple[tf.Tensor, tf.Tensor]:
            loss = self._loss(batch)
            return loss, loss

        logs = self._log(update(self.optimizer, self.trainable_variables, evaluate, []), batch)
        if isinstance(self.optimizer, ReportingOptimizer):
            logs |= self.optimizer.figures
        return logs

    def curved_objective(self, data: tuple[tf.Tensor, ...]) -> CurvedObjective:
        """The loss with its curvature.

        Args:
            data: inputs, targets and weights.

        Returns:
            The loss summed over time, and its mean over sequences.
        """
        return Curved(self, self._unpack(data)).objective(self.optimizer)

    def log_batch(self, data: tuple[tf.Tensor, ...], loss: tf.Tensor) -> dict[str, tf.Tensor]:
        """Move the running loss on by a batch.

        Args:
            data: inputs, targets and weights.
            loss: of all rows after the update ().

        Returns:
            The running "loss".
        """
        share = loss / self.distribute_strategy.num_replicas_in_sync
        return self._log(share, self._unpack(data))

    def test_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """The loss of a batch.

        Args:
            data: inputs, targets and weights.

        Returns:
            The running "loss".
        """
        batch = self._unpack(data)
        return self._log(self._loss(batch), batch)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What `fit` resets at each epoch."""
        return [self._loss_mean]

    def batch_sums(self, batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The loss of some rows.

        Args:
            batch: inputs (B, T, I), targets (B, T, O) and weights (B, T).

        Returns:
            The sum of the loss, that of the weights, and the sum of the penalty on activities.
        """
        inputs, targets, weights = batch
        outputs = self._outputs(inputs, matters(weights))
        targets, weights = self._answers.last(targets, weights)
        # An exact head draws nothing.
        losses = self.head.loss(self.readout(outputs), targets, seed=tf.constant([0, 0]))
        total = tf.reduce_sum(tf.math.multiply_no_nan(losses, weights))
        activity = tf.zeros_like(total)
        if self.cell.activity_l1:
            sizes = tf.reduce_sum(tf.abs(outputs), axis=-1)
            activity = self.cell.activity_l1 * tf.reduce_sum(weights * sizes)
        return total, tf.reduce_sum(weights), activity

    def recurrence(self, batch: tuple[tf.Tensor, ...]) -> Recurrence:
        """What the curvature of the loss is taken of.

        Args:
            batch: inputs (B, T, I), targets (B, T, O) and weights (B, T).

        Returns:
            T steps, scored after the last K of them.
        """
        inputs, targets, weights = batch
        share = 1 / tf.cast(tf.shape(weights)[0], weights.dtype)
        return Recurrence(
            self, swap_time(inputs), tf.transpose(matters(weights)),
            *self._answers.last(targets, weights), share)

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(), "num_outputs": self.num_outputs,
            "num_answers": self.num_answers}

    def _outputs(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """The cell's outputs after the last steps (K, B, H), to be looked at where they matter."""
        num_rows, num_steps = tf.unstack(tf.shape(inputs)[:2])
        if mask is not None:
            mask = tf.pad(mask, [[0, 0], [0, 1]])
        # `unroll` gives the outputs before each input, so that one more is after the last.
        outputs, _ = unroll(
            self.cell, tf.pad(inputs, [[0, 0], [0, 1], [0, 0]]), self.initial_state(num_rows),
            mask, time_major=True)
        return outputs[num_steps + 1 - self._answers.count(num_steps):]

    def _unpack(self, data: tuple[tf.Tensor, ...]) -> Batch:
        batch = self._answers.checked(data, self.compute_dtype)
        if not self.built:
            self.build(batch[0].shape)
        return batch

    def _loss(self, batch: Batch) -> tf.Tensor:
        total, _, activity = self.batch_sums(batch)
        penalty = tf.add_n(self.losses) if self.losses else tf.zeros_like(total)
        return self._mean(total + activity, penalty, batch)

    def _mean(self, total: tf.Tensor, penalty: tf.Tensor, batch: Batch) -> tf.Tensor:
        """The part of a replica in the loss, whose sum over replicas is the loss."""
        num_rows = sum_over_replicas(tf.cast(tf.shape(batch[0])[0], total.dtype))
        return total / num_rows + penalty / self.distribute_strategy.num_replicas_in_sync

    def _log(self, loss: tf.Tensor, batch: Batch) -> dict[str, tf.Tensor]:
        # Keras averages the logs of replicas, however many rows each has, where there are more of
        # them than metrics.
        num_rows = tf.cast(tf.shape(batch[0])[0], loss.dtype)
        self._loss_mean.update_state(*sum_over_replicas([loss, num_rows]))
        return {"loss": self._loss_mean.result()}
