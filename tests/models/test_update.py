"""What `fit` of a sequence model does by itself for the optimizers of this package."""

import keras
import numpy as np
import pytest

from rnnpt import models, optimizers
from rnnpt.pretraining import Phase, run_plan
from tests.catalogue import make_batch
from tests.pretraining.small_plan import draw_pieces


class Watch(keras.callbacks.Callback):
    """Notes how far ahead of theta the variables are, and theta's weights at each epoch's end."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead, self.weights, self.validated = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self.ahead.append(round(float(self.model.optimizer.ahead), 6))

    def on_test_begin(self, logs=None):
        self.validated.append(float(self.model.optimizer.ahead))

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())


def fitted(callbacks: object, positional: bool = False) -> tuple[models.RNN, dict]:
    """Returns a model after three epochs, and its history."""
    model = models.RNN(num_hidden=4, seed=3)
    model.compile(optimizers.Nesterov(0.5, momentum=0.9))
    batch, kwargs = make_batch(), {"shuffle": False, "validation_data": make_batch(seed=1)}
    if positional:
        history = model.fit(batch, None, None, 3, 0, callbacks, **kwargs)
    else:
        history = model.fit(batch, epochs=3, verbose=0, callbacks=callbacks, **kwargs)
    return model, history.history


@pytest.mark.parametrize("positional", [False, True])
def test_validation_and_callbacks_see_theta_with_nesterov(positional):
    watch = Watch()
    model, history = fitted(watch if positional else [watch], positional)
    assert watch.ahead == [0.9, 0.9, 0.9] and watch.validated == [0.0, 0.0, 0.0]
    for weights, expected in zip(watch.weights, history["val_log_likelihood"], strict=True):
        model.set_weights(weights)
        evaluated = model.evaluate(make_batch(seed=1), verbose=0, return_dict=True)
        np.testing.assert_allclose(evaluated["log_likelihood"], expected, rtol=1e-6)


def test_a_swap_of_the_users_is_the_only_one():
    histories = [fitted(callbacks)[1] for callbacks in (
        None, [], [optimizers.SwapLookAhead()])]
    assert all(history == histories[0] for history in histories)


def test_the_plan_runner_validates_and_keeps_theta():
    model, valid = models.RNN(num_hidden=4), draw_pieces(1)
    phase = Phase("fit", "train", 3, optimizers.Nesterov(0.1, momentum=0.9), 4, 8)
    result = run_plan(model, [phase], {"train": lambda: draw_pieces(0)}, valid, seed=0)
    evaluated = model.evaluate(valid.pieces(), verbose=0, return_dict=True)
    np.testing.assert_allclose(
        evaluated["log_likelihood"], result.history[-1]["val_log_likelihood"], rtol=1e-6)
    assert float(model.optimizer.ahead) == 0
