"""What a `Transducer` is asked for: targets at the last steps of a sequence."""

import keras
import tensorflow as tf

from rnnpt.cells import swap_time
from rnnpt.heads import Head
from rnnpt.models import _batch

#: Inputs (B, T, I), targets (B, T, O) and weights (B, T).
Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


class Answers:
    """The targets of a head at the last steps of sequences.

    Args:
        head: of the model.
        width: O of a target.
        num_answers: K, at how many steps there may be targets; at all where None.
    """

    def __init__(self, head: Head, width: int, num_answers: int | None) -> None:
        self._head, self._width, self._num_answers = head, width, num_answers

    def count(self, num_steps: tf.Tensor) -> tf.Tensor:
        """How many of so many steps are answered.

        Args:
            num_steps: T.

        Returns:
            K, or T where that is less.
        """
        return num_steps if self._num_answers is None else tf.minimum(self._num_answers, num_steps)

    def checked(self, data: tuple[tf.Tensor, ...], dtype: str) -> Batch:
        """The parts of what Keras hands to a step.

        Args:
            data: inputs, targets and perhaps weights.
            dtype: of the computation.

        Returns:
            The batch, its weights 1 where there were none.

        Raises:
            ValueError: if there are no targets, or they or the weights are of another shape. As
                the graph runs, `tf.errors.InvalidArgumentError` if there are weights before the
                last K steps, or targets that the head does not know.
        """
        inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
        if targets is None:
            raise ValueError(
                "targets must stand beside the inputs, got inputs alone; pass y, or batches of "
                "(inputs, targets, weights)")
        if weights is None:
            weights = tf.ones(tf.shape(targets)[:2])
        inputs, targets, weights = (tf.cast(each, dtype) for each in (inputs, targets, weights))
        shape = [None, None, self._width]
        if not targets.shape.is_compatible_with(shape):
            raise ValueError(
                f"targets must have the shape (batch, steps, {self._width}), as num_outputs says, "
                f"got {targets.shape}; make each target one vector, a class one-hot")
        if not weights.shape.is_compatible_with(shape[:2]):
            raise ValueError(
                f"weights must have the shape (batch, steps), got {weights.shape}; repeat one of a "
                "row over its steps")
        if self._num_answers is not None:
            with tf.control_dependencies([assert_late(weights, self._num_answers)]):
                weights = tf.identity(weights)
        targets = _batch.assert_support(
            tf.ensure_shape(targets, shape), tf.not_equal(weights, 0), self._head, "targets")
        return inputs, targets, weights

    def last(self, targets: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What is scored, time-major.

        Args:
            targets: (B, T, O).
            weights: (B, T).

        Returns:
            Targets (K, B, O), 0 where they have no weight, and weights (K, B).
        """
        count = self.count(tf.shape(weights)[1])
        targets, weights = swap_time(targets[:, -count:]), tf.transpose(weights[:, -count:])
        # What is not scored may be NaN, and a weight of 0 keeps that out of the loss alone.
        scored = tf.not_equal(weights, 0)[..., tf.newaxis]
        return tf.where(scored, targets, tf.zeros_like(targets)), weights


def assert_late(weights: tf.Tensor, num_answers: int) -> tf.Operation:
    """Refuse, as the graph runs, to score steps that have no answer.

    Args:
        weights: of the steps (..., T).
        num_answers: K, how many of the last steps have one.

    Returns:
        The check, to be made before the weights are used.
    """
    num_early = tf.math.count_nonzero(weights[..., :-num_answers])
    return tf.debugging.Assert(tf.equal(num_early, 0), [
        "weights must be 0 before the last num_answers steps (raise num_answers), got",
        num_early, "others"])


def matters(weights: tf.Tensor) -> tf.Tensor:
    """At which steps something is scored, there or later.

    Args:
        weights: (B, T).

    Returns:
        (B, T), bool.
    """
    return tf.cumsum(weights, axis=1, reverse=True) > 0
