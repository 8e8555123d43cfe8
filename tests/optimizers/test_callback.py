"""Nesterov's accelerated gradient in `fit`: theta where somebody looks, and exact resuming."""

import csv
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnnpt import optimizers, schedules
from tests.reference import momentum as twins

RATE = schedules.Piecewise([7, 13], [0.1, 0.05, 0.08])
MOMENTUM = schedules.NesterovMomentum()
NUM_BATCHES, EPOCHS = 5, 4

INPUTS = np.random.default_rng(0).normal(size=[4 * NUM_BATCHES, 3])
TARGETS = np.random.default_rng(1).normal(size=[4 * NUM_BATCHES, 1])
START = np.array([0.5, -1.0, 2.0])


def compiled(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """Returns a linear model that starts at START."""
    kernel = keras.initializers.Constant(START[:, None])
    model = keras.Sequential([
        keras.Input([3]), keras.layers.Dense(1, use_bias=False, kernel_initializer=kernel)])
    model.compile(optimizer, loss="mse")
    return model


def fit(model: keras.Model, callbacks: list = (), **kwargs: object) -> dict[str, list[float]]:
    kwargs = {"epochs": EPOCHS, "validation_data": (INPUTS, TARGETS)} | kwargs
    return model.fit(
        INPUTS, TARGETS, batch_size=4, shuffle=False, verbose=0,
        callbacks=[optimizers.SwapLookAhead(), *callbacks], **kwargs).history


def values(model: keras.Model) -> list[np.ndarray]:
    """Returns everything that a run of the model depends on."""
    return [np.array(variable) for variable in [*model.variables, *model.optimizer.variables]]


def assert_same(one: keras.Model, other: keras.Model) -> None:
    for first, second in zip(values(one), values(other), strict=True):
        np.testing.assert_array_equal(first, second)


def loss_of(theta: np.ndarray) -> float:
    return float(((INPUTS @ theta - TARGETS[:, 0]) ** 2).mean())


def twin() -> list[np.ndarray]:
    """Returns theta at the ends of the epochs."""
    batches = itertools.cycle(zip(np.split(INPUTS, NUM_BATCHES), np.split(TARGETS, NUM_BATCHES)))

    def gradient(theta: np.ndarray) -> np.ndarray:
        inputs, targets = next(batches)
        return 2 * inputs.T @ (inputs @ theta - targets[:, 0]) / len(inputs)

    path = twins.nesterov(
        gradient, START, lambda step: float(RATE(step)), lambda step: float(MOMENTUM(step)))
    return list(itertools.islice(path, NUM_BATCHES * EPOCHS))[NUM_BATCHES - 1::NUM_BATCHES]


class Witness(keras.callbacks.Callback):
    """Notes the weights at the ends of epochs, and the loss that its own `evaluate` gives."""

    def __init__(self) -> None:
        super().__init__()
        self.weights, self.losses = [], []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.weights.append(self.model.get_weights()[0][:, 0])
        self.losses.append(self.model.evaluate(INPUTS, TARGETS, verbose=0))


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("unsized", [
    False, pytest.param(True, marks=pytest.mark.filterwarnings("ignore:Your input ran out"))])
def test_each_epoch_ends_with_the_theta_of_the_twin(unsized, tmp_path):
    model, witness = compiled(optimizers.Nesterov(RATE, MOMENTUM)), Witness()
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5",
                                                 save_weights_only=True)
    if unsized:
        batches = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS)).batch(4)
        history = model.fit(
            batches.filter(lambda inputs, targets: True), epochs=EPOCHS, verbose=0, shuffle=False,
            validation_data=(INPUTS, TARGETS),
            callbacks=[optimizers.SwapLookAhead(), checkpoint, witness]).history
    else:
        history = fit(model, [checkpoint, witness])
    expected = twin()
    np.testing.assert_allclose(witness.weights, expected, atol=1e-10)
    np.testing.assert_allclose(history["val_loss"], list(map(loss_of, expected)), atol=1e-10)
    np.testing.assert_allclose(witness.losses, history["val_loss"], atol=1e-10)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], expected[-1], atol=1e-10)
    for epoch, theta in enumerate(expected, start=1):
        model.load_weights(tmp_path / f"{epoch}.weights.h5")
        np.testing.assert_allclose(model.get_weights()[0][:, 0], theta, atol=1e-10)


@pytest.mark.usefixtures("double_precision")
def test_without_validation_and_without_the_callback_fit_ends_with_theta():
    model = compiled(optimizers.Nesterov(RATE, MOMENTUM))
    model.fit(INPUTS, TARGETS, batch_size=4, shuffle=False, epochs=EPOCHS, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], twin()[-1], atol=1e-10)
    model, witness = compiled(optimizers.Nesterov(RATE, MOMENTUM)), Witness()
    fit(model, [witness], validation_data=None)
    np.testing.assert_allclose(witness.weights, twin(), atol=1e-10)


@pytest.mark.parametrize("make", [
    optimizers.Momentum, optimizers.Nesterov, optimizers.SimplifiedNesterov])
def test_a_run_that_was_saved_and_loaded_ends_as_an_unbroken_one(make, tmp_path):
    unbroken, broken = (compiled(make(RATE, MOMENTUM, global_clipnorm=1.0)) for _ in range(2))
    whole = fit(unbroken)
    first = fit(broken, epochs=2)
    broken.evaluate(INPUTS, TARGETS, verbose=0)
    broken.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is make
    assert loaded.optimizer.get_config() == broken.optimizer.get_config()
    assert_same(broken, loaded)
    second = fit(loaded, initial_epoch=2)
    assert whole == {name: first[name] + second[name] for name in whole}
    assert_same(unbroken, loaded)


def test_a_run_that_was_killed_within_an_epoch_goes_on_from_its_backup(tmp_path):
    class Kill(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            if int(self.model.optimizer.iterations) == NUM_BATCHES + 2:
                raise KeyboardInterrupt

    unbroken, killed, resumed = (
        compiled(optimizers.Nesterov(RATE, MOMENTUM)) for _ in range(3))
    fit(unbroken)
    with pytest.raises(KeyboardInterrupt):
        fit(killed, [Kill()])
    assert float(killed.optimizer.ahead) > 0
    killed.save_weights(tmp_path / "killed.weights.h5")
    resumed.optimizer.build(resumed.trainable_variables)
    resumed.load_weights(tmp_path / "killed.weights.h5")
    assert_same(killed, resumed)
    # The rest of the epoch, and those after it.
    resumed.fit(INPUTS[8:], TARGETS[8:], batch_size=4, shuffle=False, verbose=0,
                callbacks=[optimizers.SwapLookAhead()])
    fit(resumed, epochs=2)
    assert_same(unbroken, resumed)


def test_best_weights_that_are_restored_are_the_theta_that_was_best():
    model, witness = compiled(optimizers.Nesterov(0.2, 0.95)), Witness()
    stopping = keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    history = fit(model, [witness, stopping], epochs=30)
    best = int(np.argmin(history["val_loss"]))
    assert best < len(history["val_loss"]) - 1
    np.testing.assert_array_equal(model.get_weights()[0][:, 0], witness.weights[best])
    np.testing.assert_allclose(
        model.evaluate(INPUTS, TARGETS, verbose=0), min(history["val_loss"]), rtol=1e-5)
    # A second `fit` goes on from them, one velocity ahead.
    theta, velocity = model.get_weights()[0], np.array(model.optimizer.variables[2])
    model.optimizer.step_ahead()
    np.testing.assert_allclose(
        model.get_weights()[0], theta + 0.95 * velocity, rtol=1e-5, atol=1e-5)


def test_weights_set_from_outside_are_where_training_goes_on():
    one, other = (compiled(optimizers.Nesterov(0.1, 0.9)) for _ in range(2))
    fit(one)
    fresh = np.array([[3.0], [2.0], [1.0]], np.float32)
    one.set_weights([fresh])
    other.optimizer.build(other.trainable_variables)
    for mine, theirs in zip(other.optimizer.variables, one.optimizer.variables):
        mine.assign(theirs)
    other.set_weights([fresh])
    fit(one, epochs=1)
    fit(other, epochs=1)
    assert_same(one, other)


def test_swapping_twice_is_swapping_once():
    model = compiled(optimizers.Nesterov(0.1, 0.9))
    model.optimizer.step_ahead()
    fit(model, epochs=1)
    for move in (model.optimizer.step_back, model.optimizer.step_ahead):
        move()
        before = values(model)
        move()
        for one, other in zip(before, values(model), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_strategy_trains_and_swaps_as_no_strategy_does():
    plain = compiled(optimizers.Nesterov(RATE, MOMENTUM, global_clipnorm=2.0))
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        mirrored = compiled(optimizers.Nesterov(RATE, MOMENTUM, global_clipnorm=2.0))
    one, other = fit(plain), fit(mirrored)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5)
    for first, second in zip(values(plain), values(mirrored), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)


def test_rows_of_an_embedding_are_trained_as_a_dense_kernel_is():
    symbols, targets = np.arange(6) % 3, np.linspace(1, -1, 6)[:, None]
    start = keras.initializers.Constant(np.arange(5.0)[:, None])
    dense = keras.Sequential([
        keras.Input([5]), keras.layers.Dense(1, use_bias=False, kernel_initializer=start)])
    rows = keras.Sequential([
        keras.Input([], dtype="int32"), keras.layers.Embedding(5, 1, embeddings_initializer=start)])
    for model, inputs in ((dense, np.eye(5)[symbols]), (rows, symbols)):
        model.compile(optimizers.Nesterov(0.1, 0.9, global_clipnorm=0.5), loss="mse")
        model.fit(inputs, targets, batch_size=2, shuffle=False, epochs=3, verbose=0,
                  callbacks=[optimizers.SwapLookAhead()])
    np.testing.assert_allclose(
        rows.get_weights()[0], dense.get_weights()[0], rtol=1e-5, atol=1e-5)


def test_a_constraint_holds_at_theta_too():
    model, witness = compiled(optimizers.Nesterov(0.05, 0.9)), Witness()
    model.trainable_variables[0].constraint = keras.constraints.UnitNorm()
    fit(model, [witness])
    np.testing.assert_allclose(np.linalg.norm(witness.weights, axis=1), 1, rtol=1e-5)
    assert np.ptp(witness.weights, axis=0).max() > 0.01


def test_mixed_precision_swaps_the_optimizer_within():
    model, witness = compiled(
        keras.optimizers.LossScaleOptimizer(optimizers.Nesterov(RATE, MOMENTUM))), Witness()
    fit(model, [witness])
    plain, expected = compiled(optimizers.Nesterov(RATE, MOMENTUM)), Witness()
    fit(plain, [expected])
    np.testing.assert_allclose(witness.weights, expected.weights, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Your input ran out")
@pytest.mark.parametrize("make", [
    optimizers.Momentum, optimizers.Nesterov, optimizers.SimplifiedNesterov])
def test_the_end_of_data_of_unknown_length_is_no_step(make):
    model = compiled(make(RATE, 0.9))
    batches = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS)).batch(4)
    model.fit(batches.filter(lambda inputs, targets: True), epochs=3, verbose=0, shuffle=False)
    assert int(model.optimizer.iterations) == 3 * NUM_BATCHES


def test_the_callback_leaves_other_optimizers_alone():
    history = []
    for callbacks in ([], [optimizers.SwapLookAhead()]):
        model = compiled(keras.optimizers.SGD(0.1, momentum=0.9))
        history.append(model.fit(INPUTS, TARGETS, shuffle=False, epochs=3, verbose=0,
                                 validation_data=(INPUTS, TARGETS), callbacks=callbacks).history)
    assert history[0] == history[1]


def test_schedules_are_in_the_csv_log_and_in_tensorboard(tmp_path):
    model = compiled(optimizers.Nesterov(RATE, MOMENTUM))
    history = fit(model, [
        optimizers.LogSchedules(), keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TensorBoard(tmp_path / "tensorboard", write_graph=False)])
    steps = NUM_BATCHES * np.arange(1, EPOCHS + 1)
    expected = {"learning_rate": [float(RATE(step)) for step in steps],
                "momentum": [float(MOMENTUM(step)) for step in steps]}
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    events = EventAccumulator(str(tmp_path / "tensorboard" / "train"))
    events.Reload()
    for name in expected:
        assert history[name] == expected[name]
        np.testing.assert_allclose([float(row[name]) for row in rows], expected[name], rtol=1e-6)
        written = [tf.make_ndarray(event.tensor_proto) for event in events.Tensors(f"epoch_{name}")]
        np.testing.assert_allclose(written, expected[name], rtol=1e-6)


def test_an_optimizer_without_momentum_logs_its_rate_alone():
    model = compiled(keras.optimizers.Adam(0.25))
    history = fit(model, [optimizers.LogSchedules()], epochs=2)
    assert history["learning_rate"] == [0.25, 0.25] and "momentum" not in history
