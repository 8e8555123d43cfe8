"""Products of frames with frames so many steps before them, for all pairs of delays."""

from collections.abc import Sequence

import numpy as np


def delay_products(pieces: Sequence[np.ndarray], factors: np.ndarray) -> np.ndarray:
    """X' X, where the row t of X is [f_0 x_t, f_1 x_(t-1), f_2 x_(t-2), ...], without X.

    All rows but the last of each piece have the products of delay i and j at delay i + 1 and j + 1
    again. So one product a lag does, from which the frames at the ends of the pieces are taken off
    delay by delay.

    Args:
        pieces: (T, V) each; before its first frame a piece is 0.
        factors: f, of each delay (D,).

    Returns:
        (D V, D V), delay by delay.
    """
    num_delays, width = len(factors), pieces[0].shape[1]
    rest = np.zeros([num_delays - 1, width])
    # The newest frame of a piece first: what follows a frame are its delays, 0 behind the piece.
    parts = [part for piece in pieces for part in (piece[::-1], rest)]
    backwards = np.concatenate([*parts, np.zeros([num_delays, width])])
    lags = np.zeros([width, num_delays * width])
    for first in range(num_delays):
        num_windows = (len(backwards) - first) // num_delays
        # A window every D frames, so that together they are no more than the frames themselves.
        windows = backwards[first:first + num_windows * num_delays].reshape(num_windows, -1)
        lags += windows[:, :width].T @ windows
    ends = np.cumsum([0] + [len(piece) + len(rest) for piece in pieces[:-1]])
    products = np.empty([num_delays * width] * 2)
    for delay in range(num_delays):
        start, left = delay * width, num_delays - delay
        block = lags[:, :left * width] * factors[delay] * np.repeat(factors[delay:], width)
        products[start:start + width, start:] = block
        products[start:, start:start + width] = block.T
        tails = backwards[ends[:, np.newaxis] + np.arange(delay, num_delays)].reshape(len(ends), -1)
        lags[:, :left * width] -= tails[:, :width].T @ tails
    return products
