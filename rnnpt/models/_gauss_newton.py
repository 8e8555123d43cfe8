"""Products with the Gauss-Newton matrix of a sequence model, whatever its cell and its exact head.

One sweep forwards carries tangents of the states, one backwards carries what the loss and the
structural damping make of them. Every derivative is automatic, and of one step at a time, since
TensorFlow has no tangents of a loop over time.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from rnnpt.cells import swap_time

if TYPE_CHECKING:
    from rnnpt.models._training import SequenceTraining

Tensors = list[tf.Tensor]
# Of weights and of other inputs.
Function = Callable[[Tensors, Tensors], Tensors]


class Linearization:
    """A sequence model linearised in its weights, on one batch and where the weights are now.

    The objective is the loss summed over the real frames of a sequence, and its mean over
    sequences, each from the learned initial state on.

    Equation: the product with v is J' H J v + damping K' D K v. J is the Jacobian of the head's
    logits and H their curvature (`Head.curvature`); K is the Jacobian of the cell's pre-activations
    and D the slope of its nonlinearity there, which is the curvature of the distance of hidden
    units that matches it. Only steps that a real frame hangs on count.

    Args:
        model: built, of an exact head, without dropout.
        frames: (B, T, V).
        mask: True on real frames (B, T), padding at the end only.

    Source: Sutskever 2013, eq. 4.4, section 4.2.3 and algorithm 6.
    """

    def __init__(self, model: "SequenceTraining", frames: tf.Tensor, mask: tf.Tensor) -> None:
        self._model, self._cell = model, model.cell
        self._frames, self._real = swap_time(frames), tf.transpose(mask)
        self._num_steps, self._num_sequences = tf.unstack(tf.shape(self._real))
        self._variables = list(model.trainable_variables)
        self._weights = [tf.convert_to_tensor(variable) for variable in self._variables]
        # Those that a step depends on.
        self._of_cell = [place for place, variable in enumerate(self._variables) if any(
            variable is other for other in self._cell.trainable_variables)]
        self._cell_weights = self._chosen(self._weights)
        # The states before each frame (T, B, S_i).
        self._projected = self._project(self._cell_weights, [])[0]
        self._states = self._run()

    def product(self, tangents: Sequence[tf.Tensor], damping: float | tf.Tensor = 0.0) -> Tensors:
        """Multiply by the matrix.

        Args:
            tangents: v, a tensor a trainable variable.
            damping: lambda mu of structural damping.

        Returns:
            A tensor a variable.
        """
        tangents = list(tangents)
        state_tangents, hidden = self._forwards(self._chosen(tangents))
        (logits,), (logit_tangents,) = tangents_of(
            self._logits, self._weights, self._states, tangents, state_tangents)
        curved = self._model.head.curvature(logits, logit_tangents, self._frames)
        mean = 1 / tf.cast(self._num_sequences, curved.dtype)
        curved = mean * tf.where(self._real[..., tf.newaxis], curved, tf.zeros_like(curved))
        totals, slopes = slopes_of(self._logits, self._weights, self._states, [curved])
        # A number of Python's would be cast by way of float32.
        scale = mean * (tf.cast(damping, curved.dtype) if tf.is_tensor(damping) else damping)
        for place, more in zip(
                self._of_cell, self._backwards(slopes, [scale * each for each in hidden])):
            totals[place] += more
        return totals

    def _run(self) -> Tensors:
        """The states before each frame."""
        def body(t: tf.Tensor, states: Tensors, history: list) -> tuple:
            history = [array.write(t, state) for array, state in zip(history, states)]
            outputs = self._step(t)(self._cell_weights, [self._projected[t], *states])
            return t + 1, outputs[-len(states):], history

        start = self._start(self._cell_weights, [])
        _, states, history = tf.while_loop(
            lambda t, *_: t < self._num_steps - 1, body,
            (tf.constant(0), start, self._arrays(start, self._num_steps)))
        return _with_last(history, self._num_steps, states)

    def _forwards(self, tangents: Tensors) -> tuple[Tensors, Tensors]:
        """Tangents of the states before each frame (T, B, S_i), and of what the nonlinearity makes
        of the pre-activations of each step (T - 1, B, ...)."""
        _, start = tangents_of(self._start, self._cell_weights, [], tangents, [])
        _, (projected,) = tangents_of(self._project, self._cell_weights, [], tangents, [])
        num_states = len(start)

        def step(t: tf.Tensor, states: Tensors) -> tuple[Tensors, Tensors]:
            outputs, moved = tangents_of(
                self._step(t), self._cell_weights, self._inputs(t), tangents,
                [projected[t], *states])
            _, hidden = tangents_of(
                self._nonlinear, [], outputs[:-num_states], [], moved[:-num_states])
            real = tf.cast(self._real[t + 1], projected.dtype)[:, tf.newaxis]
            return moved[-num_states:], [real * each for each in hidden]

        def body(t: tf.Tensor, states: Tensors, history: list, damped: list) -> tuple:
            history = [array.write(t, state) for array, state in zip(history, states)]
            states, hidden = step(t, states)
            damped = [array.write(t, each) for array, each in zip(damped, hidden)]
            return t + 1, states, history, damped

        _, last, history, damped = tf.while_loop(
            lambda t, *_: t < self._num_steps - 1, body, (
                tf.constant(0), start, self._arrays(start, self._num_steps),
                self._arrays(self._hidden_like, self._num_steps - 1)))
        return (_with_last(history, self._num_steps, last), [array.stack() for array in damped])

    def _backwards(self, slopes: Tensors, hidden: Tensors) -> Tensors:
        """What slopes at the states (T, B, S_i) and at the pre-activations (T - 1, B, ...) give at
        the cell's weights."""
        projected = tf.TensorArray(
            self._projected.dtype, self._num_steps - 1, element_shape=self._projected.shape[1:])

        def body(
            t: tf.Tensor, states: Tensors, totals: Tensors, projected: tf.TensorArray
        ) -> tuple:
            totals_of_step, (of_projected, *of_states) = slopes_of(
                self._step(t), self._cell_weights, self._inputs(t),
                [*(each[t] for each in hidden), *states])
            states = [slope[t] + each for slope, each in zip(slopes, of_states)]
            return (t - 1, states, [one + other for one, other in zip(totals, totals_of_step)],
                    projected.write(t, of_projected))

        _, states, totals, projected = tf.while_loop(
            lambda t, *_: t >= 0, body, (
                self._num_steps - 2, [slope[self._num_steps - 1] for slope in slopes],
                [tf.zeros_like(weight) for weight in self._cell_weights], projected))
        # The last frame is projected, and leads nowhere.
        of_projected = tf.pad(
            projected.stack(), [[0, 1]] + [[0, 0]] * (len(self._projected.shape) - 1))
        for function, outputs in ((self._start, states), (self._project, [of_projected])):
            more, _ = slopes_of(function, self._cell_weights, [], outputs)
            totals = [one + other for one, other in zip(totals, more)]
        return totals

    def _inputs(self, t: tf.Tensor) -> Tensors:
        return [self._projected[t], *(states[t] for states in self._states)]

    def _step(self, t: tf.Tensor) -> Function:
        """From the projected frame t and the states before it to the pre-activations and the states
        after it; these stand still where no real frame follows."""
        def step(weights: Tensors, inputs: Tensors) -> Tensors:
            projected, *states = inputs
            with self._holding(weights, self._of_cell):
                hidden = self._cell.pre_activations(projected, states)
                advanced = self._cell.activate(hidden, states)
            follows = self._real[t + 1][:, tf.newaxis]
            return [*hidden, *(tf.where(follows, new, old)
                               for new, old in zip(advanced, states))]

        return step

    def _nonlinear(self, _: Tensors, hidden: Tensors) -> Tensors:
        nonlinearity = self._cell.nonlinearity or tf.identity
        return [nonlinearity(each) for each in hidden]

    def _start(self, weights: Tensors, _: Tensors) -> Tensors:
        with self._holding(weights, self._of_cell):
            return [tf.identity(each) for each in self._model.initial_state(self._num_sequences)]

    def _project(self, weights: Tensors, _: Tensors) -> Tensors:
        with self._holding(weights, self._of_cell):
            return [self._cell.project_inputs(self._frames)]

    def _logits(self, weights: Tensors, states: Tensors) -> Tensors:
        with self._holding(weights, range(len(weights))):
            parameters = self._model.readout(self._cell.output(states))
            return [self._model.head.logits(parameters, self._frames)]

    def _chosen(self, values: Tensors) -> Tensors:
        return [values[place] for place in self._of_cell]

    def _holding(self, weights: Tensors, places: Sequence[int]) -> keras.StatelessScope:
        """While it lasts, variables at these places hold other weights."""
        return keras.StatelessScope(state_mapping=[
            (self._variables[place], weight) for place, weight in zip(places, weights)])

    def _arrays(self, values: Tensors, size: tf.Tensor) -> list[tf.TensorArray]:
        return [tf.TensorArray(each.dtype, size, element_shape=[None, *each.shape[1:]])
                for each in values]

    @property
    def _hidden_like(self) -> Tensors:
        """The pre-activations of one step, for their shapes."""
        with self._holding(self._cell_weights, self._of_cell):
            return self._cell.pre_activations(
                self._projected[0], [states[0] for states in self._states])


def tangents_of(
    function: Function,
    weights: Tensors,
    inputs: Tensors,
    weight_tangents: Tensors,
    input_tangents: Tensors,
) -> tuple[Tensors, Tensors]:
    """What a function gives, and how that moves.

    Args:
        function: of weights and inputs, without a loop.
        weights: tensors.
        inputs: tensors.
        weight_tangents: how the weights move, of their shapes.
        input_tangents: how the inputs move, of their shapes.

    Returns:
        Its outputs, and their tangents.
    """
    weights, inputs = _copies(weights), _copies(inputs)
    with tf.autodiff.ForwardAccumulator(
            [*weights, *inputs], [*weight_tangents, *input_tangents]) as accumulator:
        outputs = function(weights, inputs)
    return outputs, [
        accumulator.jvp(output, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        for output in outputs]


def slopes_of(
    function: Function, weights: Tensors, inputs: Tensors, output_slopes: Tensors
) -> tuple[Tensors, Tensors]:
    """The slopes of something at weights and inputs, by its slopes at the outputs.

    Args:
        function: of weights and inputs, without a loop.
        weights: tensors.
        inputs: tensors.
        output_slopes: one an output, of its shape.

    Returns:
        Slopes at the weights, and at the inputs.
    """
    weights, inputs = _copies(weights), _copies(inputs)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([*weights, *inputs])
        outputs = function(weights, inputs)
    slopes = tape.gradient(
        outputs, [*weights, *inputs], output_gradients=output_slopes,
        unconnected_gradients=tf.UnconnectedGradients.ZERO)
    slopes = [tf.convert_to_tensor(slope) for slope in slopes]
    return slopes[:len(weights)], slopes[len(weights):]


def _copies(values: Tensors) -> Tensors:
    # A tensor from outside a loop is another one inside, which no accumulator has seen.
    return [tf.identity(value) for value in values]


def _with_last(history: list[tf.TensorArray], size: tf.Tensor, last: Tensors) -> Tensors:
    return [array.write(size - 1, state).stack() for array, state in zip(history, last)]
