"""Trains the same models on one device and on two, and prints both as JSON (see test_strategy.py).

A script of its own: logical devices can only be made before TensorFlow has started.
"""

import json

import keras
import numpy as np
import tensorflow as tf

from rnnpt import heads, models
from tests.catalogue import make_batch, with_random_weights


def segments() -> tf.data.Dataset:
    """Returns two batches of four rows, the second going on in two of the rows."""
    batches = [make_batch(4, 6, seed=1), make_batch(4, 6, seed=2)]
    batches[0]["mask"][:] = True
    batches[1]["starts"] = np.array([False, True, False, True])
    stacked = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
    return tf.data.Dataset.from_tensor_slices(stacked)


def pieces() -> tf.data.Dataset:
    """Returns five rows in batches of four: the last one leaves a replica without any."""
    return tf.data.Dataset.from_tensor_slices(make_batch(5, 6, seed=3)).batch(4)


def train(model: models.SequenceModel, epochs: int) -> dict[str, object]:
    """Returns what epochs log, an evaluation before them, and the weights after."""
    model.compile(keras.optimizers.SGD(0.5))
    before = model.evaluate(pieces(), verbose=0, return_dict=True)
    with_random_weights(model)
    history = model.fit(segments(), validation_data=pieces(), epochs=epochs, verbose=0).history
    flat = np.concatenate([np.ravel(weight) for weight in model.get_weights()])
    return {"before": before, "history": history, "weights": flat.tolist()}


def train_without_chance(model: models.RNNRBM) -> dict[str, list[float]]:
    """Returns what is logged where every unit is off for certain, so that a loss has no noise."""
    model.compile(keras.optimizers.SGD(0.0))
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    model.readout.bias.assign(np.full(model.readout.bias.shape, -100.0))
    return model.fit(segments(), verbose=0).history


def transducer() -> models.Transducer:
    """Returns one with a penalty on weights."""
    keras.utils.set_random_seed(0)
    cell = keras.layers.SimpleRNNCell(3, kernel_regularizer=keras.regularizers.L2(0.1))
    return models.Transducer(cell, heads.GaussianHead(), num_outputs=1)


def rbm() -> models.RBM:
    """Returns one whose samples are off for certain, so that its gradient has no noise."""
    model = models.RBM(num_hidden=3, seed=1)
    model.build_for(6)
    model.visible_bias.assign(np.full(6, -100.0))
    return model


def rows(*shapes: list[int]) -> tf.data.Dataset:
    """Returns five rows in batches of four: the last one leaves a replica without any."""
    rng = np.random.default_rng(0)
    drawn = tuple(rng.integers(0, 2, [5, *shape]).astype("float32") for shape in shapes)
    return tf.data.Dataset.from_tensor_slices(drawn if len(drawn) > 1 else drawn[0]).batch(4)


# How each model is made, and the shapes of what a row of its data has.
OF_ROWS: dict[str, tuple] = {
    "Transducer": (transducer, [4, 2], [4, 1], [4]),
    "RBM": (rbm, [6]),
    "Autoencoder": (lambda: models.Autoencoder(units=(4, 2)), [6]),
}


def train_on_rows(model: keras.Model, data: tf.data.Dataset) -> dict[str, object]:
    """Returns what epochs log, an evaluation before them, and the weights after."""
    model.compile(keras.optimizers.SGD(0.1))
    before = model.evaluate(data, verbose=0, return_dict=True)
    history = model.fit(data, validation_data=data, epochs=2, verbose=0).history
    flat = np.concatenate([np.ravel(weight) for weight in model.get_weights()])
    return {"before": before, "history": history, "weights": flat.tolist()}


def main() -> None:
    """Prints the results by model and by number of devices."""
    device = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        device, [tf.config.LogicalDeviceConfiguration()] * 2)
    # One strategy for all: those of two strategies in one process take each other's messages.
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    results = {}
    for make, epochs in ((models.RNN, 3), (models.RNNRBM, 1)):
        one = train(make(num_hidden=4, seed=1), epochs)
        with strategy.scope():
            model = make(num_hidden=4, seed=1)
        results[make.__name__] = {"one": one, "two": train(model, epochs)}
    for name, (make, *shapes) in OF_ROWS.items():
        one = train_on_rows(make(), rows(*shapes))
        with strategy.scope():
            model_of_rows = make()
        results[name] = {"one": one, "two": train_on_rows(model_of_rows, rows(*shapes))}
    results["loss"] = train_without_chance(model)["loss"]
    frames = [frame for batch in segments() for frame in batch["frames"][batch["mask"]]]
    results["expected loss"] = 100.0 * float(np.mean(np.sum(frames, axis=-1)))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
