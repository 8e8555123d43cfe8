"""Stopping a training whose loss is no longer a number."""

import math
from typing import Any

import keras


class NonFiniteLossError(ValueError):
    """A training whose loss is no longer a finite number.

    Args:
        value: of the loss.
        epoch: from 1.
        batch: of the epoch, from 1.
        step: updates of the optimizer so far.
    """

    def __init__(self, value: float, epoch: int, batch: int, step: int) -> None:
        super().__init__(
            f"the loss must stay finite, got {value} in step {step} (batch {batch} of epoch "
            f"{epoch}); lower the learning rate or clip gradients, for example "
            "global_clipnorm=15.0, and begin anew or from the last checkpoint")
        self.value, self.epoch, self.batch, self.step = value, epoch, batch, step


class StopAtNonFiniteLoss(keras.callbacks.Callback):
    """Stops `fit` with an error at the batch at which the loss became infinite or NaN.

    Put it before the callbacks that save: none of them sees that batch nor the epoch's end, so what
    they saved last is from before. Unlike `keras.callbacks.TerminateOnNaN` it says where and what
    to do, and nobody takes the weights of a training that failed for trained ones.

    Keras' loss is the mean over the epoch so far, and stays what it is once it is not finite.

    Raises:
        NonFiniteLossError: from `fit`.

    Example:
        >>> callbacks = [StopAtNonFiniteLoss(), keras.callbacks.ModelCheckpoint("model.keras")]
    """

    _epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch.

        Args:
            epoch: its index.
            logs: of Keras, unused.
        """
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the loss.

        Args:
            batch: its index in the epoch, the last one's where an execution has several steps.
            logs: of Keras, with "loss".

        Raises:
            NonFiniteLossError: if the loss is not finite.
        """
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            step = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
            raise NonFiniteLossError(float(loss), self._epoch + 1, batch + 1, step)
