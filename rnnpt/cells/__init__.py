"""Recurrences: what remembers. One cell a file."""

from rnnpt.cells.cell import Cell, unroll
from rnnpt.cells.simple import SimpleCell

__all__ = ["Cell", "SimpleCell", "unroll"]
