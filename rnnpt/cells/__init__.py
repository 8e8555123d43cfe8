"""Recurrences: what remembers. One cell a file."""

from rnnpt.cells._affine import AffineStep, affine_states
from rnnpt.cells.cell import Cell, swap_time, unroll
from rnnpt.cells.hmm import HMMCell
from rnnpt.cells.keras_cell import KerasCell, as_cell
from rnnpt.cells.leaky import LeakyCell
from rnnpt.cells.lstm import LSTMCell
from rnnpt.cells.multiplicative import MRNNCell
from rnnpt.cells.reservoir import ReservoirCell
from rnnpt.cells.rtrbm import RTRBMCell
from rnnpt.cells.simple import SimpleCell
from rnnpt.cells.skip import SkipCell
from rnnpt.cells.tensor import TensorCell
from rnnpt.cells.window import WindowCell

__all__ = [
    "AffineStep", "Cell", "HMMCell", "KerasCell", "LSTMCell", "LeakyCell", "MRNNCell",
    "RTRBMCell", "ReservoirCell", "SimpleCell", "SkipCell", "TensorCell", "WindowCell",
    "affine_states", "as_cell", "swap_time", "unroll",
]
