"""`Autoencoder`: a deep network that gives back its input through a narrow layer."""

import math
import numbers
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
import tensorflow as tf

from rnnpt.initializers import Sparse
from rnnpt.models._code_rbm import Layer, train_stack
from rnnpt.models._image_training import OBJECTIVES, ImageTraining

#: Units of the encoder and objective, by data set (Sutskever 2013, table 7.1).
ARCHITECTURES: Mapping[str, tuple[tuple[int, ...], str]] = MappingProxyType({
    "curves": ((400, 200, 100, 50, 25, 6), "cross_entropy"),
    "mnist": ((1000, 500, 250, 30), "cross_entropy"),
    "faces": ((2000, 1000, 500, 30), "squared_error"),
})

# Of sparse kernels and of biases, by activation (section 7.3.1).
_SCALES = {"sigmoid": 1.0, "tanh": 0.25}
_BIASES = {"sigmoid": 0.0, "tanh": -0.5}


@keras.saving.register_keras_serializable(package="rnnpt")
class Autoencoder(ImageTraining):
    """Layers that narrow to a short code of an image, and their mirror that widens to it again.

    Use it to see what an optimizer makes of a deep network, or for short codes of images. `fit`
    takes images (N, V), or a `tf.data.Dataset` of batches (B, V), no target, any optimizer.
    `model(images)` and `predict` give what the last layer computes (B, V): the pixels' log-odds
    under "cross_entropy", the pixels themselves under "squared_error"; `reconstruct` gives pixels.

    Equation: the loss of a case is the sum over pixels of its cross-entropy in nats, or of its
    squared error (x - y)^2; a batch's is the mean over cases. Every hidden layer has the
    activation but for the code, which is linear, as in Hinton and Salakhutdinov 2006: the thesis
    does not say. "reconstruction_error" is reported under both: the squared error summed over
    pixels, the mean over cases. Table 7.2 does not state its units. Its cross-entropies would be
    above the entropy of gray pixels, so that it is taken to be this squared error.

    Args:
        units: of the encoder's layers, from the widest to the code.
        activation: "sigmoid" or "tanh".
        objective: "cross_entropy" for pixels from 0 to 1, or "squared_error".
        initialization: "sparse", 15 Gaussian connections into each unit, of tanh units times 0.25
            and with biases of -0.5; or "variance_preserving", uniform from
            -sqrt(6 / (inputs + outputs)) to its opposite.
        scale: what the initial kernels are multiplied by besides.
        seed: of the initial weights and of everything random in `pretrain`.
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: if units or the scale are not positive, the seed is negative, or a word is none
            of those named.

    Example:
        >>> import numpy as np
        >>> model = Autoencoder(units=(6, 2))
        >>> model.compile("adam")
        >>> history = model.fit(np.eye(4), epochs=1, verbose=0)
        >>> sorted(history.history), model.encode(np.eye(4)).shape
        (['loss', 'reconstruction_error'], TensorShape([4, 2]))

    Source: Sutskever 2013, section 7.3; Hinton and Salakhutdinov 2006; Martens 2010.
    """

    def __init__(
        self,
        units: Sequence[int] = ARCHITECTURES["curves"][0],
        activation: str = "sigmoid",
        objective: str = "cross_entropy",
        initialization: str = "sparse",
        scale: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_units(units)
        _check_word("activation", activation, tuple(_SCALES))
        _check_word("objective", objective, OBJECTIVES)
        _check_word("initialization", initialization, ("sparse", "variance_preserving"))
        if not 0 < scale < math.inf:
            raise ValueError(
                f"Autoencoder: scale must be a positive number, got {scale}; 1 is usual")
        if not isinstance(seed, numbers.Integral) or seed < 0:
            raise ValueError(
                f"Autoencoder: seed must be an integer from 0 on, got {seed!r}; 0 will do")
        self.units: tuple[int, ...] = tuple(units)
        self.activation: str = activation
        self.objective: str = objective
        self.initialization: str = initialization
        self.scale: float = scale
        self.seed: int = seed

    @classmethod
    def for_data(cls, name: str, **kwargs: Any) -> "Autoencoder":
        """The network that the thesis trains on a data set.

        Args:
            name: "curves", "mnist" or "faces".
            **kwargs: of the constructor, but for `units` and `objective`.

        Returns:
            The model, not built yet.

        Raises:
            ValueError: if there is no such data set.

        Source: Sutskever 2013, table 7.1.
        """
        _check_word("name", name, tuple(ARCHITECTURES))
        units, objective = ARCHITECTURES[name]
        return cls(units=units, objective=objective, **kwargs)

    def build(self, images_shape: Sequence[int | None]) -> None:
        """Create the variables.

        Args:
            images_shape: (B, V).
        """
        width = images_shape[-1]
        sizes = [*self.units, *reversed(self.units[:-1]), width]
        linear = (len(self.units) - 1, len(sizes) - 1)
        self.dense_layers = []
        for index, size in enumerate(sizes):
            layer = keras.layers.Dense(
                size, activation=None if index in linear else self.activation,
                kernel_initializer=self._kernel_initializer(self.seed * len(sizes) + index),
                bias_initializer=self._bias_initializer(index in linear), dtype=self.dtype_policy)
            layer.build((None, width))
            self.dense_layers.append(layer)
            width = size
        self.built = True

    def call(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """What the last layer computes.

        Args:
            images: (B, V).
            training: ignored, nothing differs.

        Returns:
            Log-odds of the pixels, or under "squared_error" the pixels themselves (B, V).
        """
        for layer in self.dense_layers:
            images = layer(images)
        return images

    def encode(self, images: object) -> tf.Tensor:
        """The codes of images.

        Args:
            images: (N, V).

        Returns:
            Real numbers (N, K), K the last of `units`.
        """
        units = self._check(images)
        for layer in self.dense_layers[:len(self.units)]:
            units = layer(units)
        return units

    def reconstruct(self, images: object) -> tf.Tensor:
        """Images as their codes give them back.

        Args:
            images: (N, V).

        Returns:
            Pixels (N, V).
        """
        return self._pixels(self(self._check(images)))

    def pretrain(
        self, x: object, optimizer: object = "adam", epochs: int = 10, batch_size: int = 100
    ) -> None:
        """Start from a stack of RBMs, each trained on what those below make of the images.

        The encoder takes an RBM's kernel and hidden biases, the decoder the kernel's transpose and
        the visible biases. The RBMs learn by contrastive divergence of one step; the code's has
        Gaussian hidden units of variance 1. Images of "squared_error" are taken for Gaussian
        of variance 1 a pixel.

        Args:
            x: images (N, V).
            optimizer: of Keras; each RBM gets one of its own with these settings.
            epochs: over the images, for each RBM.
            batch_size: images a batch.

        Raises:
            ValueError: if the units are not sigmoid ones, which those of RBMs are, or images are
                none that the objective knows.

        Source: Hinton and Salakhutdinov 2006.
        """
        if self.activation != "sigmoid":
            raise ValueError(
                f"pretrain needs sigmoid units, got activation={self.activation!r}; make the model "
                "with activation='sigmoid' or train it from its random start")
        visible = "binary" if self.objective == "cross_entropy" else "gaussian"
        images = self._check(x)
        settings = keras.optimizers.serialize(keras.optimizers.get(optimizer))
        self._unroll(train_stack(
            images, self.units, visible, settings, epochs, batch_size, self.seed))

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(), "units": list(self.units), "activation": self.activation,
            "objective": self.objective, "initialization": self.initialization,
            "scale": self.scale, "seed": self.seed}

    def _kernel_initializer(self, seed: int) -> keras.initializers.Initializer:
        if self.initialization == "sparse":
            return Sparse(
                scale=self.scale * _SCALES[self.activation], seed=seed, or_all=True)
        return keras.initializers.VarianceScaling(
            self.scale ** 2, mode="fan_avg", distribution="uniform", seed=seed)

    def _bias_initializer(self, linear: bool) -> keras.initializers.Initializer:
        if linear or self.initialization != "sparse":
            return keras.initializers.Zeros()
        return keras.initializers.Constant(_BIASES[self.activation])

    def _unroll(self, stack: Sequence[Layer]) -> None:
        """Set the weights to those of RBMs, from the pixels to the code."""
        for layer, mirror, rbm in zip(self.dense_layers, reversed(self.dense_layers), stack):
            layer.kernel.assign(rbm.kernel)
            layer.bias.assign(rbm.hidden_bias)
            mirror.kernel.assign(tf.transpose(rbm.kernel))
            mirror.bias.assign(rbm.visible_bias)


def _check_units(units: Sequence[int]) -> None:
    if not units or not all(isinstance(size, numbers.Integral) and size > 0 for size in units):
        raise ValueError(
            f"Autoencoder: units must be positive integers, at least one, got {units!r}; "
            "(1000, 500, 250, 30) is the thesis' encoder of MNIST")


def _check_word(name: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise ValueError(
            f"Autoencoder: {name} must be one of {', '.join(known)}, got {word!r}; pass one of "
            "these words")
