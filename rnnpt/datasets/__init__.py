"""Data sets: pieces of music as piano rolls, split into training, validation and test."""
from rnnpt.datasets.pianoroll import pianorolls
from rnnpt.datasets.sequence import Sequences, Splits

__all__ = ["Sequences", "Splits", "pianorolls"]
