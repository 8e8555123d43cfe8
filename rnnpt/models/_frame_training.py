"""How a model of single frames goes through Keras `fit` and `evaluate`."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.models import _batch
from rnnpt.models._frame import FrameModel
from rnnpt.models._replicas import sum_over_replicas
from rnnpt.models._update import check_compile
from rnnpt.optimizers.graph_error import plain_errors


class FrameTraining(FrameModel):
    """The part of `RBM` that Keras' trainer calls.

    Args:
        **kwargs: of `keras.Model`.
    """

    # Whether `evaluate` is called by `fit`.
    _in_fit = False
    seed: int

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._loss_mean = keras.metrics.Mean("loss")
        self._error_mean = keras.metrics.Mean("reconstruction_error")
        self._energy_mean = keras.metrics.Mean("free_energy")

    def fit(self, x: object = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """`keras.Model.fit` on frames.

        Args:
            x: frames (N, V), which Keras shuffles by its own seed, `keras.utils.set_random_seed`;
                or a `tf.data.Dataset` of batches (B, V), taken in its order.
            *args: of `keras.Model.fit`.
            **kwargs: of `keras.Model.fit`.

        Returns:
            Keras' history: "loss", whose gradient is the update and whose value is no likelihood;
            "reconstruction_error", the mean square over units; in validation that error and
            "free_energy", which parts from that of training frames where the model overfits.

        Raises:
            ValueError: if frames are none that the model knows, or `compile` was given a loss or
                metrics, which would count for nothing.

        Source: the watch on free energies: Hinton 2010, A practical guide to training restricted
        Boltzmann machines, section 6.
        """
        check_compile(self, "an RBM has its own")
        with self.distribute_strategy.scope():
            x = self._check_data(x)
        if kwargs.get("validation_data") is not None:
            kwargs["validation_data"] = self._check_data(kwargs["validation_data"])
        kwargs.setdefault("shuffle", not isinstance(x, tf.data.Dataset))
        with plain_errors(), self._fitting():
            return super().fit(x, *args, **kwargs)

    def evaluate(self, x: object = None, *args: Any, **kwargs: Any) -> object:
        """`keras.Model.evaluate` on frames.

        Args:
            x: frames (N, V), or a `tf.data.Dataset` of batches (B, V).
            *args: of `keras.Model.evaluate`.
            **kwargs: of `keras.Model.evaluate`.

        Returns:
            "reconstruction_error", "free_energy" and, outside `fit`, "log_likelihood": nats a frame
            with one estimate of log Z; as Keras gives them.

        Raises:
            ValueError: if frames are none that the model knows.
        """
        as_dict = kwargs.pop("return_dict", False)
        with self.distribute_strategy.scope():
            x = self._check_data(x)
        with plain_errors():
            logs = super().evaluate(x, *args, return_dict=True, **kwargs)
        if not self._in_fit:
            logs["log_likelihood"] = float(-logs["free_energy"] - self.log_partition()[0])
        return logs if as_dict else list(logs.values())

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What `fit` resets at each epoch."""
        return [self._loss_mean, self._error_mean, self._energy_mean]

    def _maybe_symbolic_build(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: `fit` has built the model."""

    def train_step(self, data: tf.Tensor | tuple[tf.Tensor]) -> dict[str, tf.Tensor]:
        """One update.

        Args:
            data: frames (B, V).

        Returns:
            The running "loss" and "reconstruction_error".
        """
        frames = self._frames_of(data)
        step = self.optimizer.iterations
        seed = numerics.fold_in(numerics.as_seed(self.seed), step)
        if self.distribute_strategy.num_replicas_in_sync > 1:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            seed = numerics.fold_in(seed, replica)
        num_frames = sum_over_replicas(tf.cast(tf.shape(frames)[0], frames.dtype))
        with tf.GradientTape() as tape:
            losses = self.head.loss(self._parameters(frames), frames, seed, step)
            # Keras sums the gradients of replicas.
            scaled = self.optimizer.scale_loss(tf.reduce_sum(losses) / num_frames)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(scaled, variables), variables))
        return {"loss": self._log(self._loss_mean, losses), **self._log_error(frames)}

    def test_step(self, data: tf.Tensor | tuple[tf.Tensor]) -> dict[str, tf.Tensor]:
        """The figures of one batch.

        Args:
            data: frames (B, V).

        Returns:
            The running "reconstruction_error" and "free_energy".
        """
        frames = self._frames_of(data)
        energies = self._free_energy(frames)
        return {**self._log_error(frames), "free_energy": self._log(self._energy_mean, energies)}

    def _log_error(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
        errors = (frames - self._reconstruct(frames)) ** 2
        return {"reconstruction_error": self._log(self._error_mean, errors)}

    def _log(self, metric: keras.metrics.Mean, values: tf.Tensor) -> tf.Tensor:
        """Move a running mean on by the values of a batch, and tell it."""
        # Keras averages the logs of replicas, however many frames each has, where some of the
        # metrics are not among the logs.
        total, count = sum_over_replicas([
            tf.reduce_sum(values), tf.cast(tf.size(values), values.dtype)])
        metric.update_state(total / count, count)
        return metric.result()

    def _frames_of(self, data: tf.Tensor | tuple[tf.Tensor]) -> tf.Tensor:
        """Frames of a batch, as the trainer hands it over, asserted to be the head's."""
        frames = tf.cast(data[0] if isinstance(data, tuple) else data, self.compute_dtype)
        return _batch.assert_support(frames, tf.ones(tf.shape(frames)[:1], tf.bool), self.head)

    @contextlib.contextmanager
    def _fitting(self) -> Iterator[None]:
        self._in_fit = True
        try:
            yield
        finally:
            self._in_fit = False
