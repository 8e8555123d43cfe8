"""Predictors of the next frame: choices of a cell and a head, and the baselines beside them."""

from rnnpt.models.hmm import HMM
from rnnpt.models.rnn import RNN, RNNRBM
from rnnpt.models.rnn_nade import RNNNADE
from rnnpt.models.rtrbm import RTRBM
from rnnpt.models.sequence import SequenceModel

__all__ = ["HMM", "RNN", "RNNNADE", "RNNRBM", "RTRBM", "SequenceModel"]
