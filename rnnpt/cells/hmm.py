"""The recurrence of a hidden Markov model: what is known of its state, filtered frame by frame."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.cells.cell import Cell


@keras.saving.register_keras_serializable(package="rnnpt")
class HMMCell(Cell):
    """The belief over the states of a hidden Markov model, a recurrence without an error.

    Use it with a `heads.BernoulliMixtureHead` of as many components, as `models.HMM` does: then
    the belief is the weight of each component, and the likelihood of a sequence is the exact one.

    Equation: with z_t the hidden state, b_t(j) = log P(z_t = j | frames before t) and
    e_t(i) = log P(frame_t | z_t = i), the frame's units independent given the state,

        b_1 = log_softmax(initial_state)
        b_(t+1)(j) = log sum over i of P(z_t = i | frames up to t) P(z_(t+1) = j | z_t = i)
        P(z_t = i | frames up to t) = softmax_i(b_t(i) + e_t(i))
        P(z_(t+1) = j | z_t = i) = softmax_j(transition_logits(i, j))

    The sums are taken on logarithms, so that a belief of 1e-300 is still one.

    Args:
        num_states: S, the number of hidden states.
        transition_initializer: how the transition logits (S, S), from the row to the column, start.
        emission_initializer: how the log-odds of the units in each state (S, V) start. Equal rows
            would stay equal under any training.
        **kwargs: of `Cell`.

    Source: Rabiner 1989, A tutorial on hidden Markov models, sections III A (the forward
    procedure) and V A (each step of it normalised).
    """

    # A belief lies between the least log transition probability and 0.
    bounded = True

    def __init__(
        self,
        num_states: int,
        transition_initializer: object = "zeros",
        emission_initializer: object = "random_normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(state_sizes=[num_states], **kwargs)
        self.num_states = num_states
        self.transition_initializer = keras.initializers.get(transition_initializer)
        self.emission_initializer = keras.initializers.get(emission_initializer)
        #: Set before `build`, it is shared with whoever made it.
        self.emission_logits: keras.Variable | None = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the logits of transitions, and of emissions where none are shared.

        Args:
            input_shape: shape of the frames (..., V).
        """
        self.transition_logits = self.add_weight(
            name="transition_logits", shape=(self.num_states, self.num_states),
            initializer=self.transition_initializer)
        if self.emission_logits is None:
            self.emission_logits = self.add_weight(
                name="emission_logits", shape=(self.num_states, input_shape[-1]),
                initializer=self.emission_initializer)
        super().build(input_shape)

    def get_initial_state(self, batch_size: int | tf.Tensor) -> list[tf.Tensor]:
        """The belief before the first frame, the same for every row.

        Args:
            batch_size: B.

        Returns:
            [b], with b (B, S) normalised.
        """
        return [tf.nn.log_softmax(state) for state in super().get_initial_state(batch_size)]

    def project_inputs(self, frames: tf.Tensor) -> tf.Tensor:
        """Log-likelihood of the frames in each state, for all steps in one product.

        Args:
            frames: (..., V).

        Returns:
            Log-likelihoods e (..., S).
        """
        return numerics.bernoulli_log_probs(self.emission_logits, frames)

    def advance(self, projected: tf.Tensor, states: list[tf.Tensor]) -> list[tf.Tensor]:
        """The belief after one more frame.

        Args:
            projected: one step of `project_inputs` (B, S).
            states: [b], with b (B, S).

        Returns:
            The new [b].
        """
        filtered = tf.nn.log_softmax(states[0] + projected)
        transition = tf.nn.log_softmax(self.transition_logits)
        return [tf.reduce_logsumexp(filtered[:, :, tf.newaxis] + transition, axis=1)]

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "num_states": self.num_states,
            "transition_initializer": keras.initializers.serialize(self.transition_initializer),
            "emission_initializer": keras.initializers.serialize(self.emission_initializer),
        }
