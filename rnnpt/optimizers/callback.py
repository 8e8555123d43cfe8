"""Callbacks for `fit`: theta in the variables when somebody looks, and schedules in the logs."""

from typing import Any

import keras

from rnnpt.optimizers.nesterov import Nesterov


class SwapLookAhead(keras.callbacks.Callback):
    """Puts theta in the variables before each validation and at each epoch's end.

    Put it first among the callbacks of a `fit` with `Nesterov`: those after it find theta at an
    epoch's end, such as `ModelCheckpoint` or `EarlyStopping`. Before the next epoch the variables
    go back to the looked-ahead point. What is saved in the middle of an epoch is that point,
    together with what the optimizer needs to go on from there. With another optimizer it does
    nothing.

    Example:
        >>> callbacks = [SwapLookAhead(), keras.callbacks.EarlyStopping(patience=3)]
    """

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Take the variables ahead.

        Args:
            epoch: its index.
            logs: of Keras, unused.
        """
        if isinstance(self._optimizer, Nesterov):
            self._optimizer.step_ahead()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Take the variables back to theta.

        Args:
            logs: of Keras, unused.
        """
        if isinstance(self._optimizer, Nesterov):
            self._optimizer.step_back()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Take the variables back to theta, unless a validation did.

        Args:
            epoch: its index.
            logs: of Keras, unused.
        """
        self.on_test_begin()

    @property
    def _optimizer(self) -> keras.optimizers.Optimizer:
        # Mixed precision wraps the optimizer in another.
        return getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)


class LogSchedules(keras.callbacks.Callback):
    """Adds `learning_rate` and `momentum` of the next update to the logs at each epoch's end.

    Put it before the callbacks that write the logs, such as `CSVLogger` and `TensorBoard`. The
    momentum is left out where the optimizer has none.

    Example:
        >>> callbacks = [LogSchedules(), keras.callbacks.CSVLogger("log.csv")]
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add to the logs.

        Args:
            epoch: its index.
            logs: of the epoch, which the callbacks share.
        """
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        for name in ("learning_rate", "momentum"):
            if logs is not None and hasattr(optimizer, name):
                logs[name] = float(keras.ops.convert_to_numpy(getattr(optimizer, name)))
