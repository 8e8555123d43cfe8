"""A recurrent network whose input kernel begins as features of single frames.

Source: Pasa, Testolin, Sperduti, A HMM-based pre-training approach for sequential data (2014),
section 1, which names it as what others do.
"""
import keras
import numpy as np

from rnnpt.datasets import Sequences
from rnnpt.models import RBM
from rnnpt.pretraining._cell_weights import weights_of
from rnnpt.pretraining.error import PlanError, check_count

# tanh(a / 2) = 2 sigmoid(a) - 1: a tanh of half of an RBM's input is its hidden mean, but for the
# scale that its readout makes up for.
_SHARES = {"sigmoid": 1.0, "tanh": 0.5}


def start_inputs(
    model: keras.Model, sequences: Sequences, epochs: int = 20, learning_rate: float = 0.01,
    batch_size: int = 100, seed: int = 0,
) -> RBM:
    """Give the cell the kernel and the biases of an RBM of single frames; all else stays.

    The RBM learns by contrastive divergence of one step from the frames in no order, with Adam.
    What it finds knows nothing of time: the control for pre-training that does.

    Args:
        model: A built `SequenceModel` whose cell has a kernel (V, H), a bias, and sigmoid or tanh
            units.
        sequences: The training data, notes that are on or off.
        epochs: Passes over the frames.
        learning_rate: Of Adam.
        batch_size: Frames a batch.
        seed: Of the RBM and the order of the frames.

    Returns:
        The RBM.

    Raises:
        PlanError: If the cell lacks a weight or has other units, or a count is not positive.
    """
    for name, count in (("epochs", epochs), ("batch_size", batch_size)):
        check_count(name, count)
    weights = weights_of(model.cell)
    if weights.activation not in _SHARES:
        raise PlanError(f"`cell` must have units of {', '.join(_SHARES)}. Received: "
                        f"{weights.activation}. "
                        "Take another activation, or another start.")
    frames = np.concatenate(sequences.sequences).astype(np.float32)
    if frames.shape[1] != weights.kernel.shape[0]:
        raise PlanError(f"`cell` must take {frames.shape[1]} columns. Received: "
                        f"{weights.kernel.shape[0]}. Pass the data that the model is for.")
    rbm = RBM(weights.kernel.shape[1], seed=seed)
    rbm.build_for(frames.shape[1])
    rbm.initialize_visible_bias(frames)
    rbm.compile(keras.optimizers.Adam(learning_rate))
    order = np.random.default_rng(seed)
    for _ in range(epochs):
        # Keras would shuffle by a generator of the whole process.
        rbm.fit(frames[order.permutation(len(frames))], batch_size=batch_size, epochs=1,
                shuffle=False, verbose=0)
    share = _SHARES[weights.activation]
    weights.kernel.assign(share * np.array(rbm.head.kernel))
    weights.bias.assign(share * np.array(rbm.hidden_bias))
    return rbm
