"""Predictors without training, which every table shows: Note 1-gram and copy the previous frame."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


class NoteUnigram:
    """Each note sounds with the frequency that it has in training, whatever came before.

        P(v_t) = product over notes i of p_i^v_ti (1 - p_i)^(1 - v_ti),
        p_i = (count_i + smoothing) / (num_frames + 2 smoothing)

    Args:
        frames: Training frames (N, V), 0 or 1.
        smoothing: Pseudo-count of each of the two outcomes. Some notes of a test set never sound
            in training: without it their likelihood is zero.

    Raises:
        ValueError: If `frames` is not (N, V) with at least one frame, or `smoothing` is not
            positive.

    Source: Boulanger-Lewandowski et al. 2012, Table 1, Note 1-gram (likelihood) and Note 1-gram
        (IID) (accuracy); the smoothing is the Krichevsky-Trofimov estimator.
    """

    def __init__(self, frames: ArrayLike, smoothing: float = 0.5) -> None:
        frames = np.asarray(frames)
        if frames.ndim != 2 or not len(frames):
            raise ValueError(
                f"frames must be (N, V) with N at least 1, got {frames.shape}: stack the frames "
                "of all training pieces."
            )
        if not smoothing > 0:
            raise ValueError(
                f"smoothing must be positive, got {smoothing}: a note that never sounds in "
                "training would get a likelihood of zero."
            )
        counts = frames.sum(axis=0, dtype=np.float64)
        self.probabilities = (counts + smoothing) / (len(frames) + 2 * smoothing)

    def log_prob(self, frames: ArrayLike) -> np.ndarray:
        """Returns the log-probability of each frame.

        Args:
            frames: Frames (..., V), 0 or 1.

        Returns:
            Nats (...).
        """
        on, off = np.log(self.probabilities), np.log1p(-self.probabilities)
        return np.asarray(frames, np.float64) @ (on - off) + off.sum()

    def sample(self, num_frames: int, seed: int | Sequence[int]) -> np.ndarray:
        """Draws independent frames.

        Args:
            num_frames: Number of frames N.
            seed: Seed of the random stream, a number or several.

        Returns:
            Frames (N, V), bool.
        """
        noise = np.random.default_rng(seed).random((num_frames, len(self.probabilities)))
        return noise < self.probabilities


def copy_previous(frames: ArrayLike) -> np.ndarray:
    """Predicts that each frame of a piece is the one before it, and that the first is empty.

    It has no likelihood, and by the 2012 accuracy it beats every published model of the four
    piano-roll sets: an accuracy is to be read beside it.

    Args:
        frames: Frames of one piece (T, V).

    Returns:
        The predictions (T, V).

    Example:
        >>> copy_previous([[1, 0], [0, 1]])
        array([[0, 0],
               [1, 0]])
    """
    frames = np.asarray(frames)
    return np.concatenate([np.zeros_like(frames[:1]), frames[:-1]])
