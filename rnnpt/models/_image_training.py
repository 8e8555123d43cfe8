"""How a model of images that are their own targets goes through Keras `fit` and `evaluate`."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rnnpt.models._replicas import sum_over_replicas
from rnnpt.models._update import check_compile
from rnnpt.optimizers import CurvatureTraining, ObjectiveOptimizer, OutputObjective
from rnnpt.optimizers.graph_error import plain_errors

#: What images may be fitted by.
OBJECTIVES = ("cross_entropy", "squared_error")


class ImageTraining(CurvatureTraining):
    """The part of `Autoencoder` that Keras' trainer calls.

    Args:
        **kwargs: of `keras.Model`.
    """

    objective: str

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._error_mean = keras.metrics.Mean("reconstruction_error")

    def fit(self, x: object = None, y: None = None, **kwargs: Any) -> keras.callbacks.History:
        """`keras.Model.fit` on images.

        Args:
            x: images (N, V), or a `tf.data.Dataset` of batches (B, V).
            y: nothing, the images are their own targets.
            **kwargs: of `keras.Model.fit`.

        Returns:
            Keras' history: "loss", and "reconstruction_error" (see the class).

        Raises:
            ValueError: if there is a target, `compile` was given a loss or metrics, which would
                count for nothing, or images are none that the objective knows.
        """
        check_compile(self, "an Autoencoder has its own")
        if y is not None:
            raise ValueError(
                f"fit must be given no target, got one of type {type(y).__name__}; the images are "
                "their own targets")
        if kwargs.get("validation_data") is not None:
            kwargs["validation_data"] = self._check_data(kwargs["validation_data"])
        kwargs.setdefault("shuffle", not isinstance(x, tf.data.Dataset))
        with plain_errors():
            return super().fit(self._check_data(x), **kwargs)

    def evaluate(self, x: object = None, y: None = None, **kwargs: Any) -> object:
        """`keras.Model.evaluate` on images.

        Args:
            x: images (N, V), or a `tf.data.Dataset` of batches (B, V).
            y: nothing, as in `fit`.
            **kwargs: of `keras.Model.evaluate`.

        Returns:
            "loss" and "reconstruction_error", as Keras gives them.

        Raises:
            ValueError: if images are none that the objective knows.
        """
        with plain_errors():
            return super().evaluate(self._check_data(x), **kwargs)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One update.

        Args:
            data: a batch of images, as Keras gives it.

        Returns:
            The running figures; with an optimizer that takes the loss itself those after the
            update, with those of the optimizer.
        """
        if isinstance(self.optimizer, ObjectiveOptimizer):
            return self.objective_step(data)
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            outputs = self(images, training=True)
            loss = self.compute_loss(images, y_pred=outputs)
            # Keras sums the gradients of replicas.
            scaled = self.optimizer.scale_loss(loss * self._share(images, loss.dtype))
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(scaled, variables), variables))
        return self._log(images, outputs, loss)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The figures of one batch.

        Args:
            data: a batch of images, as Keras gives it.

        Returns:
            The running figures.
        """
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        outputs = self(images)
        return self._log(images, outputs, self.compute_loss(images, y_pred=outputs))

    def curved_objective(self, data: Any) -> OutputObjective:
        """The objective of images with its curvature.

        Args:
            data: a batch of images, as Keras gives it.

        Returns:
            The sum over pixels, and its mean over images.
        """
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)

        def loss_of(outputs: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
            loss = self.compute_loss(images, y_pred=outputs)
            return loss * tf.cast(tf.shape(images)[0], loss.dtype)

        return OutputObjective(
            self.optimizer, self.trainable_variables, images, self, loss_of)

    def log_batch(self, data: Any, loss: tf.Tensor) -> dict[str, tf.Tensor]:
        """Move the running figures on by a batch of images.

        Args:
            data: as of `curved_objective`.
            loss: not used: the reconstruction error needs the outputs.

        Returns:
            The running figures.
        """
        return self.test_step(data)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """The objective of a batch.

        Args:
            x: images (B, V).
            y: ignored.
            y_pred: what `call` gave for them (B, V).
            sample_weight: ignored.
            training: ignored.

        Returns:
            The sum over pixels, the mean over cases (); 0 of a replica without cases.
        """
        images = self._assert_pixels(tf.cast(x, y_pred.dtype))
        if self.objective == "cross_entropy":
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=y_pred)
        else:
            losses = tf.math.squared_difference(images, y_pred)
        return tf.math.divide_no_nan(
            tf.reduce_sum(losses), tf.cast(tf.shape(losses)[0], losses.dtype))

    def compute_metrics(
        self,
        x: tf.Tensor,
        y: tf.Tensor | None,
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """The running figures, a batch more in them.

        Args:
            x: images (B, V).
            y: ignored.
            y_pred: what `call` gave for them (B, V).
            sample_weight: ignored.

        Returns:
            "loss" and "reconstruction_error".
        """
        errors = tf.math.squared_difference(tf.cast(x, y_pred.dtype), self._pixels(y_pred))
        self._error_mean.update_state(tf.reduce_sum(errors, axis=-1))
        return self.get_metrics_result()

    def _log(
        self, images: tf.Tensor, outputs: tf.Tensor, loss: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(images)[0])
        return self.compute_metrics(images, None, outputs)

    def _share(self, images: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """Of a replica's images in those of all replicas."""
        num_images = tf.cast(tf.shape(images)[0], dtype)
        return num_images / sum_over_replicas(num_images)

    def _pixels(self, outputs: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(outputs) if self.objective == "cross_entropy" else outputs

    def _check(self, images: object) -> tf.Tensor:
        """Images (N, V) from outside as a tensor, the model built for them."""
        values = np.asarray(images)
        if values.ndim != 2 or values.dtype.kind not in "buif":
            raise ValueError(
                f"images must be numbers of shape (images, pixels), got shape {values.shape} of "
                f"type {values.dtype}; make each image one row")
        self._build_for(values.shape[1])
        values = values.astype(self.compute_dtype)
        wrong = ~self._known(values)
        if wrong.any():
            raise ValueError(f"{self._rule()}, got {values[wrong][0]}")
        return tf.convert_to_tensor(values)

    def _check_data(self, x: object) -> object:
        """What a trainer is given, the model built for it; batches are asserted in the graph."""
        if not isinstance(x, tf.data.Dataset):
            return self._check(x)
        spec = x.element_spec
        if not isinstance(spec, tf.TensorSpec) or spec.shape.rank != 2 or spec.shape[-1] is None:
            raise ValueError(
                f"a dataset must be of batches of images (B, V) and no targets, got {spec}; map "
                "its elements to such tensors")
        self._build_for(spec.shape[-1])
        return x

    def _build_for(self, num_pixels: int) -> None:
        if not self.built:
            with self.distribute_strategy.scope():
                self.build((None, num_pixels))
        built_for = self.dense_layers[-1].units
        if built_for != num_pixels:
            raise ValueError(
                f"images must have {built_for} pixels, as the model was built, got {num_pixels}; "
                "give images of that size or make a new model")

    def _assert_pixels(self, images: tf.Tensor) -> tf.Tensor:
        known = self._known(images)
        check = tf.cond(
            tf.reduce_all(known), tf.no_op,
            lambda: tf.debugging.Assert(
                False, [f"{self._rule()}, got", tf.boolean_mask(images, ~known)[0]]))
        with tf.control_dependencies([check]):
            return tf.identity(images)

    def _known(self, images: Any) -> Any:
        """Which pixels the objective knows: of NaN every comparison is false."""
        if self.objective == "cross_entropy":
            return (images >= 0) & (images <= 1)
        return abs(images) < np.inf

    def _rule(self) -> str:
        rule = "from 0 to 1" if self.objective == "cross_entropy" else "finite"
        return (f"pixels must be {rule} for the objective {self.objective}: scale them or take "
                "the other objective")
