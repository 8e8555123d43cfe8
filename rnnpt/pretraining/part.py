"""The parts of a model that a phase may train, each as a Keras model that shares its weights."""
import contextlib
import re
from collections.abc import Callable, Iterator

import keras
import numpy as np

from rnnpt.cells import Cell, KerasCell
from rnnpt.heads import BernoulliHead, GaussianHead, GaussianRBMHead, NADEHead, RBMHead
from rnnpt.models import SequenceModel
from rnnpt.pretraining.error import PlanError

#: The whole; the conditional of single frames; and the recurrence with a simpler conditional. A
#: layer of a stack is a part besides, "layer_1" the lowest.
PARTS = ("model", "frames", "recurrence")
_LAYER = re.compile("layer_([1-9][0-9]*)")


def is_part(name: str) -> bool:
    """Whether a part may be called so.

    Args:
        name: Any.

    Returns:
        True for one of `PARTS`, and for a layer of any number.
    """
    return name in PARTS or _LAYER.fullmatch(name) is not None


@contextlib.contextmanager
def part_of(model: keras.Model, name: str) -> Iterator[tuple[keras.Model, Callable[[], None]]]:
    """Make a part ready to be compiled and trained.

    Of "frames" only the head's weights and the biases are trained, in the model itself. Of
    "recurrence" the cell is, and what leads from it to the visible biases, as if these were all
    that the head took: a `BernoulliHead` (of Gaussian units a `GaussianHead`) stands in its place,
    whose likelihood is exact, so that any optimizer serves. Of "layer_2" the second of a stack of
    cells is, above the first as it is, and what leads from it to the visible biases, in the same
    way; the readout begins as that of the layer below.

    Args:
        model: A built `SequenceModel`.
        name: One of `PARTS`, or a layer.

    Yields:
        What is trained, and a function that puts it into the model so far.

    Raises:
        PlanError: If the model lacks the weights of the part.
    """
    if name == "model":
        yield model, lambda: None
    elif name == "frames":
        if not model.head.trainable_variables:
            raise _missing(name, model, "a head with weights", "such as RBMHead or NADEHead")
        if not isinstance(model.readout, keras.layers.Dense):
            raise _missing(name, model, "a readout of its own", "such as RNNRBM or RNNNADE")
        frozen = [*model.cell.trainable_variables, model.readout.kernel]
        owned = {id(variable) for variable in model.head.trainable_variables}
        frozen = [variable for variable in frozen if id(variable) not in owned]
        for variable in frozen:
            variable.trainable = False
        try:
            yield model, lambda: None
        finally:
            for variable in frozen:
                variable.trainable = True
    elif name == "recurrence":
        yield _with_visible_biases(model, model.cell, name)
    else:
        layers = _layers(model, name)
        cell = KerasCell(keras.layers.StackedRNNCells(layers))
        part, put_back = _with_visible_biases(model, cell, name)
        own = list(zip(cell.initial_state, model.cell.initial_state))
        for mine, other in own:
            mine.assign(other)

        def put_all_back() -> None:
            put_back()
            for mine, other in own:
                other.assign(mine)

        below = keras.tree.flatten([layer.state_size for layer in layers[:-1]])
        for start in cell.initial_state[:len(below)]:
            start.trainable = False
        for layer in layers[:-1]:
            layer.trainable = False
        try:
            yield part, put_all_back
        finally:
            for layer in layers[:-1]:
                layer.trainable = True


def _layers(model: keras.Model, name: str) -> list[keras.Layer]:
    """The cells of a stack up to the one that is trained."""
    stack = getattr(model.cell, "cell", None)
    found = _LAYER.fullmatch(name)
    assert found is not None
    number = int(found[1])
    if not isinstance(stack, keras.layers.StackedRNNCells) or len(stack.cells) < number:
        raise _missing(name, model, f"a stack of {number} cells or more",
                       "of keras.layers.StackedRNNCells")
    if len({cell.output_size for cell in stack.cells}) > 1:
        raise _missing(name, model, "layers of one size, which hand on their readout",
                       "each cell with as many units")
    return stack.cells[:number]


def _with_visible_biases(
    model: keras.Model, cell: Cell, name: str
) -> tuple[keras.Model, Callable[[], None]]:
    """A cell with a readout of its own, which begins as that of the model."""
    if not isinstance(model.head, (BernoulliHead, NADEHead, RBMHead)):
        raise _missing(name, model, "visible biases", "such as those of a BernoulliHead")
    of_head = {id(variable) for variable in model.head.variables}
    if any(id(variable) in of_head for variable in model.cell.variables):
        raise _missing(name, model, "a cell of its own", "which RNNRBM has")
    width = model.num_visible
    part = SequenceModel(cell, GaussianHead() if isinstance(
        model.head, GaussianRBMHead) else BernoulliHead())
    part.build_for(width)
    part.readout.kernel.assign(np.array(model.readout.kernel)[:, :width])
    part.readout.bias.assign(np.array(model.readout.bias)[:width])

    def put_back() -> None:
        for own, other in ((part.readout.kernel, model.readout.kernel),
                           (part.readout.bias, model.readout.bias)):
            values = np.array(other)
            values[..., :width] = np.array(own)
            other.assign(values)

    return part, put_back


def _missing(name: str, model: keras.Model, what: str, advice: str) -> PlanError:
    return PlanError(f"`part` {name!r} needs {what}. Received: {type(model).__name__} with a "
                     f"{type(model.head).__name__}. Take a model with one, {advice}.")
