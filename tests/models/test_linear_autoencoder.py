"""The Keras model of a linear autoencoder beside its NumPy twin."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import models, pretraining
from rnnpt.datasets import Sequences


@pytest.fixture
def data() -> Sequences:
    """Pieces of random frames of three columns."""
    rng = np.random.default_rng(0)
    return Sequences([rng.normal(size=[length, 3]) for length in (6, 1, 4)])


@pytest.fixture
def fitted(data) -> pretraining.FittedAutoencoder:
    """An autoencoder that forgets nothing."""
    return pretraining.fit_linear_autoencoder(data, 11)


@pytest.mark.parametrize("discount", [1.0, 0.7])
def test_it_encodes_and_decodes_as_the_weights_say(double_precision, data, discount):
    fitted = pretraining.fit_linear_autoencoder(data, 11, discount=discount)
    model = fitted.model()
    frames = data.sequences[0].astype(np.float64)
    state = model.encode(frames[None]).numpy()
    np.testing.assert_allclose(state[0], fitted.encode(frames)[-1], atol=1e-12)
    np.testing.assert_allclose(model.decode(state, 4)[0], fitted.decode(state[0], 4), atol=1e-12)
    np.testing.assert_allclose(model(frames[None])[0], fitted.reconstruct(frames), atol=1e-12)


def test_padding_is_neither_read_nor_said(data, fitted):
    model = fitted.model()
    batch = next(iter(data.pieces(3)))
    said = model(batch).numpy()
    for row, piece in zip(said, data.sequences):
        np.testing.assert_allclose(row[:len(piece)], piece, atol=1e-4)
        assert not row[len(piece):].any()


def test_gradients_train_it_and_it_is_saved(data, tmp_path):
    keras.utils.set_random_seed(0)
    frames = np.random.default_rng(1).normal(size=[8, 2, 3]).astype("float32")
    model = models.LinearAutoencoder(6, 0.9)
    model.compile(keras.optimizers.Adam(0.02), loss="mse")
    losses = model.fit(frames, frames, epochs=150, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(frames), model(frames))


def test_a_batch_of_any_length_has_one_graph(fitted):
    model = fitted.model()
    call = tf.function(model.call, input_signature=[tf.TensorSpec([None, None, 3])])
    assert call(tf.zeros([2, 5, 3])).shape == (2, 5, 3)
    assert call(tf.zeros([1, 9, 3])).shape == (1, 9, 3)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="units must be a positive integer, got 0"):
        models.LinearAutoencoder(0)
    with pytest.raises(ValueError, match="discount must be above 0 and at most 1, got 2"):
        models.LinearAutoencoder(2, 2)
