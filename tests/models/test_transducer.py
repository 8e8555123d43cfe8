"""From a sequence to targets beside it: against the ensemble, and curvatures row by row."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells, datasets, heads, models, optimizers
from rnnpt.models._automatic_sweep import AutomaticSweep
from rnnpt.models._gauss_newton import Linearization, _Half, swept_loss
from tests.catalogue import CELLS

PROBLEM = datasets.ThreeBitTemporalOrder(num_steps=10)


def make_model(cell: keras.layers.Layer, num_answers: int | None = None) -> models.Transducer:
    model = models.Transducer(
        cell, heads.CategoricalHead(), PROBLEM.num_outputs, num_answers)
    model.build((None, PROBLEM.max_length, PROBLEM.num_inputs))
    random = np.random.default_rng(4)
    model.set_weights([random.normal(size=w.shape) * 0.4 for w in model.get_weights()])
    return model


def make_batch(num_rows: int = 4) -> tuple[tf.Tensor, ...]:
    return tuple(tf.constant(each, keras.config.floatx()) for each in PROBLEM.draw(num_rows, 1))


def test_its_loss_is_that_of_an_ensemble_of_one():
    num_answers = PROBLEM.num_steps // 10 + 1
    model = make_model(cells.SimpleCell(6), num_answers)
    batch = make_batch()
    ensemble = models.RNNEnsemble(6, PROBLEM.num_outputs, [0], "categorical", num_answers)
    ensemble.build((1, None, PROBLEM.max_length, PROBLEM.num_inputs))
    for variable, value in (
            (ensemble.kernel, model.cell.kernel), (ensemble.bias, model.cell.bias),
            (ensemble.recurrent_kernel, model.cell.recurrent_kernel),
            (ensemble.initial_state, model.cell.initial_state[0]),
            (ensemble.readout_kernel, model.readout.kernel),
            (ensemble.readout_bias, model.readout.bias)):
        variable.assign(np.reshape(value, variable.shape))
    model.compile("sgd")
    found = model.evaluate(*batch[:2], sample_weight=batch[2], verbose=0)
    assert found == pytest.approx(float(ensemble.member_losses(*batch)[0]), rel=1e-5)


def test_inputs_of_an_unknown_width_are_refused():
    model = models.Transducer(cells.SimpleCell(3), heads.GaussianHead(), num_outputs=1)
    with pytest.raises(ValueError, match="inputs must have a known width, got None"):
        model.build((None, None, None))


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_weights_outside_the_answers_are_refused(run_eagerly):
    model = make_model(cells.SimpleCell(6), num_answers=1)
    model.compile("sgd", run_eagerly=run_eagerly)
    inputs, targets, _ = make_batch()
    with pytest.raises(ValueError, match=(
            r"^weights must be 0 before the last num_answers steps \(raise num_answers\), got "
            r"\d+ others$")):
        model.fit(inputs, targets, verbose=0)


def test_weights_that_are_not_one_a_step_are_refused():
    model = make_model(cells.SimpleCell(6))
    model.compile("sgd")
    inputs, targets, weights = make_batch()
    with pytest.raises(ValueError, match=r"weights must have the shape \(batch, steps\), got \("):
        model.fit(inputs, targets, sample_weight=np.ones(len(weights)), verbose=0)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize(("head", "targets", "message"), [
    (heads.GaussianHead(), np.zeros([2, 4, 1]),
     r"shape \(batch, steps, 3\), as num_outputs says, got \(None, 4, 1\)"),
    (heads.GaussianHead(), None, "targets must stand beside the inputs, got inputs alone"),
    (heads.CategoricalHead(), np.ones([2, 4, 1]), r"num_outputs says, got \(None, 4, 1\)"),
    (heads.GaussianHead(), np.zeros([2, 4, 3, 1]), r"got \(None, 4, 3, 1\)"),
    (heads.BernoulliHead(), np.full([2, 4, 3], 7.0), "0 or 1 for BernoulliHead.*, got 7"),
    (heads.CategoricalHead(), np.ones([2, 4, 3]), "a single 1 in each for .*, got 3"),
    (heads.GaussianHead(), np.full([2, 4, 3], np.nan), "finite for GaussianHead.*, got nan")])
def test_targets_that_the_head_does_not_know_are_refused(head, targets, message, method):
    model = models.Transducer(cells.SimpleCell(3), head, num_outputs=3)
    model.compile("sgd")
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(np.zeros([2, 4, 2]), targets, verbose=0)


@pytest.mark.parametrize("optimizer", ["sgd", "hessian_free"])
@pytest.mark.parametrize("cell", [cells.SimpleCell, keras.layers.SimpleRNNCell])
def test_targets_without_a_weight_may_be_no_numbers(cell, optimizer):
    random = np.random.default_rng(6)
    inputs, weights = random.normal(size=[4, 6, 2]), np.zeros([4, 6])
    weights[:, 3] = 1
    scored = np.where(weights[..., np.newaxis], random.normal(size=[4, 6, 1]), 0)
    found = []
    for targets in (scored, np.where(weights[..., np.newaxis], scored, np.nan)):
        keras.utils.set_random_seed(0)
        model = models.Transducer(cell(3), heads.GaussianHead(), num_outputs=1)
        model.compile(optimizers.HessianFree(structural_damping=0.1)
                      if optimizer == "hessian_free" else optimizer)
        history = model.fit(
            inputs, targets, sample_weight=weights, epochs=2, verbose=0, shuffle=False).history
        found.append([history["loss"], *model.get_weights()])
    for one, other in zip(*found, strict=True):
        assert np.isfinite(other).all()
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("cell", "num_answers"), [("SimpleCell", None), ("LeakyCell", 3), ("LSTMCell", 3)])
def test_a_product_is_that_with_the_matrix_built_row_by_row(double_precision, cell, num_answers):
    model = make_model(CELLS[cell](), num_answers)
    inputs, targets, weights = make_batch()
    weights *= np.array([[1.0], [0.5], [0.0], [2.0]])
    with tf.GradientTape(persistent=True) as tape:
        states, hidden, answers = model.initial_state(4), [], []
        projected = model.cell.project_inputs(inputs)
        for t in range(PROBLEM.max_length):
            hidden.append(model.cell.pre_activations(projected[:, t], states))
            states = model.cell.activate(hidden[-1], states)
            answers.append(model.readout(model.cell.output(states)))
        answers = tf.stack(answers, axis=1)
        matters = np.cumsum(weights[:, ::-1], axis=1)[:, ::-1] > 0
        hidden = [tf.boolean_mask(tf.stack(steps, axis=1), matters) for steps in zip(*hidden)]
        slopes = [tape.gradient(model.cell.nonlinearity(each), each) if model.cell.nonlinearity
                  else tf.ones_like(each) for each in hidden]
    variables = [variable.value for variable in model.trainable_variables]

    def rows(outputs: tf.Tensor) -> np.ndarray:
        return np.concatenate([np.reshape(one, [*outputs.shape, -1]) for one in tape.jacobian(
            outputs, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)], axis=-1)

    jacobian, share = rows(answers), tf.nn.softmax(answers).numpy()
    curvature = share[..., None] * (np.eye(share.shape[-1]) - share[..., None, :])
    matrix = np.einsum(
        "ntap,ntab,ntbq,nt->pq", jacobian, curvature, jacobian, weights) / 4
    damping_matrix = sum(
        np.einsum("nap,na,naq->pq", one, slope, one)
        for one, slope in zip(map(rows, hidden), slopes)) / 4
    vector = np.random.default_rng(3).standard_normal(len(matrix))
    expected = (matrix + 0.7 * damping_matrix) @ vector

    @tf.function
    def product(vector: tf.Tensor) -> tf.Tensor:
        tangents = [tf.reshape(part, variable.shape) for part, variable in zip(
            tf.split(vector, [int(np.prod(variable.shape)) for variable in variables]), variables)]
        parts = Linearization(model.recurrence((inputs, targets, weights))).product(tangents, 0.7)
        return tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0)

    np.testing.assert_allclose(
        product(tf.constant(vector)), expected, rtol=0, atol=1e-8 * abs(expected).max())


@pytest.mark.parametrize("cell", ["SimpleCell", "LeakyCell"])
def test_the_fast_sweep_is_the_automatic_one(double_precision, cell):
    model = make_model(CELLS[cell]())
    half = _Half(model.recurrence(make_batch()))
    random = np.random.default_rng(5)
    tangents = [tf.constant(random.normal(size=v.shape)) for v in model.trainable_variables]

    @tf.function
    def product() -> list[tf.Tensor]:
        return half.product(list(tangents), tf.constant(0.3, tf.float64))

    fast = product()
    assert not isinstance(half.sweep, AutomaticSweep)
    for sweep in (AutomaticSweep(half._recurrence), AutomaticSweep(
            half._recurrence, AutomaticSweep(half._recurrence).kept)):
        half.sweep = sweep
        for one, other in zip(fast, tf.function(product.python_function)(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    half = _Half(model.recurrence(make_batch()), _Half(model.recurrence(make_batch())).sweep.kept)
    for one, other in zip(fast, tf.function(product.python_function)(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("num_answers", [None, 3])
@pytest.mark.parametrize("cell", ["SimpleCell", "LeakyCell"])
def test_the_gradient_by_sweeps_is_the_automatic_one(double_precision, cell, num_answers):
    model = make_model(CELLS[cell](activity_l1=0.1), num_answers)
    batch = make_batch()

    @tf.function
    def swept() -> tuple:
        with tf.GradientTape() as tape:
            loss = swept_loss(model.recurrence(batch))
        return loss, *tape.gradient(loss, [v.value for v in model.trainable_variables])

    @tf.function
    def automatic() -> tuple:
        with tf.GradientTape() as tape:
            loss = model._loss(batch)
        return loss, *tape.gradient(loss, [v.value for v in model.trainable_variables])

    for one, other in zip(swept(), automatic(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell", [cells.SimpleCell, cells.LeakyCell])
@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_states_do_not_overflow_where_nothing_is_scored(double_precision, cell, activation):
    # Where each step triples a state, it overflows after 650.
    num_real, num_steps = 3, 700
    model = models.Transducer(
        cell(4, activation=activation, activity_l1=0.1), heads.GaussianHead(), num_outputs=1)
    model.build((None, num_steps, 2))
    random = np.random.default_rng(8)
    for variable in model.trainable_variables:
        variable.assign(random.uniform(size=variable.shape))
    model.cell.recurrent_kernel.assign(3 * np.eye(model.cell.units))
    padding = [[0, 0], [0, num_steps - num_real], [0, 0]]
    short = tuple(tf.constant(random.normal(size=[2, num_real, width])) for width in (2, 1))
    short = (*short, tf.ones([2, num_real], tf.float64))
    long = (*(tf.pad(each, padding) for each in short[:2]), tf.pad(short[2], padding[:2]))
    variables = [variable.value for variable in model.trainable_variables]
    tangents = [tf.constant(random.normal(size=v.shape)) for v in variables]

    @tf.function
    def gradient(loss_of, batch: tuple) -> tuple:
        with tf.GradientTape() as tape:
            loss = loss_of(batch)
        return loss, *tape.gradient(loss, variables)

    def swept(batch: tuple) -> tf.Tensor:
        return swept_loss(model.recurrence(batch))

    @tf.function
    def product(batch: tuple, automatic: bool) -> list[tf.Tensor]:
        half = _Half(model.recurrence(batch))
        if automatic:
            half.sweep = AutomaticSweep(half._recurrence)
        return half.product(list(tangents), tf.constant(0.3, tf.float64))

    expected = gradient(model._loss, short)
    for found in (gradient(swept, long), gradient(model._loss, long)):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    for one, *others in zip(
            product(long, False), product(long, True), product(short, True), strict=True):
        for other in others:
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell", ["SimpleCell", "LeakyCell"])
def test_a_swept_loss_keeps_neither_the_graph_it_is_traced_in_nor_the_model(cell):
    def traced() -> list[weakref.ref]:
        model, batch = make_model(CELLS[cell]()), make_batch()

        @tf.function
        def gradient() -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                loss = swept_loss(model.recurrence(batch))
            return tape.gradient(loss, [v.value for v in model.trainable_variables])

        return [weakref.ref(each) for each in (gradient.get_concrete_function().graph, model)]

    references = traced()
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_hessian_free_lowers_the_loss_further_than_first_order():
    batch = PROBLEM.draw(64, 1)
    losses = {}
    for optimizer in (optimizers.HessianFree(structural_damping=1 / 30), "adam"):
        model = make_model(cells.SimpleCell(12), PROBLEM.num_steps // 10 + 1)
        model.compile(optimizer)
        history = model.fit(
            batch.inputs, batch.targets, sample_weight=batch.weights, epochs=12, batch_size=64,
            verbose=0).history
        losses[optimizer if optimizer == "adam" else "hessian_free"] = history["loss"][-1]
        if optimizer != "adam":
            # What it logs is the loss that its line search ended with.
            assert history["loss"][-1] == pytest.approx(model.evaluate(
                batch.inputs, batch.targets, sample_weight=batch.weights, batch_size=64,
                verbose=0), rel=1e-6)
    assert losses["hessian_free"] < 0.8 * losses["adam"]


@pytest.mark.parametrize(("arguments", "message"), [
    ({"head": heads.RBMHead(3)}, "head must have an exact likelihood, got RBMHead"),
    ({"num_outputs": 0}, "num_outputs must be a positive integer, got 0"),
    ({"num_answers": 1.5}, "num_answers must be a positive integer, got 1.5")])
def test_bad_arguments_are_named(arguments, message):
    settings = {"cell": cells.SimpleCell(3), "head": heads.GaussianHead(), "num_outputs": 1}
    with pytest.raises(ValueError, match=message):
        models.Transducer(**settings | arguments)


def test_a_head_that_is_none_is_named():
    with pytest.raises(TypeError, match="head must be a rnnpt Head, got Dense"):
        models.Transducer(cells.SimpleCell(3), keras.layers.Dense(2), 1)


def test_a_loss_of_its_own_is_refused():
    model = make_model(cells.SimpleCell(3))
    model.compile("sgd", loss="mse")
    with pytest.raises(ValueError, match="compile must be given no loss and no metrics"):
        model.fit(*make_batch()[:2], verbose=0)
