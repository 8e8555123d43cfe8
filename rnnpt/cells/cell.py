"""What every cell shares: the learned initial state, and the run over a whole sequence."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from rnnpt.cells._affine import AffineStep, run_affine

#: Steps that one turn of a loop over time takes: a turn costs about as much as a small step.
STEPS_A_TURN = 4


class Cell(keras.layers.Layer):
    """A recurrence, usable in a `SequenceModel` and in `keras.layers.RNN`.

    A subclass gives `project_inputs`, the part of a step that does not depend on the state and is
    done for all steps in one matrix product, and the rest of the step: `advance`, or in two parts
    `pre_activations` and `activate`, with the `nonlinearity` between them, so that structural
    damping finds it. Where the output is not the first state, it gives `output` too.

    Args:
        state_sizes: number of units of each state tensor.
        activity_l1: what each unit of |output| adds to the loss of a frame in a `SequenceModel`: a
            penalty that keeps most units at zero (Bengio et al. 2012, section 3.4).
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if a number of units is no positive integer, or the penalty is negative.
    """

    #: Whether no state can overflow, however long the sequence.
    bounded = False
    #: What makes states of `pre_activations`, unit by unit; None where these are the states.
    nonlinearity: Callable[[tf.Tensor], tf.Tensor] | None = None

    def __init__(
        self, state_sizes: Sequence[int], activity_l1: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= activity_l1 < float("inf"):
            raise ValueError(
                f"{type(self).__name__}: activity_l1 must be a number from 0 on, got "
                f"{activity_l1}; 0 leaves the activations as they are")
        self.activity_l1 = activity_l1
        for size in state_sizes:
            if not isinstance(size, int) or size < 1:
                raise ValueError(
                    f"{type(self).__name__}: every number of units must be a positive integer, "
                    f"got {size!r}; give the number of recurrent units, such as 100")
        self.state_size = list(state_sizes)
        self.output_size = self.state_size[0]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the learned initial state.

        Args:
            input_shape: shape of the frames (..., V).
        """
        self.initial_state = [
            self.add_weight(name=f"initial_state_{i}", shape=(size,), initializer="zeros")
            for i, size in enumerate(self.state_size)]
        super().build(input_shape)

    def get_initial_state(self, batch_size: int | tf.Tensor) -> list[tf.Tensor]:
        """The learned state before the first frame, the same for every row.

        Args:
            batch_size: B.

        Returns:
            State tensors (B, S_i).
        """
        return [
            tf.broadcast_to(tf.convert_to_tensor(variable), [batch_size, size])
            for variable, size in zip(self.initial_state, self.state_size)]

    def project_inputs(self, frames: tf.Tensor) -> tf.Tensor:
        """The part of a step that does not depend on the state.

        Args:
            frames: (..., V).

        Returns:
            Whatever `advance` takes, with the leading axes of `frames`.

        Raises:
            NotImplementedError: in the base class.
        """
        raise NotImplementedError(f"{type(self).__name__} has no project_inputs")

    def advance(self, projected: tf.Tensor, states: list[tf.Tensor]) -> list[tf.Tensor]:
        """The states after one more frame.

        Args:
            projected: one step of `project_inputs` (B, ...).
            states: state tensors (B, S_i).

        Returns:
            New state tensors (B, S_i).

        Raises:
            NotImplementedError: in the base class.
        """
        if type(self).pre_activations is Cell.pre_activations:
            raise NotImplementedError(f"{type(self).__name__} has no advance")
        return self.activate(self.pre_activations(projected, states), states)

    def pre_activations(
        self, projected: tf.Tensor, states: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        """What the nonlinearity of the recurrence acts on: what structural damping keeps in place.

        Args:
            projected: one step of `project_inputs` (B, ...).
            states: state tensors (B, S_i).

        Returns:
            Tensors (B, ...); in the base class the new states themselves.
        """
        return self.advance(projected, states)

    def activate(
        self, pre_activations: list[tf.Tensor], states: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        """The rest of the step.

        Args:
            pre_activations: as `pre_activations` gives them.
            states: state tensors (B, S_i) before the step.

        Returns:
            New state tensors (B, S_i); in the base class the nonlinearity of the pre-activations.
        """
        nonlinearity = self.nonlinearity or tf.identity
        return [nonlinearity(each) for each in pre_activations]

    def affine_step(self) -> AffineStep | None:
        """The whole of a step, where it has this form; a cell that says nothing has not.

        Returns:
            Its parts, or None.
        """
        return None

    def output(self, states: list[tf.Tensor]) -> tf.Tensor:
        """What the readout sees of the states, those before the first frame included.

        Args:
            states: state tensors (..., S_i).

        Returns:
            Outputs (..., H).
        """
        return states[0]

    def step(
        self, projected: tf.Tensor, states: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """One step on a projected frame.

        Args:
            projected: one step of `project_inputs` (B, ...).
            states: state tensors (B, S_i).

        Returns:
            The output (B, H) and the new states.
        """
        new_states = self.advance(projected, list(states))
        return self.output(new_states), new_states

    def call(
        self, inputs: tf.Tensor, states: Sequence[tf.Tensor], training: bool | None = None
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """One step on a raw frame, as `keras.layers.RNN` asks for it.

        Args:
            inputs: frames of one step (B, V).
            states: state tensors (B, S_i).
            training: ignored, there is nothing random in a cell.

        Returns:
            The output (B, H) and the new states.
        """
        return self.step(self.project_inputs(inputs), list(states))

    def get_config(self) -> dict[str, object]:
        """What the constructor of every cell takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {**super().get_config(), "activity_l1": self.activity_l1}


def unroll(
    cell: Cell,
    frames: tf.Tensor,
    states: Sequence[tf.Tensor],
    mask: tf.Tensor | None = None,
    time_major: bool = False,
    gaps: bool = False,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Run a cell over whole sequences.

    The loop is time-major, so that each step reads and writes one contiguous block. It takes
    `STEPS_A_TURN` steps a turn, those beyond T on zeros. Where states are bounded it knows nothing
    of the mask: padding comes last, so a row's last state is looked up afterwards.

    Args:
        cell: the recurrence, built.
        frames: (B, T, V), T at least 1, finite where padded too.
        states: state tensors (B, S_i) before the first frame.
        mask: True on real frames (B, T), padding at the end only but for `gaps`. None where every
            frame is real.
        time_major: whether the outputs stay as the loop leaves them, which is cheaper.
        gaps: whether padding may be anywhere; each row's state then stands still there.

    Returns:
        The T outputs *before* each frame, the first one from `states`, (B, T, H), or (T, B, H)
        where time-major, meaningless where padded; and the states after the last real frame.
    """
    batch_size, num_steps = tf.unstack(tf.shape(frames)[:2])
    if mask is None:
        mask = tf.ones([batch_size, num_steps], tf.bool)
    surplus = -num_steps % STEPS_A_TURN
    projected = tf.pad(cell.project_inputs(swap_time(frames)), [[0, surplus], [0, 0], [0, 0]])
    # Infinity in the padding, times the gradient zero, would be no number.
    stand_still = gaps or not cell.bounded
    real = tf.pad(tf.transpose(mask), [[0, surplus], [0, 0]])[:, :, tf.newaxis]
    start = [tf.convert_to_tensor(state) for state in states]
    affine = cell.affine_step()
    if affine is None:
        stacked, last = _run(cell, projected, start, real if stand_still else None)
    else:
        past, final = run_affine(
            affine, projected, start[0], real if stand_still else None, STEPS_A_TURN)
        stacked, last = [past], [final]
    if not stand_still:
        total = num_steps + surplus
        lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        ends = tf.stack([tf.minimum(lengths, total - 1), tf.range(batch_size)], axis=1)
        is_whole = (lengths == total)[:, tf.newaxis]
        last = [tf.where(is_whole, state, tf.gather_nd(past, ends))
                for past, state in zip(stacked, last)]
    outputs = cell.output([past[:num_steps] for past in stacked])
    return outputs if time_major else swap_time(outputs), last


def _run(
    cell: Cell, projected: tf.Tensor, states: list[tf.Tensor], real: tf.Tensor | None
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """The states before each step (N, B, S_i) and after the last, N a multiple of the steps a turn;
    they stand still where steps are not real (N, B, 1)."""
    total = tf.shape(projected)[0]
    inputs = tf.TensorArray(projected.dtype, total).unstack(projected)
    # The states before each step: their gradients are cheaper than those after it.
    history = [tf.TensorArray(state.dtype, total, element_shape=[None, size])
               for state, size in zip(states, cell.state_size)]

    def body(
        t: tf.Tensor, states: list[tf.Tensor], history: list[tf.TensorArray]
    ) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.TensorArray]]:
        for _ in range(STEPS_A_TURN):
            history = [past.write(t, state) for past, state in zip(history, states)]
            advanced = cell.advance(inputs.read(t), states)
            if real is not None:
                advanced = [tf.where(real[t], new, old) for new, old in zip(advanced, states)]
            t, states = t + 1, advanced
        return t, states, history

    _, last, history = tf.while_loop(
        lambda t, *_: t < total, body, (tf.constant(0), states, history),
        maximum_iterations=total // STEPS_A_TURN)
    return [past.stack() for past in history], last


def swap_time(values: tf.Tensor) -> tf.Tensor:
    """Turn batch-major into time-major, or back.

    Args:
        values: (B, T, ...) or (T, B, ...), with one last axis.

    Returns:
        The same with the first two axes swapped.
    """
    return tf.transpose(values, [1, 0, 2])
