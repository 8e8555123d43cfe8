"""The deep belief network: RBMs, each of which learns what the one below makes of the data."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.heads import AISSchedule, RBMHead
from rnnpt.models._frame import FrameModel
from rnnpt.models.rbm import RBM

# Purposes of the streams that are drawn from one seed.
_TOP, _DOWN, _LIFT, _SURPLUS, _HIDDEN = range(5)


@keras.saving.register_keras_serializable(package="rnnpt")
class DeepBeliefNetwork(FrameModel):
    """A stack of RBMs, the top one undirected and all below it read downwards.

    Use it for features of features of frames that have no order: `model(frames)` and `predict` give
    the top layer's means. It is trained greedily, layer by layer; see `fit`.

    Equation, of two layers: M(v, h, u) = P(v|h) Q(h, u), where Q learns the aggregated posterior of
    P, the mean of P(h|v) over the data.

    Args:
        num_hidden: numbers of hidden units, from the bottom up.
        num_gibbs_steps: k of contrastive divergence in each layer.
        num_chains: of persistent contrastive divergence in each layer; None starts each chain at
            the data.
        layer_inputs: "mean" trains a layer on the hidden means below, "sample" on draws of them.
        transposed_start: whether a layer starts as the transpose of the one below, as a model of
            the same distribution of the units between; a layer must then be at least as wide as
            the second one below it.
        seed: of the initial weights, and of everything random in training.
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: if there is no layer, a number of units is none, or `layer_inputs` is no such
            word.

    Example:
        >>> import numpy as np
        >>> model = DeepBeliefNetwork(num_hidden=(6, 4))
        >>> model.compile("adam")
        >>> histories = model.fit(np.eye(5), epochs=2, verbose=0)
        >>> model.sample(num_frames=3, seed=1, num_steps=10).shape
        TensorShape([3, 5])

    Source: Sutskever 2013, section 2.7.1, eqs. 2.34 to 2.36; Hinton, Osindero and Teh 2006.
    """

    def __init__(
        self,
        num_hidden: Sequence[int] = (500, 250),
        num_gibbs_steps: int = 1,
        num_chains: int | None = None,
        layer_inputs: str = "mean",
        transposed_start: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not num_hidden:
            raise ValueError(
                f"DeepBeliefNetwork: num_hidden must name at least one layer, got {num_hidden!r}; "
                "(500, 250) makes two")
        if layer_inputs not in ("mean", "sample"):
            raise ValueError(
                "DeepBeliefNetwork: layer_inputs must be 'mean' or 'sample', got "
                f"{layer_inputs!r}; means are less noisy")
        self.rbms = [
            RBM(size, num_gibbs_steps=num_gibbs_steps, num_chains=num_chains, seed=seed + layer,
                dtype=self.dtype_policy)
            for layer, size in enumerate(num_hidden)]
        self.seed = seed
        self._config: dict[str, Any] = {
            "num_hidden": list(num_hidden), "num_gibbs_steps": num_gibbs_steps,
            "num_chains": num_chains, "layer_inputs": layer_inputs,
            "transposed_start": transposed_start, "seed": seed}
        self._down = tf.function(self._pass_down)
        self._bounds = tf.function(self._sample_bounds)

    def compile(self, optimizer: object = "adam") -> None:
        """Choose how the layers are trained.

        Args:
            optimizer: of Keras; each layer gets one of its own with these settings.
        """
        super().compile(optimizer)

    def compile_from_config(self, config: dict[str, object]) -> None:
        """Compile a loaded model; its optimizer has no variables, for the layers have their own.

        Args:
            config: what `get_compile_config` gave.
        """
        self.compile(keras.saving.deserialize_keras_object(config)["optimizer"])

    @property
    def head(self) -> RBMHead:  # type: ignore[override]
        """The head of the lowest RBM, which sees the frames."""
        return self.rbms[0].head

    def call(self, frames: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The means of the top layer, each layer given the means below it.

        Args:
            frames: (B, V).
            training: ignored, nothing differs.

        Returns:
            Probabilities (B, K), K units in the top layer.
        """
        self.build_for(frames.shape[-1])
        for rbm in self.rbms:
            frames = rbm(frames)
        return frames

    def transform(self, frames: object) -> tf.Tensor:
        """What the top layer makes of frames.

        Args:
            frames: (N, V).

        Returns:
            Probabilities (N, K).
        """
        return self(self._check(frames))

    def fit(
        self,
        x: object,
        epochs: int = 10,
        batch_size: int | None = None,
        verbose: int | str = "auto",
    ) -> list[keras.callbacks.History]:
        """Train each layer on what those below, trained already, make of the frames.

        With `transposed_start`, a layer above the first starts afresh at each call.

        Args:
            x: frames (N, V), or a `tf.data.Dataset` of batches (B, V).
            epochs: over the frames, for each layer.
            batch_size: of an array; Keras' own where None.
            verbose: as in `keras.Model.fit`.

        Returns:
            Histories of the layers from the bottom up; see `RBM.fit`.

        Raises:
            ValueError: if frames are none from 0 to 1, or the model is not compiled.
        """
        if not self.compiled:
            raise ValueError(
                "fit must come after compile, got a model that has no optimizer; call "
                "compile('adam')")
        x = self._check_data(x)
        histories = []
        for layer, rbm in enumerate(self.rbms):
            if layer > 0:
                x = self._lift(layer - 1, x)
                if self._config["transposed_start"]:
                    self._start_transposed(layer)
            settings = keras.optimizers.serialize(self.optimizer)
            rbm.compile(keras.optimizers.deserialize(settings))
            histories.append(rbm.fit(x, epochs=epochs, batch_size=batch_size, verbose=verbose))
        return histories

    def sample(self, num_frames: int, seed: int, num_steps: int = 1000) -> tf.Tensor:
        """Draw frames: Gibbs chains in the top RBM, then one directed pass down.

        Args:
            num_frames: N.
            seed: of the draw.
            num_steps: length of the chains.

        Returns:
            Frames (N, V), in {0, 1}.
        """
        self._check_draw(num_frames, num_steps)
        key = numerics.as_seed(seed)
        top = self.rbms[-1].sample(num_frames, numerics.fold_in(key, _TOP), num_steps)
        return self._down(top, numerics.fold_in(key, _DOWN))

    def lower_bound(
        self,
        frames: object,
        num_samples: int = 20,
        seed: int = 0,
        schedule: AISSchedule | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A lower bound of the log-likelihood of frames, estimated.

        Equation: E[log P(v|h) - log P(h|v) + log Q(h)] over h of P(h|v), and log Q(h) bounded in
        the same way where there are more layers; log Z of the top by annealed importance sampling.

        Args:
            frames: (N, V).
            num_samples: draws of the hidden units a frame, at least 2.
            seed: of the estimate.
            schedule: how much work log Z is; a large RBM needs more temperatures than the default.

        Returns:
            Nats (N,), and their standard errors (N,): the one of log Z, common to all, included.

        Raises:
            ValueError: if `num_samples` is less than 2.

        Source: Sutskever 2013, eq. 2.35.
        """
        if not isinstance(num_samples, int) or num_samples < 2:
            raise ValueError(
                f"num_samples must be an integer from 2 on, got {num_samples!r}; one draw has no "
                "standard error")
        frames = self._check(frames)
        log_z, error = self.rbms[-1].log_partition(seed, schedule)
        # Draws that are not those of log Z, or the two errors would not add up.
        key = numerics.fold_in(numerics.as_seed(seed), _HIDDEN)
        bounds = self._bounds(frames, key, tf.range(num_samples))
        spread = tf.math.reduce_variance(bounds, axis=0) / (num_samples - 1)
        return tf.reduce_mean(bounds, axis=0) - log_z, tf.sqrt(spread + error ** 2)

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {**super().get_config(), **self._config}

    def _build_parts(self, num_visible: int) -> None:
        widths = [num_visible, *self._config["num_hidden"]]
        for below, above in zip(widths, widths[2:]):
            if self._config["transposed_start"] and above < below:
                raise ValueError(
                    f"num_hidden must grow for transposed_start, got {above} units two layers "
                    f"above {below}; make it {below} at least or start without")
        for rbm, width in zip(self.rbms, widths):
            rbm.build_for(width)

    def _lift(self, layer: int, x: tf.Tensor | tf.data.Dataset) -> tf.Tensor | tf.data.Dataset:
        """The aggregated posterior of a layer, as what the next one is trained on."""
        rbm = self.rbms[layer]
        key = numerics.fold_in(numerics.fold_in(numerics.as_seed(self.seed), _LIFT), layer)

        def lift(batch: int | tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
            mean = rbm(frames)
            if self._config["layer_inputs"] == "mean":
                return mean
            return _draw(mean, numerics.fold_in(key, batch))

        return x.enumerate().map(lift) if isinstance(x, tf.data.Dataset) else lift(0, x)

    def _start_transposed(self, layer: int) -> None:
        """Set a layer to the same distribution of its visible units as the layer below has.

        A unit without weights multiplies every probability by the same, so that those that are too
        many change nothing; their biases differ so that they can part in training.
        """
        below, above = self.rbms[layer - 1], self.rbms[layer]
        surplus = above.head.num_hidden - below.head.kernel.shape[0]
        key = numerics.fold_in(numerics.fold_in(numerics.as_seed(self.seed), _SURPLUS), layer)
        biases = tf.random.stateless_normal([surplus], key, dtype=below.hidden_bias.dtype)
        kernel = tf.transpose(tf.convert_to_tensor(below.head.kernel))
        above.head.kernel.assign(tf.pad(kernel, [[0, 0], [0, surplus]]))
        above.visible_bias.assign(below.hidden_bias)
        above.hidden_bias.assign(tf.concat([below.visible_bias, biases], axis=0))

    def _pass_down(self, units: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        for layer, rbm in reversed(list(enumerate(self.rbms[:-1]))):
            units = _draw(tf.sigmoid(_visible_logits(rbm, units)), numerics.fold_in(seed, layer))
        return units

    def _sample_bounds(self, frames: tf.Tensor, seed: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """The bound but for log Z at some draws of the hidden units, (draws, N)."""
        def bound(draw: tf.Tensor) -> tf.Tensor:
            key, below, total = numerics.fold_in(seed, draw), frames, 0.0
            for layer, rbm in enumerate(self.rbms[:-1]):
                logits = _hidden_logits(rbm, below)
                hidden = _draw(tf.sigmoid(logits), numerics.fold_in(key, layer))
                total += numerics.bernoulli_log_prob(_visible_logits(rbm, hidden), below)
                total -= numerics.bernoulli_log_prob(logits, hidden)
                below = hidden
            return total - self.rbms[-1]._free_energy(below)

        return tf.map_fn(bound, draws, fn_output_signature=frames.dtype)


def _draw(mean: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    uniforms = tf.cast(numerics.uniform(seed, tf.shape(mean)), mean.dtype)
    return tf.cast(uniforms < mean, mean.dtype)


def _hidden_logits(rbm: RBM, frames: tf.Tensor) -> tf.Tensor:
    return rbm.hidden_bias + tf.matmul(frames, rbm.head.kernel)


def _visible_logits(rbm: RBM, hidden: tf.Tensor) -> tf.Tensor:
    return rbm.visible_bias + tf.matmul(hidden, rbm.head.kernel, transpose_b=True)
