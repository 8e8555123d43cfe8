"""Starts: what sets weights once, before the first phase of a plan."""
import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from rnnpt.datasets import Sequences
from rnnpt.pretraining.input_start import start_inputs
from rnnpt.pretraining.linear_start import start_linearly


@dataclasses.dataclass(frozen=True)
class Start:
    """What sets the weights of a model, without the epochs of a phase.

    Args:
        name: Of the start, in the log.
        data: Key of `sources` in `run_plan`.
        set_weights: Takes the built model and the data.
        recipe: Its settings, for the record; a run with another recipe is another run.
    """

    name: str
    data: str
    set_weights: Callable[[keras.Model, Sequences], object]
    recipe: dict[str, Any] = dataclasses.field(default_factory=dict)


def linear_start(
    state_size: float = 0.5, penalty: float = 1e-4, discount: float = 0.7
) -> Start:
    """Begin as the linear autoencoder of the training data.

    Args:
        state_size: As of `start_linearly`.
        penalty: As of `start_linearly`.
        discount: As of `start_linearly`.

    Returns:
        A start named "linear" on the data "train".

    Source: Pasa and Sperduti (2014).
    """
    def set_weights(model: keras.Model, sequences: Sequences) -> None:
        start_linearly(model, sequences, state_size, penalty, discount)

    return Start("linear", "train", set_weights, {
        "state_size": state_size, "penalty": penalty, "discount": discount})


def input_start(
    epochs: int = 20, learning_rate: float = 0.01, batch_size: int = 100, seed: int = 0
) -> Start:
    """Begin with features of single frames, as if time did not matter.

    Args:
        epochs: As of `start_inputs`.
        learning_rate: As of `start_inputs`.
        batch_size: As of `start_inputs`.
        seed: As of `start_inputs`.

    Returns:
        A start named "inputs" on the data "train".

    Source: Pasa, Testolin and Sperduti (2014), section 1.
    """
    def set_weights(model: keras.Model, sequences: Sequences) -> None:
        start_inputs(model, sequences, epochs, learning_rate, batch_size, seed)

    return Start("inputs", "train", set_weights, {
        "epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size, "seed": seed})
