"""Gauss-Newton products against Jacobians row by row in float64, for every cell and exact head."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import models
from rnnpt.models._gauss_newton import Linearization
from rnnpt.models._recurrence import of_sequences
from tests import catalogue

EXACT_HEADS = [name for name, make in catalogue.HEADS.items() if make().exact]


def make_model(cell: str, head: str, seed: int = 9) -> models.SequenceModel:
    """Returns a model with random weights, and the batch that it is linearised on."""
    model = models.SequenceModel(
        catalogue.CELLS[cell](dtype="float64"), catalogue.HEADS[head](dtype="float64"),
        dtype="float64")
    return catalogue.with_random_weights(model, seed)


def matrices_of(model, frames, mask) -> tuple[np.ndarray, np.ndarray]:
    """Returns J' H J and K' D K, of Jacobians built row by row and step by step."""
    with tf.GradientTape(persistent=True) as tape:
        projected = model.cell.project_inputs(frames)
        states, before, hidden = model.initial_state(len(frames)), [], []
        for t in range(frames.shape[1]):
            before.append(states)
            hidden.append(model.cell.pre_activations(projected[:, t], states))
            states = model.cell.activate(hidden[-1], states)
        before = [tf.stack(steps, axis=1) for steps in zip(*before)]
        real = tf.boolean_mask(frames, mask)
        logits = model.head.logits(tf.boolean_mask(model.parameters(before), mask), real)
        # The step to the frame after the last one is not looked at.
        hidden = [tf.boolean_mask(tf.stack(steps, axis=1)[:, :-1], mask[:, 1:])
                  for steps in zip(*hidden)]
        slopes = [tape.gradient(model.cell.nonlinearity(each), each) if model.cell.nonlinearity
                  else tf.ones_like(each) for each in hidden]

    variables = [variable.value for variable in model.trainable_variables]

    def rows(outputs: tf.Tensor) -> np.ndarray:
        jacobians = tape.jacobian(
            outputs, variables, experimental_use_pfor=False,
            unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return np.concatenate([
            np.reshape(one, [*outputs.shape, -1]) for one in jacobians], axis=-1)

    curvature = np.stack([
        model.head.curvature(logits, tf.broadcast_to(column, logits.shape), real)
        for column in tf.eye(logits.shape[-1], dtype=logits.dtype)], axis=-1)
    jacobian = rows(logits)
    matrix = np.einsum("nap,nab,nbq->pq", jacobian, curvature, jacobian)
    damping = sum(
        np.einsum("nap,na,naq->pq", jacobian, slope, jacobian)
        for jacobian, slope in zip(map(rows, hidden), slopes)) if frames.shape[1] > 1 else 0
    return matrix / len(frames), damping / len(frames)


def product_of(model, frames, mask):
    """Returns a function of a vector (P,) and of the damping, which is traced once."""
    shapes = [variable.shape for variable in model.trainable_variables]
    sizes = [int(np.prod(shape)) for shape in shapes]

    @tf.function
    def product(vector: tf.Tensor, damping: tf.Tensor) -> tf.Tensor:
        tangents = [tf.reshape(part, shape) for part, shape in zip(tf.split(vector, sizes), shapes)]
        parts = Linearization(of_sequences(model, frames, mask)).product(tangents, damping)
        return tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0)

    return product


def batch_for(model) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns frames and their mask."""
    support = model.head.support if model.head.support == "one_hot" else "binary"
    batch = catalogue.make_batch(num_steps=4, support=support)
    return tf.constant(batch["frames"], tf.float64), tf.constant(batch["mask"])


PAIRS = [
    *(("SimpleCell", head) for head in EXACT_HEADS),
    *((cell, "BernoulliHead") for cell in catalogue.CELLS if cell != "SimpleCell"),
    ("LSTMCell", "NADEHead"), ("MRNNCell", "CategoricalHead")]


@pytest.mark.parametrize(("cell", "head"), PAIRS)
def test_a_product_is_that_with_the_matrix_built_row_by_row(double_precision, cell, head):
    model = make_model(cell, head)
    frames, mask = batch_for(model)
    matrix, damping_matrix = matrices_of(model, frames, mask)
    product = product_of(model, frames, mask)
    for vector in np.random.default_rng(3).standard_normal((2, len(matrix))):
        for damping in (0.0, 0.7):
            expected = (matrix + damping * damping_matrix) @ vector
            found = product(tf.constant(vector), tf.constant(damping, tf.float64))
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * abs(expected).max())


def test_a_single_frame_has_a_product(double_precision):
    model = make_model("SimpleCell", "BernoulliHead")
    frames, mask = batch_for(model)
    frames, mask = frames[:, :1], mask[:, :1]
    matrix, _ = matrices_of(model, frames, mask)
    vector = np.random.default_rng(5).standard_normal(len(matrix))
    found = product_of(model, frames, mask)(
        tf.constant(vector), tf.constant(0.5, tf.float64))
    np.testing.assert_allclose(found, matrix @ vector, rtol=1e-8, atol=1e-12)


def test_padding_never_enters(double_precision):
    model = make_model("SimpleCell", "BernoulliHead")
    frames, mask = batch_for(model)
    size = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    vector = tf.constant(np.random.default_rng(4).standard_normal(size))
    damping = tf.constant(0.3, tf.float64)
    expected = product_of(model, frames, mask)(vector, damping)
    longer = tf.pad(frames, [[0, 0], [0, 3], [0, 0]], constant_values=5.0)
    found = product_of(model, longer, tf.pad(mask, [[0, 0], [0, 3]]))(vector, damping)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
