"""Linear sweeps through a recurrence with one product and one nonlinearity a step."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from rnnpt.cells import AffineStep
from rnnpt.models._recurrence import Recurrence, Tensors


class AffineSweep:
    """A recurrence of `AffineStep`, with its states kept, which tell its derivatives.

    A product is two matrix products a step forwards and two backwards, and nothing else that grows
    with the square of the units; each step's numbers stay in the cache from one to the next, which
    beat doing a product for all steps at once.

    Equation: with q_t = f'(z_t) ([h_(t-1), x_t, 1] V + r_(t-1) W), V the tangents of the weights,
    the tangents of the states are r_t = (1 - leak) r_(t-1) + leak q_t; and backwards
    dz_t = f'(z_t) leak dh_t + damping q_t, the second term being structural damping.

    Args:
        recurrence: of a cell that has an `affine_step`.
        step: it.
        kept: of another sweep of it that kept its factors; nothing for the first.

    Source: Sutskever 2013, algorithm 6.
    """

    def __init__(
        self, recurrence: Recurrence, step: AffineStep, kept: Sequence[tf.Tensor] = ()
    ) -> None:
        self._recurrence = recurrence
        cell = recurrence.model.cell
        self._variables = list(cell.trainable_variables)
        self._places = [_place(variable, self._variables) for variable in (
            step.recurrent_kernel, step.kernel, step.bias, cell.initial_state[0])]
        self._step, self._leak = step, step.leak
        self._kernel = tf.convert_to_tensor(step.recurrent_kernel)
        self._ones = tf.ones([recurrence.num_rows, 1], self._kernel.dtype)
        self._factors: tuple[tf.Tensor, tf.Tensor] | None = None
        self._activations: tf.Tensor | None = None
        if kept:
            states, heard, slopes = kept
            self.states, self._factors = [states], (heard, slopes)
            return
        projected = cell.project_inputs(recurrence.inputs)
        states = self._run(projected)
        self.states = [states]
        # Without a leak they are the states after the steps.
        if step.leak is not None:
            self._activations = step.activation(
                projected + tf.matmul(states[:-1], self._kernel))

    @property
    def kept(self) -> Tensors:
        """The states, and the factors where they are kept."""
        return [*self.states, *(self._factors or ())]

    def keep_factors(self) -> "AffineSweep":
        """Keep what each step multiplies by, which pays where there are many products.

        Returns:
            The sweep itself.
        """
        if self._factors is not None:
            return self
        states, inputs = self.states[0], self._recurrence.inputs
        heard = tf.concat([
            states[:-1], inputs, tf.ones([*tf.unstack(tf.shape(inputs)[:2]), 1], states.dtype)],
            axis=-1)
        activations = states[1:] if self._activations is None else self._activations
        slopes = self._step.gradient(activations, tf.ones_like(activations))
        self._factors = heard, tf.where(
            self._recurrence.matters[..., tf.newaxis], slopes, tf.zeros_like(slopes))
        return self

    def forwards(self, tangents: Tensors) -> tuple[Tensors, tf.TensorArray]:
        """Tangents of the states by those of the cell's weights.

        Args:
            tangents: one a trainable variable of the cell.

        Returns:
            Tangents at the last K places (K, B, H), and q of each step.
        """
        recurrent, kernel, bias, initial = (tangents[place] for place in self._places)
        weights = tf.concat([recurrent, kernel, bias[tf.newaxis]], axis=0)
        num_steps = self._recurrence.num_steps
        start = tf.repeat(initial[tf.newaxis], self._recurrence.num_rows, axis=0)

        def body(
            t: tf.Tensor, state: tf.Tensor, history: tf.TensorArray, hidden: tf.TensorArray
        ) -> tuple:
            change = self._slope(
                t, tf.matmul(self._heard(t), weights) + tf.matmul(state, self._kernel))
            state = change if self._leak is None else state + self._leak * (change - state)
            return t + 1, state, history.write(t + 1, state), hidden.write(t, change)

        _, _, history, hidden = tf.while_loop(
            lambda t, *_: t < num_steps, body, (
                tf.constant(0), start, self._array(num_steps + 1).write(0, start),
                self._array(num_steps)))
        return [history.gather(tf.range(self._recurrence.first_scored, num_steps + 1))], hidden

    def backwards(
        self, slopes: Tensors, hidden: tf.TensorArray | None, damping: tf.Tensor | float
    ) -> Tensors:
        """Slopes at the cell's weights.

        Args:
            slopes: at the states of the last K places (K, B, H).
            hidden: q of each step; None without damping.
            damping: strength of the structural damping.

        Returns:
            One a trainable variable of the cell.
        """
        [slopes], first = slopes, self._recurrence.first_scored

        def with_score(t: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
            return tf.cond(t >= first, lambda: state + slopes[t - first], lambda: state)

        def body(t: tf.Tensor, state: tf.Tensor, total: tf.Tensor) -> tuple:
            state = with_score(t + 1, state)
            change = state if self._leak is None else self._leak * state
            delta = self._slope(t, change)
            if hidden is not None:
                delta += damping * hidden.read(t)
            before = tf.matmul(delta, self._kernel, transpose_b=True)
            return (t - 1, before if self._leak is None else before + state - change,
                    total + tf.matmul(self._heard(t), delta, transpose_a=True))

        units = self._kernel.shape[0]
        num_heard = units + self._recurrence.inputs.shape[-1] + 1
        _, state, total = tf.while_loop(
            lambda t, *_: t >= 0, body, (
                self._recurrence.num_steps - 1, tf.zeros_like(self.states[0][0]),
                tf.zeros([num_heard, units], self._kernel.dtype)))
        recurrent, kernel, bias = total[:units], total[units:-1], total[-1]
        initial = tf.reduce_sum(with_score(tf.constant(0), state), axis=0)
        totals = dict(zip(self._places, (recurrent, kernel, bias, initial)))
        return [totals[place] for place in range(len(self._variables))]

    def _heard(self, t: tf.Tensor) -> tf.Tensor:
        """What the kernels are multiplied by: states, inputs, and a one for the bias."""
        if self._factors is not None:
            return self._factors[0][t]
        return tf.concat([self.states[0][t], self._recurrence.inputs[t], self._ones], axis=-1)

    def _slope(self, t: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """f'(z_t) times values; 0 where nothing hangs on the step."""
        if self._factors is not None:
            return self._factors[1][t] * values
        activations = self.states[0][t + 1] if self._activations is None else self._activations[t]
        values = self._step.gradient(activations, values)
        return tf.where(self._recurrence.matters[t][:, tf.newaxis], values, tf.zeros_like(values))

    def _run(self, projected: tf.Tensor) -> tf.Tensor:
        """The states at all places (N + 1, B, H)."""
        model, num_steps = self._recurrence.model, self._recurrence.num_steps

        def body(t: tf.Tensor, state: tf.Tensor, history: tf.TensorArray) -> tuple:
            state, = model.cell.advance(projected[t], [state])
            return t + 1, state, history.write(t + 1, state)

        start, = model.initial_state(self._recurrence.num_rows)
        _, _, history = tf.while_loop(
            lambda t, *_: t < num_steps, body,
            (tf.constant(0), start, self._array(num_steps + 1).write(0, start)))
        return history.stack()

    def _array(self, size: tf.Tensor) -> tf.TensorArray:
        return tf.TensorArray(
            self._kernel.dtype, size, element_shape=[None, self._kernel.shape[0]],
            clear_after_read=False)


def affine_sweep(
    recurrence: Recurrence, kept: Sequence[tf.Tensor] = ()
) -> AffineSweep | None:
    """The fast sweep, where the cell has one.

    Args:
        recurrence: of any cell.
        kept: as of the sweep.

    Returns:
        It, or nothing where a step is not affine or some of its weights are not trained.
    """
    cell = recurrence.model.cell
    step = cell.affine_step()
    if step is None:
        return None
    own = [step.kernel, step.recurrent_kernel, step.bias, cell.initial_state[0]]
    trained = list(cell.trainable_variables)
    if len(trained) != len(own) or any(
            all(variable is not other for other in trained) for variable in own):
        return None
    return AffineSweep(recurrence, step, kept)


def _place(variable: keras.Variable, variables: Sequence[keras.Variable]) -> int:
    return next(place for place, other in enumerate(variables) if other is variable)
