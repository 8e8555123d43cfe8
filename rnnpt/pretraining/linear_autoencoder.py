"""Linear autoencoders of sequences, whose best weights are known in closed form.

Source: Pasa and Sperduti, Pre-training of recurrent neural networks via linear autoencoders (2014).
"""
import dataclasses

import numpy as np

from rnnpt import models
from rnnpt.datasets import Sequences
from rnnpt.pretraining._delays import decompose_delays
from rnnpt.pretraining.error import PlanError, check_count


@dataclasses.dataclass(frozen=True)
class FittedAutoencoder:
    """A linear dynamical system whose state tells the whole sequence so far.

    Equation: y_t = (x_t - mean) input_kernel + y_(t-1) recurrent_kernel, y_0 = 0; and back,
    x_t = y_t input_kernel' + mean, y_(t-1) = y_t recurrent_kernel' / discount^2.

    Args:
        input_kernel: (V, P), the transpose of A.
        recurrent_kernel: (P, P), the transpose of B.
        mean: The frame that is taken off (V,).
        singular_values: Of the states of the data it was fitted to (P,), falling.
        num_frames: Of these data.
        lost: Share of the squares of the data's delays that the states do not hold. At full rank it
            is that of rounding.
        discount: How much less each step back counts than the one after it.
    """

    input_kernel: np.ndarray
    recurrent_kernel: np.ndarray
    mean: np.ndarray
    singular_values: np.ndarray
    num_frames: int
    lost: float
    discount: float = 1.0

    @property
    def num_units(self) -> int:
        """P."""
        return len(self.recurrent_kernel)

    @property
    def state_size(self) -> float:
        """The root mean square over the data of the unit that varies most."""
        return float(self.singular_values[0]) / self.num_frames ** 0.5

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Read a sequence.

        Args:
            frames: (T, V).

        Returns:
            The states after each frame (T, P).
        """
        projected = (frames - self.mean) @ self.input_kernel
        states = np.empty_like(projected)
        state = np.zeros(self.num_units)
        for t, step in enumerate(projected):
            states[t] = state = step + state @ self.recurrent_kernel
        return states

    def decode(self, state: np.ndarray, num_steps: int) -> np.ndarray:
        """Say what a state remembers.

        Args:
            state: After the last frame (P,).
            num_steps: T, how far back.

        Returns:
            The last T frames (T, V), the oldest first.
        """
        states = np.empty([num_steps, self.num_units])
        for t in reversed(range(num_steps)):
            states[t] = state
            state = state @ self.recurrent_kernel.T / self.discount ** 2
        return states @ self.input_kernel.T + self.mean

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        """Read a sequence and say it again, from the last state alone.

        Args:
            frames: (T, V).

        Returns:
            (T, V).
        """
        return self.decode(self.encode(frames)[-1], len(frames))

    def model(self) -> models.LinearAutoencoder:
        """The same as a Keras model, for batches.

        Returns:
            It, with these weights.
        """
        model = models.LinearAutoencoder(self.num_units, self.discount)
        model.build((None, None, len(self.input_kernel)))
        model.set_weights([self.input_kernel, self.recurrent_kernel, self.mean])
        return model


def fit_linear_autoencoder(
    sequences: Sequences,
    num_units: int,
    delays_at_once: int | None = None,
    center: bool = True,
    discount: float = 1.0,
) -> FittedAutoencoder:
    """Find the weights from a singular value decomposition of the data and all their delays.

    With X the matrix whose row t is [x_t, g x_(t-1), g^2 x_(t-2), ..., 0, ...], g the discount, and
    X = V L U' its truncated decomposition, A is the transpose of the first V rows of U, and
    B = g^2 L^-1 V' S V L, S shifting rows by one step. The paper has no discount, g = 1: then a
    state of few units tells of all the past alike, of long sequences averages and little of the
    last frames. Where the next frame is to be told from it, less than 1 tells more.

    The delays are taken in slices from the oldest to the newest: M becomes
    [slice, M U'] and is truncated again. That is exact while `num_units` reaches the rank; below
    it the squares that are lost in each slice add up to `lost`. The rows of M are read in parts, so
    that the memory is that of the frames and of one state a frame, whatever the number of delays;
    rows that begin after a delay have nothing there and cost nothing. Where the delays that count
    are few and the frames many, the slices are taken of the products of all columns, and the frames
    are read once.

    Args:
        sequences: The training data.
        num_units: P, at most the rank of X.
        delays_at_once: Of a slice; None for about as many columns as units.
        center: Whether the mean frame is taken off first.
        discount: Above 0 and at most 1. Delays that it makes less than rounding are left out; to
            decode is to multiply errors by up to 1 / discount a frame.

    Returns:
        The autoencoder.

    Raises:
        PlanError: If a count is less than 1, `discount` is out of its range, the data never vary,
            or `num_units` is above the rank.
    """
    check_count("num_units", num_units)
    if not 0 < discount <= 1:
        raise PlanError("`discount` must be above 0 and at most 1. Received: "
                        f"discount={discount}. Pass 1 for none, or 0.7.")
    frames = np.concatenate(sequences.sequences).astype(np.float64)
    mean = frames.mean(axis=0) if center else np.zeros(frames.shape[1])
    frames -= mean
    if not np.abs(frames).max() > 0:
        raise PlanError("`sequences` must vary. Received: one frame that stays. Pass other data.")
    width = frames.shape[1]
    delays_at_once = delays_at_once or max(1, num_units // width)
    check_count("delays_at_once", delays_at_once)
    found = decompose_delays(
        frames, [len(sequence) for sequence in sequences.sequences], num_units, delays_at_once,
        discount)
    return FittedAutoencoder(
        found.vectors[:, :width].T.copy(), discount ** 2 * found.shifted / np.square(found.values),
        mean, found.values, len(frames), found.lost, discount)
