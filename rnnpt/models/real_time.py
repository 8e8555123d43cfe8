"""Real-time recurrent learning: the gradient of a simple recurrence by a forward pass only."""

import math
from typing import NamedTuple

import keras
import tensorflow as tf

from rnnpt.cells import SimpleCell, swap_time
from rnnpt.models import _batch
from rnnpt.models.sequence import SequenceModel


class Trace(NamedTuple):
    """What goes forward in time in place of a backward pass.

    Args:
        state: h of each row (B, H).
        sensitivity: dh / d theta (B, N, H), theta the N numbers of [kernel; recurrent_kernel; bias;
            initial state], row by row: N = (V + H + 2) H.
    """

    state: tf.Tensor
    sensitivity: tf.Tensor


def real_time_gradients(
    model: SequenceModel, frames: tf.Tensor, mask: tf.Tensor | None = None
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The loss of whole sequences and its exact gradient, without a backward pass through time.

    Use it to check back-propagation, or where the past is too long to be kept. The memory does not
    grow with T, but it is |theta| numbers for each unit and row: |theta| / T times what
    back-propagation needs, and about |theta| / 2 times its computation. Inside a `tf.function` it
    is much faster.

    Equation: S_t = (S_(t-1) recurrent_kernel + d a_t / d theta) * activation'(a_t), with
    a_t = frames_t kernel + h_(t-1) recurrent_kernel + bias, and S_0 the identity for the initial
    state; the gradient is the sum over t of S_(t-1) dL_t / dh_(t-1), L_t the loss of frame t.

    Args:
        model: of a `SimpleCell`, whose activation acts on each unit alone, and of an exact head,
            without dropout.
        frames: (B, T, V).
        mask: True on real frames (B, T), padding at the end only; all of them where None.

    Returns:
        The mean loss a real frame, with the cell's penalty on its activations, as in `fit`; and
        its gradients, in the order of `model.trainable_variables`.

    Raises:
        TypeError: if the cell is no `SimpleCell`.
        ValueError: if the head is not exact, or does not know the frames, or there is dropout.

    Source: Williams and Zipser 1989; Sutskever 2013, section 2.8.1, for the costs too.
    """
    frames, real = _prepare(model, frames, mask)
    trace = _begin(model, tf.shape(frames)[1])
    variables = model.trainable_variables

    def body(
        t: tf.Tensor, total: tf.Tensor, gradients: list[tf.Tensor], trace: Trace
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], Trace]:
        loss, more = _frame_gradients(model, trace, frames[t], real[t])
        gradients = [one + other for one, other in zip(gradients, more)]
        return t + 1, total + loss, gradients, _advance(model.cell, trace, frames[t], real[t])

    _, total, gradients, _ = tf.while_loop(
        lambda t, *_: t < tf.shape(frames)[0], body,
        (tf.constant(0), tf.zeros([], frames.dtype),
         [tf.zeros(variable.shape, frames.dtype) for variable in variables], trace))
    count = _count(real, frames.dtype)
    return total / count, [gradient / count for gradient in gradients]


def train_online(
    model: SequenceModel, frames: tf.Tensor, mask: tf.Tensor | None = None
) -> tf.Tensor:
    """Update the model after each frame of sequences, by the gradient of that frame's loss.

    The gradient knows the whole past at the price of `real_time_gradients`. The sensitivities were
    gathered while the weights moved, so it is exact only as the learning rate goes to zero.

    Args:
        model: as for `real_time_gradients`, and compiled with an optimizer.
        frames: (B, T, V).
        mask: True on real frames (B, T), padding at the end only; all of them where None.

    Returns:
        The mean loss a real frame, each before the update that it led to.

    Raises:
        TypeError: if the cell is no `SimpleCell`.
        ValueError: if the head is not exact, or does not know the frames, there is dropout, or the
            model is not compiled.

    Source: Williams and Zipser 1989; Sutskever 2013, section 2.8.1.
    """
    if getattr(model, "optimizer", None) is None:
        raise ValueError(
            "train_online: the model must be compiled with an optimizer, got none; call "
            "model.compile(optimizer)")
    frames, real = _prepare(model, frames, mask)
    variables = model.trainable_variables
    model.optimizer.build(variables)

    def body(t: tf.Tensor, total: tf.Tensor, trace: Trace) -> tuple[tf.Tensor, tf.Tensor, Trace]:
        loss, gradients = _frame_gradients(model, trace, frames[t], real[t])
        count = _count(real[t], frames.dtype)
        model.optimizer.apply_gradients(
            [(gradient / count, variable) for gradient, variable in zip(gradients, variables)])
        return t + 1, total + loss, _advance(model.cell, trace, frames[t], real[t])

    _, total, _ = tf.while_loop(
        lambda t, *_: t < tf.shape(frames)[0], body,
        (tf.constant(0), tf.zeros([], frames.dtype), _begin(model, tf.shape(frames)[1])))
    return total / _count(real, frames.dtype)


def _prepare(
    model: SequenceModel, frames: tf.Tensor, mask: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Frames (T, B, V) in the cell's dtype and where they are real (T, B), of a model that fits."""
    # A subclass might add to the recurrence what is not in the sensitivities.
    if type(model.cell) is not SimpleCell:
        raise TypeError(
            f"real-time recurrent learning: cell must be a SimpleCell, got "
            f"{type(model.cell).__name__}; train the model by fit")
    if not model.head.exact:
        raise ValueError(
            f"real-time recurrent learning: head must be exact, got {type(model.head).__name__}; "
            "train the model by fit")
    if model.dropout:
        raise ValueError(
            f"real-time recurrent learning: dropout must be 0, got {model.dropout}; train the "
            "model by fit")
    if tf.executing_eagerly():
        frames, mask = _batch.check_frames("frames", frames, mask, head=model.head)
    batch = {"frames": frames} if mask is None else {"frames": frames, "mask": mask}
    frames, mask, _ = _batch.unpack_batch(batch)
    frames = _batch.assert_support(frames, mask, model.head)
    model.build_for(frames.shape[-1])
    return tf.cast(swap_time(frames), model.cell.compute_dtype), tf.transpose(mask)


def _count(real: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.maximum(tf.reduce_sum(tf.cast(real, dtype)), 1)


def _begin(model: SequenceModel, batch_size: tf.Tensor) -> Trace:
    """The learned state, which depends on nothing but itself."""
    (state,), units = model.initial_state(batch_size), model.cell.units
    num_weights = (model.num_visible + units + 1) * units
    sensitivity = tf.pad(tf.eye(units, dtype=state.dtype), [[num_weights, 0], [0, 0]])
    return Trace(state, tf.repeat(sensitivity[tf.newaxis], batch_size, axis=0))


def _advance(cell: SimpleCell, trace: Trace, frame: tf.Tensor, real: tf.Tensor) -> Trace:
    """One step of the state and of its sensitivity; rows that have ended stand still."""
    state, sensitivity = trace
    inputs = tf.matmul(state, cell.recurrent_kernel) + cell.project_inputs(frame)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        new = cell.activation(inputs)
    slope = tape.gradient(new, inputs)
    seen = tf.pad(tf.concat([frame, state], axis=1), [[0, 0], [0, 1]], constant_values=1)
    # d a_j / d weight_(i, k) is what comes in at i where j = k.
    identity = tf.eye(cell.units, dtype=state.dtype)
    direct = tf.einsum("bi,kj->bikj", seen, identity)
    direct = tf.reshape(direct, [-1, seen.shape[1] * cell.units, cell.units])
    direct = tf.pad(direct, [[0, 0], [0, cell.units], [0, 0]])
    passed = tf.tensordot(sensitivity, cell.recurrent_kernel, axes=1)
    moved = (passed + direct) * slope[:, tf.newaxis, :]
    return Trace(tf.where(real[:, tf.newaxis], new, state),
                 tf.where(real[:, tf.newaxis, tf.newaxis], moved, sensitivity))


def _frame_gradients(
    model: SequenceModel, trace: Trace, frame: tf.Tensor, real: tf.Tensor
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The loss of one frame of each row, summed, and its gradients."""
    variables, own = model.trainable_variables, _split(model.cell, trace.sensitivity)
    others = [variable for variable in variables if id(variable) not in own]
    with tf.GradientTape() as tape:
        tape.watch(trace.state)
        output = model.cell.output([trace.state])
        losses = model.head.loss(model.readout(output), frame, seed=(0, 0))
        losses += model.cell.activity_l1 * tf.reduce_sum(tf.abs(output), axis=-1)
        total = tf.reduce_sum(tf.where(real, losses, tf.zeros_like(losses)))
    slope, *direct = tape.gradient(
        total, [trace.state, *others], unconnected_gradients=tf.UnconnectedGradients.ZERO)
    through_state = {
        name: tf.reshape(tf.einsum("bnh,bh->n", sensitivity, slope), shape)
        for name, (sensitivity, shape) in own.items()}
    gradients = {**through_state, **{id(one): value for one, value in zip(others, direct)}}
    return total, [gradients[id(variable)] for variable in variables]


def _split(
    cell: SimpleCell, sensitivity: tf.Tensor
) -> dict[int, tuple[tf.Tensor, tf.TensorShape]]:
    """The sensitivity to each of the cell's variables, by the variable's id, and its shape."""
    variables: list[keras.Variable] = [
        cell.kernel, cell.recurrent_kernel, cell.bias, cell.initial_state[0]]
    parts = tf.split(
        sensitivity, [math.prod(variable.shape) for variable in variables], axis=1)
    return {id(variable): (part, variable.shape) for variable, part in zip(variables, parts)}
