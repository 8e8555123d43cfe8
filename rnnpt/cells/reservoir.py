"""The reservoir: a recurrence that is drawn once and not trained."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rnnpt.cells.cell import Cell
from rnnpt.initializers import NUM_CONNECTIONS, Sparse, SpectralRadius


@keras.saving.register_keras_serializable(package="rnnpt")
class ReservoirCell(Cell):
    """A tanh recurrence with fixed sparse kernels, for a readout that is all that learns.

    Use it in an `EchoStateNetwork`, or under any head where training the recurrence costs too much.
    The kernels are drawn from the seed, never trained, and saved with the model; the initial state
    is learned as in every cell, where there is a gradient to learn it from.

    Equation: h_t = integration h_(t-1)
    + (1 - integration) tanh(frames_t kernel + h_(t-1) recurrent_kernel), where `integration` is
    the one given for the first round(integrating_share H) units, and 0 for the others.

    Args:
        units: H, the number of recurrent units.
        spectral_radius: of the recurrent kernel (H, H); a little below 1 remembers for a long, but
            limited time; above 1 the states may be chaotic.
        num_connections: inputs, and units, that each unit is connected to, or all where there are
            fewer.
        input_scale: standard deviation of the connections from the frame.
        integration: alpha, what a unit keeps of its own past, from 0 on and below 1.
        integrating_share: of the units, from 0 to 1.
        seed: of the kernels.
        **kwargs: of `Cell`.

    Raises:
        ValueError: if a number is out of its range.

    Source: Jaeger and Haas 2004; Sutskever 2013, section 2.8.4 and eq. 2.45, where alpha is
    `integration`; the 15 connections and the input scale from section 7.4.1.
    """

    bounded = True

    def __init__(
        self,
        units: int,
        spectral_radius: float = 0.9,
        num_connections: int = NUM_CONNECTIONS,
        input_scale: float = 0.3,
        integration: float = 0.0,
        integrating_share: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(state_sizes=[units], **kwargs)
        if not 0 <= integration < 1:
            raise ValueError(
                f"ReservoirCell: integration must be from 0 on and below 1, got {integration}; "
                "0 forgets at once, at 1 nothing new would enter")
        if not 0 <= integrating_share <= 1:
            raise ValueError(
                f"ReservoirCell: integrating_share must be from 0 to 1, got {integrating_share}; "
                "1 lets every unit integrate")
        self.units = units
        self.integration = integration
        self.integrating_share = integrating_share
        self.kernel_initializer = Sparse(num_connections, input_scale, seed, or_all=True)
        self.recurrent_kernel_initializer = SpectralRadius(
            spectral_radius, num_connections, seed + 1, or_all=True)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Draw the kernels.

        Args:
            input_shape: shape of the frames (..., V).
        """
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.units),
            initializer=self.kernel_initializer, trainable=False)
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(self.units, self.units),
            initializer=self.recurrent_kernel_initializer, trainable=False)
        num_integrating = round(self.integrating_share * self.units)
        self._kept = np.where(np.arange(self.units) < num_integrating, self.integration, 0.0)
        super().build(input_shape)

    def project_inputs(self, frames: tf.Tensor) -> tf.Tensor:
        """What the frames add to the pre-activations, for all steps in one product.

        Args:
            frames: (..., V).

        Returns:
            Projected frames (..., H).
        """
        return tf.tensordot(frames, self.kernel, axes=1)

    def advance(self, projected: tf.Tensor, states: list[tf.Tensor]) -> list[tf.Tensor]:
        """The state after one more frame.

        Args:
            projected: one step of `project_inputs` (B, H).
            states: [h], with h (B, H).

        Returns:
            The new [h].
        """
        new = tf.tanh(projected + tf.matmul(states[0], self.recurrent_kernel))
        kept = tf.constant(self._kept, new.dtype)
        return [kept * states[0] + (1 - kept) * new]

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "units": self.units,
            "spectral_radius": self.recurrent_kernel_initializer.radius,
            "num_connections": self.kernel_initializer.num_connections,
            "input_scale": self.kernel_initializer.scale,
            "integration": self.integration,
            "integrating_share": self.integrating_share,
            "seed": self.kernel_initializer.seed,
        }
