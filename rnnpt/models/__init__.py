"""Predictors of the next frame: choices of a cell and a head, and the baselines beside them."""

from rnnpt.models.deep_belief import DeepBeliefNetwork
from rnnpt.models.echo_state import EchoStateNetwork
from rnnpt.models.hmm import HMM
from rnnpt.models.rbm import RBM
from rnnpt.models.rnn import RNN, RNNRBM
from rnnpt.models.rnn_nade import RNNNADE
from rnnpt.models.rtrbm import RTRBM
from rnnpt.models.sequence import SequenceModel
from rnnpt.models.trbm import TRBM

__all__ = [
    "DeepBeliefNetwork", "EchoStateNetwork", "HMM", "RBM", "RNN", "RNNNADE", "RNNRBM", "RTRBM", "SequenceModel", "TRBM"]
