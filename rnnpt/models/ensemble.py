"""`RNNEnsemble`: a tanh network from several random starts, trained as one computation."""

import math
import numbers
from collections.abc import Sequence
from typing import Any, cast

import keras
import tensorflow as tf

from rnnpt.initializers import NUM_CONNECTIONS, Sparse, SpectralRadius
from rnnpt.models._answer import assert_late
from rnnpt.models._stacked_recurrence import unroll_stack

#: Kernels of a member: of the inputs, of the states, and of the outputs.
_NUM_KERNELS = 3


@keras.saving.register_keras_serializable(package="rnnpt")
class RNNEnsemble(keras.Model):
    """S tanh networks that differ in their seeds, as one batched computation.

    Use it to repeat an experiment with other random starts: a small network leaves most of a core's
    rate of multiplication unused. Members share nothing but the optimizer's schedules: after any
    number of updates each is what it would be alone, as long as the optimizer treats each number by
    itself, as Momentum, Nesterov and Adam do. Weights are stacked, the member being the first axis.

    `fit` takes batches (inputs (S, B, T, I), targets (S, B, T, O), weights (S, B, T)), a weight
    being 1 where the target counts and 0 elsewhere; inputs (B, T, I) with targets (B, T, O) and
    weights (B, T) are shared by all members. It asks for no loss in `compile`. T is unrolled: a
    batch of another length is compiled anew, in seconds.

    Equation: h_t = tanh(h_{t-1} W + x_t U + b), h_0 learned; z_t = h_t V + c. The loss of a member
    is the mean over its sequences of the sum over counted steps: of (z - y)^2 / 2 for "real"
    outputs, the cross-entropy of sigmoid(z) for "binary" and of softmax(z) for "categorical" ones,
    in nats. Each of the three has the gradient z's prediction less y. It is a sum over steps, since
    the published rates are of that scale: 1e-5 where some hundred steps count, 1e-3 where one does.

    Args:
        units: H, hidden units of a member.
        num_outputs: O.
        seeds: of the members, S of them. The kernels of a member are drawn with the seeds
            3 seed, 3 seed + 1 and 3 seed + 2, whatever the other members are.
        output: "real", "binary" or "categorical".
        num_answers: N, the number of last steps that outputs are computed of; all where None.
            Weights before them must be 0.
        clip_norm: of a member's gradient, all its weights together; None clips nothing. The
            optimizer's own clipping would mix the members, and is refused.
        initializers: of the kernels U (I, H), W (H, H) and V (H, O), which take a `seed`; where
            None, the thesis' for memorization, and for V that of its chapter 4.
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: if a number is not positive, a seed negative or drawn twice, `output` no such
            word, or the initializers not three.

    Example:
        >>> model = RNNEnsemble(units=20, num_outputs=1, seeds=[0, 1, 2], num_answers=1)
        >>> model(tf.zeros([3, 4, 10, 2])).shape
        TensorShape([3, 4, 1, 1])

    Source: Sutskever 2013, sections 4.4 and 7.4.
    """

    built: bool

    def __init__(
        self,
        units: int,
        num_outputs: int,
        seeds: Sequence[int],
        output: str = "real",
        num_answers: int | None = None,
        clip_norm: float | None = None,
        initializers: Sequence[keras.initializers.Initializer] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_jit = False  # XLA is no faster here, and compiles for 10 seconds.
        for name, value in (
                ("units", units), ("num_outputs", num_outputs), ("num_answers", num_answers)):
            if value is not None and (not isinstance(value, numbers.Integral) or value < 1):
                raise ValueError(
                    f"RNNEnsemble: {name} must be a positive integer, got {value!r}; pass a count")
        if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
            raise ValueError(
                f"RNNEnsemble: seeds must be different integers from 0 on, got {seeds}; pass one "
                "a member, such as range(10)")
        if output not in ("real", "binary", "categorical"):
            raise ValueError(
                f"RNNEnsemble: output must be 'real', 'binary' or 'categorical', got {output!r}; a "
                "problem of rnnpt.datasets says which")
        if clip_norm is not None and not 0 < clip_norm < math.inf:
            raise ValueError(
                f"RNNEnsemble: clip_norm must be a positive number, got {clip_norm}; None clips "
                "nothing")
        if initializers is None:
            initializers = (
                Sparse(scale=0.3, or_all=True), SpectralRadius(1.2, or_all=True),
                Sparse(scale=NUM_CONNECTIONS ** -0.5, or_all=True))
        if len(initializers) != _NUM_KERNELS:
            raise ValueError(
                "RNNEnsemble: initializers must be those of the kernels of inputs, states and "
                f"outputs, got {len(initializers)}; pass three")
        self.units = units
        self.num_outputs = num_outputs
        self.seeds = [int(seed) for seed in seeds]
        self.output_kind = output
        self.num_answers = num_answers
        self.clip_norm = clip_norm
        self.initializers = list(initializers)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the stacked weights.

        Args:
            input_shape: of the inputs, (S, B, T, I) or (B, T, I).
        """
        if self.built:
            return
        size, units, num_outputs = len(self.seeds), self.units, self.num_outputs
        self.kernel = self._add_kernel(0, "kernel", (cast(int, input_shape[-1]), units))
        self.recurrent_kernel = self._add_kernel(1, "recurrent_kernel", (units, units))
        self.readout_kernel = self._add_kernel(2, "readout_kernel", (units, num_outputs))
        self.bias = self.add_weight(name="bias", shape=(size, 1, units), initializer="zeros")
        self.initial_state = self.add_weight(
            name="initial_state", shape=(size, 1, units), initializer="zeros")
        self.readout_bias = self.add_weight(
            name="readout_bias", shape=(size, 1, num_outputs), initializer="zeros")
        self._loss_means = [keras.metrics.Mean(f"loss_{seed}") for seed in self.seeds]
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The outputs of each member, for the answers of a problem or the logits of them.

        Args:
            inputs: (S, B, T, I), or (B, T, I) for all members.
            training: ignored, nothing differs.

        Returns:
            z at the last N steps (S, B, N, O).
        """
        inputs = self._for_each(inputs, 3)
        _, num_sequences, num_steps, _ = inputs.shape
        num_sequences = tf.shape(inputs)[1] if num_sequences is None else num_sequences
        size, num_kept = len(self.seeds), min(self.num_answers or num_steps, num_steps)
        # A one beside the inputs is the bias' input: one product a step does it all.
        steps = tf.pad(
            tf.transpose(inputs, [2, 0, 1, 3]), [[0, 0], [0, 0], [0, 0], [0, 1]], constant_values=1)
        weights = [tf.convert_to_tensor(weight) for weight in (
            self.recurrent_kernel, self.kernel, self.bias)]
        states = unroll_stack(
            tf.concat(weights, axis=1), tf.convert_to_tensor(self.initial_state), steps, num_kept)
        states = tf.reshape(states, [size, num_kept * num_sequences, self.units])
        outputs = tf.matmul(states, self.readout_kernel) + self.readout_bias
        outputs = tf.reshape(outputs, [size, num_kept, num_sequences, self.num_outputs])
        return tf.transpose(outputs, [0, 2, 1, 3])

    def member_losses(
        self, inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        """The loss of each member.

        Args:
            inputs: (S, B, T, I), or (B, T, I) for all members.
            targets: (S, B, T, O), or (B, T, O).
            weights: (S, B, T), or (B, T); 1 where the target counts.

        Returns:
            Mean over sequences of the sum over counted steps (S,).
        """
        outputs = self(inputs)
        num_answers = outputs.shape[2]
        with tf.control_dependencies([assert_late(weights, num_answers)]):
            targets, weights = self._for_each(targets, 3), self._for_each(weights, 2)
        targets = targets[:, :, -num_answers:]
        if self.output_kind == "categorical":
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, outputs)
        elif self.output_kind == "binary":
            losses = tf.reduce_sum(
                tf.nn.sigmoid_cross_entropy_with_logits(targets, outputs), axis=-1)
        else:
            losses = 0.5 * tf.reduce_sum(tf.math.squared_difference(outputs, targets), axis=-1)
        losses = tf.math.multiply_no_nan(losses, weights[:, :, -num_answers:])
        return tf.reduce_mean(tf.reduce_sum(losses, axis=2), axis=1)

    def train_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """One update of every member.

        Args:
            data: inputs, targets and weights.

        Returns:
            The running mean "loss" of all members, and "loss_SEED" of each.
        """
        with tf.GradientTape() as tape:
            losses = self.member_losses(*data)
            # Their sum: no member's gradient may depend on how many there are.
            total = tf.reduce_sum(losses)
        variables = self.trainable_variables
        gradients = tape.gradient(total, variables)
        if self.clip_norm is not None:
            gradients = _clip_members(gradients, self.clip_norm)
        self.optimizer.apply_gradients(zip(gradients, variables))
        return self._log(losses)

    def test_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """The losses of a batch.

        Args:
            data: inputs, targets and weights.

        Returns:
            As `train_step`.
        """
        return self._log(self.member_losses(*data))

    def compile(self, optimizer: Any = "rmsprop", **kwargs: Any) -> None:
        """`keras.Model.compile` without a loss, which the model has.

        Args:
            optimizer: one that treats each number by itself, without clipping by a norm.
            **kwargs: of `keras.Model.compile`.

        Raises:
            ValueError: if a loss is given, or the optimizer clips by norms, over all members.
        """
        if kwargs.get("loss") is not None:
            raise ValueError(
                f"compile must be given no loss, got loss={kwargs['loss']!r}; `output` says it")
        for name in ("clipnorm", "global_clipnorm"):
            if getattr(optimizer, name, None) is not None:
                raise ValueError(
                    f"optimizer must not clip by a norm over all members, got {name}="
                    f"{getattr(optimizer, name)}; pass clip_norm to RNNEnsemble")
        super().compile(optimizer=optimizer, **kwargs)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What `fit` resets at each epoch."""
        return self._loss_means if self.built else []

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(), "units": self.units, "num_outputs": self.num_outputs,
            "seeds": self.seeds, "output": self.output_kind, "num_answers": self.num_answers,
            "clip_norm": self.clip_norm, "initializers": [
                keras.initializers.serialize(initializer) for initializer in self.initializers]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "RNNEnsemble":
        """The ensemble that `get_config` describes.

        Args:
            config: what `get_config` gave.

        Returns:
            An ensemble with its initial weights.
        """
        initializers = [keras.initializers.get(each) for each in config["initializers"]]
        return cls(**{**config, "initializers": initializers})

    def _add_kernel(self, place: int, name: str, shape: tuple[int, int]) -> keras.Variable:
        """The stacked kernels of one place, each as its member's seed draws it."""
        initializer = self.initializers[place]

        def draw(_: object, dtype: str | None = None) -> tf.Tensor:
            return tf.stack([
                type(initializer).from_config(
                    initializer.get_config() | {"seed": _NUM_KERNELS * seed + place})(shape, dtype)
                for seed in self.seeds])

        return self.add_weight(name=name, shape=(len(self.seeds), *shape), initializer=draw)

    def _for_each(self, array: tf.Tensor, rank_of_one: int) -> tf.Tensor:
        """One array a member: the array itself, or S times the one that they share."""
        array = tf.cast(array, self.compute_dtype)
        if len(array.shape) > rank_of_one:
            return array
        return tf.repeat(array[tf.newaxis], len(self.seeds), axis=0)

    def _log(self, losses: tf.Tensor) -> dict[str, tf.Tensor]:
        for mean, loss in zip(self._loss_means, tf.unstack(losses)):
            mean.update_state(loss)
        logs = {mean.name: mean.result() for mean in self._loss_means}
        return {"loss": tf.reduce_mean(list(logs.values())), **logs}


def _clip_members(gradients: list[tf.Tensor], clip_norm: float) -> list[tf.Tensor]:
    """Gradients of stacked weights, scaled so that no member's norm exceeds `clip_norm`."""
    squares = [tf.reduce_sum(tf.square(gradient), axis=[1, 2]) for gradient in gradients]
    scale = clip_norm / tf.maximum(tf.sqrt(tf.add_n(squares)), clip_norm)
    return [gradient * scale[:, tf.newaxis, tf.newaxis] for gradient in gradients]
