"""Data sets: pieces of music as piano rolls, split into training, validation and test.

`chorales` works anywhere, `pianorolls` reads the published sets, `midi_folder` a user's files;
`get` and `names` find them by name.
"""
from rnnpt.datasets.chorale import chorales
from rnnpt.datasets.midi_file import midi_folder
from rnnpt.datasets.pianoroll import pianorolls
from rnnpt.datasets.registry import get, names
from rnnpt.datasets.sequence import Sequences, Splits

__all__ = ["Sequences", "Splits", "chorales", "get", "midi_folder", "names", "pianorolls"]
