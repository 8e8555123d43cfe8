"""Products with the Gauss-Newton matrix of a recurrence, whatever its cell and its exact head."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from rnnpt.models._affine_sweep import affine_sweep, swept_states
from rnnpt.models._automatic_sweep import AutomaticSweep
from rnnpt.models._derivative import slopes_of, tangents_of
from rnnpt.models._recurrence import Recurrence, Sweep, Tensors


class Linearization:
    """A recurrence linearised in the weights of its model, where they are now.

    The objective is the loss summed over what is scored in a row, and its mean over rows, each from
    the learned initial state on.

    Equation: the product with v is J' H J v + damping K' D K v. J is the Jacobian of the head's
    logits and H their curvature (`Head.curvature`); K is the Jacobian of the cell's pre-activations
    and D the slope of its nonlinearity there, which is the curvature of the distance of hidden
    units that matches it. Only steps that something scored hangs on count. One sweep forwards
    carries tangents of the states, one backwards carries what loss and damping make of them.

    Args:
        recurrence: of the batch.
        kept: what another linearization kept of the same recurrence, with the variables where they
            are now; nothing for the first.

    Source: Sutskever 2013, eq. 4.4, section 4.2.3 and algorithm 6.
    """

    def __init__(self, recurrence: Recurrence, kept: Sequence[tf.Tensor] = ()) -> None:
        # Two threads are better at two halves of the rows than at each product of all of them.
        half, kept_of_half = recurrence.num_rows // 2, len(kept) // 2
        self._halves = [
            _Half(recurrence.rows(0, half), kept[:kept_of_half]),
            _Half(recurrence.rows(half, recurrence.num_rows), kept[kept_of_half:])]

    @property
    def kept(self) -> Tensors:
        """What its forward pass has computed."""
        return [each for half in self._halves for each in half.sweep.kept]

    def product(self, tangents: Sequence[tf.Tensor], damping: float | tf.Tensor = 0.0) -> Tensors:
        """Multiply by the matrix.

        Args:
            tangents: v, a tensor a trainable variable.
            damping: lambda mu of structural damping.

        Returns:
            A tensor a variable.
        """
        # A number of Python's would be cast by way of float32.
        damping = damping if tf.is_tensor(damping) else tf.constant(damping, tangents[0].dtype)
        return [one + other for one, other in zip(
            *(half.product(list(tangents), damping) for half in self._halves))]


def swept_loss(recurrence: Recurrence) -> tf.Tensor | None:
    """The loss of some rows, its gradient by one sweep back.

    Args:
        recurrence: of the rows.

    Returns:
        The sum of their losses times their share; None where the cell has no fast sweep.
    """
    states = swept_states(recurrence)
    return None if states is None else recurrence.loss([states])


class _Half:
    """The linearised recurrence of some of the rows."""

    def __init__(self, recurrence: Recurrence, kept: Sequence[tf.Tensor] = ()) -> None:
        self._recurrence, self._model = recurrence, recurrence.model
        self._variables = list(self._model.trainable_variables)
        self._weights = [tf.convert_to_tensor(variable) for variable in self._variables]
        fast = affine_sweep(recurrence, kept)
        self.sweep: Sweep = AutomaticSweep(recurrence, kept) if fast is None else (
            fast.keep_factors())
        self._states = [states[recurrence.first_scored:] for states in self.sweep.states]

    def product(self, tangents: Tensors, damping: tf.Tensor) -> Tensors:
        recurrence = self._recurrence
        state_tangents, hidden = self.sweep.forwards(
            [tangents[place] for place in recurrence.places_of_cell])
        (logits,), (logit_tangents,) = tangents_of(
            self._logits, self._weights, self._states, tangents, state_tangents)
        curved = self._model.head.curvature(logits, logit_tangents, recurrence.targets)
        weights = tf.cast(recurrence.weights, curved.dtype)[..., tf.newaxis]
        share = tf.cast(recurrence.share, curved.dtype)
        # Where nothing is scored there may be no number.
        curved = tf.math.multiply_no_nan(curved, share * weights)
        totals, slopes = slopes_of(self._logits, self._weights, self._states, [curved])
        more = self.sweep.backwards(slopes, hidden, share * tf.cast(damping, curved.dtype))
        for place, total in zip(recurrence.places_of_cell, more):
            totals[place] += total
        return totals

    def _logits(self, weights: Tensors, states: Tensors) -> Tensors:
        with keras.StatelessScope(state_mapping=list(zip(self._variables, weights))):
            parameters = self._model.readout(self._model.cell.output(states))
            return [self._model.head.logits(parameters, self._recurrence.targets)]
