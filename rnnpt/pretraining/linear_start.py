"""A recurrent network that begins as a linear autoencoder of its training data.

Source: Pasa and Sperduti, Pre-training of recurrent neural networks via linear autoencoders (2014).
"""

import keras
import numpy as np
import tensorflow as tf
from scipy.special import logit

from rnnpt.cells import KerasCell, SimpleCell, unroll
from rnnpt.datasets import Sequences
from rnnpt.heads import BernoulliHead, GaussianHead
from rnnpt.pretraining._cell_weights import activation_of, weights_of
from rnnpt.pretraining._logistic_regression import cross_entropy, logistic_regression
from rnnpt.pretraining.error import PlanError
from rnnpt.pretraining.linear_autoencoder import FittedAutoencoder, fit_linear_autoencoder
from rnnpt.pretraining.part import part_of

# A rectifier lets half of the numbers through: a unit of each sign keeps all of them.
_UNITS_A_STATE = {"tanh": 1, "linear": 1, "relu": 2}
_READOUTS = ("logistic", "least_squares")
# Probabilities that least squares takes notes and rests for, whose log-odds are finite.
_REST, _NOTE = 0.05, 0.95


def initialize_recurrence(
    cell: keras.Layer, autoencoder: FittedAutoencoder, state_size: float = 0.5
) -> None:
    """Put a linear autoencoder into a cell.

    The units that it needs come first. Where the cell has more, these keep their weights: they hear
    the others and are not heard by them. Of a tanh the states are made so small that it is all but
    linear; linear units and rectifiers take any size, a rectifier a unit for each sign.

    Equation: kernel = c A', recurrent kernel = B', bias = -c A mean, initial state 0; the states
    are c times those of the autoencoder.

    Args:
        cell: `SimpleCell`, or a `KerasCell` of a `keras.layers.SimpleRNNCell`, with a bias and
            tanh, relu or linear units; built. A cell with another recurrence, such as a leak,
            would not give the states of the autoencoder, and is refused.
        autoencoder: of frames of V columns.
        state_size: the root mean square over the data of the unit that varies most.

    Raises:
        PlanError: if the cell is another one, lacks one of these weights, has other units, or is of
            another size; or if `state_size` is not positive.
    """
    if not state_size > 0:
        raise PlanError(f"`state_size` must be positive. Received: state_size={state_size}. Pass "
                        "0.5, or less for a tanh that is more linear.")
    weights = weights_of(cell)
    inner = cell.cell if isinstance(cell, KerasCell) else cell
    # A subclass has a recurrence of its own.
    if type(inner) not in (SimpleCell, keras.layers.SimpleRNNCell):
        raise PlanError("`cell` must be a SimpleCell, or a KerasCell of a SimpleRNNCell. Received: "
                        f"{type(inner).__name__}, whose recurrence is another one. Take another "
                        "start.")
    num_visible, num_hidden = weights.kernel.shape
    activation = weights.activation
    if activation not in _UNITS_A_STATE:
        raise PlanError(f"`cell` must have units of {', '.join(_UNITS_A_STATE)}. Received: "
                        f"{activation}. Take another activation.")
    units_a_state, width = _UNITS_A_STATE[activation], len(autoencoder.input_kernel)
    units = units_a_state * autoencoder.num_units
    if num_visible != width or num_hidden < units:
        raise PlanError(f"`cell` must take {width} columns and have {units} units or more. "
                        f"Received: {num_visible} and {num_hidden}. Fit the autoencoder to the "
                        f"same data with {num_hidden // units_a_state} units or fewer.")
    scale = state_size / autoencoder.state_size
    signs = np.array([1.0, -1.0])[:units_a_state]
    own = scale * np.kron(signs, autoencoder.input_kernel)
    kernel, recurrent, bias = (np.array(weight) for weight in weights[:3])
    kernel[:, :units] = own
    recurrent[:units, :units] = np.kron(np.outer(signs, signs), autoencoder.recurrent_kernel)
    recurrent[units:, :units] = 0
    bias[:units] = -autoencoder.mean @ own
    for variable, value in zip(weights, (kernel, recurrent, bias)):
        variable.assign(value)
    for state in getattr(cell, "initial_state", []):
        state.assign(np.concatenate([np.zeros(units), np.array(state)[units:]]))


def start_linearly(
    model: keras.Model, sequences: Sequences, state_size: float = 0.5, penalty: float = 1e-4,
    discount: float = 0.7,
) -> FittedAutoencoder:
    """Begin as the linear autoencoder of the training data that has as many units as the cell.

    The visible biases follow from the states by logistic regression, or by least squares where the
    visible units are Gaussian; all else of the head and its readout stays.

    Args:
        model: A built `SequenceModel`, whose cell is as of `initialize_recurrence` and whose head
            has visible biases, such as an RNN-RBM.
        sequences: The training data.
        state_size: As of `initialize_recurrence`.
        penalty: As of `fit_readout`.
        discount: As of `fit_linear_autoencoder`; 1 as in the paper.

    Returns:
        The autoencoder.

    Raises:
        PlanError: If the model is not of this kind, or the data have fewer dimensions than the cell
            has units.
    """
    with part_of(model, "recurrence") as (part, put_back):
        # A cell of other units is refused when it is to hold the autoencoder.
        units_a_state = _UNITS_A_STATE.get(activation_of(model.cell), 1)
        autoencoder = fit_linear_autoencoder(
            sequences, model.cell.output_size // units_a_state, discount=discount)
        initialize_recurrence(model.cell, autoencoder, state_size)
        is_gaussian = isinstance(part.head, GaussianHead)
        fit_readout(part, sequences, "least_squares" if is_gaussian else "logistic", penalty)
        put_back()
    return autoencoder


def fit_readout(
    model: keras.Model, sequences: Sequences, method: str = "logistic", penalty: float = 1e-4,
    max_iterations: int = 50, tolerance: float = 1e-4,
) -> float:
    """Fit a model's readout to its states, which stay.

    "logistic" minimises the cross-entropy by L-BFGS; "least_squares" solves for log-odds of 0.05
    and 0.95 in the place of rests and notes, or for the frames themselves under a `GaussianHead`.

    Equation: the mean over frames of the loss + penalty |kernel|^2 / 2.

    Args:
        model: a built `SequenceModel` with a `BernoulliHead`, or a `GaussianHead` that learns no
            variance.
        sequences: the training data.
        method: "logistic" or "least_squares".
        penalty: on the kernel.
        max_iterations: of "logistic".
        tolerance: of "logistic", which stops where an iteration lowers the objective by less than
            this share of it.

    Returns:
        The mean loss of a frame after it: nats, or half the squared error.

    Raises:
        PlanError: if the head or the method is another one, or `penalty` or `tolerance` is not
            positive.
    """
    head, is_gaussian = model.head, isinstance(model.head, GaussianHead)
    if not isinstance(head, BernoulliHead) and not (is_gaussian and not head.learn_variance):
        raise PlanError("`model` must have a BernoulliHead or a GaussianHead that learns no "
                        f"variance. Received: {type(head).__name__}. Train its readout instead.")
    if method not in _READOUTS or (is_gaussian and method == "logistic"):
        raise PlanError(f"`method` must be one of {_READOUTS}, least_squares with a GaussianHead. "
                        f"Received: method={method!r}. Pass 'least_squares'.")
    if not penalty > 0:
        raise PlanError(f"`penalty` must be positive. Received: penalty={penalty}. Pass 1e-4.")
    if not tolerance > 0:
        raise PlanError(
            f"`tolerance` must be positive. Received: tolerance={tolerance}. Pass 1e-4.")
    states, frames = _states(model, sequences)
    if is_gaussian:
        kernel, bias = _least_squares(states, frames, penalty)
        loss = float(np.square(states @ kernel + bias - frames).sum(axis=1).mean() / 2)
    else:
        if method == "least_squares":
            odds = logit(np.where(frames > 0.5, _NOTE, _REST))
            kernel, bias = _least_squares(states, odds, penalty)
        else:
            kernel, bias = logistic_regression(
                states, frames, penalty, max_iterations, tolerance)
        loss, _ = cross_entropy(np.concatenate([kernel, bias[np.newaxis]]), states, frames)
    model.readout.kernel.assign(kernel)
    model.readout.bias.assign(bias)
    return loss


def _states(model: keras.Model, sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """The cell's outputs before each frame (N, H), and the frames (N, V)."""
    dtype = model.compute_dtype
    kept_dtype = keras.backend.result_type(dtype, "float32")

    @tf.function(reduce_retracing=True)
    def outputs_of(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        frames = tf.cast(batch["frames"], dtype)
        outputs, _ = unroll(
            model.cell, frames, model.initial_state(tf.shape(frames)[0]), batch["mask"])
        return tuple(
            tf.cast(tf.boolean_mask(each, batch["mask"]), kept_dtype) for each in (outputs, frames))

    found = [[each.numpy() for each in outputs_of(batch)] for batch in sequences.pieces(16)]
    states, frames = (np.concatenate(each) for each in zip(*found))
    return states, frames


def _least_squares(
    states: np.ndarray, targets: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """The kernel and the bias, which has no penalty."""
    states = np.pad(states.astype(np.float64), [(0, 0), (0, 1)], constant_values=1)
    ridge = np.full(states.shape[1], penalty * len(states))
    ridge[-1] = 0
    weights = np.linalg.solve(states.T @ states + np.diag(ridge), states.T @ targets)
    return weights[:-1], weights[-1]
