"""The temporal restricted Boltzmann machine."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.cells import WindowCell, swap_time
from rnnpt.models._batch import Batch, check_frames, unpack_batch, zero_padding
from rnnpt.models._conditional_rbm import VisibleBias, make_head, small_normal
from rnnpt.models._named import NamedModel


@keras.saving.register_keras_serializable(package="rnnpt")
class TRBM(NamedModel):
    """An RBM for each frame whose biases the last m frames and hidden units move.

    Use it where a short past tells most, to denoise as the frames come in, or to stack
    (`TRBMStack`); each frame learns on its own, with no back-propagation through time.

    Equation: the hidden units of the past are known by their means under approximate filtering,
    p_t = sigmoid(W v_t + B_t). At step t the RBM has the kernel W, the hidden bias
    B_t = b_h + sum over n = 1 .. m of W'_n p_(t-n) + W_n v_(t-n), and the visible bias
    b_v + sum over n of A_n v_(t-n). What came before the first frame is learned, and the learning
    takes the p for data. `generate` passes the means on, as `call` does.

    Args:
        num_hidden: K, hidden units.
        order: m, how many steps back the connections go.
        variant: "full", or what is left out: "-VV" the A_n, "-HH" the W'_n, "-VH" the W_n.
        num_gibbs_steps: k of contrastive divergence, a number or a schedule, as `RBMHead` takes
            it.
        visible: "binary", or "gaussian" for real frames of unit variance.
        negatives: what stands against the data in training, "sampled" or "mean_field", as `RBMHead`
            takes it; the second is less noisy.
        seed: of the initial weights, and of everything random in training.
        **kwargs: of `SequenceModel`, such as `dropout`.

    Raises:
        ValueError: if the order, the variant or the kind of visible units is none.

    Example:
        >>> model = TRBM(num_hidden=6, order=2, variant="-HH")
        >>> model.build_for(num_visible=8)
        >>> model.state_sizes
        [16]

    Source: Sutskever 2013, eqs. 3.1, 3.2, 3.5 and 3.7 to 3.11, section 3.3.
    """

    def __init__(
        self,
        num_hidden: int = 200,
        order: int = 4,
        variant: str = "full",
        num_gibbs_steps: Any = 1,
        visible: str = "binary",
        negatives: str = "sampled",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        cell = WindowCell(
            num_hidden, order, variant, detached=True, window_initializer=small_normal(seed + 1),
            recurrent_initializer=small_normal(seed + 3))
        head = make_head(
            visible, num_hidden, num_gibbs_steps=num_gibbs_steps, negatives=negatives,
            kernel_initializer=small_normal(seed, 0.01))
        super().__init__(
            cell, head, seed=seed, readout_initializer=small_normal(seed + 2), **kwargs)
        self._config = {
            "num_hidden": num_hidden, "order": order, "variant": variant,
            "num_gibbs_steps": head.get_config()["num_gibbs_steps"], "visible": visible,
            "negatives": negatives, "seed": seed}
        self._means = tf.function(self._hidden_means, reduce_retracing=True)
        self._reconstruct = tf.function(self._visible_means, reduce_retracing=True)
        self._draw = tf.function(self._draw_visible, reduce_retracing=True)

    def hidden_means(self, frames: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Approximate filtering: what the hidden units are, given the frames so far.

        Args:
            frames: (B, T, V).
            mask: True on real frames (B, T); all of them where None.

        Returns:
            Means p (B, T, K), zero where padded.
        """
        frames, mask = check_frames("frames", frames, mask, head=self.head)
        self.build_for(frames.shape[-1])
        return self._means(frames, mask)

    def lift(self, batch: Batch) -> dict[str, tf.Tensor]:
        """A batch for a model of the hidden means; usable inside a graph.

        Args:
            batch: whole sequences, see `SequenceModel`: each row starts in it.

        Returns:
            The same with the hidden means for frames.
        """
        frames, mask, starts = unpack_batch(batch)
        check = tf.debugging.Assert(
            tf.reduce_all(starts),
            ["starts must be True in a batch that is lifted: hidden means are of whole sequences; "
             "got", starts])
        with tf.control_dependencies([check]):
            return {"frames": self._means(frames, mask), "mask": mask, "starts": starts}

    def denoise(
        self,
        frames: tf.Tensor,
        mask: tf.Tensor | None = None,
        hidden: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Reconstruct each frame from the hidden units, knowing nothing that comes after it.

        Args:
            frames: noisy ones (B, T, V).
            mask: True on real frames (B, T); all of them where None.
            hidden: means of the hidden units (B, T, K), such as a higher layer's reconstruction;
                those of `hidden_means` where None.

        Returns:
            Expected frames (B, T, V), zero where padded.
        """
        frames, mask = check_frames("frames", frames, mask, head=self.head)
        self.build_for(frames.shape[-1])
        if hidden is None:
            hidden = self._means(frames, mask)
        return self._reconstruct(frames, mask, self._cast(hidden))

    def draw_visible(
        self, hidden: tf.Tensor, state: list[tf.Tensor], seed: tf.Tensor
    ) -> tf.Tensor:
        """Draw frames one after the other, each given its hidden units and the frames before.

        What later hidden units tell of a frame is left out, as in filtering: with it there is no
        simple draw. Gaussian units are set to their means, their noise left out.

        Args:
            hidden: values of the hidden units (B, T, K).
            state: state tensors (B, S_i) before the first frame.
            seed: int32 (2,), or (B, 2) for one a row.

        Returns:
            Frames (B, T, V).
        """
        return self._draw(self._cast(hidden), state, numerics.as_seed(seed))

    def _build_parts(self, num_visible: int) -> None:
        """Build the head, the cell on the head's kernel, and the visible bias."""
        self.head.build((None, num_visible))
        if self.cell.variant != "-HH":
            self.cell.tie(self.head.kernel)
        self.cell.build((None, num_visible))
        self.readout = _Readout(self.cell, VisibleBias(
            num_visible, None if self.cell.variant == "-VV" else self.readout_initializer,
            name="visible_bias", dtype=self.cell.dtype))
        self.readout.build((None, self.cell.output_size))

    def _cast(self, hidden: tf.Tensor) -> tf.Tensor:
        return tf.cast(hidden, self.head.kernel.dtype)

    def _hidden_means(self, frames: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        parameters = self.call({"frames": frames, "mask": mask})
        return zero_padding(self.head.hidden_mean(parameters, frames), mask)

    def _visible_means(self, frames: tf.Tensor, mask: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
        parameters = self.call({"frames": frames, "mask": mask})
        return zero_padding(self.head.visible_mean(parameters, hidden), mask)

    def _draw_visible(
        self, hidden: tf.Tensor, state: list[tf.Tensor], seed: tf.Tensor
    ) -> tf.Tensor:
        batch_size, num_steps = tf.unstack(tf.shape(hidden)[:2])
        frames = tf.TensorArray(
            hidden.dtype, tf.maximum(num_steps, 1), element_shape=[None, self.num_visible])
        # TensorFlow cannot stack an array of nothing, when there is no step.
        frames = frames.write(0, tf.zeros([batch_size, self.num_visible], hidden.dtype))

        def body(
            t: tf.Tensor, state: list[tf.Tensor], frames: tf.TensorArray
        ) -> tuple[tf.Tensor, list[tf.Tensor], tf.TensorArray]:
            frame = self.head.visible_mean(self.parameters(state), hidden[:, t])
            if self.head.support != "real":
                uniforms = numerics.uniform(numerics.fold_in(seed, t), tf.shape(frame))
                frame = tf.cast(tf.cast(uniforms, frame.dtype) < frame, frame.dtype)
            return t + 1, self.cell.shift([frame, hidden[:, t]], state), frames.write(t, frame)

        *_, frames = tf.while_loop(
            lambda t, *_: t < num_steps, body, (tf.constant(0), list(state), frames),
            maximum_iterations=num_steps, parallel_iterations=1)
        return swap_time(frames.stack()[:num_steps])


class _Readout(keras.layers.Layer):
    """The biases of the next frame's RBM, from what a `WindowCell` gives."""

    def __init__(self, cell: WindowCell, visible_bias: VisibleBias) -> None:
        super().__init__(name="readout", dtype=cell.dtype)
        self.num_hidden = cell.units
        self.window_size = cell.output_size - cell.units
        self.visible_bias = visible_bias

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.visible_bias.build((None, self.window_size))
        super().build(input_shape)

    def call(self, outputs: tf.Tensor) -> tf.Tensor:
        hidden_bias, frames = tf.split(outputs, [self.num_hidden, self.window_size], axis=-1)
        return tf.concat([self.visible_bias(frames), hidden_bias], axis=-1)
