"""The language model: a recurrence that predicts the next symbol of a text."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from rnnpt.cells import Cell
from rnnpt.heads import CategoricalHead, FactoredCategoricalHead
from rnnpt.models._named import NamedModel, simple_cell


@keras.saving.register_keras_serializable(package="rnnpt")
class LanguageModel(NamedModel):
    """A recurrent network that gives each symbol of an alphabet or a vocabulary a probability.

    Use it for characters, or for words with classes. A frame is a one-hot symbol:
    `keras.utils.to_categorical(ids, num_symbols)` turns ids (B, T) into frames (B, T, V).

    Equation: P(v_t) = softmax(W_oh h_(t-1) + b_o), h_t the cell's output after v_t. With classes,
    P(v_t) = P(class of v_t) P(v_t | class of v_t), see `FactoredCategoricalHead`.

    What large alphabets cost: classes make the output cheap, and not the input. The frames take
    4 V bytes a step, and the cell multiplies them by its kernel (V, H) as it would any frame,
    though all but one of their units are zero: two of the five products with V of a training step
    without classes.

    Args:
        num_recurrent: H, units of the simple tanh cell that is used where no `cell` is given; with
            classes also the size of the features, a linear projection of the cell's output.
        cell: any other recurrence.
        class_of: the class of each symbol, such as `heads.frequency_classes` gives; None for one
            softmax over all symbols.
        seed: of the initial weights but for those of a given `cell`, and of everything random in
            training.
        **kwargs: of `SequenceModel`, such as `dropout`.

    Example:
        >>> from rnnpt import metrics
        >>> ids = [["abc".index(letter) for letter in "abcabcab"]]
        >>> frames = keras.utils.to_categorical(ids, num_classes=3)
        >>> model = LanguageModel(num_recurrent=8)
        >>> nats = metrics.log_likelihood(model.log_prob(frames), num_frames=8)
        >>> metrics.bits_per_character(nats) < 4
        True
        >>> model.generate(frames, num_steps=2, seed=1).numpy().sum(axis=-1)
        array([[1., 1.]], dtype=float32)

    Source: Bengio et al. 2012, section 4.2; Sutskever 2013, section 5.3.
    """

    def __init__(
        self,
        num_recurrent: int = 200,
        cell: Cell | None = None,
        class_of: Sequence[int] | np.ndarray | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        given = None if cell is None else keras.saving.serialize_keras_object(cell)
        if cell is None:
            cell = simple_cell(num_recurrent, "tanh", seed)
        head = CategoricalHead() if class_of is None else FactoredCategoricalHead(
            class_of, num_recurrent, keras.initializers.GlorotUniform(seed=seed + 2))
        super().__init__(
            cell, head, seed=seed,
            readout_initializer=keras.initializers.GlorotUniform(seed=seed + 3), **kwargs)
        self._config = {
            "num_recurrent": num_recurrent, "cell": given,
            "class_of": None if class_of is None else list(head.class_of), "seed": seed}
