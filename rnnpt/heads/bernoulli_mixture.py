"""The mixture head: a few kinds of frame, their weights set by the past."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.heads.head import Head, inverse_temperature


@keras.saving.register_keras_serializable(package="rnnpt")
class BernoulliMixtureHead(Head):
    """A mixture of components in which the units are independent; the past sets their weights.

    Use it for the output of a hidden Markov model, whose components are its states, or for a
    network that chooses among a few kinds of frame: exact, and its units depend on each other.

    Equation: P(frame) = sum over s of softmax(parameters)_s P(frame | s), P(frame | s) the product
    of Bernoulli likelihoods with the log-odds component_logits_s, the same at all steps.

    Args:
        num_components: S, the number of components.
        component_initializer: how the log-odds of the units in each component (S, V) start. Equal
            rows would stay equal under any training.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if `num_components` is no positive integer.

    Source: Bishop 2006, Pattern recognition and machine learning, section 9.3.3.
    """

    def __init__(
        self,
        num_components: int,
        component_initializer: object = "random_normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(num_components, int) or num_components < 1:
            raise ValueError(
                f"BernoulliMixtureHead: num_components must be a positive integer, got "
                f"{num_components!r}; give the number of components, such as 50")
        self.num_components = num_components
        self.component_initializer = keras.initializers.get(component_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the log-odds of the units in each component.

        Args:
            input_shape: shape of the frames (..., V).
        """
        self.component_logits = self.add_weight(
            name="component_logits", shape=(self.num_components, input_shape[-1]),
            initializer=self.component_initializer)
        super().build(input_shape)

    def num_parameters(self, num_visible: int) -> int:
        """One log weight a component.

        Args:
            num_visible: V.

        Returns:
            S.
        """
        return self.num_components

    def log_prob(self, parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """Exact log-likelihood of frames.

        Args:
            parameters: log weights (..., S), up to a constant.
            frames: (..., V), in {0, 1}.

        Returns:
            Nats a frame (...).
        """
        each = numerics.bernoulli_log_probs(self.component_logits, frames)
        return tf.reduce_logsumexp(tf.nn.log_softmax(parameters) + each, axis=-1)

    def logits(self, parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """The log-likelihood of each frame: the loss is convex in nothing that comes before it.

        Args:
            parameters: log weights (..., S), up to a constant.
            frames: (..., V), in {0, 1}.

        Returns:
            (..., 1).
        """
        return self.log_prob(parameters, frames)[..., tf.newaxis]

    def curvature(self, logits: tf.Tensor, tangents: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """That of -log P(frame) at P(frame), in terms of its logarithm: 1.

        The Gauss-Newton matrix is then the sum of the outer products of the gradients of the
        frames, the empirical Fisher information (Sutskever 2013, footnote 1 of chapter 4).

        Args:
            logits: not used.
            tangents: the direction (..., 1).
            frames: not used.

        Returns:
            The direction (..., 1).
        """
        return tf.convert_to_tensor(tangents)

    def sample(
        self, parameters: tf.Tensor, seed: tf.Tensor, temperature: float | tf.Tensor = 1.0
    ) -> tf.Tensor:
        """Draw a component, then each of its units on its own.

        Args:
            parameters: log weights (..., S), up to a constant.
            seed: of the draw.
            temperature: divides the log weights, and the log-odds of the drawn component.

        Returns:
            Frames (..., V), in {0, 1}.
        """
        scale = tf.cast(inverse_temperature(temperature), parameters.dtype)
        heights = numerics.uniform(numerics.fold_in(seed, 0), tf.shape(parameters)[:-1])
        component = numerics.categorical_sample(parameters * scale, heights)
        logits = tf.gather(tf.convert_to_tensor(self.component_logits), component) * scale
        uniforms = numerics.uniform(numerics.fold_in(seed, 1), tf.shape(logits))
        return numerics.bernoulli_sample(logits, tf.cast(uniforms, logits.dtype))

    def mean(self, parameters: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Exact probabilities.

        Args:
            parameters: log weights (..., S), up to a constant.
            seed: not used.

        Returns:
            Probabilities (..., V).
        """
        return tf.tensordot(
            tf.nn.softmax(parameters), tf.sigmoid(self.component_logits), axes=1)

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "num_components": self.num_components,
            "component_initializer": keras.initializers.serialize(self.component_initializer),
        }
