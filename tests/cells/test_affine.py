"""The gradient by hand of the cells whose step has one product and one nonlinearity."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells
from rnnpt.cells import unroll

CELLS = {
    "SimpleCell": lambda activation: cells.SimpleCell(4, activation),
    "LeakyCell": lambda activation: cells.LeakyCell(4, leak=(0.1, 0.7), activation=activation)}


class Otherwise(cells.SimpleCell):
    """A subclass, which the cell takes to step otherwise."""


def values_and_gradients(cell, frames, mask, gaps):
    """Returns outputs and last states, and the gradients of a number that hangs on all of them."""
    random = np.random.default_rng(1)
    with tf.GradientTape() as tape:
        tape.watch(frames)
        outputs, (last,) = unroll(
            cell, frames, cell.get_initial_state(frames.shape[0]), mask, gaps=gaps)
        outputs = tf.where(mask[..., tf.newaxis], outputs, 0.0)
        total = tf.reduce_sum(outputs * random.normal(size=outputs.shape))
        total += tf.reduce_sum(last * random.normal(size=last.shape))
    variables = [variable.value for variable in cell.trainable_variables]
    return outputs, last, tape.gradient(total, [frames, *variables])


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "linear"])
@pytest.mark.parametrize("name", CELLS)
def test_the_gradient_is_the_automatic_one(double_precision, name, activation, gaps):
    random = np.random.default_rng(0)
    frames = tf.constant(random.normal(size=(3, 6, 2)))
    real = random.random((3, 6)) < 0.6 if gaps else np.arange(6) < [[6], [1], [4]]
    mask = tf.constant(real)
    cell = CELLS[name](activation)
    cell.build((None, 2))
    cell.set_weights([random.normal(size=w.shape) * 0.7 for w in cell.get_weights()[:4]]
                     + cell.get_weights()[4:])
    assert cell.affine_step() is not None
    found = tf.function(values_and_gradients)(cell, frames, mask, gaps)
    cell.affine_step = lambda: None
    expected = tf.function(values_and_gradients)(cell, frames, mask, gaps)
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_shapes_stay_known_whatever_ran_before(activation):
    cell = cells.SimpleCell(4, activation)
    cell.build((None, 2))

    @tf.function(reduce_retracing=False)
    def run(frames):
        outputs, (last,) = unroll(cell, frames, cell.get_initial_state(frames.shape[0]))
        assert (outputs.shape[0], last.shape) == (frames.shape[0], (frames.shape[0], 4))
        return outputs, last

    for batch_size in (3, 2, 5):
        run(tf.ones([batch_size, 6, 2]))


@pytest.mark.parametrize("name", CELLS)
def test_a_run_keeps_neither_the_graph_it_is_traced_in_nor_the_cell(name):
    frames, mask = tf.ones([3, 6, 2]), tf.ones([3, 6], tf.bool)

    def traced() -> list[weakref.ref]:
        cell = CELLS[name]("tanh")
        cell.build((None, 2))
        run = tf.function(lambda: values_and_gradients(cell, frames, mask, gaps=False))
        return [weakref.ref(each) for each in (run.get_concrete_function().graph, cell)]

    references = traced()
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_what_may_step_otherwise_has_no_affine_step():
    for cell in (Otherwise(4), cells.SkipCell(4, num_steps=2), cells.SimpleCell(4, "softmax")):
        cell.build((None, 2))
        assert cell.affine_step() is None
