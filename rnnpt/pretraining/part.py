"""The parts of a model that a phase may train, each as a Keras model that shares its weights."""
import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np

from rnnpt.heads import BernoulliHead, GaussianHead, GaussianRBMHead, NADEHead, RBMHead
from rnnpt.models import SequenceModel
from rnnpt.pretraining.error import PlanError

#: The whole; the conditional of single frames; and the recurrence with a simpler conditional.
PARTS = ("model", "frames", "recurrence")


@contextlib.contextmanager
def part_of(model: keras.Model, name: str) -> Iterator[tuple[keras.Model, Callable[[], None]]]:
    """Make a part ready to be compiled and trained.

    Of "frames" only the head's weights and the biases are trained, in the model itself. Of
    "recurrence" the cell is, and what leads from it to the visible biases, as if these were all
    that the head took: a `BernoulliHead` (of Gaussian units a `GaussianHead`) stands in its place,
    whose likelihood is exact, so that any optimizer serves.

    Args:
        model: A built `SequenceModel`.
        name: One of `PARTS`.

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
    else:
        yield _recurrence(model)


def _recurrence(model: keras.Model) -> tuple[keras.Model, Callable[[], None]]:
    """The cell with a readout of its own, which begins as that of the model."""
    if not isinstance(model.head, (BernoulliHead, NADEHead, RBMHead)):
        raise _missing("recurrence", model, "visible biases", "such as those of a BernoulliHead")
    of_head = {id(variable) for variable in model.head.variables}
    if any(id(variable) in of_head for variable in model.cell.variables):
        raise _missing("recurrence", model, "a cell of its own", "which RNNRBM has")
    width = model.num_visible
    part = SequenceModel(model.cell, GaussianHead() if isinstance(
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
