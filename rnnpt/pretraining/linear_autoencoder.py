"""Linear autoencoders of sequences, whose best weights are known in closed form.

Source: Pasa and Sperduti, Pre-training of recurrent neural networks via linear autoencoders (2014).
"""
import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.linalg

from rnnpt import models
from rnnpt.datasets import Sequences
from rnnpt.pretraining._delay_products import delay_products
from rnnpt.pretraining.error import PlanError, check_count

# Rows that are factorised or multiplied at once: what bounds the memory beside the states. So many
# stay in the cache.
_ROWS_AT_ONCE = 2048
# Squares of singular values come from products of columns to a rounding of the largest, sooner than
# by factors of rows (benchmarks/linear_autoencoder.py). That will do where even the largest lost is
# above this share.
_SQUARES_ARE_KNOWN = 1e-4
# All products of the columns of the data and their delays are held where there are no more of them,
# 0.8 GB, and where the frames are so many times as many: fewer are sooner read slice by slice.
_MOST_COLUMNS = 10_000
_FRAMES_A_COLUMN = 4


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
    lengths = [len(sequence) for sequence in sequences.sequences]
    factors = discount ** np.arange(max(lengths), dtype=np.float64)
    # What only the others tell of, the decompositions would take for rounding.
    factors = factors[factors > len(frames) * np.finfo(np.float64).eps]
    found, num_columns = None, len(factors) * width
    if (num_units < num_columns < _MOST_COLUMNS
            and _FRAMES_A_COLUMN * num_columns < len(frames)):
        pieces = np.split(frames, np.cumsum(lengths)[:-1])
        found = _from_products(pieces, len(factors), discount, num_units, delays_at_once)
    if found is None:
        rows = _Rows.of(frames, lengths, factors)
        found = _from_rows(rows, num_units, delays_at_once)
    return FittedAutoencoder(
        found.vectors[:, :width].T.copy(), discount ** 2 * found.shifted / np.square(found.values),
        mean, found.values, len(frames), found.lost, discount)


class _Found(NamedTuple):
    """The truncated decomposition of X, in slices.

    Args:
        values: Singular values (P,).
        vectors: Right singular vectors, of the newest delay at least (P, V or more).
        shifted: The sum over steps of y_(t-1) y_t' (P, P).
        lost: Share of the squares of X that the states do not hold.
    """

    values: np.ndarray
    vectors: np.ndarray
    shifted: np.ndarray
    lost: float


def _from_products(
    pieces: list[np.ndarray], num_delays: int, discount: float, num_units: int, delays_at_once: int
) -> _Found | None:
    """By the products of all columns of X; None where they do not tell the singular values.

    The states are X times `basis`, which is all that there is of them.
    """
    width = pieces[0].shape[1]
    # One delay more: a step later the oldest that counts is as old.
    products = delay_products(pieces, discount ** np.arange(num_delays + 1, dtype=np.float64))
    columns = products[:-width, :-width]
    basis, squares_of_states, lost = np.zeros([0, 0]), np.zeros([0, 0]), 0.0
    for first in reversed(range(0, num_delays, delays_at_once)):
        start, end = width * first, width * min(first + delays_at_once, num_delays)
        across = columns[start:end, end:] @ basis
        squares = np.block([[columns[start:end, start:end], across],
                            [across.T, squares_of_states]])
        if len(squares) <= num_units:
            basis, squares_of_states = scipy.linalg.block_diag(np.eye(end - start), basis), squares
            continue
        values, vectors = _decompose_squares(squares)
        lost += float(values[num_units:].sum())
        vectors, values = vectors[:, :num_units], values[:num_units]
        basis = np.concatenate([vectors[:end - start], basis @ vectors[end - start:]])
        squares_of_states = np.diag(values)
    # A slice knows its squares to a rounding of the largest, which grows from slice to slice.
    if not values[-1] > _SQUARES_ARE_KNOWN * values[0]:
        return None
    shifted = basis.T @ (products[width:, :-width] @ basis) / discount
    return _Found(np.sqrt(values), basis[:width].T, shifted, lost / float(np.trace(columns)))


def _from_rows(rows: "_Rows", num_units: int, delays_at_once: int) -> _Found:
    """By the rows of X, some at a time."""
    states, lost = np.zeros([len(rows.frames), 0]), 0.0
    for first in reversed(range(0, rows.num_delays, delays_at_once)):
        last = min(first + delays_at_once, rows.num_delays)
        values, vectors = _decompose(rows, states, first, last, num_units)
        lost += float(np.square(values[num_units:]).sum())
        states = rows.reduced(states, first, last, vectors[:num_units].T)
    values = values[:num_units]
    if len(values) < num_units:
        raise PlanError(
            "`num_units` must be at most the rank of the data and their delays. Received: "
            f"num_units={num_units}, rank {len(values)}. Pass num_units={len(values)} or less.")
    # The newest delay, none, is the first of the last slice.
    return _Found(values, vectors[:num_units], rows.shifted_product(states),
                  lost / float(np.square(rows.frames).sum(axis=1) @ rows.shares))


def _decompose_squares(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues that fall, none below 0, and the eigenvectors as columns."""
    values, vectors = np.linalg.eigh(products)
    return values[::-1].clip(min=0), vectors[:, ::-1]


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The rows of X, those with the longest past first.

    Args:
        frames: All frames (N, V), a piece after the other.
        order: The frame that each row ends with (N,).
        past: How many frames of its piece come before it (N,), falling.
        shares: Of each frame (N,), the sum of squares of its factors in all rows.
        factors: Of a frame after each delay (D,); D that of the longest past, itself counted.
    """

    frames: np.ndarray
    order: np.ndarray
    past: np.ndarray
    shares: np.ndarray
    factors: np.ndarray

    @classmethod
    def of(cls, frames: np.ndarray, lengths: list[int], factors: np.ndarray) -> "_Rows":
        past = np.concatenate([np.arange(length) for length in lengths])
        left = np.concatenate([np.arange(length, 0, -1) for length in lengths])
        order = np.argsort(-past, kind="stable")
        shares = np.cumsum(np.square(factors))[np.minimum(left, len(factors)) - 1]
        return cls(frames, order, past[order], shares, factors)

    @property
    def num_delays(self) -> int:
        """Of the longest past that counts, the frame itself counted."""
        return len(self.factors)

    def parts(
        self, states: np.ndarray, first: int, last: int
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """[slice, states] of the rows that reach as far back as `first`, some rows at a time."""
        num_rows = int(np.searchsorted(-self.past, -first, side="right"))
        delays = np.arange(first, last)
        for start in range(0, num_rows, _ROWS_AT_ONCE):
            rows = slice(start, min(start + _ROWS_AT_ONCE, num_rows))
            reached = self.past[rows, None] >= delays
            block = self.frames[np.where(reached, self.order[rows, None] - delays, 0)]
            block[~reached] = 0
            block *= self.factors[first:last, None]
            yield rows, np.concatenate([block.reshape(len(block), -1), states[rows]], axis=1)

    def reduced(
        self, states: np.ndarray, first: int, last: int, vectors: np.ndarray
    ) -> np.ndarray:
        """[slice, states] times vectors; rows that do not reach so far stay 0."""
        found = np.zeros([len(self.frames), vectors.shape[1]])
        for rows, part in self.parts(states, first, last):
            found[rows] = part @ vectors
        return found

    def shifted_product(self, states: np.ndarray) -> np.ndarray:
        """The sum over steps of y_(t-1) y_t' (P, P)."""
        place = np.empty_like(self.order)
        place[self.order] = np.arange(len(self.order))
        total = np.zeros([states.shape[1]] * 2)
        num_later = int(np.searchsorted(-self.past, 0, side="left"))
        for start in range(0, num_later, _ROWS_AT_ONCE):
            rows = slice(start, min(start + _ROWS_AT_ONCE, num_later))
            total += states[place[self.order[rows] - 1]].T @ states[rows]
        return total


def _decompose(
    rows: _Rows, states: np.ndarray, first: int, last: int, num_units: int
) -> tuple[np.ndarray, np.ndarray]:
    """Singular values without those of rounding, right singular vectors of [slice, states]."""
    width = (last - first) * rows.frames.shape[1] + states.shape[1]
    if num_units < width:
        products = np.zeros([width, width])
        for _, part in rows.parts(states, first, last):
            products += part.T @ part
        squares, vectors = _decompose_squares(products)
        if squares[num_units] > _SQUARES_ARE_KNOWN * squares[0]:
            return np.sqrt(squares), vectors.T
    # Part by part a triangle takes the place of its rows: it has the same values and vectors.
    triangle = np.zeros([0, width])
    for _, part in rows.parts(states, first, last):
        triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, part]), mode="r"))
    _, values, vectors = np.linalg.svd(triangle, full_matrices=False)
    size = max(len(rows.frames), triangle.shape[1])
    kept = values > size * np.finfo(values.dtype).eps * values[0]
    return values[kept], vectors[kept]
