"""Predictors of the next frame: choices of a cell and a head; baselines.

Of single frames there are RBMs, and deep autoencoders; from one sequence to another leads a
`Transducer`, and from a sequence to one state and back a `LinearAutoencoder`.
"""

from rnnpt.models.autoencoder import Autoencoder
from rnnpt.models.deep_belief import DeepBeliefNetwork
from rnnpt.models.echo_state import EchoStateNetwork
from rnnpt.models.ensemble import RNNEnsemble
from rnnpt.models.hmm import HMM
from rnnpt.models.language import LanguageModel
from rnnpt.models.linear_autoencoder import LinearAutoencoder
from rnnpt.models.rbm import RBM
from rnnpt.models.real_time import real_time_gradients, train_online
from rnnpt.models.rnn import RNN
from rnnpt.models.rnn_nade import RNNNADE
from rnnpt.models.rnn_rbm import RNNRBM
from rnnpt.models.rtrbm import RTRBM
from rnnpt.models.sequence import SequenceModel
from rnnpt.models.transducer import Transducer
from rnnpt.models.trbm import TRBM
from rnnpt.models.trbm_stack import TRBMStack

__all__ = [
    "Autoencoder", "DeepBeliefNetwork", "EchoStateNetwork", "HMM", "LanguageModel",
    "LinearAutoencoder", "RBM", "RNN", "RNNEnsemble", "RNNNADE", "RNNRBM", "RTRBM",
    "SequenceModel", "TRBM", "TRBMStack", "Transducer", "real_time_gradients", "train_online",
]
