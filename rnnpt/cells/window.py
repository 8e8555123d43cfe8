"""The memory of a TRBM: the last few frames, and what was inferred from them."""

from typing import Any, cast

import keras
import tensorflow as tf

from rnnpt.cells._tied import TiedCell

#: What a TRBM may leave out: nothing, or one of its three sets of connections from the past.
VARIANTS = ("full", "-VV", "-HH", "-VH")


@keras.saving.register_keras_serializable(package="rnnpt")
class WindowCell(TiedCell):
    """The last m frames and the last m hidden means of an RBM, with learned ones before the first.

    Use it through `models.TRBM`, where its kernel is the RBM's too. On its own it gives a readout
    the last frames and hidden units that see them.

    Equation: p_t = sigmoid(frames_t kernel + B_t), where the dynamic bias B_t is bias + sum over
    n = 1 .. m of p_(t-n) recurrent_kernel_n + frames_(t-n) visible_kernel_n. The states are the
    windows (B, m V) and (B, m K), the latest first; the output after frame t is B_(t+1) and,
    unless the variant is "-VV", the window of frames.

    Args:
        units: K, the number of hidden units.
        order: m, how many steps back the windows go.
        variant: "full", or the connections from the past that are left out: "-VV" from frame to
            frame, "-HH" from hidden to hidden units (there are no hidden means then), "-VH" from
            frames to hidden units.
        detached: whether the gradient takes the hidden means for data, as a TRBM does.
        kernel_initializer: how the kernel W (V, K) starts; a normal of 0.01 by default.
        window_initializer: how the kernels from the window of frames start; a normal of 0.005 by
            default.
        recurrent_initializer: how those from the window of hidden means start; the same, drawn
            apart, by default.
        **kwargs: of `Cell`.

    Raises:
        ValueError: if `order` is no positive integer or there is no such variant.

    Source: Sutskever 2013, eqs. 3.2 and 3.5, and section 3.3 for the variants.
    """

    bounded = True

    def __init__(
        self,
        units: int,
        order: int = 1,
        variant: str = "full",
        detached: bool = False,
        kernel_initializer: object = None,
        window_initializer: object = None,
        recurrent_initializer: object = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(state_sizes=[units], **kwargs)
        if not isinstance(order, int) or order < 1:
            raise ValueError(
                f"{type(self).__name__}: order must be a positive integer, got {order!r}; the "
                "thesis looks 4 steps back")
        if variant not in VARIANTS:
            raise ValueError(
                f"{type(self).__name__}: variant must be one of {', '.join(VARIANTS)}, got "
                f"{variant!r}; 'full' leaves no connection out")
        self.units = units
        self.order = order
        self.variant = variant
        self.detached = detached
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or keras.initializers.RandomNormal(stddev=0.01))
        self.window_initializer = keras.initializers.get(
            window_initializer or keras.initializers.RandomNormal(stddev=0.005))
        self.recurrent_initializer = keras.initializers.get(
            recurrent_initializer or keras.initializers.RandomNormal(stddev=0.005))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernels of the variant, and what stands for the past before the first frame.

        Args:
            input_shape: shape of the frames (..., V).
        """
        self.num_visible = cast(int, input_shape[-1])
        window = self.order * self.num_visible
        self.state_size = [window]
        self.visible_kernel = self.recurrent_kernel = None
        if self.variant != "-VH":
            self.visible_kernel = self._window_kernel(  # W_n
                "visible_kernel", window, self.window_initializer)
        if self.variant != "-HH":
            self._make_kernel(self.num_visible)
            self.state_size.append(self.order * self.units)
            self.recurrent_kernel = self._window_kernel(  # W'_n
                "recurrent_kernel", self.order * self.units, self.recurrent_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        self.output_size = self.units + (window if self.variant != "-VV" else 0)
        super().build(input_shape)

    def project_inputs(self, frames: tf.Tensor) -> tf.Tensor:
        """The frames, and what they add to the hidden units, for all steps in one product.

        Args:
            frames: (..., V).

        Returns:
            Frames and projected frames (..., V + K); the frames alone for "-HH".
        """
        if self.variant == "-HH":
            return frames
        return tf.concat([frames, tf.tensordot(frames, self.kernel, axes=1)], axis=-1)

    def advance(self, projected: tf.Tensor, states: list[tf.Tensor]) -> list[tf.Tensor]:
        """The windows after one more frame.

        Args:
            projected: one step of `project_inputs` (B, ...).
            states: the windows, (B, m V) and (B, m K).

        Returns:
            The windows, one step later.
        """
        if self.variant == "-HH":
            return self.shift([projected], states)
        frames, fields = tf.split(projected, [self.num_visible, self.units], axis=-1)
        newest = [frames, tf.sigmoid(fields + self.dynamic_bias(states))]
        # No gradient is wanted of frames: with that of the means it would be all zeros.
        return self.shift(
            [tf.stop_gradient(each) for each in newest] if self.detached else newest, states)

    def shift(self, newest: list[tf.Tensor], states: list[tf.Tensor]) -> list[tf.Tensor]:
        """Put a step in at the front of the windows, and the oldest one out.

        Args:
            newest: a frame (B, V) and, where there is a window of them, hidden values (B, K).
            states: the windows (B, m V) and (B, m K).

        Returns:
            The windows, one step later.
        """
        return [tf.concat([new, window[..., :-new.shape[-1]]], axis=-1)
                for new, window in zip(newest, states)]

    def output(self, states: list[tf.Tensor]) -> tf.Tensor:
        """What a readout sees of the windows.

        Args:
            states: the windows (..., m V) and (..., m K).

        Returns:
            The dynamic bias, then, but for "-VV", the frames (..., K + m V).
        """
        bias = self.dynamic_bias(states)
        return bias if self.variant == "-VV" else tf.concat([bias, states[0]], axis=-1)

    def dynamic_bias(self, states: list[tf.Tensor]) -> tf.Tensor:
        """What the past adds to the hidden units of the next frame.

        Args:
            states: the windows (..., m V) and (..., m K).

        Returns:
            B (..., K).
        """
        parts = [tf.tensordot(states[0], self.visible_kernel, axes=1)
                 ] if self.visible_kernel is not None else []
        if self.recurrent_kernel is not None:
            parts.append(tf.tensordot(states[1], self.recurrent_kernel, axes=1))
        return tf.add_n(parts) + self.bias

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "units": self.units,
            "order": self.order,
            "variant": self.variant,
            "detached": self.detached,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "window_initializer": keras.initializers.serialize(self.window_initializer),
            "recurrent_initializer": keras.initializers.serialize(self.recurrent_initializer),
        }

    def _window_kernel(
        self, name: str, num_inputs: int, initializer: keras.initializers.Initializer
    ) -> keras.Variable:
        return self.add_weight(
            name=name, shape=(num_inputs, self.units), initializer=initializer)
