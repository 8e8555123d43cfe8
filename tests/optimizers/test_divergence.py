"""A training whose loss is no longer finite stops there, and what was saved before is left."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import models, optimizers
from rnnpt.optimizers import NonFiniteLossError, StopAtNonFiniteLoss
from tests.catalogue import make_batch

INPUTS = np.random.default_rng(0).normal(size=[12, 3]).astype(np.float32)


def compiled(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    kernel = keras.initializers.RandomNormal(seed=1)
    model = keras.Sequential([keras.Input([3]), keras.layers.Dense(1, kernel_initializer=kernel)])
    model.compile(optimizer, loss="mse")
    return model


def fit(model: keras.Model, inputs: np.ndarray = INPUTS, callbacks: list = (), **kwargs: object):
    # In batches of 4: three an epoch.
    data = tf.data.Dataset.from_tensor_slices((inputs, inputs[:, :1])).batch(4)
    return model.fit(data, shuffle=False, verbose=0,
                     callbacks=[StopAtNonFiniteLoss(), *callbacks], **kwargs)


def test_the_error_names_value_step_batch_and_what_to_try():
    # The rate is harmless for an epoch and a batch; what it then does, the next batch shows.
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.1, 1e38])
    with pytest.raises(NonFiniteLossError, match=(
            r"^the loss must stay finite, got (inf|nan) in step 6 \(batch 3 of epoch 2\); lower "
            r"the learning rate or clip gradients, .* from the last checkpoint$")) as caught:
        fit(compiled(keras.optimizers.SGD(rate)), epochs=5)
    error = caught.value
    assert isinstance(error, ValueError) and not np.isfinite(error.value)
    assert (error.epoch, error.batch, error.step) == (2, 3, 6)


def test_the_last_good_checkpoint_is_left_and_goes_on(tmp_path):
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([8], [0.1, 1e38])
    model = compiled(keras.optimizers.SGD(rate, momentum=0.9))
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")
    with pytest.raises(NonFiniteLossError, match="epoch 4"):
        fit(model, callbacks=[checkpoint], epochs=9)
    good = compiled(keras.optimizers.SGD(0.1, momentum=0.9))
    fit(good, epochs=3)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 9
    for one, other in zip(loaded.get_weights(), good.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    loaded.compile(keras.optimizers.SGD(0.01), loss="mse")
    fit(loaded, epochs=1)


def test_inputs_that_are_not_finite_stop_at_their_batch():
    inputs = INPUTS.copy()
    inputs[5] = np.nan
    with pytest.raises(NonFiniteLossError, match=r"got nan in step 2 \(batch 2 of epoch 1\)"):
        fit(compiled(keras.optimizers.SGD(0.1)), inputs)


def test_a_training_that_stays_finite_is_left_alone():
    model, other = (compiled(keras.optimizers.SGD(0.1)) for _ in range(2))
    fit(model, epochs=3)
    data = tf.data.Dataset.from_tensor_slices((INPUTS, INPUTS[:, :1])).batch(4)
    other.fit(data, epochs=3, shuffle=False, verbose=0)
    for one, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, expected)


def test_a_sequence_model_stops_too():
    model = models.RNN(num_hidden=4)
    model.compile(optimizers.Momentum(1e38))
    with pytest.raises(NonFiniteLossError, match="must stay finite, got .* of epoch [12]"):
        model.fit(make_batch(), epochs=3, shuffle=False, verbose=0,
                  callbacks=[StopAtNonFiniteLoss()])
