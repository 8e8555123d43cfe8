"""Recurrences: what remembers. One cell a file."""

from rnnpt.cells.cell import Cell, swap_time, unroll
from rnnpt.cells.hmm import HMMCell
from rnnpt.cells.lstm import LSTMCell
from rnnpt.cells.reservoir import ReservoirCell
from rnnpt.cells.rtrbm import RTRBMCell
from rnnpt.cells.simple import SimpleCell
from rnnpt.cells.window import WindowCell

__all__ = [
    "Cell", "HMMCell", "LSTMCell", "RTRBMCell", "ReservoirCell", "SimpleCell", "WindowCell",
    "swap_time", "unroll",
]
