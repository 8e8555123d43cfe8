"""Predictors of the next frame: choices of a cell and a head, and the baselines beside them."""

from rnnpt.models.rnn import RNN, RNNRBM
from rnnpt.models.rtrbm import RTRBM
from rnnpt.models.sequence import SequenceModel

__all__ = ["RNN", "RNNRBM", "RTRBM", "SequenceModel"]
