"""The cell with skip connections: a shorter way to the past."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt.cells.simple import SimpleCell


@keras.saving.register_keras_serializable(package="rnnpt")
class SkipCell(SimpleCell):
    """A simple cell that sees its state of d steps ago beside that of the last step.

    Use it where something comes back after d steps, such as a beat: a signal, and its gradient,
    pass d times fewer nonlinearities.

    Equation: h_t = activation(frames_t kernel + h_(t-1) recurrent_kernel + h_(t-d) skip_kernel
    + bias). The states are h_t and the window of h_(t-1) .. h_(t-d+1), the latest first, all
    learned before the first frame.

    Args:
        units: H, the number of recurrent units.
        num_steps: d, how many steps the skip connections span, from 2 on.
        skip_kernel_initializer: how the skip kernel (H, H) starts.
        **kwargs: of `SimpleCell`.

    Raises:
        ValueError: if `num_steps` is no integer from 2 on.

    Source: Sutskever 2013, section 2.8.2; Lin et al. 1996 (NARX networks).
    """

    def __init__(
        self,
        units: int,
        num_steps: int,
        skip_kernel_initializer: object = "orthogonal",
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        if not isinstance(num_steps, int) or num_steps < 2:
            raise ValueError(
                f"SkipCell: num_steps must be an integer from 2 on, got {num_steps!r}; a single "
                "step is what SimpleCell sees")
        self.num_steps = num_steps
        self.state_size = [units, (num_steps - 1) * units]
        self.skip_kernel_initializer = keras.initializers.get(skip_kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the simple cell's weights and the skip kernel.

        Args:
            input_shape: shape of the frames (..., V).
        """
        self.skip_kernel = self.add_weight(
            name="skip_kernel", shape=(self.units, self.units),
            initializer=self.skip_kernel_initializer)
        super().build(input_shape)

    def pre_activations(
        self, projected: tf.Tensor, states: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        """What the nonlinearity acts on.

        Args:
            projected: one step of `project_inputs` (B, H).
            states: h (B, H), and the window (B, (d - 1) H).

        Returns:
            One tensor (B, H).
        """
        skipped = tf.matmul(self._split(states[1])[1], self.skip_kernel)
        return super().pre_activations(projected + skipped, states)

    def activate(
        self, pre_activations: list[tf.Tensor], states: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        """The states after one more frame.

        Args:
            pre_activations: as `pre_activations` gives them.
            states: h (B, H), and the window (B, (d - 1) H).

        Returns:
            The new h, and the window one step later.
        """
        new, = super().activate(pre_activations, states)
        kept, _ = self._split(states[1])
        return [new, tf.concat([states[0], kept], axis=-1)]

    def _split(self, window: tf.Tensor) -> list[tf.Tensor]:
        """The window without its oldest state, and that state."""
        return tf.split(window, [(self.num_steps - 2) * self.units, self.units], axis=-1)

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "num_steps": self.num_steps,
            "skip_kernel_initializer": keras.initializers.serialize(self.skip_kernel_initializer),
        }
