"""The weights of a recurrent cell that starts are made of."""
from typing import NamedTuple

import keras

from rnnpt.cells import KerasCell
from rnnpt.pretraining.error import PlanError


class CellWeights(NamedTuple):
    """What a cell of one nonlinearity is made of.

    Args:
        kernel: From the frame (V, H).
        recurrent_kernel: From the past (H, H).
        bias: Of the units (H,).
        activation: The nonlinearity's name.
    """

    kernel: keras.Variable
    recurrent_kernel: keras.Variable
    bias: keras.Variable
    activation: str


def activation_of(cell: keras.Layer) -> str:
    """The nonlinearity of a cell.

    Args:
        cell: Any, or a `KerasCell` around it.

    Returns:
        Its name; "none" for a cell that has not one.
    """
    activation = getattr(_inner(cell), "activation", None)
    return "none" if activation is None else keras.activations.serialize(activation)


def weights_of(cell: keras.Layer) -> CellWeights:
    """The weights of a cell that has one nonlinearity.

    Args:
        cell: `SimpleCell`, or any other with these weights, or a `KerasCell` around it; built.

    Returns:
        The variables themselves.

    Raises:
        PlanError: If the cell lacks one of the weights, or has several of one kind (gates).
    """
    inner = _inner(cell)
    name = type(inner).__name__
    missing = [weight for weight in ("kernel", "recurrent_kernel", "bias")
               if getattr(inner, weight, None) is None]
    if missing:
        raise PlanError(f"`cell` must have a {missing[0]}. Received: {name} without one. Pass a "
                        "SimpleCell that is built.")
    num_hidden = inner.kernel.shape[1]
    if inner.recurrent_kernel.shape != (num_hidden, num_hidden):
        raise PlanError("`cell` must have a recurrent kernel as high as wide. Received: "
                        f"{tuple(inner.recurrent_kernel.shape)} in {name}. Take a SimpleCell.")
    return CellWeights(inner.kernel, inner.recurrent_kernel, inner.bias, activation_of(cell))


def _inner(cell: keras.Layer) -> keras.Layer:
    return cell.cell if isinstance(cell, KerasCell) else cell
