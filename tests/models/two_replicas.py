"""Trains the same models on one device and on two, and prints both as JSON (see test_strategy.py).

A script of its own: logical devices can only be made before TensorFlow has started.
"""

import json

import keras
import numpy as np
import tensorflow as tf

from rnnpt import models
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
    results["loss"] = train_without_chance(model)["loss"]
    frames = [frame for batch in segments() for frame in batch["frames"][batch["mask"]]]
    results["expected loss"] = 100.0 * float(np.mean(np.sum(frames, axis=-1)))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
