"""The NADE head: each unit of a frame given the units below it, and exact."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.heads.head import Head, inverse_temperature

# Visible units done together: fewer make fewer products in vain, more make larger products.
# Measured best at 88 units with 4 to 10 % of them on (benchmarks/nade.py).
_BLOCK_SIZE = 44


@keras.saving.register_keras_serializable(package="rnnpt")
class NADEHead(Head):
    """A neural autoregressive distribution estimator whose biases the past sets.

    Use it where a frame is a chord and an exact likelihood is wanted: unlike an RBM's, its
    gradient, likelihood and samples are all exact. The units are ordered by their column, lowest
    pitch first. The parameters are the dynamic biases [visible_bias (V), hidden_bias (K)]; the
    weights are shared by all steps.

    Equation: P(v_i = 1 | v_1 .. v_(i-1)) = sigmoid(visible_bias_i + decoder_i . h_i), with
    h_i = sigmoid(hidden_bias + sum over j < i of v_j kernel_j).

    Args:
        num_hidden: K, the number of hidden units.
        num_mean_samples: how many samples `mean` averages over.
        kernel_initializer: how the kernel (V, K) starts, which takes units in.
        decoder_initializer: how the decoder (V, K) starts, which predicts them.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if a count is not a positive integer.

    Source: Boulanger-Lewandowski et al. 2012, the RNN-NADE; Bengio et al. 2012, section 3.3.
    """

    def __init__(
        self,
        num_hidden: int,
        num_mean_samples: int = 50,
        kernel_initializer: object = "glorot_normal",
        decoder_initializer: object = "glorot_normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("num_hidden", num_hidden), ("num_mean_samples", num_mean_samples)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"NADEHead: {name} must be a positive integer, got {value!r}; 150 hidden "
                    "units and means over 50 samples are a good start for music")
        self.num_hidden = num_hidden
        self.num_mean_samples = num_mean_samples
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.decoder_initializer = keras.initializers.get(decoder_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights.

        Args:
            input_shape: shape of the frames (..., V).
        """
        shape = (input_shape[-1], self.num_hidden)
        self.kernel = self.add_weight(
            name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.decoder = self.add_weight(
            name="decoder", shape=shape, initializer=self.decoder_initializer)
        super().build(input_shape)

    def num_parameters(self, num_visible: int) -> int:
        """One bias a visible unit and one a hidden unit.

        Args:
            num_visible: V.

        Returns:
            V + K.
        """
        return num_visible + self.num_hidden

    def log_prob(self, parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """Exact log-likelihood of frames.

        Args:
            parameters: (..., V + K).
            frames: (..., V), in {0, 1}.

        Returns:
            Nats a frame (...).
        """
        return numerics.bernoulli_log_prob(self.logits(parameters, frames), frames)

    def logits(self, parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """Log-odds of each unit of frames, given the units below it.

        The hidden layer only changes where a unit is on, so it is computed once at the start of
        each block of units and once after each unit that is on, not once a unit: music is sparse.
        All of it is matrix products and differentiable.

        Args:
            parameters: (..., V + K).
            frames: (..., V).

        Returns:
            Log-odds (..., V).
        """
        visible_bias, hidden_bias = self._biases(parameters)
        kernel, decoder = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.decoder)
        units = tf.reshape(frames, [-1, kernel.shape[0]])
        fields = tf.reshape(hidden_bias, [-1, self.num_hidden])
        logits = []
        for start in range(0, kernel.shape[0], _BLOCK_SIZE):
            block = slice(start, start + _BLOCK_SIZE)
            logits.append(_block_logits(fields, units[:, block], kernel[block], decoder[block]))
            fields += tf.matmul(units[:, block], kernel[block])
        return visible_bias + tf.reshape(tf.concat(logits, axis=1), tf.shape(visible_bias))

    def curvature(self, logits: tf.Tensor, tangents: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """The Hessian of the loss at the log-odds, times a direction.

        Args:
            logits: log-odds of each unit given those below it (..., V).
            tangents: the direction (..., V).
            frames: not used.

        Returns:
            (..., V).
        """
        return numerics.bernoulli_curvature(logits, tangents)

    def sample(
        self, parameters: tf.Tensor, seed: tf.Tensor, temperature: float | tf.Tensor = 1.0
    ) -> tf.Tensor:
        """Draw the units of a frame one after another.

        Args:
            parameters: (..., V + K).
            seed: of the draw.
            temperature: divides the log-odds of each unit given those drawn before it.

        Returns:
            Frames (..., V), in {0, 1}.
        """
        uniforms = self._uniforms(seed, tf.shape(parameters)[:-1])
        return self._draw(parameters, uniforms, inverse_temperature(temperature))[0]

    def mean(self, parameters: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """An estimate of the expected frame: the mean of P(v_i = 1 | v_<i) over samples v.

        Args:
            parameters: (..., V + K).
            seed: of the samples.

        Returns:
            Probabilities (..., V).
        """
        parameters = _repeated(parameters, self.num_mean_samples)
        _, logits = self._draw(
            parameters, self._uniforms(seed, tf.shape(parameters)[:-1]), tf.ones([1]))
        return tf.reduce_mean(tf.sigmoid(logits), axis=-2)

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "num_hidden": self.num_hidden,
            "num_mean_samples": self.num_mean_samples,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "decoder_initializer": keras.initializers.serialize(self.decoder_initializer),
        }

    def _biases(self, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        visible_bias, hidden_bias = tf.split(parameters, list(self.kernel.shape), axis=-1)
        return visible_bias, hidden_bias

    def _uniforms(self, seed: tf.Tensor, rows: Sequence[int | tf.Tensor] | tf.Tensor) -> tf.Tensor:
        """A number for each unit of frames that are laid out as the rows (*rows, V)."""
        return numerics.uniform(seed, tf.concat([rows, [self.kernel.shape[0]]], axis=0))

    def _draw(
        self, parameters: tf.Tensor, uniforms: tf.Tensor, factor: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Frames (..., V), and the log-odds times `factor` that each unit was drawn with."""
        visible_bias, hidden_bias = self._biases(tf.convert_to_tensor(parameters))
        kernel, decoder = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.decoder)
        num_visible = kernel.shape[0]
        factor = tf.cast(factor, visible_bias.dtype)
        uniforms = tf.cast(uniforms, visible_bias.dtype)
        drawn = tf.TensorArray(
            visible_bias.dtype, num_visible, element_shape=visible_bias.shape[:-1])
        used = tf.TensorArray(
            visible_bias.dtype, num_visible, element_shape=visible_bias.shape[:-1])

        def body(
            i: tf.Tensor, fields: tf.Tensor, drawn: tf.TensorArray, used: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.TensorArray]:
            logits = factor[..., 0] * (
                visible_bias[..., i] + tf.linalg.matvec(tf.sigmoid(fields), decoder[i]))
            units = numerics.bernoulli_sample(logits, uniforms[..., i])
            fields += units[..., tf.newaxis] * kernel[i]
            return i + 1, fields, drawn.write(i, units), used.write(i, logits)

        _, _, drawn, used = tf.while_loop(
            lambda i, *_: i < num_visible, body, (tf.constant(0), hidden_bias, drawn, used),
            maximum_iterations=num_visible, parallel_iterations=1)
        return _units_last(drawn.stack()), _units_last(used.stack())


def _block_logits(
    fields: tf.Tensor, units: tf.Tensor, kernel: tf.Tensor, decoder: tf.Tensor
) -> tf.Tensor:
    """Log-odds (N, n) of n units, without their bias, given those below them.

    A row is a stretch of units of one frame that have the same hidden layer: it begins with the
    first unit, or after a unit that is on.
    """
    num_units = kernel.shape[0]
    begins = tf.concat([tf.ones_like(units[:, :1], tf.bool), units[:, :-1] != 0], axis=1)
    rows = tf.cast(tf.where(begins), tf.int32)
    frame, first = rows[:, 0], rows[:, 1:]
    next_first = tf.roll(first, -1, axis=0)
    end = tf.where(next_first == 0, num_units, next_first)  # 0 is where another frame begins.
    unit = tf.range(num_units)
    below = tf.gather(units, frame) * tf.cast(unit < first, units.dtype)
    hidden = tf.sigmoid(_repeat(fields, frame) + tf.matmul(below, kernel))
    # The log-odds of every unit from the hidden layer of every row, of which a row has its own.
    logits = tf.matmul(hidden, decoder, transpose_b=True)
    own = tf.cast((unit >= first) & (unit < end), logits.dtype)
    return tf.math.segment_sum(logits * own, frame)


def _repeated(parameters: tf.Tensor, number: int) -> tf.Tensor:
    """Parameters (..., number, P), so that so many frames are drawn of each."""
    shape = tf.shape(parameters)
    return tf.broadcast_to(
        parameters[..., tf.newaxis, :], tf.concat([shape[:-1], [number], shape[-1:]], axis=0))


def _repeat(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """`tf.gather` at ascending places, none left out; its gradient knows so, and is faster."""
    repeated = _traced_repeat(values, places)
    repeated.set_shape([None, values.shape[-1]])
    return repeated


# TensorFlow keeps the graph around a custom gradient for ever: here one that all heads share.
@tf.function(autograph=False, reduce_retracing=True)
def _traced_repeat(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    @tf.custom_gradient
    def gather(values: tf.Tensor) -> tuple[tf.Tensor, object]:
        return tf.gather(values, places), lambda upstream: tf.math.segment_sum(upstream, places)

    return gather(values)


def _units_last(values: tf.Tensor) -> tf.Tensor:
    """Turns (V, ...) into (..., V)."""
    return tf.transpose(values, tf.roll(tf.range(tf.rank(values)), -1, axis=0))
