"""One update of a model, through either door of the optimizers."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras
import tensorflow as tf

from rnnpt.heads import Head
from rnnpt.models._hidden import HiddenVariable
from rnnpt.optimizers import (
    CurvatureOptimizer,
    Nesterov,
    Objective,
    ObjectiveOptimizer,
    SwapLookAhead,
)

Figures = TypeVar("Figures")

# Where `keras.Model.fit` has its callbacks after x.
_CALLBACKS_PLACE = 4


def update(
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[keras.Variable],
    evaluate: Callable[[], tuple[tf.Tensor, Figures]],
    carried: Sequence[HiddenVariable],
) -> Figures:
    """Train on one batch.

    Args:
        optimizer: of either kind.
        variables: what is trained.
        evaluate: gives the loss at what the variables hold, and the figures of the log.
        carried: what `evaluate` changes; the change of the last evaluation stays.

    Returns:
        The figures: with an optimizer that takes the loss itself those after the update, else those
        that its gradient was computed with.
    """
    if isinstance(optimizer, ObjectiveOptimizer):
        values = [variable.value for variable in carried]

        def evaluate_anew() -> tuple[tf.Tensor, Figures]:
            for variable, value in zip(carried, values):
                variable.assign(value)
            return evaluate()

        optimizer.minimize(Objective(variables, lambda: evaluate_anew()[0]))
        return evaluate_anew()[1]
    with tf.GradientTape() as tape:
        loss, figures = evaluate()
        scaled = optimizer.scale_loss(loss)
    optimizer.apply_gradients(zip(tape.gradient(scaled, variables), variables))
    return figures


def check_compile(model: keras.Model, why: str) -> None:
    """Refuse a loss or metrics beside those of a model itself.

    Args:
        model: compiled or not.
        why: it has no use for others.

    Raises:
        ValueError: if `compile` was given any.
    """
    if getattr(model, "loss", None) is not None or model._compile_metrics is not None:
        raise ValueError(
            f"compile must be given no loss and no metrics, got loss={model.loss!r}; {why}")


def check_optimizer(
    optimizer: keras.optimizers.Optimizer,
    head: Head,
    dropout: float,
    num_backward_steps: int | None,
) -> None:
    """Refuse an optimizer that needs the loss of a head that has none, or another loss than this.

    Args:
        optimizer: of the model.
        head: of the model.
        dropout: of the model.
        num_backward_steps: of the model.

    Raises:
        ValueError: if the head's loss is a surrogate, which is no objective; or if the optimizer
            takes a curvature, and the loss is not that of whole sequences without dropout.
    """
    if isinstance(optimizer, ObjectiveOptimizer) and not head.exact:
        raise ValueError(
            "compile: the optimizer must do with gradients, since the loss of "
            f"{type(head).__name__} is but a surrogate, got {type(optimizer).__name__}; take for "
            "example optimizers.Nesterov, or a head with an exact likelihood")
    if isinstance(optimizer, CurvatureOptimizer) and (dropout or num_backward_steps is not None):
        raise ValueError(
            f"compile: {type(optimizer).__name__} needs dropout=0 and num_backward_steps=None, "
            "since it takes the curvature of whole sequences, got "
            f"{dropout} and {num_backward_steps}; leave them out")


def with_look_ahead(
    optimizer: keras.optimizers.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of `fit` whose callbacks begin with the swap that `Nesterov` needs.

    Args:
        optimizer: of the model.
        args: of `fit`, after x.
        kwargs: of `fit`.

    Returns:
        The arguments; unchanged with another optimizer, or where the callbacks have the swap or are
        a `CallbackList`, which is complete.
    """
    in_place = len(args) > _CALLBACKS_PLACE
    callbacks = args[_CALLBACKS_PLACE] if in_place else kwargs.get("callbacks")
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(optimizer, Nesterov) or isinstance(callbacks, keras.callbacks.CallbackList):
        return args, kwargs
    callbacks = tf.nest.flatten(callbacks) if callbacks else []
    if not any(isinstance(callback, SwapLookAhead) for callback in callbacks):
        callbacks = [SwapLookAhead(), *callbacks]
    if in_place:
        return (*args[:_CALLBACKS_PLACE], callbacks, *args[_CALLBACKS_PLACE + 1:]), kwargs
    return args, {**kwargs, "callbacks": callbacks}
