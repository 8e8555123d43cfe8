"""The truncated singular value decomposition of sequences and all their delays, slice by slice."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.linalg

from rnnpt.pretraining._delay_products import delay_products
from rnnpt.pretraining.error import PlanError

# Rows that are factorised or multiplied at once: what bounds the memory beside the states. So many
# stay in the cache.
_ROWS_AT_ONCE = 2048
# Squares of singular values come from products of columns to a rounding of the largest, sooner than
# by factors of rows (benchmarks/linear_autoencoder.py). That will do where even the least that
# counts is above this share of it: of a slice of rows the largest lost, of all products the least
# kept.
_SQUARES_ARE_KNOWN = 1e-4
# All products of the columns of the data and their delays are held where there are no more of them,
# 0.8 GB, and where the frames are so many times as many: fewer are sooner read slice by slice.
_MOST_COLUMNS = 10_000
_FRAMES_A_COLUMN = 4


class Decomposition(NamedTuple):
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


def decompose_delays(
    frames: np.ndarray, lengths: list[int], num_units: int, delays_at_once: int, discount: float
) -> Decomposition:
    """Decompose the matrix X whose row t is [x_t, g x_(t-1), g^2 x_(t-2), ...], g the discount.

    Args:
        frames: of all pieces (N, V), one after the other; not all 0.
        lengths: of the pieces.
        num_units: P.
        delays_at_once: of a slice.
        discount: above 0 and at most 1.

    Returns:
        Its largest singular values, in float64.

    Raises:
        PlanError: if the rank is below P.
    """
    factors = discount ** np.arange(max(lengths), dtype=np.float64)
    # What only the others tell of, the decompositions would take for rounding.
    factors = factors[factors > len(frames) * np.finfo(np.float64).eps]
    num_columns = len(factors) * frames.shape[1]
    if (num_units < num_columns < _MOST_COLUMNS
            and _FRAMES_A_COLUMN * num_columns < len(frames)):
        pieces = np.split(frames, np.cumsum(lengths)[:-1])
        found = _from_products(pieces, len(factors), discount, num_units, delays_at_once)
        if found is not None:
            return found
    return _from_rows(_Rows.of(frames, lengths, factors), num_units, delays_at_once)


def _from_products(
    pieces: list[np.ndarray], num_delays: int, discount: float, num_units: int, delays_at_once: int
) -> Decomposition | None:
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
    return Decomposition(np.sqrt(values), basis[:width].T, shifted, lost / float(np.trace(columns)))


def _from_rows(rows: "_Rows", num_units: int, delays_at_once: int) -> Decomposition:
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
    return Decomposition(
        values, vectors[:num_units], rows.shifted_product(states),
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
