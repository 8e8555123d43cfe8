"""Rows that have run out of pieces are no sequences, for an optimizer with a curvature."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells, heads, models
from rnnpt.optimizers import HessianFree
from tests.catalogue import make_batch

BATCH = make_batch(batch_size=4)
# Rows in front, behind and among those of the batch have run out of pieces.
PLACES = [2, 3, 5, 6]


def with_idle_rows() -> dict[str, np.ndarray]:
    """Returns the batch with rows of padding alone."""
    found = {name: np.zeros([9, *value.shape[1:]], value.dtype) for name, value in BATCH.items()}
    for name, value in BATCH.items():
        found[name][PLACES] = value
    return found | {"starts": np.ones(9, bool)}


def make_model(optimizer: HessianFree, activity_l1: float = 0.0) -> models.SequenceModel:
    """Returns a model with a penalty on weights."""
    kernel, recurrent, readout = (keras.initializers.GlorotUniform(seed) for seed in range(3))
    model = models.SequenceModel(
        cells.SimpleCell(4, "tanh", kernel, recurrent, activity_l1=activity_l1),
        heads.BernoulliHead(), readout_initializer=readout)
    model.build_for(BATCH["frames"].shape[-1])
    model.cell.kernel.regularizer = keras.regularizers.L2(0.1)
    model.compile(optimizer)
    return model


def fit(optimizer: HessianFree, batch: dict[str, np.ndarray]) -> tuple[models.SequenceModel, dict]:
    model = make_model(optimizer)
    return model, model.fit(batch, batch_size=9, epochs=2, shuffle=False, verbose=0).history


def test_loss_and_curvature_are_those_of_the_other_rows(double_precision):
    model = make_model(HessianFree())
    expected, found = (model.curved_objective(batch) for batch in (BATCH, with_idle_rows()))
    vector = [tf.ones_like(value) for value in expected.values()]
    np.testing.assert_allclose(found.value(), expected.value(), rtol=1e-10)
    for one, other in [
            (found.value_and_gradient()[1], expected.value_and_gradient()[1]),
            (found.rows.mean_squared_gradient(), expected.rows.mean_squared_gradient()),
            *[(found.linearize().product(vector, tf.constant(strength, tf.float64)),
               expected.linearize().product(vector, tf.constant(strength, tf.float64)))
              for strength in (0.0, 0.7)]]:
        for each, its in zip(one, other, strict=True):
            np.testing.assert_allclose(each, its, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", [
    {}, {"curvature_rows": 3}, {"curvature_rows": 2, "held_out_rows": 2, "rows_at_once": 2}])
def test_the_updates_and_what_is_logged_are_those_of_the_other_rows(double_precision, options):
    (one, expected), (other, found) = (
        fit(HessianFree(**options), batch) for batch in (BATCH, with_idle_rows()))
    # Conjugate gradients magnify what another order of sums rounds off.
    for name in ("loss", "log_likelihood", "gradient_norm", "damping"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-7, err_msg=name)
    for value, its in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(value, its, atol=1e-8)


def test_where_they_leave_too_few_those_that_are_there_are_taken():
    model = make_model(HessianFree())
    whole = model.curved_objective(BATCH)
    model.compile(HessianFree(curvature_rows=5, held_out_rows=3))
    few = model.curved_objective(with_idle_rows())
    values = whole.values()
    loss = float(whole.value_at(values))
    assert float(few.curved.value_at(values)) == pytest.approx(loss, rel=1e-6)
    # Of four sequences the last three are held out.
    model.compile(HessianFree())
    behind = model.curved_objective({name: value[1:] for name, value in BATCH.items()})
    expected = float(behind.value_at(values))
    assert float(few.held_out(3).value_at(values)) == pytest.approx(expected, rel=1e-6)


def test_a_batch_of_nothing_else_is_refused():
    model = make_model(HessianFree())
    batch = with_idle_rows()
    with pytest.raises(ValueError, match="held_out_rows ask for, 1 in all, got 0 ;"):
        model.fit(batch | {"mask": np.zeros_like(batch["mask"])}, batch_size=9, verbose=0)


@pytest.mark.parametrize("activity_l1", [0.0, 0.1])
def test_the_logged_figures_are_those_after_the_update(activity_l1):
    model = make_model(optimizer := HessianFree(), activity_l1)
    model.fit(BATCH, batch_size=4, verbose=0)
    logged = model.fit(
        BATCH, batch_size=4, verbose=0, validation_data=with_idle_rows()).history
    # The objective of a frame; validation has as many sequences and as many frames.
    expected = float(model.curved_objective(BATCH).value()) * 4 / BATCH["mask"].sum()
    assert logged["loss"][0] == pytest.approx(expected, rel=1e-5)
    assert logged["val_loss"][0] == pytest.approx(expected, rel=1e-5)
    assert logged["log_likelihood"][0] == pytest.approx(
        logged["val_log_likelihood"][0], rel=1e-5)
    assert logged["loss"][0] > 1.001 * -logged["log_likelihood"][0]
    assert int(optimizer.iterations) == 2


def test_the_penalty_is_part_of_the_loss_of_a_validation():
    model = make_model(HessianFree())
    model.compile(keras.optimizers.SGD(0.0))
    logged = model.fit(BATCH, batch_size=4, verbose=0, validation_data=BATCH).history
    penalty = float(tf.add_n(model.losses))
    for name in ("", "val_"):
        expected = penalty - logged[f"{name}log_likelihood"][0]
        assert logged[f"{name}loss"][0] == pytest.approx(expected, rel=1e-6)
