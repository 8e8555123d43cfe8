"""Trains models with a curvature on one device and on several, and prints both as JSON.

    replicas.py mirrored: one process with two logical devices
    replicas.py worker: one of two processes, told by TF_CONFIG

A script of its own: neither can be set up after TensorFlow has started (see test_replicas.py).
"""

import json
import sys
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from rnnpt import heads, models, optimizers
from tests.catalogue import make_batch

BATCH_SIZE = 6


def music() -> tf.data.Dataset:
    """Returns two batches of whole sequences, of unlike lengths.

    A row of the first has run out of pieces, and the second is too small for two replicas.
    """
    batch = make_batch(BATCH_SIZE + 1, 5, seed=1)
    batch["mask"][1] = False
    return tf.data.Dataset.from_tensor_slices(batch).batch(BATCH_SIZE)


def answers() -> tf.data.Dataset:
    """Returns two batches of inputs, targets and weights; the second has an odd number of rows."""
    rng = np.random.default_rng(0)
    return tf.data.Dataset.from_tensor_slices((
        rng.normal(size=[9, 4, 2]), rng.normal(size=[9, 4, 1]), np.ones([9, 4]))).batch(BATCH_SIZE)


def points() -> tf.data.Dataset:
    """Returns a batch of inputs and targets: two rows for the curvature, two held out, two more."""
    rows = np.random.default_rng(0).normal(size=[BATCH_SIZE, 3])
    if tf.distribute.has_strategy():  # Of each kind one a replica.
        rows = rows[[0, 2, 4, 1, 3, 5]]
    return tf.data.Dataset.from_tensors((rows, rows[:, :2] ** 2))


def rnn(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """Returns a `SequenceModel`, whose products keep what they are made of."""
    model = models.RNN(num_hidden=4, seed=1)
    model.compile(optimizer)
    return model


def transducer(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """Returns a `Transducer` of a cell with the automatic sweep."""
    keras.utils.set_random_seed(0)
    model = models.Transducer(keras.layers.SimpleRNNCell(3), heads.GaussianHead(), num_outputs=1)
    model.compile(optimizer)
    return model


def functional(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """Returns a `SecondOrderModel`."""
    keras.utils.set_random_seed(0)
    model = optimizers.SecondOrderModel(keras.Sequential([
        keras.Input([3]), keras.layers.Dense(4, "tanh", kernel_regularizer=keras.regularizers.L2()),
        keras.layers.Dense(2)]))
    model.compile(optimizer, loss="mse")
    return model


def recurrent(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """Returns a `SecondOrderModel` with hidden units."""
    keras.utils.set_random_seed(0)
    model = optimizers.SecondOrderModel(keras.Sequential([
        keras.Input([None, 2]), keras.layers.SimpleRNN(3, return_sequences=True),
        keras.layers.Dense(1)]))
    model.compile(optimizer, loss="mse")
    return model


CASES: dict[str, tuple[Callable, Callable, Callable]] = {
    "sequences": (rnn, music, lambda: optimizers.HessianFree(
        structural_damping=0.1, preconditioner_exponent=0.75)),
    "odd batch": (transducer, answers, optimizers.HessianFree),
    "hidden units": (recurrent, answers, lambda: optimizers.HessianFree(
        structural_damping=0.1, max_steps=5, preconditioner_exponent=0.75)),
    "held out": (functional, points, lambda: optimizers.HessianFree(
        curvature_rows=2, held_out_rows=2, rows_at_once=2)),
    # As many steps as there are weights would be those of rounding errors.
    "augmented": (functional, points, lambda: optimizers.AugmentedHessianFree(max_steps=5)),
    "Krylov": (functional, points, lambda: optimizers.KrylovDescent(num_vectors=5)),
}


def outcome(model: keras.Model, history: dict[str, list[float]]) -> dict[str, object]:
    """Returns what training logged, without its seconds, and the weights after it."""
    weights = np.concatenate([np.ravel(weight) for weight in model.get_weights()])
    return {"weights": weights.tolist(), "history": {
        name: values for name, values in history.items() if not name.endswith("_seconds")}}


def fit(name: str) -> dict[str, object]:
    """Returns the outcome of a case by `fit`, under the strategy that is in force."""
    make, data, optimizer = CASES[name]
    model = make(optimizer())
    return outcome(model, model.fit(data(), epochs=2, verbose=0).history)


def by_hand(strategy: tf.distribute.Strategy, name: str) -> dict[str, object]:
    """Returns the outcome of a case by `train_function`, of which `fit` makes its loop."""
    make, data, optimizer = CASES[name]
    with strategy.scope():
        model = make(optimizer())
        if make is rnn:
            model.build_for(data().element_spec["frames"].shape[-1])
        batches_of_epoch = strategy.experimental_distribute_dataset(data())
    model.make_train_function()
    history: dict[str, list[float]] = {}
    for _ in range(2):
        batches: Iterable = iter(batches_of_epoch)
        model.reset_metrics()
        logs = [model.train_function(batches) for _ in range(len(data()))][-1]
        for figure, value in logs.items():
            history.setdefault(figure, []).append(float(value))
    return outcome(model, history)


def main() -> None:
    """Prints the outcomes by case and by number of devices."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    if sys.argv[1] == "worker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        print(json.dumps({
            name: by_hand(strategy, name) for name in ("sequences", "held out")}))
        return
    device = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        device, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    results = {}
    for name in CASES:
        one = fit(name)
        with strategy.scope():
            results[name] = {"one": one, "two": fit(name)}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
