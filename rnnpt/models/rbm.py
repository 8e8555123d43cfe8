"""`RBM`: a restricted Boltzmann machine of single frames, as a Keras model."""

from typing import Any, TypeAlias

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.heads import AISSchedule, GaussianRBMHead, RBMHead
from rnnpt.models._frame_training import FrameTraining

Schedule: TypeAlias = keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable(package="rnnpt")
class RBM(FrameTraining):
    """A distribution of frames whose units hold to each other through hidden ones.

    Use it where frames have no order, to see what a hidden layer makes of them (`model(frames)` and
    `predict` give the hidden means), or as a layer of a `DeepBeliefNetwork`. `fit` takes an array
    (N, V) or a `tf.data.Dataset` of batches (B, V), and no target, on one device.

    Equation: P(v, h) = exp(v'visible_bias + h'hidden_bias + v'W h) / Z; of Gaussian visible units
    the exponent has - |v|^2 / (2 stddev^2) besides.

    Args:
        num_hidden: K, the number of hidden units.
        visible: "binary" for frames from 0 to 1 (a value between is a mean), "gaussian" for real
            ones.
        num_gibbs_steps: k of contrastive divergence, or its schedule over the updates.
        num_chains: of persistent contrastive divergence; None starts each chain at the data.
        negatives: what stands against the data at a chain's end: "sampled", the drawn frame, or
            "mean_field", its mean.
        stddev: of Gaussian visible units, given the hidden ones.
        seed: of the initial weights, and of everything random in training.
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: if `visible` is neither kind, or the head refuses a number.

    Example:
        >>> import numpy as np
        >>> model = RBM(num_hidden=8)
        >>> model.compile("adam")
        >>> history = model.fit(np.eye(4), epochs=2, verbose=0)
        >>> model.predict(np.eye(4), verbose=0).shape
        (4, 8)

    Source: Sutskever 2013, section 2.7; the initial weights: Hinton 2010, A practical guide to
    training restricted Boltzmann machines, section 8.
    """

    def __init__(
        self,
        num_hidden: int,
        visible: str = "binary",
        num_gibbs_steps: int | Schedule = 1,
        num_chains: int | None = None,
        negatives: str = "sampled",
        stddev: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if visible not in ("binary", "gaussian"):
            raise ValueError(
                f"RBM: visible must be 'binary' or 'gaussian', got {visible!r}; frames from 0 to 1 "
                "are binary ones or their means")
        initializer = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
        options = {
            "num_hidden": num_hidden, "num_gibbs_steps": num_gibbs_steps, "negatives": negatives,
            "num_chains": num_chains, "kernel_initializer": initializer, "dtype": self.dtype_policy}
        self.head: RBMHead = (
            RBMHead(**options) if visible == "binary"
            else GaussianRBMHead(stddev=stddev, **options))
        self.visible = visible
        self.stddev = stddev
        self.seed = seed
        self._draw = tf.function(self._sample)
        self._log_z = tf.function(self._estimate_log_partition)

    def initialize_visible_bias(self, frames: object) -> None:
        """Start where the hidden units need not learn how often each visible one is on.

        Args:
            frames: (N, V), the training frames.

        Source: Hinton 2010, section 8.1: the log-odds of each unit's mean. The half a frame that
        is added to both counts keeps them finite (Krichevsky and Trofimov 1981).
        """
        checked = self._check(frames)
        total, count = tf.reduce_sum(checked, axis=0), len(checked)
        if self.visible == "binary":
            self.visible_bias.assign(tf.math.log(total + 0.5) - tf.math.log(count - total + 0.5))
        else:  # The mean of a visible unit is stddev^2 times its bias.
            self.visible_bias.assign(total / (count * self.stddev ** 2))

    def call(self, frames: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The chance of each hidden unit to be on.

        Args:
            frames: (B, V).
            training: ignored, nothing differs.

        Returns:
            P(h = 1 | v) (B, K).
        """
        frames = tf.cast(frames, self.compute_dtype)
        self.build_for(frames.shape[-1])
        return self.head.hidden_mean(self._parameters(frames), frames)

    def hidden_mean(self, frames: object) -> tf.Tensor:
        """What the hidden layer makes of frames.

        Args:
            frames: (N, V).

        Returns:
            P(h = 1 | v) (N, K).
        """
        return self(self._check(frames))

    def reconstruct(self, frames: object) -> tf.Tensor:
        """Frames as the hidden means give them back.

        Args:
            frames: (N, V).

        Returns:
            The mean of v given the means of h (N, V).
        """
        return self._reconstruct(self._check(frames))

    def free_energy(self, frames: object) -> tf.Tensor:
        """Minus the log of the unnormalised probability of frames.

        Args:
            frames: (N, V).

        Returns:
            Nats (N,).
        """
        return self._free_energy(self._check(frames))

    def log_prob(self, frames: object) -> tf.Tensor:
        """Log-likelihood of frames, as `estimate_log_prob` does with the default schedule.

        Args:
            frames: (N, V). Of binary units the sum over all frames of 0 and 1 is one: what is given
                for values between them is no density.

        Returns:
            Nats (N,), an estimate.
        """
        return self.estimate_log_prob(frames)[0]

    def estimate_log_prob(
        self, frames: object, seed: int = 0, schedule: AISSchedule | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Log-likelihood of frames; one estimate of log Z serves them all.

        Args:
            frames: (N, V).
            seed: of the estimate.
            schedule: how much work it is; a large RBM needs more temperatures than the default.

        Returns:
            Nats (N,), and the standard error (), which all of them share.
        """
        frames = self._check(frames)
        log_z, standard_error = self.log_partition(seed, schedule)
        return -self._free_energy(frames) - log_z, standard_error

    def sample(self, num_frames: int, seed: int, num_steps: int = 1000) -> tf.Tensor:
        """Draw frames by Gibbs chains, one for each.

        Args:
            num_frames: N.
            seed: of the chains.
            num_steps: their length.

        Returns:
            Frames (N, V).

        Raises:
            ValueError: if a count is not positive, or the model is not built.
        """
        self._check_draw(num_frames, num_steps)
        return self._draw(tf.constant(num_frames), numerics.as_seed(seed), num_steps)

    def log_partition(
        self, seed: int = 0, schedule: AISSchedule | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Log Z of the model as it is, by annealed importance sampling.

        Args:
            seed: of the estimate.
            schedule: how much work it is; a large RBM needs more temperatures than the default.

        Returns:
            Nats () and their standard error ().
        """
        return self._log_z(numerics.as_seed(seed), schedule)

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        of_head = self.head.get_config()
        names = ("num_hidden", "num_gibbs_steps", "num_chains", "negatives")
        return {
            **super().get_config(), **{name: of_head[name] for name in names},
            "visible": self.visible, "stddev": self.stddev, "seed": self.seed}

    def _build_parts(self, num_visible: int) -> None:
        if not self.head.built:  # Keras builds the parts of a model that it loads.
            self.head.build((None, num_visible))
        self.visible_bias = self.add_weight(
            name="visible_bias", shape=(num_visible,), initializer="zeros")
        self.hidden_bias = self.add_weight(
            name="hidden_bias", shape=(self.head.num_hidden,), initializer="zeros")

    def _parameters(self, frames: tf.Tensor) -> tf.Tensor:
        """The biases, one row a frame, as the head takes them (N, V + K)."""
        biases = tf.concat([self.visible_bias, self.hidden_bias], axis=0)
        return tf.broadcast_to(biases, [tf.shape(frames)[0], biases.shape[0]])

    def _free_energy(self, frames: tf.Tensor) -> tf.Tensor:
        return self.head.free_energy(self._parameters(frames), frames)

    def _reconstruct(self, frames: tf.Tensor) -> tf.Tensor:
        parameters = self._parameters(frames)
        return self.head.visible_mean(parameters, self.head.hidden_mean(parameters, frames))

    def _estimate_log_partition(
        self, seed: tf.Tensor, schedule: AISSchedule | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # log P(v) = -F(v) - log Z at any frame; nothing is simpler than the empty one.
        empty = tf.zeros([1, self.num_visible], self.compute_dtype)
        parameters = self._parameters(empty)
        log_prob, standard_error = self.head.estimate_log_prob(parameters, empty, seed, schedule)
        log_z = -self._free_energy(empty) - log_prob
        return log_z[0], standard_error[0]

    def _sample(self, num_frames: tf.Tensor, seed: tf.Tensor, num_steps: int) -> tf.Tensor:
        parameters = self._parameters(tf.zeros([num_frames, 1]))
        return self.head.sample(parameters, seed, num_steps=num_steps)
