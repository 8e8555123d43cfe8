"""The echo-state network: a reservoir, and a readout that one pass over the data solves for."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rnnpt.cells import ReservoirCell, swap_time
from rnnpt.heads import BernoulliHead, GaussianHead
from rnnpt.models import _batch
from rnnpt.models._named import NamedModel
from rnnpt.models._ridge import NormalEquations

_HEADS = {"bernoulli": BernoulliHead, "gaussian": GaussianHead}

#: The least probability of a unit as a share of how often it is on, and of its silence likewise:
#: the best of 0.01, 0.03, 0.1 and 0.2 on the validation pieces of JSB Chorales (-8.78, -8.72, -8.67
#: and -8.68 nats a frame with 1,000 units, a spectral radius of 0.5 and a ridge of 10).
_MARGIN = 0.1


@keras.saving.register_keras_serializable(package="rnnpt")
class EchoStateNetwork(NamedModel):
    """A recurrent network of which only the readout learns, in closed form.

    Use it as the baseline of what a recurrence is worth without training it.

    Equation: [kernel; bias] = argmin of sum over frames |v_t - h_(t-1) kernel - bias|^2
    + ridge |kernel|^2, h of the `ReservoirCell`. With the Gaussian head that is the mean of the
    frame. With the Bernoulli head it is the best linear estimate of E[v_t]: clipped into
    [r/10, 1 - (1 - r)/10], where r is how often the unit is on in training, it is the probability.

    Each epoch of `fit` sums x x' and x v' in float64 over its frames, x = [h_(t-1), 1], and solves
    for the readout at its end, before the validation: one epoch is enough, and another gives the
    same readout. The figures that `fit` logs for the training frames are those of the readout with
    which the epoch began, as in every model: of the solution from the second epoch on. `compile()`
    needs no optimizer; whichever it is given does nothing but count the solutions.

    Args:
        num_recurrent: H, the units of the reservoir.
        spectral_radius: see `ReservoirCell`, as for the next two.
        input_scale: standard deviation of the connections from the frame.
        integration: what each unit keeps of its own past.
        ridge: what the squared weights of the readout cost, positive; the bias is free.
        head: "bernoulli" or "gaussian", of unit variance.
        seed: of the reservoir, and of everything random in evaluation.
        **kwargs: of `SequenceModel`.

    Raises:
        ValueError: if a number is out of its range, the head is none of the two, or there is
            dropout or truncation, which are for gradients.

    Example:
        >>> model = EchoStateNetwork(num_recurrent=20)
        >>> model.compile()
        >>> frames = np.tile(np.eye(4), [1, 50, 1])
        >>> history = model.fit({"frames": frames}, epochs=2, verbose=0).history
        >>> [round(loss, 1) for loss in history["loss"]]
        [2.8, 0.2]

    Source: Jaeger and Haas 2004; Sutskever 2013, section 2.8.4.
    """

    def __init__(
        self,
        num_recurrent: int = 1000,
        spectral_radius: float = 0.9,
        input_scale: float = 0.3,
        integration: float = 0.0,
        ridge: float = 10.0,
        head: str = "bernoulli",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if head not in _HEADS:
            raise ValueError(
                f"EchoStateNetwork: head must be one of {sorted(_HEADS)}, got {head!r}; take "
                "another readout than least squares for other heads")
        if not 0 < ridge < math.inf:
            raise ValueError(
                f"EchoStateNetwork: ridge must be a positive number, got {ridge}; choose it on "
                "validation data")
        cell = ReservoirCell(
            num_recurrent, spectral_radius, input_scale=input_scale, integration=integration,
            seed=seed)
        cell.trainable = False
        super().__init__(cell, _HEADS[head](), seed=seed, **kwargs)
        for name, usual in (("dropout", 0), ("num_backward_steps", None)):
            if getattr(self, name) != usual:
                raise ValueError(
                    f"EchoStateNetwork: {name} must be {usual}, got {getattr(self, name)}; there "
                    "is no gradient that it could act on")
        self.ridge = ridge
        self._config = {
            "num_recurrent": num_recurrent, "spectral_radius": spectral_radius,
            "input_scale": input_scale, "integration": integration, "ridge": ridge, "head": head,
            "seed": seed}

    def fit(
        self,
        x: object = None,
        *args: Any,
        callbacks: list[keras.callbacks.Callback] | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """`keras.Model.fit` on batches of sequences; the readout is solved for at each epoch's end.

        Args:
            x: a `tf.data.Dataset` of batch dicts, or one dict of arrays.
            *args: of `keras.Model.fit`.
            callbacks: of `keras.Model.fit`; they meet the solved readout.
            **kwargs: of `keras.Model.fit`.

        Returns:
            Keras' history, as `SequenceModel.fit` gives it.
        """
        return super().fit(x, *args, callbacks=[_Solver(), *(callbacks or [])], **kwargs)

    def train_step(self, data: _batch.Batch) -> dict[str, tf.Tensor]:
        """Take one batch into the sums.

        Args:
            data: a batch.

        Returns:
            The running "loss" and "log_likelihood".
        """
        frames, mask, starts = _batch.unpack_batch(data)
        frames = _batch.assert_support(frames, mask, self.head)
        outputs = self._carried.unroll(self.cell, frames, mask, starts)
        frames, mask = swap_time(frames), tf.transpose(mask)
        self._equations.add(tf.boolean_mask(outputs, mask), tf.boolean_mask(frames, mask))
        total, count = self._total_loss(self.readout(outputs), frames, mask, seed=(0, 0))
        return self._figures.add(total, count, self._total_activity(outputs, mask))

    def forget_frames(self) -> None:
        """Begin the sums anew, as `fit` does at the beginning of each epoch."""
        self._equations.reset()

    def solve_readout(self) -> None:
        """Write the readout of the frames in the sums, as `fit` does at the end of each epoch."""
        if self._equations.num_frames == 0:
            return
        kernel, bias = self._equations.solve(self.ridge)
        self.readout.kernel.assign(kernel)
        self.readout.bias.assign(bias)
        if isinstance(self.readout, ProbabilityReadout):
            num_on, num_frames = self._equations.sum_of_targets, self._equations.num_frames
            # Half a frame more of each, for units that are never on.
            self.readout.base_log_odds.assign(
                np.log(num_on + 0.5) - np.log(num_frames - num_on + 0.5))

    def _build_parts(self, num_visible: int) -> None:
        """Build the cell and the head, and a readout that says nothing yet."""
        self.cell.build((None, num_visible))
        self.head.build((None, num_visible))
        if self._config["head"] == "bernoulli":
            self.readout = ProbabilityReadout(num_visible, _MARGIN)
        else:
            self.readout = keras.layers.Dense(num_visible, kernel_initializer="zeros")
        self.readout.build((None, self.cell.output_size))
        self._equations = NormalEquations(self.cell.output_size, num_visible)


class ProbabilityReadout(keras.layers.Layer):
    """Log-odds of probabilities that are linear in what is seen, and clipped.

    Args:
        units: V.
        margin: the least probability of a unit, as a share of its base rate; that of its silence
            likewise.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, units: int, margin: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.margin = margin

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights, for which every unit is as likely on as off.

        Args:
            input_shape: shape of the inputs (..., H).
        """
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.units), initializer="zeros")
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer=keras.initializers.Constant(0.5))
        self.base_log_odds = self.add_weight(
            name="base_log_odds", shape=(self.units,), initializer="zeros", trainable=False)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The log-odds.

        Args:
            inputs: (..., H).

        Returns:
            Log-odds (..., V).
        """
        base_log_odds = tf.convert_to_tensor(self.base_log_odds)
        least_on = self.margin * tf.sigmoid(base_log_odds)
        least_off = self.margin * tf.sigmoid(-base_log_odds)
        on = tf.tensordot(inputs, self.kernel, axes=1) + self.bias
        on = tf.clip_by_value(on, least_on, 1 - least_off)
        # 1 - on may round to 0 where a unit is almost always on.
        return tf.math.log(on) - tf.math.log(tf.maximum(1 - on, least_off))


class _Solver(keras.callbacks.Callback):
    """Solves for the readout when an epoch's frames have been seen, before its validation."""

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        # What is saved with the model should be there to be loaded.
        with self.model.distribute_strategy.scope():
            self.model.optimizer.build(self.model.trainable_variables)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.model.forget_frames()
        self._is_solved = False

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        self._solve()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._solve()

    def _solve(self) -> None:
        if not self._is_solved:
            with self.model.distribute_strategy.scope():
                self.model.solve_readout()
                self.model.optimizer.iterations.assign_add(1)
            self._is_solved = True
