"""Linear sweeps through a recurrence of any cell, one step's derivative at a time."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from rnnpt.models._derivative import Function, slopes_of, tangents_of
from rnnpt.models._recurrence import Recurrence, Tensors


class AutomaticSweep:
    """A recurrence of any cell, each step taken again for its derivative.

    Forwards tangents of the states are carried, backwards slopes. TensorFlow has no tangents of a
    loop over time, but it has those of a step inside of one.

    Args:
        recurrence: of any cell.
        kept: of another sweep of it; nothing for the first.
    """

    def __init__(self, recurrence: Recurrence, kept: Sequence[tf.Tensor] = ()) -> None:
        self._recurrence, self._cell = recurrence, recurrence.model.cell
        self._variables = list(self._cell.trainable_variables)
        self._weights = [tf.convert_to_tensor(variable) for variable in self._variables]
        if kept:
            self._projected, *self.states = kept
        else:
            self._projected = self._project(self._weights, [])[0]
            self.states = self._run()

    @property
    def kept(self) -> Tensors:
        """The projected inputs and the states."""
        return [self._projected, *self.states]

    def forwards(self, tangents: Tensors) -> tuple[Tensors, list[tf.TensorArray]]:
        """Tangents of the states by those of the cell's weights.

        Args:
            tangents: one a trainable variable of the cell.

        Returns:
            Tangents at the last K places (K, B, S_i), and those of what the nonlinearity makes of
            the pre-activations of each step.
        """
        _, start = tangents_of(self._start, self._weights, [], tangents, [])
        _, (projected,) = tangents_of(self._project, self._weights, [], tangents, [])
        num_states, num_steps = len(start), self._recurrence.num_steps

        def body(t: tf.Tensor, states: Tensors, history: list, hidden: list) -> tuple:
            outputs, moved = tangents_of(
                self._step(t), self._weights, self._inputs(t), tangents, [projected[t], *states])
            _, changes = tangents_of(
                self._nonlinear, [], outputs[:-num_states], [], moved[:-num_states])
            real = tf.cast(self._recurrence.matters[t], projected.dtype)[:, tf.newaxis]
            states = moved[-num_states:]
            return (t + 1, states, _written(history, t + 1, states),
                    _written(hidden, t, [real * each for each in changes]))

        _, _, history, hidden = tf.while_loop(
            lambda t, *_: t < num_steps, body, (
                tf.constant(0), start, _written(_arrays(start, num_steps + 1), 0, start),
                _arrays(self._hidden_like, num_steps)))
        scored = tf.range(self._recurrence.first_scored, num_steps + 1)
        return [array.gather(scored) for array in history], hidden

    def backwards(
        self, slopes: Tensors, hidden: list[tf.TensorArray], damping: tf.Tensor
    ) -> Tensors:
        """Slopes at the cell's weights.

        Args:
            slopes: at the states of the last K places (K, B, S_i).
            hidden: as `forwards` gave it.
            damping: strength of the structural damping.

        Returns:
            One a trainable variable of the cell.
        """
        first = self._recurrence.first_scored

        def with_score(t: tf.Tensor, states: Tensors) -> Tensors:
            return tf.cond(t >= first, lambda: [
                state + slope[t - first] for state, slope in zip(states, slopes)], lambda: states)

        def body(
            t: tf.Tensor, states: Tensors, totals: Tensors, projected: tf.TensorArray
        ) -> tuple:
            more, (of_projected, *states) = slopes_of(
                self._step(t), self._weights, self._inputs(t),
                [*(damping * each.read(t) for each in hidden), *with_score(t + 1, states)])
            return (t - 1, states, [one + other for one, other in zip(totals, more)],
                    projected.write(t, of_projected))

        projected, = _arrays([self._projected[0]], self._recurrence.num_steps)
        _, states, totals, projected = tf.while_loop(
            lambda t, *_: t >= 0, body, (
                self._recurrence.num_steps - 1, [tf.zeros_like(each[0]) for each in self.states],
                [tf.zeros_like(weight) for weight in self._weights], projected))
        for function, outputs in (
                (self._start, with_score(tf.constant(0), states)),
                (self._project, [projected.stack()])):
            more, _ = slopes_of(function, self._weights, [], outputs)
            totals = [one + other for one, other in zip(totals, more)]
        return totals

    def _run(self) -> Tensors:
        """The states at all places (N + 1, B, S_i)."""
        def body(t: tf.Tensor, states: Tensors, history: list) -> tuple:
            outputs = self._step(t)(self._weights, [self._projected[t], *states])
            states = outputs[-len(states):]
            return t + 1, states, _written(history, t + 1, states)

        start, num_steps = self._start(self._weights, []), self._recurrence.num_steps
        _, _, history = tf.while_loop(
            lambda t, *_: t < num_steps, body,
            (tf.constant(0), start, _written(_arrays(start, num_steps + 1), 0, start)))
        return [array.stack() for array in history]

    def _inputs(self, t: tf.Tensor) -> Tensors:
        return [self._projected[t], *(states[t] for states in self.states)]

    def _step(self, t: tf.Tensor) -> Function:
        """From the projected input and the states before it to the pre-activations and the states
        after it; these stand still where nothing hangs on the step."""
        def step(weights: Tensors, inputs: Tensors) -> Tensors:
            projected, *states = inputs
            with self._holding(weights):
                hidden = self._cell.pre_activations(projected, states)
                advanced = self._cell.activate(hidden, states)
            matters = self._recurrence.matters[t][:, tf.newaxis]
            return [*hidden, *(tf.where(matters, new, old)
                               for new, old in zip(advanced, states))]

        return step

    def _nonlinear(self, _: Tensors, hidden: Tensors) -> Tensors:
        nonlinearity = self._cell.nonlinearity or tf.identity
        return [nonlinearity(each) for each in hidden]

    def _start(self, weights: Tensors, _: Tensors) -> Tensors:
        with self._holding(weights):
            return [tf.identity(each) for each in
                    self._recurrence.model.initial_state(self._recurrence.num_rows)]

    def _project(self, weights: Tensors, _: Tensors) -> Tensors:
        with self._holding(weights):
            return [self._cell.project_inputs(self._recurrence.inputs)]

    def _holding(self, weights: Tensors) -> keras.StatelessScope:
        """While it lasts, the cell's variables hold other weights."""
        return keras.StatelessScope(state_mapping=list(zip(self._variables, weights)))

    @property
    def _hidden_like(self) -> Tensors:
        """Pre-activations, for their shapes."""
        with self._holding(self._weights):
            return self._cell.pre_activations(
                tf.zeros_like(self._projected[0]), [states[0] for states in self.states])


def _arrays(values: Sequence[tf.Tensor], size: tf.Tensor) -> list[tf.TensorArray]:
    return [tf.TensorArray(
        each.dtype, size, element_shape=[None, *each.shape[1:]], clear_after_read=False)
        for each in values]


def _written(
    arrays: list[tf.TensorArray], place: int | tf.Tensor, values: Tensors
) -> list[tf.TensorArray]:
    return [array.write(place, value) for array, value in zip(arrays, values)]
