"""Linear sweeps through a recurrence with one product and one nonlinearity a step."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from rnnpt.cells import AffineStep, affine_states
from rnnpt.models._recurrence import Recurrence, Tensors

# Of a step: the recurrent kernel, the kernel, the bias and the initial state.
_NUM_WEIGHTS = 4


class AffineSweep:
    """A recurrence of `AffineStep`, with its states kept, which tell its derivatives.

    A product is two matrix products a step forwards and two backwards, and nothing else that grows
    with the square of the units; each step's numbers stay in the cache from one to the next, which
    beat doing a product for all steps at once.

    Equation: with q_t = f'(z_t) ([h_(t-1), x_t, 1] V + r_(t-1) W), V the tangents of the weights,
    the tangents of the states are r_t = (1 - leak) r_(t-1) + leak q_t; and backwards
    dz_t = f'(z_t) leak dh_t + damping q_t, the second term being structural damping.

    Args:
        step: what is run.
        initial: the learned state before the first step (H,).
        inputs: of each step (N, B, I), finite.
        matters: as of `Recurrence` (N, B).
        first_scored: the first place whose states are scored, from 0 to N.
        stands_still: whether states stand still where a step does not matter. They could overflow
            there, if not bounded, and infinity times the gradient zero would be no number.
        places: where tangents and slopes have the recurrent kernel, the kernel, the bias and the
            initial state.
        kept: of another sweep of it that kept its factors; nothing for the first.

    Source: Sutskever 2013, algorithm 6.
    """

    def __init__(
        self,
        step: AffineStep,
        initial: keras.Variable | tf.Tensor,
        inputs: tf.Tensor,
        matters: tf.Tensor,
        first_scored: tf.Tensor,
        stands_still: bool,
        places: Sequence[int] = range(_NUM_WEIGHTS),
        kept: Sequence[tf.Tensor] = (),
    ) -> None:
        self._step, self._leak, self._places = step, step.leak, places
        self._inputs, self._matters, self._first_scored = inputs, matters, first_scored
        self._num_steps, self._num_rows = tf.unstack(tf.shape(inputs)[:2])
        self._kernel = tf.convert_to_tensor(step.recurrent_kernel)
        self._ones = tf.ones([self._num_rows, 1], self._kernel.dtype)
        self._factors: tuple[tf.Tensor, tf.Tensor] | None = None
        self._activations: tf.Tensor | None = None
        if kept:
            states, heard, slopes = kept
            self.states, self._factors = [states], (heard, slopes)
            return
        projected = tf.nn.bias_add(tf.tensordot(inputs, step.kernel, axes=1), step.bias)
        states, activations = affine_states(
            step.activation, projected, self._repeat(tf.convert_to_tensor(initial)), self._kernel,
            step.leak, matters[..., tf.newaxis] if stands_still else None)
        self.states = [states]
        # Without a leak they are the states after the steps, and would be a copy of these.
        if step.leak is not None:
            self._activations = activations

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
        states, inputs = self.states[0], self._inputs
        heard = tf.concat([
            states[:-1], inputs, tf.ones([*tf.unstack(tf.shape(inputs)[:2]), 1], states.dtype)],
            axis=-1)
        activations = states[1:] if self._activations is None else self._activations
        slopes = self._step.gradient(activations, tf.ones_like(activations))
        self._factors = heard, tf.where(
            self._matters[..., tf.newaxis], slopes, tf.zeros_like(slopes))
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
        num_steps, start = self._num_steps, self._repeat(initial)

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
        return [history.gather(tf.range(self._first_scored, num_steps + 1))], hidden

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
        [slopes], first = slopes, self._first_scored

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

        units = tf.shape(self._kernel)[0]
        num_heard = units + tf.shape(self._inputs)[-1] + 1
        _, state, total = tf.while_loop(
            lambda t, *_: t >= 0, body, (
                self._num_steps - 1, tf.zeros_like(self.states[0][0]),
                tf.zeros([num_heard, units], self._kernel.dtype)))
        recurrent, kernel, bias = total[:units], total[units:-1], total[-1]
        initial = tf.reduce_sum(with_score(tf.constant(0), state), axis=0)
        totals = dict(zip(self._places, (recurrent, kernel, bias, initial)))
        return [totals[place] for place in range(len(totals))]

    def _heard(self, t: tf.Tensor) -> tf.Tensor:
        """What the kernels are multiplied by: states, inputs, and a one for the bias."""
        if self._factors is not None:
            return self._factors[0][t]
        return tf.concat([self.states[0][t], self._inputs[t], self._ones], axis=-1)

    def _slope(self, t: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """f'(z_t) times values; 0 where nothing hangs on the step."""
        if self._factors is not None:
            return self._factors[1][t] * values
        activations = self.states[0][t + 1] if self._activations is None else self._activations[t]
        values = self._step.gradient(activations, values)
        return tf.where(self._matters[t][:, tf.newaxis], values, tf.zeros_like(values))

    def _repeat(self, initial: tf.Tensor) -> tf.Tensor:
        """A state for every row (B, H)."""
        return tf.repeat(initial[tf.newaxis], self._num_rows, axis=0)

    def _array(self, size: tf.Tensor) -> tf.TensorArray:
        return tf.TensorArray(
            self._kernel.dtype, size, element_shape=[self._inputs.shape[1], self._kernel.shape[0]],
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
    found = _step_of(recurrence)
    if found is None:
        return None
    step, places = found
    return AffineSweep(
        step, recurrence.model.cell.initial_state[0], recurrence.inputs, recurrence.matters,
        recurrence.first_scored, not recurrence.model.cell.bounded, places, kept)


def swept_states(recurrence: Recurrence) -> tf.Tensor | None:
    """The states that are scored, their gradient by one sweep back.

    Args:
        recurrence: of any cell.

    Returns:
        States at the last K places (K, B, H); None where the cell has no fast sweep.
    """
    found = _step_of(recurrence)
    if found is None:
        return None
    step, _ = found
    states = _traced_states(
        step.activation, step.leak, not recurrence.model.cell.bounded, recurrence.inputs,
        recurrence.matters, recurrence.first_scored, *(tf.convert_to_tensor(weight) for weight in (
            step.recurrent_kernel, step.kernel, step.bias, recurrence.model.cell.initial_state[0])))
    states.set_shape([None, None, step.bias.shape[0]])
    return states


# Outside a model's graph for the reason that `cells._affine` gives.
@tf.function(autograph=False, reduce_retracing=True)
def _traced_states(
    activation: Callable[[tf.Tensor], tf.Tensor],
    leak: tf.Tensor | None,
    stands_still: bool,
    inputs: tf.Tensor,
    matters: tf.Tensor,
    first_scored: tf.Tensor,
    *weights: tf.Tensor,
) -> tf.Tensor:
    """`swept_states` of tensors alone."""
    @tf.custom_gradient
    def states(
        recurrent_kernel: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, initial: tf.Tensor
    ) -> tuple:
        step = AffineStep(kernel, recurrent_kernel, bias, activation, leak)
        sweep = AffineSweep(step, initial, inputs, matters, first_scored, stands_still)
        return sweep.states[0][first_scored:], (
            lambda slopes: sweep.backwards([slopes], None, 0.0))

    return states(*weights)


def _step_of(recurrence: Recurrence) -> tuple[AffineStep, list[int]] | None:
    """The cell's step, and the places of its weights, where it has one and all of it is trained."""
    cell = recurrence.model.cell
    step = cell.affine_step()
    if step is None:
        return None
    trained = list(cell.trainable_variables)
    places = [
        place for weight in (step.recurrent_kernel, step.kernel, step.bias, cell.initial_state[0])
        for place, variable in enumerate(trained) if variable is weight]
    return (step, places) if len(trained) == len(places) == _NUM_WEIGHTS else None
