"""Truncated back-propagation through time: an update every k1 frames, a gradient through k2."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import datasets, models
from tests.catalogue import NUM_VISIBLE, with_random_weights

RATE = 0.5

Batch = dict[str, np.ndarray]


def make_pieces(*lengths: int) -> datasets.Sequences:
    """Returns random pieces of some lengths."""
    random = np.random.default_rng(1)
    return datasets.Sequences([random.random([length, NUM_VISIBLE]) < 0.4 for length in lengths])


def weights_of(model: models.RNN) -> list[keras.Variable]:
    """Returns the variables in the order that the twin takes them."""
    return [model.cell.kernel, model.cell.recurrent_kernel, model.cell.bias,
            model.cell.initial_state[0], model.readout.kernel, model.readout.bias]


class Twin:
    """An RNN in float64 that trains piece by piece, with a plain list of each row's past."""

    def __init__(self, model: models.RNN, num_backward_steps: int) -> None:
        self.weights = [tf.Variable(weight.numpy(), dtype=tf.float64)
                        for weight in weights_of(model)]
        self.num_backward_steps = num_backward_steps

    def fit(self, batches: list[Batch]) -> None:
        """Descends on each batch in turn."""
        num_rows = len(batches[0]["starts"])
        pieces, held = [[] for _ in range(num_rows)], [(0, None)] * num_rows
        for batch in batches:
            with tf.GradientTape() as tape:
                total = 0.0
                for row in range(num_rows):
                    if batch["starts"][row]:
                        pieces[row], held[row] = [], (0, None)
                    begin, num_steps = len(pieces[row]), batch["frames"].shape[1]
                    pieces[row] += list(batch["frames"][row][batch["mask"][row]])
                    place = max(0, begin + num_steps - self.num_backward_steps)
                    held[row] = place, self._hold(pieces[row], held[row], place)
                    total += self._loss(pieces[row], held[row], begin)
                loss = total / batch["mask"].sum()
            gradients = tape.gradient(
                loss, self.weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            for weight, gradient in zip(self.weights, gradients):
                weight.assign_sub(RATE * gradient)

    def _hold(self, piece, held, place):
        """The state before the frame at a place: a constant, or nothing for the learned one."""
        if place == 0:
            return None
        begin, state = held
        state = self.weights[3] if state is None else state
        for frame in piece[begin:place]:
            state = self._advance(state, frame)
        return tf.stop_gradient(state)

    def _loss(self, piece, held, begin):
        """The loss of the frames from `begin` on, run from the held state."""
        place, state = held
        state, total = self.weights[3] if state is None else state, 0.0
        for t in range(place, len(piece)):
            if t >= begin:
                logits = tf.linalg.matvec(self.weights[4], state, transpose_a=True)
                total += tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(
                    np.float64(piece[t]), logits + self.weights[5]))
            state = self._advance(state, piece[t])
        return total

    def _advance(self, state, frame):
        kernel, recurrent_kernel, bias = self.weights[:3]
        return tf.tanh(tf.linalg.matvec(kernel, np.float64(frame), transpose_a=True)
                       + tf.linalg.matvec(recurrent_kernel, state, transpose_a=True) + bias)


@pytest.mark.parametrize("update_steps, backward_steps", [(1, 3), (2, 5), (3, 3), (4, 20)])
def test_an_epoch_of_updates_equals_the_twin(update_steps, backward_steps):
    pieces = make_pieces(11, 6, 5, 2)
    model = with_random_weights(models.RNN(4, num_backward_steps=backward_steps))
    twin = Twin(model, backward_steps)
    twin.fit(list(pieces.segments(update_steps, 2, seed=3).as_numpy_iterator()))
    model.compile(keras.optimizers.SGD(RATE))
    model.fit(pieces.segments(update_steps, 2, seed=3), verbose=0)
    for weight, expected in zip(weights_of(model), twin.weights, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backward_steps, is_full", [(12, True), (6, False)])
def test_steps_that_reach_the_beginning_give_the_full_gradient(backward_steps, is_full):
    # Four segments of equal lengths, whose gradients are averaged before the only update.
    pieces, updated = make_pieces(12, 12), []
    for length, options, optimizer in (
            (12, {}, keras.optimizers.SGD(RATE)),
            (3, {"num_backward_steps": backward_steps},
             keras.optimizers.SGD(RATE, gradient_accumulation_steps=4))):
        model = with_random_weights(models.RNN(4, **options))
        model.compile(optimizer)
        model.fit(pieces.segments(length, 2), verbose=0)
        updated.append(np.concatenate([np.ravel(weight) for weight in model.get_weights()]))
    difference = np.abs(updated[1] - updated[0]).max()
    assert difference < 1e-5 if is_full else difference > 1e-3
