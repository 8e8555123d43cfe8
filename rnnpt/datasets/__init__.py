"""Data sets: pieces of music as piano rolls, videos, and artificial problems of long memory.

`chorales` works anywhere, `pianorolls` reads the published sets, `midi_folder` a user's files;
`get` and `names` find them by name. A problem, such as `Addition`, draws sequences without end; so
do `BouncingBalls`, videos, and `Excerpts` of music, best of rolls whose steps are seconds.
`curves`, `mnist` and `faces` are images, which have no order.
"""
from rnnpt.datasets._marked_problem import Addition, Multiplication, Xor
from rnnpt.datasets._symbol_problem import (
    Memorization5Bit,
    Memorization20Bit,
    RandomPermutation,
    TemporalOrder,
    ThreeBitTemporalOrder,
)
from rnnpt.datasets.bouncing_balls import BouncingBalls
from rnnpt.datasets.chorale import chorales
from rnnpt.datasets.curve import curves
from rnnpt.datasets.excerpt import Excerpts
from rnnpt.datasets.image import Images, faces, mnist
from rnnpt.datasets.midi_file import midi_folder
from rnnpt.datasets.pianoroll import pianorolls
from rnnpt.datasets.problem import Problem, ProblemBatch
from rnnpt.datasets.registry import get, names
from rnnpt.datasets.sequence import Sequences
from rnnpt.datasets.splits import Splits
from rnnpt.datasets.timed_roll import timed_chorales, timed_midi_folder

__all__ = [
    "Addition", "BouncingBalls", "Excerpts", "Images", "Memorization20Bit", "Memorization5Bit",
    "Multiplication", "Problem", "ProblemBatch", "RandomPermutation", "Sequences", "Splits",
    "TemporalOrder", "ThreeBitTemporalOrder", "Xor", "chorales", "curves", "faces", "get",
    "midi_folder", "mnist", "names", "pianorolls", "timed_chorales", "timed_midi_folder",
]
