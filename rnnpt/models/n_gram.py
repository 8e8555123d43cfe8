"""Predictors that count: an N-gram of each note, and an N-gram of whole frames.

Both are given all pieces of a training set once, and then predict each frame of a piece from the
real frames before it. What was seen seldom is smoothed by what was seen more often: with c counts
of what followed a context and P' the prediction from the context without its oldest frame,

    P(next | context) = (c(context, next) + strength P'(next)) / (c(context) + strength)

Source: MacKay and Peto 1995, A hierarchical Dirichlet language model, section 2: the predictive
distribution under a Dirichlet prior whose mean is the shorter context's prediction.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from rnnpt.models.baselines import NoteUnigram


class NoteNgram:
    """Each note follows its own past, whatever the other notes do.

    The contexts of a note are its last 0 to N - 1 values; before a piece there is silence. The
    shortest one predicts what `baselines.NoteUnigram` does.

    Args:
        pieces: Training pieces, frames (T_i, V) each, 0 or 1.
        order: N, the frames that are counted together, the predicted one included; 8 to 14 in the
            2012 table. There are V 2^N counts.
        strength: How many observations the prediction of a shorter context is worth.

    Raises:
        ValueError: If there is no piece, `order` is not an integer from 1 to 20, or `strength` is
            not positive.

    Source: Boulanger-Lewandowski et al. 2012, Table 1, Note N-gram. How it was smoothed is not
        known. On the validation pieces of JSB chorales more of either was better as far as it was
        tried, to an order of 12 and a strength of 80.
    """

    def __init__(
        self, pieces: Sequence[ArrayLike], order: int = 12, strength: float = 100.0
    ) -> None:
        arrays = _check(pieces, order, strength)
        if order > 20:
            raise ValueError(
                f"order must be at most 20, got {order}: there are 2^order counts of each note.")
        self.order, self.strength = order, strength
        self._unigram = NoteUnigram(np.concatenate(arrays))
        frames = np.concatenate(arrays).ravel()
        #: For each length of a context, how often it came and how often the note was then on.
        self._counts: list[tuple[np.ndarray, np.ndarray]] = []
        for length in range(1, order):
            places = np.concatenate([self._places(piece, length) for piece in arrays]).ravel()
            size = arrays[0].shape[1] << length
            self._counts.append((
                np.bincount(places, minlength=size),
                np.bincount(places, weights=frames, minlength=size)))

    def probabilities(self, piece: ArrayLike) -> np.ndarray:
        """Returns the probability that each note is on, given the frames before.

        Args:
            piece: Frames (T, V), 0 or 1.

        Returns:
            Probabilities (T, V).
        """
        frames = np.asarray(piece, bool)
        found = np.broadcast_to(self._unigram.probabilities, frames.shape)
        for length, (total, on) in enumerate(self._counts, 1):
            places = self._places(frames, length)
            found = (on[places] + self.strength * found) / (total[places] + self.strength)
        return found

    def log_prob(self, piece: ArrayLike) -> np.ndarray:
        """Returns the log-probability of each frame given the frames before.

        Args:
            piece: Frames (T, V), 0 or 1.

        Returns:
            Nats (T,).
        """
        frames, on = np.asarray(piece, bool), self.probabilities(piece)
        return np.where(frames, np.log(on), np.log1p(-on)).sum(axis=1)

    def samples(
        self, piece: ArrayLike, num_samples: int, seed: Sequence[int]
    ) -> Iterator[np.ndarray]:
        """Draws each frame of a piece several times, given the real frames before it.

        Args:
            piece: Frames (T, V), 0 or 1.
            num_samples: How often.
            seed: Seed of the random streams, one or more numbers; sample i adds its own, i.

        Yields:
            Frames (T, V), bool.
        """
        on = self.probabilities(piece)
        for sample in range(num_samples):
            yield np.random.default_rng([*seed, sample]).random(on.shape) < on

    @staticmethod
    def _places(frames: np.ndarray, length: int) -> np.ndarray:
        """The number of each note's context of some length (T, V), the notes' own apart."""
        places = np.zeros(frames.shape, np.int64)
        for past in range(1, min(length, len(frames) - 1) + 1):
            places[past:] += frames[:-past].astype(np.int64) << (past - 1)
        return places + (np.arange(frames.shape[1]) << length)


class _Successors(NamedTuple):
    """What followed one context in training."""

    frames: np.ndarray  # numbers of the frames (n,), ascending
    cumulative: np.ndarray  # how often they came, summed up (n,)

    @property
    def total(self) -> int:
        return int(self.cumulative[-1])

    def counts(self) -> np.ndarray:
        return np.diff(self.cumulative, prepend=0)

    def count(self, frame: int) -> int:
        place = int(np.searchsorted(self.frames, frame))
        is_here = place < len(self.frames) and self.frames[place] == frame
        return int(self.counts()[place]) if is_here else 0

    def draw(self, height: float) -> int:
        return int(self.frames[np.searchsorted(self.cumulative, height * self.total, "right")])


class FrameNgram:
    """A frame, taken whole, follows the last frames as it did in training.

    The contexts are the last 0 to N - 1 frames, the beginning of a piece among them. What has no
    context falls back on `baselines.NoteUnigram`, so that a frame never seen has a likelihood.

    Args:
        pieces: Training pieces, frames (T_i, V) each, 0 or 1.
        order: N, the frames that are counted together, the predicted one included.
        strength: How many observations the prediction of a shorter context is worth.

    Raises:
        ValueError: If there is no piece, `order` is not a positive integer, or `strength` is not
            positive.
    """

    def __init__(
        self, pieces: Sequence[ArrayLike], order: int = 3, strength: float = 50.0
    ) -> None:
        arrays = _check(pieces, order, strength)
        self.order, self.strength = order, strength
        self._unigram = NoteUnigram(np.concatenate(arrays))
        self._alphabet = np.unique(np.concatenate(arrays), axis=0)
        self._numbers = {frame.tobytes(): i for i, frame in enumerate(self._alphabet)}
        found: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for piece in arrays:
            for number, contexts in self._walk(piece):
                for context in contexts:
                    found[context].append(number)
        self._successors = {}
        for context, followers in found.items():
            frames, counts = np.unique(followers, return_counts=True)
            self._successors[context] = _Successors(frames, np.cumsum(counts))

    def probabilities(self, piece: ArrayLike) -> np.ndarray:
        """Returns the probability that each note is on, given the frames before.

        Args:
            piece: Frames (T, V), 0 or 1.

        Returns:
            Probabilities (T, V).
        """
        rows = []
        for _, known in self._known(np.asarray(piece, bool)):
            row = self._unigram.probabilities
            for successors in known:
                on = successors.counts() @ self._alphabet[successors.frames]
                row = (on + self.strength * row) / (successors.total + self.strength)
            rows.append(row)
        return np.array(rows)

    def log_prob(self, piece: ArrayLike) -> np.ndarray:
        """Returns the log-probability of each frame given the frames before.

        Args:
            piece: Frames (T, V), 0 or 1.

        Returns:
            Nats (T,).
        """
        frames = np.asarray(piece, bool)
        log_probs = self._unigram.log_prob(frames)
        for t, (number, known) in enumerate(self._known(frames)):
            for successors in known:
                count = successors.count(number)
                # In logarithms, as a product over many units may underflow.
                log_probs[t] = np.logaddexp(
                    math.log(self.strength) + log_probs[t],
                    math.log(count) if count else -math.inf,
                ) - math.log(successors.total + self.strength)
        return log_probs

    def samples(
        self, piece: ArrayLike, num_samples: int, seed: Sequence[int]
    ) -> Iterator[np.ndarray]:
        """Draws each frame of a piece several times, given the real frames before it.

        Args:
            piece: Frames (T, V), 0 or 1.
            num_samples: How often.
            seed: Seed of the random streams, one or more numbers; sample i adds its own, i.

        Yields:
            Frames (T, V), bool.
        """
        frames = np.asarray(piece, bool)
        walked = [list(enumerate(known)) for _, known in self._known(frames)]
        for sample in range(num_samples):
            rng = np.random.default_rng([*seed, sample])
            drawn = rng.random(frames.shape) < self._unigram.probabilities
            chances, heights = rng.random((2, len(frames), self.order))
            for t, known in enumerate(walked):
                # From the longest context on, each draws or leaves it to the next shorter one.
                for i, successors in reversed(known):
                    if chances[t, i] * (successors.total + self.strength) < successors.total:
                        drawn[t] = self._alphabet[successors.draw(heights[t, i])]
                        break
            yield drawn

    def _walk(self, piece: np.ndarray) -> Iterator[tuple[int, list[tuple[int, ...]]]]:
        """The number of each frame, -1 if training lacks it, and its contexts, the shortest first.

        -2 stands before the first frame.
        """
        past = [-2]
        for frame in piece:
            number = self._numbers.get(frame.tobytes(), -1)
            longest = min(self.order - 1, len(past))
            yield number, [tuple(past[len(past) - length:]) for length in range(longest + 1)]
            past.append(number)

    def _known(self, piece: np.ndarray) -> Iterator[tuple[int, list[_Successors]]]:
        """The number of each frame, and what followed its contexts as far as training has them."""
        for number, contexts in self._walk(piece):
            yield number, [self._successors[context] for context in contexts
                           if context in self._successors]


_Model = TypeVar("_Model", NoteNgram, FrameNgram)


def choose(candidates: Iterable[_Model], pieces: Sequence[ArrayLike]) -> _Model:
    """Takes the model under which pieces are the most likely.

    Args:
        candidates: Models, of other orders and strengths; made one at a time.
        pieces: Validation pieces, frames (T_i, V) each, 0 or 1.

    Returns:
        The best of them.
    """
    return max(candidates, key=lambda model: sum(model.log_prob(piece).sum() for piece in pieces))


def _check(pieces: Sequence[ArrayLike], order: int, strength: float) -> list[np.ndarray]:
    """Returns the pieces as boolean arrays, after refusing what cannot be counted."""
    if not len(pieces):
        raise ValueError("pieces must hold at least one piece, got none: pass training pieces.")
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"order must be a positive integer, got {order!r}: pass N.")
    if not strength > 0:
        raise ValueError(
            f"strength must be positive, got {strength}: what was not seen in training would be "
            "impossible.")
    return [np.asarray(piece, bool) for piece in pieces]
