"""Any Keras cell as a cell of this package."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt.cells.cell import Cell

# What `_is_bounded` knows; a subclass of these may do anything.
_KNOWN_CELLS = (keras.layers.SimpleRNNCell, keras.layers.GRUCell, keras.layers.LSTMCell)
_BOUNDED_ACTIVATIONS = (keras.activations.tanh, keras.activations.sigmoid)


@keras.saving.register_keras_serializable(package="rnnpt")
class KerasCell(Cell):
    """A Keras cell, with a learned start in place of zeros.

    Use it for `keras.layers.LSTMCell`, `GRUCell`, `SimpleRNNCell`, `StackedRNNCells` of them, or a
    cell of your own whose output is one of its new states. Nothing is known of how it takes a frame
    in, so nothing is done for all steps at once.

    Args:
        cell: the Keras cell; its states may be nested.
        **kwargs: of `Cell`.

    Raises:
        ValueError: if the cell drops units out, or has another dtype than the one given.

    Example:
        >>> cell = KerasCell(keras.layers.LSTMCell(4))
        >>> cell.state_size
        [4, 4]
    """

    def __init__(self, cell: keras.layers.Layer, **kwargs: Any) -> None:
        kwargs.setdefault("dtype", cell.dtype_policy)
        super().__init__(state_sizes=keras.tree.flatten(cell.state_size), **kwargs)
        if self.compute_dtype != cell.compute_dtype:
            raise ValueError(
                f"KerasCell: dtype must be that of the cell, {cell.compute_dtype}, got "
                f"{self.compute_dtype}; give it to {type(cell).__name__} too")
        _refuse_dropout(cell)
        self.cell = cell
        self.bounded = _is_bounded(cell)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the cell, and find which of its states it gives out.

        Args:
            input_shape: shape of the frames (..., V).

        Raises:
            ValueError: if the output is none of the new states.
        """
        if not self.cell.built:  # Keras builds the parts of a cell that it loads.
            self.cell.build((None, input_shape[-1]))
        output, states = self._call_cell(
            tf.zeros([1, input_shape[-1]], self.compute_dtype),
            [tf.zeros([1, size], self.compute_dtype) for size in self.state_size])
        found = [i for i, state in enumerate(states) if state is output]
        if not found:
            raise ValueError(
                f"KerasCell: cell must return one of its {len(states)} new states as its output, "
                f"got a {type(self.cell).__name__} whose output is another tensor; add the output "
                "to its states, or leave what comes after the state to the readout")
        self._output_index = found[0]
        self.output_size = self.state_size[self._output_index]
        super().build(input_shape)

    def project_inputs(self, frames: tf.Tensor) -> tf.Tensor:
        """The frames as they are: the cell takes them in itself.

        Args:
            frames: (..., V).

        Returns:
            Frames (..., V).
        """
        return tf.convert_to_tensor(frames)

    def advance(self, projected: tf.Tensor, states: list[tf.Tensor]) -> list[tf.Tensor]:
        """The states after one more frame.

        Args:
            projected: frames of one step (B, V).
            states: state tensors (B, S_i), the cell's in flat order.

        Returns:
            The new states.
        """
        return self._call_cell(projected, states)[1]

    def output(self, states: list[tf.Tensor]) -> tf.Tensor:
        """The state that the cell gives out.

        Args:
            states: state tensors (..., S_i).

        Returns:
            Outputs (..., H).
        """
        return states[self._output_index]

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {**super().get_config(), "cell": keras.saving.serialize_keras_object(self.cell)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "KerasCell":
        """Undo `get_config`.

        Args:
            config: what `get_config` gave.

        Returns:
            A cell like the one that gave it, its weights drawn anew.
        """
        return cls(**{**config, "cell": keras.saving.deserialize_keras_object(config["cell"])})

    def _call_cell(
        self, frames: tf.Tensor, states: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The cell's output and new states, these flat."""
        sizes = self.cell.state_size
        structure = sizes if keras.tree.is_nested(sizes) else [sizes]
        output, new_states = self.cell(frames, keras.tree.pack_sequence_as(structure, states))
        return output, keras.tree.flatten(new_states)


def as_cell(cell: object) -> Cell:
    """A cell of this package, whichever cell it is given.

    Args:
        cell: a `Cell`, or a Keras cell such as `keras.layers.LSTMCell`.

    Returns:
        The `Cell` itself, or the Keras cell in a `KerasCell`.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(cell, Cell):
        return cell
    if isinstance(cell, keras.layers.RNN):
        raise TypeError(
            f"cell must be a rnnpt Cell or a Keras cell, got the layer {type(cell).__name__}; "
            f"give its cell, {type(cell.cell).__name__}")
    if not isinstance(cell, keras.layers.Layer) or not hasattr(cell, "state_size"):
        raise TypeError(
            f"cell must be a rnnpt Cell or a Keras cell, got {type(cell).__name__}; build one "
            "from rnnpt.cells, or give a Keras layer with a state_size, such as "
            "keras.layers.LSTMCell(100)")
    return KerasCell(cell)


def _is_bounded(cell: keras.layers.Layer) -> bool:
    """Whether the states are known not to overflow; an LSTM's memory grows by 1 a step at most."""
    if type(cell) is keras.layers.StackedRNNCells:
        return all(_is_bounded(layer) for layer in cell.cells)
    return type(cell) in _KNOWN_CELLS and all(
        getattr(cell, name, keras.activations.tanh) in _BOUNDED_ACTIVATIONS
        for name in ("activation", "recurrent_activation"))


def _refuse_dropout(cell: keras.layers.Layer) -> None:
    """Keras keeps one dropout mask in the cell until it is told to forget it, which none does."""
    for layer in cell._flatten_layers():
        rates = {name: getattr(layer, name, 0) for name in ("dropout", "recurrent_dropout")}
        if isinstance(layer, keras.layers.Dropout):
            rates = {"rate": layer.rate}
        for name, rate in rates.items():
            if rate:
                raise ValueError(
                    f"KerasCell: {name} must be 0 in a cell, got {rate} in {layer.name!r}; a mask "
                    "that lasts a sequence is not supported, take a smaller cell or activity_l1")
