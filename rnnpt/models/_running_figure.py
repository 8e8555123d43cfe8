"""What `fit` and `evaluate` tell of sequences."""

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.heads import CHEAP_SCHEDULE, Head
from rnnpt.models._hidden import HiddenVariable
from rnnpt.models._replicas import sum_over_replicas

#: RBM models report a cheap estimate during `fit`, of a fixed sample of the validation frames.
#: `evaluate` on its own uses the full estimate on every frame.
CHEAP_NUM_FRAMES = 100


class RunningFigures:
    """Means over the real frames so far, of all replicas of a strategy.

    The loss is logged with the penalties on activities and weights; the log-likelihood, in nats a
    frame, without them.

    Args:
        head: of the model.
        activity_l1: of its cell.
    """

    def __init__(self, head: Head, activity_l1: float) -> None:
        self._head, self._activity_l1 = head, activity_l1
        self._loss = keras.metrics.Mean("loss")
        self._log_likelihood = keras.metrics.Mean("log_likelihood")
        self._activity = keras.metrics.Mean("activity_penalty")
        self._frames_a_batch = HiddenVariable(tf.Variable(CHEAP_NUM_FRAMES, trainable=False))
        #: Whether estimates are cheap ones, which is fixed as a step is traced.
        self.is_cheap = False

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What Keras resets."""
        return [self._loss, self._log_likelihood, self._activity]

    @property
    def num_frames(self) -> tf.Tensor:
        """Real frames so far."""
        return self._loss.count

    def spread(self, num_batches: int) -> None:
        """Take the frames of cheap estimates from so many batches.

        Args:
            num_batches: of all replicas.
        """
        self._frames_a_batch.assign(max(1, CHEAP_NUM_FRAMES // num_batches))

    def add(
        self,
        total: tf.Tensor,
        count: tf.Tensor,
        activity: float | tf.Tensor,
        penalty: float | tf.Tensor = 0.0,
    ) -> dict[str, tf.Tensor]:
        """Count a batch in.

        Args:
            total: sum of the loss over its real frames, of this replica.
            count: their number.
            activity: sum of the penalty on activities over them.
            penalty: on weights, for a frame.

        Returns:
            The running "loss", "log_likelihood" where it is exact, and "activity_penalty" where
            there is one.
        """
        # Keras averages the logs of replicas, however many frames each has, where some of the
        # metrics are not among the logs.
        total, activity, count = sum_over_replicas(
            [total, tf.convert_to_tensor(activity, total.dtype), count])
        mean, activity = (value / tf.maximum(count, 1.0) for value in (total, activity))
        self._loss.update_state(mean + activity + penalty, count)
        logs = {"loss": self._loss.result()}
        if self._head.exact:
            self._log_likelihood.update_state(-mean, count)
            logs["log_likelihood"] = self._log_likelihood.result()
        if self._activity_l1:
            self._activity.update_state(activity, count)
            logs["activity_penalty"] = self._activity.result()
        return logs

    def add_estimate(
        self,
        parameters: tf.Tensor,
        frames: tf.Tensor,
        mask: tf.Tensor,
        seed: tf.Tensor,
        choice_seed: tf.Tensor,
    ) -> tf.Tensor:
        """Count the estimated log-likelihood of a batch in; a cheap one is of some of its frames.

        Args:
            parameters: of the head (T, B, P).
            frames: (T, B, V).
            mask: True on real frames (T, B).
            seed: of the estimate (2,).
            choice_seed: of the frames that a cheap one is of (2,).

        Returns:
            The running log-likelihood.
        """
        places = tf.where(mask)
        num_real = tf.shape(places)[0]
        if self.is_cheap:
            keys = numerics.uniform(choice_seed, [num_real])
            places = tf.gather(places, tf.argsort(keys)[:self._frames_a_batch.value])
        log_prob, _ = self._head.estimate_log_prob(
            tf.gather_nd(parameters, places), tf.gather_nd(frames, places), seed,
            CHEAP_SCHEDULE if self.is_cheap else None)
        # The frames of a batch stand for all that it has, so that the mean is of all frames.
        weight = tf.cast(num_real / tf.size(log_prob), log_prob.dtype)
        self._log_likelihood.update_state(log_prob, tf.fill(tf.shape(log_prob), weight))
        return self._log_likelihood.result()
