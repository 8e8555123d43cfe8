"""A wrapper by which any Keras model hands its loss to the optimizer."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt.optimizers._hidden_units import Hidden, recorded_units, recurrent_layers
from rnnpt.optimizers._matching_loss import MatchingLoss
from rnnpt.optimizers.curvature_training import CurvatureTraining
from rnnpt.optimizers.graph_error import plain_errors
from rnnpt.optimizers.objective import Objective
from rnnpt.optimizers.objective_optimizer import ObjectiveOptimizer
from rnnpt.optimizers.output_objective import OutputObjective
from rnnpt.optimizers.reporting_optimizer import ReportingOptimizer


@keras.saving.register_keras_serializable(package="rnnpt")
class SecondOrderModel(CurvatureTraining):
    """A Keras model that trains by optimizers that need the loss itself.

    Use it with `Nesterov1983` or `HessianFree`; with a first-order optimizer it trains as the model
    alone would. The model inside stays as it is: both share their weights, and it can be called,
    saved or exported on its own. The loss is that of `compile`, with the penalties of the layers.

    Within one update everything random is drawn alike and each evaluation begins with the same
    moving averages, so that the loss is a function of the weights; they move on once an update. The
    figures that `fit` logs are those after each update.

    An optimizer that takes a curvature, such as `HessianFree`, needs a functional model of one
    output, whose last activation matches the loss: mean squared error with linear, binary
    cross-entropy with sigmoid, (sparse) categorical cross-entropy with softmax, or one of the last
    two `from_logits` with linear. What it minimises is a sum: the loss of `compile` times the
    number of outputs of an example, all of its unmasked steps counted (under a categorical loss,
    times the number of steps). That is the scale of the damping, and the weights where it is least
    are the same; a squared error has no factor of 1/2. Batch normalization is refused, since it
    makes the outputs of a row hang on the others; what is random is drawn alike in each part of a
    batch of `rows_at_once`.

    Structural damping keeps in place what the recurrent layers of the model (`keras.layers.RNN` and
    its kin) give out at each unmasked step, whether they return their sequences or not: by the
    distance that matches the nonlinearity of a `SimpleRNN`, as in a `SequenceModel`, and by the
    squared error for all others.

    Args:
        model: a functional or any other Keras model.
        **kwargs: of `keras.Model`.

    Raises:
        TypeError: if `model` is no Keras model.

    Example:
        >>> inner = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
        >>> model = SecondOrderModel(inner)
        >>> [tuple(weight.shape) for weight in model.trainable_variables]
        [(2, 1), (1,)]
    """

    # XLA leaves the assertions of the optimizers out.
    supports_jit = False

    def __init__(self, model: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(model, keras.Model):
            raise TypeError(
                f"SecondOrderModel: model must be a Keras model, got {type(model).__name__}; wrap "
                "the layers in keras.Sequential")
        self.model = model
        self.built = model.built

    def build(self, input_shape: Any) -> None:
        """Create the variables of the model inside.

        Args:
            input_shape: of its inputs.
        """
        if not self.model.built:
            self.model.build(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """What the model inside gives.

        Args:
            inputs: as it takes them.
            training: whether it trains.

        Returns:
            Its outputs.
        """
        return self.model(inputs, training=training)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """`keras.Model.fit`.

        Args:
            *args: of `keras.Model.fit`.
            **kwargs: of `keras.Model.fit`.

        Returns:
            Keras' history.
        """
        with plain_errors():
            return super().fit(*args, **kwargs)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One update.

        Args:
            data: a batch, as Keras gives it.

        Returns:
            The running figures, as Keras logs them.
        """
        if not isinstance(self.optimizer, ObjectiveOptimizer):
            return super().train_step(data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if not self.built:
            self(x)
        if self.takes_curvature:
            return self.objective_step(data)
        # A call may move these on: counters of random draws, moving averages, metrics.
        variables = [*self.non_trainable_variables, *self.metrics_variables]
        values = [tf.identity(tf.convert_to_tensor(variable)) for variable in variables]

        def restore() -> None:
            for variable, value in zip(variables, values):
                variable.assign(value)

        def loss() -> tf.Tensor:
            restore()
            outputs = self(x, training=True)
            return self.compute_loss(x, y, outputs, sample_weight, training=True)

        final_loss = self.optimizer.minimize(Objective(self.trainable_variables, loss))
        restore()
        logs = self.log_batch(data, final_loss)
        if isinstance(self.optimizer, ReportingOptimizer):
            logs |= self.optimizer.figures
        return logs

    def curved_objective(self, data: Any) -> OutputObjective:
        """The loss of a batch with its curvature.

        Args:
            data: a batch, as Keras gives it.

        Returns:
            The sum over the outputs of an example, and its mean over examples.

        Raises:
            ValueError: if the model is not of the kind that the class names.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        for layer in self.model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
                raise ValueError(
                    "SecondOrderModel: model must treat each row alone, for an optimizer that "
                    f"takes a curvature, got BatchNormalization {layer.name!r}; set its "
                    "trainable=False or take LayerNormalization")
        loss = MatchingLoss(self.model, self.loss, self.get_compile_config()["loss_weights"])
        penalized = [variable for variable in self.trainable_variables if variable.regularizer]

        def penalty_of(outputs: tf.Tensor, data: Any) -> tf.Tensor:
            count = loss.count(outputs, data[1])
            return tf.add_n([
                count * tf.cast(variable.regularizer(variable), count.dtype)
                for variable in penalized])

        recurrent = recurrent_layers(self.model)

        def hidden_of(data: Any) -> tuple[tf.Tensor, Hidden]:
            with recorded_units(recurrent) as hidden:
                outputs = loss.outputs(data[0])
            return outputs, hidden

        return OutputObjective(
            self.optimizer, self.trainable_variables, (x, y, sample_weight),
            lambda data: loss.outputs(data[0]),
            lambda outputs, data: loss.total(outputs, *data[1:]),
            penalty_of if penalized else None, self.non_trainable_variables,
            hidden_of if recurrent else None)

    def log_batch(self, data: Any, loss: tf.Tensor) -> dict[str, tf.Tensor]:
        """Move the running figures on by a batch, and what is drawn at random.

        Args:
            data: a batch, as Keras gives it.
            loss: not used: metrics need the outputs, and the loss of `compile` is another.

        Returns:
            The running figures.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        outputs = self(x, training=True)
        # Of several replicas Keras gives the share of each in the mean.
        loss = self.compute_loss(x, y, outputs, sample_weight, training=True) * (
            self.distribute_strategy.num_replicas_in_sync)
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(tf.nest.flatten(x)[0])[0])
        return self.compute_metrics(x, y, outputs, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {**super().get_config(), "model": keras.saving.serialize_keras_object(self.model)}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "SecondOrderModel":
        """The model that `get_config` describes.

        Args:
            config: what `get_config` gave.
            custom_objects: classes by name that Keras does not know.

        Returns:
            A model with new weights.
        """
        model = keras.saving.deserialize_keras_object(config["model"], custom_objects)
        return cls(**config | {"model": model})
