"""The categorical head of a large vocabulary: a class of words first, then a word of the class."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rnnpt import numerics
from rnnpt.heads.head import Head, inverse_temperature


@keras.saving.register_keras_serializable(package="rnnpt")
class FactoredCategoricalHead(Head):
    """One of V symbols, drawn as a class and then as a symbol of that class.

    Use it for words, where V is thousands: in training a frame costs O(F (C + words of its class))
    in place of O(F V). With classes of equal frequency (`frequency_classes`) that is F (C + V / C)
    on average. Only `mean` goes over all V.

    Equation: P(word) = softmax(class_kernel f + class_bias)_class
    softmax(word_kernel f + word_bias over the words of the class)_word, with the features f (F) as
    the parameters. The kernels are the head's own, so that the rows of one class are all that is
    read: `kernel` (C + V, F) has the C classes first, then the words by class.

    Args:
        class_of: the class of each symbol, V numbers from 0 to C - 1.
        num_features: F, the size of the features that the recurrence gives, such as its number of
            units.
        kernel_initializer: how `kernel` (C + V, F) starts.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        TypeError: if a class is no integer.
        ValueError: if there is no class, one is negative or has no symbol, or `num_features` is
            no positive integer.

    Example:
        >>> from rnnpt.heads import frequency_classes
        >>> head = FactoredCategoricalHead(frequency_classes([50, 30, 10, 10], 2), num_features=3)
        >>> head.class_of
        (0, 1, 1, 1)

    Source: Bengio et al. 2012, section 4.2; Mikolov et al. 2011, Extensions of recurrent neural
    network language model.
    """

    support = "one_hot"

    def __init__(
        self,
        class_of: Sequence[int] | np.ndarray,
        num_features: int,
        kernel_initializer: object = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(num_features, int) or num_features < 1:
            raise ValueError(
                "FactoredCategoricalHead: num_features must be a positive integer, got "
                f"{num_features!r}; give the size of the cell's output")
        classes = _check_classes(class_of)
        self.class_of = tuple(classes.tolist())
        self.num_features = num_features
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self._sizes = np.bincount(classes)
        self._first = np.cumsum(self._sizes) - self._sizes
        # The words by class, and the place of each word in that order and within its class.
        self._order = np.argsort(classes, kind="stable")
        self._place = np.argsort(self._order)
        self._rank = self._place - self._first[classes]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernel and the bias.

        Args:
            input_shape: shape of the frames (..., V).

        Raises:
            ValueError: if V is not the number of symbols that have a class.
        """
        num_symbols = len(self.class_of)
        if input_shape[-1] != num_symbols:
            raise ValueError(
                f"FactoredCategoricalHead: class_of must have one class for each of the "
                f"{input_shape[-1]} units of a frame, got {num_symbols}; classify every symbol")
        num_rows = len(self._sizes) + num_symbols
        self.kernel = self.add_weight(
            name="kernel", shape=(num_rows, self.num_features),
            initializer=self.kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(num_rows,), initializer="zeros")
        super().build(input_shape)

    def num_parameters(self, num_visible: int) -> int:
        """The size of the features, whatever the number of symbols.

        Args:
            num_visible: V.

        Returns:
            F.
        """
        return self.num_features

    def log_prob(self, parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """Exact log-likelihood of frames, from the logits of the classes and of one class' words.

        Args:
            parameters: features (..., F).
            frames: (..., V), one-hot.

        Returns:
            Nats a frame (...).
        """
        blocks = self._blocks()
        features = tf.reshape(parameters, [-1, self.num_features])
        words = tf.reshape(tf.argmax(frames, axis=-1), [-1])
        classes = tf.gather(tf.constant(self.class_of, tf.int32), words)
        ranks = tf.gather(tf.constant(self._rank, tf.int32), words)
        of_class = _log_prob_of(_logits(features, blocks[0]), classes)
        in_class = _within_classes(_log_prob_of, blocks[1:], classes, features, ranks)
        return tf.reshape(of_class + in_class, tf.shape(parameters)[:-1])

    def logits(self, parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """Logits of all classes and of all symbols, which goes over all V.

        Args:
            parameters: features (..., F).
            frames: not used.

        Returns:
            (..., C + V), the classes first, then the symbols by class.
        """
        return _logits(parameters, (tf.convert_to_tensor(self.kernel), self.bias))

    def curvature(self, logits: tf.Tensor, tangents: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """The Hessian of the loss at the logits, times a direction.

        Args:
            logits: (..., C + V).
            tangents: the direction (..., C + V).
            frames: (..., V), one-hot; only the symbols of a frame's own class have a curvature.

        Returns:
            (..., C + V).
        """
        classes = tf.constant(self.class_of)
        own = tf.gather(classes, tf.argmax(frames, axis=-1))[..., tf.newaxis]
        is_own = own == tf.gather(classes, self._order)
        sizes = [len(self._sizes), len(self.class_of)]
        of_classes, of_symbols = zip(
            *(tf.split(each, sizes, axis=-1) for each in (logits, tangents)))
        in_class = tf.where(is_own, of_symbols[0], tf.constant(-math.inf, logits.dtype))
        return tf.concat([
            numerics.categorical_curvature(tf.nn.softmax(of_classes[0]), of_classes[1]),
            numerics.categorical_curvature(tf.nn.softmax(in_class), of_symbols[1])], axis=-1)

    def sample(
        self, parameters: tf.Tensor, seed: tf.Tensor, temperature: float | tf.Tensor = 1.0
    ) -> tf.Tensor:
        """Draw a class a frame, then a symbol of that class.

        Args:
            parameters: features (..., F).
            seed: of the draw.
            temperature: divides the logits of both draws. Other than at 1 that is not the same as
                a power of P(word), which would take all V logits.

        Returns:
            Frames (..., V), one-hot.
        """
        parameters = tf.convert_to_tensor(parameters)
        leading = tf.shape(parameters)[:-1]
        blocks = self._blocks()
        features = tf.reshape(parameters, [-1, self.num_features])
        scale = tf.cast(inverse_temperature(temperature), parameters.dtype)
        scale = tf.broadcast_to(scale, tf.concat([leading, [1]], axis=0))
        scale = tf.reshape(scale, [-1, 1])
        uniforms = numerics.uniform(seed, tf.concat([leading, [2]], axis=0))
        uniforms = tf.reshape(uniforms, [-1, 2])
        classes = numerics.categorical_sample(
            scale * _logits(features, blocks[0]), uniforms[:, 0])
        ranks = _within_classes(
            lambda logits, scale, uniforms: numerics.categorical_sample(scale * logits, uniforms),
            blocks[1:], classes, features, scale, uniforms[:, 1])
        places = tf.gather(tf.constant(self._first, tf.int32), classes) + ranks
        words = tf.reshape(tf.gather(tf.constant(self._order, tf.int32), places), leading)
        return tf.one_hot(words, len(self.class_of), dtype=parameters.dtype)

    def mean(self, parameters: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Exact probabilities of all symbols, which goes over all V.

        Args:
            parameters: features (..., F).
            seed: not used.

        Returns:
            Probabilities (..., V).
        """
        of_class, *in_class = (
            tf.nn.softmax(_logits(parameters, block)) for block in self._blocks())
        by_class = [each * of_class[..., which:which + 1] for which, each in enumerate(in_class)]
        return tf.gather(tf.concat(by_class, axis=-1), self._place, axis=-1)

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "class_of": list(self.class_of),
            "num_features": self.num_features,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }

    def _blocks(self) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """The kernel and bias of the classes, then those of the words of each class.

        They are split at once: the gradient of as many slices would be as many whole kernels.
        """
        sizes = [len(self._sizes), *self._sizes]
        return list(zip(tf.split(self.kernel, sizes), tf.split(self.bias, sizes)))


def _check_classes(class_of: Sequence[int] | np.ndarray) -> np.ndarray:
    classes = np.asarray(class_of)
    if classes.ndim != 1 or not classes.size:
        raise ValueError(
            "FactoredCategoricalHead: class_of must be a list with one class for each symbol, got "
            f"the shape {classes.shape}; see frequency_classes")
    if classes.dtype.kind not in "iu":
        raise TypeError(
            f"FactoredCategoricalHead: class_of must hold integers, got {classes.dtype}; number "
            "the classes from 0 on")
    present = np.unique(classes)
    wrong = np.flatnonzero(present != np.arange(len(present)))
    if wrong.size:
        found = (f"class {present[0]}" if present[0] < 0
                 else f"no symbol in class {wrong[0]} of {present[-1] + 1}")
        raise ValueError(
            f"FactoredCategoricalHead: class_of must use each class from 0 to the largest, got "
            f"{found}; number the classes anew without a gap")
    return classes


def _logits(features: tf.Tensor, block: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    kernel, bias = block
    return tf.nn.bias_add(tf.tensordot(features, kernel, axes=[[-1], [1]]), bias)


def _log_prob_of(logits: tf.Tensor, choices: tf.Tensor) -> tf.Tensor:
    return -tf.nn.sparse_softmax_cross_entropy_with_logits(labels=choices, logits=logits)


def _within_classes(
    rule: Callable[..., tf.Tensor],
    blocks: list[tuple[tf.Tensor, tf.Tensor]],
    classes: tf.Tensor,
    features: tf.Tensor,
    *values: tf.Tensor,
) -> tf.Tensor:
    """What a rule makes of the logits of the words in each row's own class.

    The rows are sorted by class, and each class is one product with its own words: no padding,
    so that a class of many rare words costs nothing where it does not occur.
    """
    places, features_of, *values_of = (
        tf.dynamic_partition(each, classes, len(blocks))
        for each in (tf.range(tf.shape(classes)[0]), features, *values))
    answers = [
        rule(_logits(of_class, block), *rest)
        for block, of_class, *rest in zip(blocks, features_of, *values_of)]
    return tf.dynamic_stitch(places, answers)
