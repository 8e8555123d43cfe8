"""A stack of RBMs whose top one has Gaussian hidden units, the start of an `Autoencoder`."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.models.rbm import RBM


class Layer(NamedTuple):
    """What is left of a trained RBM: its kernel (V, K) and the biases of both sides."""

    kernel: tf.Tensor
    visible_bias: tf.Tensor
    hidden_bias: tf.Tensor


class CodeRBM(keras.Model):
    """An RBM whose hidden units are real numbers: given v they are Gaussian with variance 1.

    Equation: E(h | v) = v W + hidden_bias; one step of contrastive divergence, minus whose
    gradient is v'E(h | v) - u'E(h | u), where u is the mean of v given a draw of h given v.

    Args:
        num_hidden: K.
        visible: "binary" for units from 0 to 1, or "gaussian" of variance 1.
        seed: of the initial weights and the draws.

    Source: Hinton and Salakhutdinov 2006.
    """

    def __init__(self, num_hidden: int, visible: str, seed: int) -> None:
        super().__init__()
        self.num_hidden = num_hidden
        self.visible = visible
        self.seed = seed
        self._error_mean = keras.metrics.Mean("reconstruction_error")

    def build(self, frames_shape: Sequence[int | None]) -> None:
        """Create the variables.

        Args:
            frames_shape: (B, V).
        """
        self.kernel = self.add_weight(
            name="kernel", shape=(frames_shape[-1], self.num_hidden),
            initializer=keras.initializers.RandomNormal(stddev=0.01, seed=self.seed))
        self.visible_bias = self.add_weight(
            name="visible_bias", shape=(frames_shape[-1],), initializer="zeros")
        self.hidden_bias = self.add_weight(
            name="hidden_bias", shape=(self.num_hidden,), initializer="zeros")

    def call(self, frames: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The means of the hidden units.

        Args:
            frames: (B, V).
            training: ignored, nothing differs.

        Returns:
            Real numbers (B, K).
        """
        return tf.matmul(frames, self.kernel) + self.hidden_bias

    def train_step(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
        """One update.

        Args:
            frames: (B, V).

        Returns:
            The running "reconstruction_error", the mean square over units.
        """
        seed = numerics.fold_in(numerics.as_seed(self.seed), self.optimizer.iterations)
        mean = self(frames)
        noise = tf.cast(numerics.normal(seed, tf.shape(mean)), mean.dtype)
        again = tf.matmul(mean + noise, self.kernel, transpose_b=True) + self.visible_bias
        if self.visible == "binary":
            again = tf.sigmoid(again)
        mean_again, size = self(again), tf.cast(tf.shape(frames)[0], frames.dtype)
        positive = tf.matmul(frames, mean, transpose_a=True)
        negative = tf.matmul(again, mean_again, transpose_a=True)
        gradients = [
            (negative - positive) / size, tf.reduce_mean(again - frames, axis=0),
            tf.reduce_mean(mean_again - mean, axis=0)]
        self.optimizer.apply_gradients(
            zip(gradients, (self.kernel, self.visible_bias, self.hidden_bias)))
        self._error_mean.update_state((frames - again) ** 2)
        return {"reconstruction_error": self._error_mean.result()}


def train_stack(
    images: tf.Tensor,
    units: Sequence[int],
    visible: str,
    optimizer: Mapping[str, Any],
    epochs: int,
    batch_size: int,
    seed: int,
) -> list[Layer]:
    """Train RBMs from the pixels up, each on the hidden means of the one below.

    Args:
        images: (N, V).
        units: hidden ones of each RBM; the last are Gaussian, the others binary.
        visible: of the lowest RBM, "binary" for pixels from 0 to 1, or "gaussian".
        optimizer: as Keras serialises it; each RBM gets one of its own.
        epochs: over the images, for each RBM.
        batch_size: images a batch.
        seed: of the initial weights, the draws and the order of images.

    Returns:
        The layers from the pixels up.
    """
    layers, frames = [], images
    for index, size in enumerate(units):
        own_seed = seed * len(units) + index
        kind = visible if index == 0 else "binary"
        code = index == len(units) - 1
        rbm = CodeRBM(size, kind, own_seed) if code else RBM(size, kind, seed=own_seed)
        rbm.compile(keras.optimizers.deserialize(dict(optimizer)))
        batches = tf.data.Dataset.from_tensor_slices(frames).shuffle(len(frames), own_seed)
        rbm.fit(batches.batch(batch_size), epochs=epochs, shuffle=False, verbose=0)
        layers.append(Layer(
            *map(tf.convert_to_tensor,
                 (rbm.kernel if code else rbm.head.kernel, rbm.visible_bias, rbm.hidden_bias))))
        frames = rbm(frames)
    return layers
