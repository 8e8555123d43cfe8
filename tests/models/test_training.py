"""What training refuses, adds to the loss and logs, whatever the head."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells, heads, models
from tests.catalogue import make_batch, with_random_weights


def bernoulli_model(**kwargs):
    """Returns a small model with rectified units."""
    return with_random_weights(models.SequenceModel(
        cells.SimpleCell(4, "relu", **kwargs), heads.BernoulliHead()))


def test_the_activity_penalty_is_the_mean_over_real_frames_of_the_outputs_before_them():
    plain, sparse = bernoulli_model(), bernoulli_model(activity_l1=0.1)
    batch, logs = make_batch(), []
    for model in (plain, sparse):
        model.compile(keras.optimizers.SGD(0.1))
        logs.append(model.evaluate(batch, verbose=0, return_dict=True))
    outputs, _ = cells.unroll(plain.cell, batch["frames"], plain.initial_state(3))
    expected = 0.1 * np.abs(outputs)[batch["mask"]].sum() / batch["mask"].sum()
    assert "activity_penalty" not in logs[0]
    assert logs[1]["activity_penalty"] == pytest.approx(expected, rel=1e-5)
    assert logs[1]["loss"] == pytest.approx(logs[0]["loss"] + expected, rel=1e-5)
    assert logs[1]["log_likelihood"] == logs[0]["log_likelihood"]


def test_the_activity_penalty_is_part_of_the_gradient():
    sizes = []
    for activity_l1 in (0.0, 1.0):
        model = bernoulli_model(activity_l1=activity_l1)
        model.compile(keras.optimizers.SGD(0.05))
        model.fit(make_batch(), epochs=20, verbose=0)
        outputs, _ = cells.unroll(model.cell, make_batch()["frames"], model.initial_state(3))
        sizes.append(np.abs(outputs).mean())
    assert sizes[1] < 0.5 * sizes[0]


def test_a_negative_activity_penalty_is_refused():
    with pytest.raises(ValueError, match="activity_l1 must be a number from 0 on, got -1"):
        cells.SimpleCell(4, activity_l1=-1)


def test_dropout_hides_outputs_in_training_only_and_by_seed():
    losses = {}
    for name, options in {"none": {}, "half": {"dropout": 0.5}, "again": {"dropout": 0.5}}.items():
        model = models.RNN(50, seed=2, **options)
        model.compile(keras.optimizers.SGD(0.0))
        history = model.fit(
            make_batch(), validation_data=make_batch(), epochs=2, shuffle=False, verbose=0).history
        losses[name] = history["loss"], history["val_loss"]
    assert losses["half"] == losses["again"]
    assert losses["half"][1] == losses["none"][1]
    # Without a learning rate only the draws differ, which the step of the optimizer seeds.
    assert len({*losses["half"][0], losses["none"][0][0]}) == 3


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_a_dropout_that_is_no_share_is_refused(value):
    with pytest.raises(ValueError, match=f"RNN: dropout must be a share .*got {value}"):
        models.RNN(4, dropout=value)


@pytest.mark.parametrize("as_input", [dict, lambda x: tf.data.Dataset.from_tensors(x)],
                         ids=["arrays", "dataset"])
@pytest.mark.parametrize("make, value, rule", [
    (bernoulli_model, 0.5, "frames must be 0 or 1 for BernoulliHead: .*, got 0.5$"),
    (bernoulli_model, np.nan,
     "frames must be (0 or 1 for BernoulliHead: .*|finite), got [nN]a[nN]"),
    (lambda: models.RNNRBM(3, 4), 1.5, "frames must be from 0 to 1 for RBMHead: .*, got 1.5$"),
])
def test_frames_that_the_head_does_not_know_are_refused_before_any_update(
        as_input, make, value, rule):
    model, batch = make(), make_batch()
    batch["frames"][0, 0, 0] = value
    model.build_for(batch["frames"].shape[-1])
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(0.1))
    for train in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=rule):
            train(as_input(batch), verbose=0)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_frames_of_a_likelihood_and_a_prime_are_checked_too():
    model, frames = bernoulli_model(), np.full([1, 2, 5], 0.25)
    with pytest.raises(ValueError, match="frames must be 0 or 1 for BernoulliHead: .*, got 0.25$"):
        model.log_prob(frames)
    with pytest.raises(ValueError, match="prime must be 0 or 1 for BernoulliHead: .*, got 0.25$"):
        model.generate(frames, 2, seed=1)


@pytest.mark.parametrize("value", [0, -3, 2.5])
def test_a_window_that_is_no_number_of_steps_is_refused(value):
    with pytest.raises(ValueError, match=f"num_backward_steps must be a positive .*got {value}"):
        models.RNN(4, num_backward_steps=value)


def test_a_window_shorter_than_a_batch_is_refused():
    model = models.RNN(4, num_backward_steps=5)
    model.compile(keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError, match="num_backward_steps must be at least .*got 5 .* of 6$"):
        model.fit(make_batch(num_steps=6), verbose=0)
