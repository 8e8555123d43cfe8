"""`LinearAutoencoder`: a linear system whose state tells the sequence that it has read."""

import numbers
from collections.abc import Mapping
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from rnnpt.cells import swap_time
from rnnpt.models._batch import unpack_batch

Inputs: TypeAlias = tf.Tensor | Mapping[str, tf.Tensor]


@keras.saving.register_keras_serializable(package="rnnpt")
class LinearAutoencoder(keras.Model):
    """Reads a sequence into one state, and says it again from there, newest frame first.

    `pretraining.fit_linear_autoencoder(...).model()` gives one with the best weights there are for
    its data. Calling it reconstructs, so that it also trains by gradients, with the sequences as
    their own targets; that is slow and gets less far.

    Equation: y_t = (x_t - mean) kernel + y_(t-1) recurrent_kernel, y_0 = 0; and back,
    x_t = y_t kernel' + mean, y_(t-1) = y_t recurrent_kernel' / discount^2.

    Args:
        units: P, of the state.
        discount: of `pretraining.fit_linear_autoencoder`.
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: if `units` is no positive integer, or `discount` not above 0 and at most 1.

    Example:
        >>> model = LinearAutoencoder(2)
        >>> model(tf.zeros([4, 10, 3])).shape
        TensorShape([4, 10, 3])

    Source: Pasa and Sperduti 2014.
    """

    built: bool
    units: int
    discount: float

    def __init__(self, units: int, discount: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(units, numbers.Integral) or units < 1:
            raise ValueError(
                f"LinearAutoencoder: units must be a positive integer, got {units!r}; pass a count")
        if not 0 < discount <= 1:
            raise ValueError(
                "LinearAutoencoder: discount must be above 0 and at most 1, got "
                f"{discount}; pass that of the fitted autoencoder, or 1")
        self.units, self.discount = units, discount

    def build(self, input_shape: Any) -> None:
        """Create the weights.

        Args:
            input_shape: of frames (B, T, V), or of a batch that has such frames.
        """
        if self.built:
            return
        if isinstance(input_shape, Mapping):
            input_shape = input_shape["frames"]
        width = input_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(width, self.units))
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(self.units, self.units), initializer="orthogonal")
        self.mean = self.add_weight(name="mean", shape=(width,), initializer="zeros")
        self.built = True

    def call(self, inputs: Inputs) -> tf.Tensor:
        """Reconstruct sequences from their last states alone.

        Args:
            inputs: frames (B, T, V), or a batch of `Sequences`, whose padding is left out.

        Returns:
            (B, T, V), zero where padded.
        """
        frames, mask = self._unpack(inputs)
        num_steps = tf.shape(frames)[1]
        found = self.decode(self.encode(inputs), num_steps)
        # The newest frame is decoded last, and stands before the padding.
        padding = num_steps - tf.reduce_sum(tf.cast(mask, tf.int32), axis=1, keepdims=True)
        places = tf.minimum(tf.range(num_steps) + padding, num_steps - 1)
        found = tf.gather(found, places, batch_dims=1)
        return tf.where(mask[..., tf.newaxis], found, tf.zeros_like(found))

    def encode(self, inputs: Inputs) -> tf.Tensor:
        """Read sequences.

        Args:
            inputs: frames (B, T, V), or a batch of `Sequences`.

        Returns:
            The states after the last real frame (B, P).
        """
        frames, mask = self._unpack(inputs)
        if not self.built:
            self.build(frames.shape)
        projected = swap_time(tf.tensordot(frames - self.mean, self.kernel, 1))
        real = tf.transpose(mask)[..., tf.newaxis]

        def read(t: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            moved = projected[t] + tf.matmul(state, self.recurrent_kernel)
            return t + 1, tf.where(real[t], moved, state)

        _, state = tf.while_loop(
            lambda t, _: t < tf.shape(projected)[0], read,
            (tf.constant(0), tf.zeros([tf.shape(frames)[0], self.units], frames.dtype)))
        return state

    def decode(self, states: tf.Tensor, num_steps: int | tf.Tensor) -> tf.Tensor:
        """Say what states remember.

        Args:
            states: after the last frame (B, P).
            num_steps: T, how far back.

        Returns:
            The last T frames (B, T, V), the oldest first.
        """
        def say(
            t: tf.Tensor, state: tf.Tensor, said: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
            before = tf.matmul(state, self.recurrent_kernel, transpose_b=True)
            return t - 1, before / self.discount ** 2, said.write(t, state)

        _, _, said = tf.while_loop(
            lambda t, *_: t >= 0, say, (
                num_steps - 1, states,
                tf.TensorArray(states.dtype, num_steps, element_shape=[None, self.units])))
        return tf.tensordot(
            swap_time(said.stack()), tf.transpose(self.kernel), 1) + self.mean

    def _unpack(self, inputs: Inputs) -> tuple[tf.Tensor, tf.Tensor]:
        batch = inputs if isinstance(inputs, Mapping) else {"frames": inputs}
        return unpack_batch(batch)[:2]

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {**super().get_config(), "units": self.units, "discount": self.discount}
