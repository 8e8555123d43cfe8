"""Recurrences: what remembers. One cell a file."""

from rnnpt.cells.cell import Cell, swap_time, unroll
from rnnpt.cells.rtrbm import RTRBMCell
from rnnpt.cells.simple import SimpleCell

__all__ = ["Cell", "RTRBMCell", "SimpleCell", "swap_time", "unroll"]
