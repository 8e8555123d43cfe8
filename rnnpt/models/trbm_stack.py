"""TRBMs on top of each other, each a model of the hidden units of the one below."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rnnpt import numerics
from rnnpt.models._batch import Batch
from rnnpt.models.trbm import TRBM


class TRBMStack:
    """TRBMs that are trained one after the other, from the lowest on.

    Use it to denoise and to generate better than one TRBM does; it has no likelihood that can be
    computed. Each level is a Keras model: compile it before `fit`, save it by its own `save`.

    Equation: M(v) = sum over h of P(v | h) Q(h), where P is the level below and Q, the level
    above, learns the mean over the data of P's approximate filtering distribution.

    Args:
        levels: TRBMs from the lowest on; those above the first have binary visible units.

    Raises:
        TypeError: if a level is no TRBM.
        ValueError: if there is no level, or a higher one has Gaussian visible units.

    Example:
        >>> stack = TRBMStack([TRBM(num_hidden=6, order=1), TRBM(num_hidden=4, order=1)])
        >>> for level in stack.levels:
        ...     level.compile("sgd")
        >>> histories = stack.fit({"frames": np.eye(5)[np.newaxis]}, verbose=0)
        >>> stack.generate(None, num_steps=3, seed=1).shape
        TensorShape([1, 3, 5])

    Source: Sutskever 2013, section 3.4, eqs. 3.12 and 3.13.
    """

    def __init__(self, levels: Sequence[TRBM]) -> None:
        if not levels:
            raise ValueError(
                f"TRBMStack: levels must be at least one TRBM, got {levels!r}; give the lowest "
                "first")
        for level in levels:
            if not isinstance(level, TRBM):
                raise TypeError(
                    f"TRBMStack: levels must be TRBMs, got {type(level).__name__}; other models "
                    "have no hidden means to learn")
        for level in levels[1:]:
            if level.head.support == "real":
                raise ValueError(
                    "TRBMStack: levels above the first must have visible='binary', got a level of "
                    "'gaussian'; hidden units are binary")
        self.levels = list(levels)

    def fit(
        self,
        x: tf.data.Dataset | Batch,
        validation_data: tf.data.Dataset | Batch | None = None,
        **kwargs: Any,
    ) -> list[keras.callbacks.History]:
        """Train each level on what those below, trained already, make of the frames.

        Args:
            x: a `tf.data.Dataset` of batch dicts, or one dict of arrays, of whole sequences.
            validation_data: the same, if wanted.
            **kwargs: of the `fit` of each level.

        Returns:
            Histories of the levels from the lowest on.
        """
        histories = []
        for i, level in enumerate(self.levels):
            if i > 0:
                x, validation_data = (
                    _lift(self.levels[i - 1], data) for data in (x, validation_data))
            histories.append(level.fit(x, validation_data=validation_data, **kwargs))
        return histories

    def hidden_means(self, frames: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """What the top hidden units are, given the frames so far.

        Args:
            frames: (B, T, V).
            mask: True on real frames (B, T); all of them where None.

        Returns:
            Means (B, T, K), K of the top level, zero where padded.
        """
        return self._filter(frames, mask)[-1]

    def denoise(self, frames: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Reconstruct each frame from the top level, knowing nothing that comes after it.

        Args:
            frames: noisy ones (B, T, V).
            mask: True on real frames (B, T); all of them where None.

        Returns:
            Expected frames (B, T, V), zero where padded.
        """
        *inputs, hidden = self._filter(frames, mask)
        for level, seen in zip(reversed(self.levels), reversed(inputs)):
            hidden = level.denoise(seen, mask, hidden)
        return hidden

    def generate(
        self, prime: tf.Tensor | None, num_steps: int, seed: int | tf.Tensor
    ) -> tf.Tensor:
        """Continue sequences: draw the top level's frames, then each level given those above.

        The draw downwards is an approximation, see `TRBM.draw_visible`.

        Args:
            prime: frames to go on from (B, T, V), T may be 0; None for one sequence from nothing.
            num_steps: how many frames to draw.
            seed: an integer; or int32 (2,) for one stream, (B, 2) for one a row.

        Returns:
            The drawn frames (B, num_steps, V), without the prime.

        Raises:
            ValueError: if there is neither a prime nor a built lowest level.
        """
        if prime is None:
            if self.levels[0].num_visible is None:
                raise ValueError(
                    "prime must be frames while the levels are not built, got None; fit the stack "
                    "first")
            prime = np.zeros([1, 0, self.levels[0].num_visible], np.float32)
        key = numerics.as_seed(seed)
        inputs = self._filter(prime, None)[:-1]
        frames = self.levels[-1].generate(
            inputs[-1], num_steps, numerics.fold_in(key, len(self.levels)))
        for i in reversed(range(len(self.levels) - 1)):
            level = self.levels[i]
            seen = tf.convert_to_tensor(inputs[i], tf.float32)
            state = level.advance(seen, None, level.initial_state(tf.shape(seen)[0]))
            frames = level.draw_visible(frames, state, numerics.fold_in(key, i))
        return frames

    def _filter(self, frames: tf.Tensor, mask: tf.Tensor | None) -> list[tf.Tensor]:
        """The frames that each level sees, from the lowest on, and the top's hidden means."""
        seen = [frames]
        for level in self.levels:
            seen.append(level.hidden_means(seen[-1], mask))
        return seen


def _lift(level: TRBM, data: tf.data.Dataset | Batch | None) -> tf.data.Dataset | Batch | None:
    if data is None:
        return None
    return data.map(level.lift) if isinstance(data, tf.data.Dataset) else level.lift(data)
