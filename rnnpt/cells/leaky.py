"""The leaky cell: some of the units change slowly, and so remember for longer."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rnnpt.cells._affine import AffineStep
from rnnpt.cells.simple import SimpleCell


@keras.saving.register_keras_serializable(package="rnnpt")
class LeakyCell(SimpleCell):
    """A simple cell some of whose units are leaky integrators, each at a pace of its own.

    Use it where the music's time scales differ: slow units carry signals and gradients further.

    Equation: with F the simple cell's activation(frames_t kernel + h_(t-1) recurrent_kernel + bias)

        h_t = (1 - leak) h_(t-1) + leak F

    where `leak` (H,) is drawn once, evenly from the range, for the first round(leaky_share H)
    units, and 1 for the others, which makes them a simple cell's. The draw is a weight that is
    not trained: it is saved with the others.

    Args:
        units: H, the number of recurrent units.
        leak: the range (low, high) of what a leaky unit lets go of its past at each step. It is
            1 - alpha in the paper's equation. A unit of leak 0.02 changes over some 50 steps.
        leaky_share: of the units, from 0 to 1.
        seed: of the leaks.
        **kwargs: of `SimpleCell`.

    Raises:
        ValueError: if a leak is outside (0, 1], the range is empty, or the share is outside [0, 1].

    Source: Bengio et al. 2012, section 3.2. It draws alpha from (0.02, 0.2), yet says that those
    units change slowly, which they do if that is the leak, as it is here by default; the printed
    equation to the letter is `leak=(0.8, 0.98)`.
    """

    def __init__(
        self,
        units: int,
        leak: tuple[float, float] = (0.02, 0.2),
        leaky_share: float = 0.5,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        if np.shape(leak) != (2,) or not 0 < leak[0] <= leak[1] <= 1:
            raise ValueError(
                f"LeakyCell: leak must be a range (low, high) within (0, 1], got {leak}; "
                "at 0 a unit would never change, at 1 it is a simple cell's")
        if not 0 <= leaky_share <= 1:
            raise ValueError(
                f"LeakyCell: leaky_share must be from 0 to 1, got {leaky_share}; the paper tries "
                "0, 0.25 and 0.5")
        self.leak_range = (leak[0], leak[1])
        self.leaky_share = leaky_share
        self.seed = seed

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the simple cell's weights, and draw the leaks.

        Args:
            input_shape: shape of the frames (..., V).
        """
        num_leaky = round(self.leaky_share * self.units)
        leak = np.ones(self.units)
        leak[:num_leaky] = np.random.default_rng(self.seed).uniform(*self.leak_range, num_leaky)
        self.leak = self.add_weight(
            name="leak", shape=(self.units,), trainable=False,
            initializer=lambda shape, dtype: tf.constant(leak, dtype))
        super().build(input_shape)

    def activate(
        self, pre_activations: list[tf.Tensor], states: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        """The states after one more frame.

        Args:
            pre_activations: as `pre_activations` gives them.
            states: [h], with h (B, H).

        Returns:
            The new [h].
        """
        new, = super().activate(pre_activations, states)
        return [states[0] + self.leak * (new - states[0])]

    def affine_step(self) -> AffineStep | None:
        """The whole of a step, which a subclass may take otherwise.

        Returns:
            Its parts, or None.
        """
        leak = tf.convert_to_tensor(self.leak)
        return self._affine_step(leak) if type(self) is LeakyCell else None

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "leak": list(self.leak_range),
            "leaky_share": self.leaky_share,
            "seed": self.seed,
        }
