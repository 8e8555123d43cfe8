"""A step with one product and one nonlinearity, and its run with a gradient of few products."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf


class AffineStep(NamedTuple):
    """A step of one state, affine but for one nonlinearity: what makes its derivatives cheap.

    Equation: h_t = (1 - leak) h_(t-1)
    + leak activation(frames_t kernel + h_(t-1) recurrent_kernel + bias).

    Args:
        kernel: (V, H).
        recurrent_kernel: (H, H).
        bias: (H,).
        activation: of each unit by itself, a key of `ACTIVATION_GRADIENTS`.
        leak: (H,), or None for 1.
    """

    kernel: keras.Variable | tf.Tensor
    recurrent_kernel: keras.Variable | tf.Tensor
    bias: keras.Variable | tf.Tensor
    activation: Callable[[tf.Tensor], tf.Tensor]
    leak: tf.Tensor | None = None

    def gradient(self, activations: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        """A gradient before the nonlinearity, from that behind it.

        Args:
            activations: what the nonlinearity gave.
            upstream: the gradient there.

        Returns:
            One of the same shape.
        """
        return ACTIVATION_GRADIENTS[self.activation](activations, upstream)


#: Gradients of activations, from what these gave and the gradient there.
ACTIVATION_GRADIENTS: dict[Callable, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    keras.activations.tanh: lambda y, dy: tf.raw_ops.TanhGrad(y=y, dy=dy),
    keras.activations.sigmoid: lambda y, dy: tf.raw_ops.SigmoidGrad(y=y, dy=dy),
    keras.activations.relu: lambda y, dy: tf.raw_ops.ReluGrad(gradients=dy, features=y),
    keras.activations.linear: lambda y, dy: dy,
}


def run_affine(
    step: AffineStep,
    projected: tf.Tensor,
    start: tf.Tensor,
    real: tf.Tensor | None,
    steps_a_turn: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Run a recurrence over projected inputs.

    Its gradient is taken by hand: one product a step, and one for the recurrent kernel over all
    steps at once; automatic derivatives of a loop keep and copy more.

    Args:
        step: what is run.
        projected: of each step (N, B, H).
        start: the state before the first (B, H).
        real: False where the state stands still (N, B, 1); None where it never does.
        steps_a_turn: that one turn of the loop takes, a divisor of N.

    Returns:
        The states before each step (N, B, H), and after the last (B, H).
    """
    past, last = _traced_run(
        step.activation, steps_a_turn, projected, start,
        tf.convert_to_tensor(step.recurrent_kernel), step.leak, real)
    # A trace that serves several shapes knows less of its results than is known here.
    past.set_shape(projected.shape)
    last.set_shape(start.shape)
    last.set_shape(projected.shape[1:])
    return past, last


# TensorFlow keeps what a custom gradient is made of for ever. Here it is the graph of this function
# alone, of which all models share a few; inside a model's graph it would be that of the model.
@tf.function(autograph=False, reduce_retracing=True)
def _traced_run(
    activation: Callable[[tf.Tensor], tf.Tensor],
    steps_a_turn: int,
    projected: tf.Tensor,
    start: tf.Tensor,
    kernel: tf.Tensor,
    leak: tf.Tensor | None,
    real: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """`run_affine` of tensors alone."""
    num_steps = tf.shape(projected)[0]

    @tf.custom_gradient
    def run(projected: tf.Tensor, start: tf.Tensor, kernel: tf.Tensor) -> tuple:
        states, activations = affine_states(
            activation, projected, start, kernel, leak, real, steps_a_turn)

        def gradient(of_history: tf.Tensor, of_last: tf.Tensor) -> tuple:
            def body(t: tf.Tensor, state: tf.Tensor, deltas: tf.TensorArray) -> tuple:
                for _ in range(steps_a_turn):
                    before, delta = back(t, state)
                    t, state, deltas = t - 1, before + of_history[t], deltas.write(t, delta)
                return t, state, deltas

            def back(t: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                change = state if leak is None else leak * state
                delta = ACTIVATION_GRADIENTS[activation](activations[t], change)
                if real is not None:
                    delta = tf.where(real[t], delta, tf.zeros_like(delta))
                before = tf.matmul(delta, kernel, transpose_b=True)
                if leak is not None:
                    before += state - change
                return before if real is None else tf.where(real[t], before, state), delta

            _, of_start, deltas = tf.while_loop(
                lambda t, *_: t >= 0, body, (num_steps - 1, of_last, _array(projected, num_steps)),
                maximum_iterations=num_steps // steps_a_turn)
            of_projected = deltas.stack()
            units = tf.shape(kernel)[0]
            of_kernel = tf.matmul(
                tf.reshape(states[:-1], [-1, units]), tf.reshape(of_projected, [-1, units]),
                transpose_a=True)
            return of_projected, of_start, of_kernel

        return (states[:-1], states[-1]), gradient

    return run(projected, start, kernel)


def affine_states(
    activation: Callable[[tf.Tensor], tf.Tensor],
    projected: tf.Tensor,
    start: tf.Tensor,
    kernel: tf.Tensor,
    leak: tf.Tensor | None = None,
    real: tf.Tensor | None = None,
    steps_a_turn: int = 1,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The states of a recurrence over projected inputs.

    Args:
        activation: of an `AffineStep`.
        projected: as of `run_affine`.
        start: as there.
        kernel: the recurrent one (H, H).
        leak: as of an `AffineStep`.
        real: as of `run_affine`.
        steps_a_turn: as there.

    Returns:
        The states at all places (N + 1, B, H), and what the nonlinearity gave (N, B, H).
    """
    num_steps = tf.shape(projected)[0]

    def body(
        t: tf.Tensor, state: tf.Tensor, states: tf.TensorArray, activations: list[tf.TensorArray]
    ) -> tuple:
        for _ in range(steps_a_turn):
            new = activation(projected[t] + tf.matmul(state, kernel))
            activations = [each.write(t, new) for each in activations]
            advanced = new if leak is None else state + leak * (new - state)
            state = advanced if real is None else tf.where(real[t], advanced, state)
            t, states = t + 1, states.write(t + 1, state)
        return t, state, states, activations

    # Without a leak they are the states, or are not looked at.
    kept = [] if leak is None else [_array(projected, num_steps)]
    _, _, states, kept = tf.while_loop(
        lambda t, *_: t < num_steps, body, (
            tf.constant(0), start, _array(projected, num_steps + 1).write(0, start), kept),
        maximum_iterations=num_steps // steps_a_turn)
    stacked = states.stack()
    return stacked, kept[0].stack() if kept else stacked[1:]


def _array(like: tf.Tensor, size: tf.Tensor) -> tf.TensorArray:
    return tf.TensorArray(like.dtype, size, element_shape=like.shape[1:])
