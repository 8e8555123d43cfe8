"""`SequenceModel` in `fit` and `evaluate`: what is logged, carried, drawn, traced and refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells, heads, models
from rnnpt.models import _running_figure
from tests.catalogue import NUM_VISIBLE, make_batch, with_random_weights

Batch = dict[str, np.ndarray]


def dataset_of(*batches: Batch) -> tf.data.Dataset:
    """Returns a dataset of batches of any sizes."""
    signature = {
        "frames": tf.TensorSpec([None, None, NUM_VISIBLE], tf.float32),
        "mask": tf.TensorSpec([None, None], tf.bool),
        "starts": tf.TensorSpec([None], tf.bool)}
    dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))


def segments_of(batch: Batch, length: int) -> list[Batch]:
    """Returns a batch cut along time, each segment going on from the one before."""
    cut = [{name: batch[name][:, start:start + length] for name in ("frames", "mask")}
           for start in range(0, batch["frames"].shape[1], length)]
    return [{**segment, "starts": np.full([len(batch["frames"])], place == 0)}
            for place, segment in enumerate(cut)]


def frozen_in_time(model: models.SequenceModel) -> models.SequenceModel:
    """Returns the model compiled so that training changes nothing."""
    model.compile(keras.optimizers.SGD(0.0))
    return model


def fit(model: models.SequenceModel, *batches: Batch, **options: object) -> dict[str, list[float]]:
    """Returns the history of a silent fit."""
    return model.fit(dataset_of(*batches), verbose=0, **options).history


def mean_log_likelihood(model: models.SequenceModel, *batches: Batch) -> float:
    """Returns nats a frame, pooled over the real frames of all batches."""
    total = sum(float(tf.reduce_sum(model.log_prob(b["frames"], b["mask"]))) for b in batches)
    return total / sum(batch["mask"].sum() for batch in batches)


UNEVEN = [make_batch(3, 6, seed=1), make_batch(1, 9, seed=2), make_batch(4, 2, seed=3)]


def test_fit_logs_the_mean_over_real_frames_of_uneven_batches():
    model = with_random_weights(models.RNN(4))
    expected = mean_log_likelihood(model, *UNEVEN)
    logs = fit(frozen_in_time(model), *UNEVEN, validation_data=dataset_of(*UNEVEN))
    assert set(logs) == {"loss", "log_likelihood", "val_loss", "val_log_likelihood"}
    np.testing.assert_allclose([logs["loss"][0], logs["val_loss"][0]], -expected, rtol=1e-5)
    np.testing.assert_allclose(
        [logs["log_likelihood"][0], logs["val_log_likelihood"][0]], expected, rtol=1e-5)


def test_evaluate_logs_the_mean_over_real_frames_of_uneven_batches():
    model = with_random_weights(models.RNN(4))
    logs = frozen_in_time(model).evaluate(dataset_of(*UNEVEN), verbose=0, return_dict=True)
    expected = mean_log_likelihood(model, *UNEVEN)
    np.testing.assert_allclose(logs["loss"], -expected, rtol=1e-5)
    np.testing.assert_allclose(logs["log_likelihood"], expected, rtol=1e-5)


def test_an_rbm_model_logs_an_estimate_in_validation_only():
    model = with_random_weights(models.RNNRBM(3, 4))
    batch = UNEVEN[0]
    logs = fit(frozen_in_time(model), batch, validation_data=dataset_of(batch))
    assert set(logs) == {"loss", "val_loss", "val_log_likelihood"}
    full = model.evaluate(dataset_of(batch), verbose=0, return_dict=True)
    # The full estimate and the cheap one, which has a standard error below 0.05 a frame here.
    expected = mean_log_likelihood(model, batch)
    np.testing.assert_allclose(full["log_likelihood"], expected, atol=0.01)
    np.testing.assert_allclose(logs["val_log_likelihood"][0], expected, atol=0.1)


def test_an_update_follows_the_gradient_of_the_mean_over_real_frames():
    model, batch = with_random_weights(models.RNN(4)), make_batch()
    with tf.GradientTape() as tape:
        mask = batch["mask"]
        losses = model.head.loss(model(batch), batch["frames"], (0, 0))
        loss = tf.reduce_sum(tf.boolean_mask(losses, mask)) / mask.sum()
    expected = [w - 0.5 * g for w, g in zip(
        model.get_weights(), tape.gradient(loss, model.trainable_variables))]
    model.compile(keras.optimizers.SGD(0.5))
    fit(model, batch)
    for weight, value in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(weight, value, rtol=1e-5, atol=1e-6)


def test_the_first_frame_teaches_the_initial_state():
    model = with_random_weights(models.RNN(4))
    before = model.cell.initial_state[0].numpy()
    model.compile(keras.optimizers.SGD(0.5))
    fit(model, make_batch(2, 1))
    assert (model.cell.initial_state[0].numpy() != before).all()


@pytest.mark.parametrize("length", [1, 4, 5])
def test_segments_with_a_carried_state_equal_the_unbroken_run(length):
    model, batch = with_random_weights(models.RNN(4)), make_batch(3, 10)
    logs = fit(frozen_in_time(model), *segments_of(batch, length))
    np.testing.assert_allclose(
        logs["log_likelihood"][0], mean_log_likelihood(model, batch), rtol=1e-5)


def test_a_row_that_starts_forgets_and_its_neighbours_go_on():
    model = with_random_weights(models.RNN(4))
    first, second = make_batch(2, 6, seed=1), make_batch(2, 6, seed=2)
    first["mask"][:] = second["mask"][:] = True
    second["starts"] = np.array([True, False])
    logs = fit(frozen_in_time(model), first, second)
    pieces = [first["frames"][:1], second["frames"][:1],
              np.concatenate([first["frames"][1:], second["frames"][1:]], axis=1)]
    expected = sum(float(model.log_prob(piece)[0]) for piece in pieces) / 24
    np.testing.assert_allclose(logs["log_likelihood"][0], expected, rtol=1e-5)


def test_evaluation_leaves_the_carried_state_alone():
    model, batch = frozen_in_time(with_random_weights(models.RNN(4))), make_batch(3, 8)
    first, second = segments_of(batch, 4)
    fit(model, first)
    model.evaluate(dataset_of(make_batch(3, 4, seed=5)), verbose=0)
    logs = fit(model, second)
    total = float(tf.reduce_sum(model.log_prob(batch["frames"], batch["mask"])))
    total -= float(tf.reduce_sum(model.log_prob(first["frames"], first["mask"])))
    np.testing.assert_allclose(
        logs["log_likelihood"][0], total / second["mask"].sum(), rtol=1e-5)


def test_a_batch_that_goes_on_from_nothing_is_refused():
    model = frozen_in_time(models.RNN(4))
    batch = {**make_batch(), "starts": np.array([True, False, True])}
    with pytest.raises(ValueError, match="starts must be True in the first.* got starts of 1 0 1$"):
        fit(model, batch)
    fit(model, make_batch(4))
    with pytest.raises(ValueError, match="where the batch size changes"):
        fit(model, batch)


def test_a_batch_without_real_frames_changes_nothing():
    model = with_random_weights(models.RNNRBM(3, 4))
    model.compile(keras.optimizers.SGD(0.5))
    weights, batch = model.get_weights(), make_batch()
    logs = fit(model, {**batch, "mask": np.zeros_like(batch["mask"])})
    assert logs["loss"] == [0.0]
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_units_that_would_overflow_in_the_padding_still_learn():
    # Three times larger at each step without a note: beyond float32 after some 80 of them.
    model = models.RNN(3, "relu")
    model.build_for(2)
    model.cell.recurrent_kernel.assign(3 * np.eye(3))
    model.cell.kernel.assign(np.full([2, 3], -50.0))
    model.cell.bias.assign(np.ones(3))
    model.compile(keras.optimizers.SGD(0.1))
    mask = np.arange(200) < np.array([[200], [3]])
    logs = model.fit({"frames": np.ones([2, 200, 2]), "mask": mask}, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("make", [models.RNN, models.RNNRBM])
def test_the_same_seed_has_the_same_losses_and_weights_bit_for_bit(make):
    runs = []
    for _ in range(2):
        model = make(num_hidden=4, seed=11)
        model.compile(keras.optimizers.Adam(0.05))
        logs = fit(model, *UNEVEN, epochs=3)
        runs.append([logs["loss"], *model.get_weights()])
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_chains_of_another_update_are_others():
    # Else contrastive divergence would learn the noise of one draw.
    model = frozen_in_time(with_random_weights(models.RNNRBM(3, 4)))
    losses = fit(model, make_batch(), epochs=3)["loss"]
    assert len(set(losses)) == 3


def recorded_estimates(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, object]]:
    """Returns a list that fills with the frames and the schedule of each estimate."""
    calls, estimate = [], heads.RBMHead.estimate_log_prob

    def record(self, parameters, frames, seed, schedule=None):
        calls.append((int(tf.shape(frames)[0]), schedule))
        return estimate(self, parameters, frames, seed, heads.AISSchedule(1, 1, 1000))

    monkeypatch.setattr(heads.RBMHead, "estimate_log_prob", record)
    return calls


@pytest.mark.parametrize("validation", [
    dataset_of(make_batch(30, 60), make_batch(3, 2)), make_batch(100, 20)],
    ids=["dataset", "arrays"])
def test_validation_in_fit_is_cheap_and_evaluate_is_full(monkeypatch, validation):
    calls = recorded_estimates(monkeypatch)
    model = models.RNNRBM(3, 4, num_gibbs_steps=1)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    fit(model, make_batch(), validation_data=validation, epochs=2)
    counts, schedules = zip(*calls)
    # As many in each epoch, since the sample is fixed.
    assert sum(counts) <= 2 * _running_figure.CHEAP_NUM_FRAMES
    assert counts[:len(counts) // 2] == counts[len(counts) // 2:]
    assert set(schedules) == {heads.CHEAP_SCHEDULE}

    calls.clear()
    model.evaluate(validation, verbose=0)
    counts, schedules = zip(*calls)
    batches = validation if isinstance(validation, tf.data.Dataset) else [validation]
    assert sum(counts) == sum(np.sum(batch["mask"]) for batch in batches)
    assert set(schedules) == {None}


@pytest.mark.parametrize("validation, expected", [
    # Two of three frames in the longer batch; one of every batch, however many there are.
    ([(1.0, 40, 50), (0.0, 20, 50)], 2 / 3), ([(0.0, 1, 2)] * 150 + [(1.0, 1, 2)] * 50, 1 / 4)])
def test_the_cheap_estimate_is_of_all_frames_alike(monkeypatch, validation, expected):
    monkeypatch.setattr(
        heads.RBMHead, "estimate_log_prob",
        lambda self, parameters, frames, seed, schedule: (frames[:, 0], frames[:, 0]))
    model = models.RNNRBM(3, 4, num_gibbs_steps=1)
    model.compile(keras.optimizers.SGD(0.0))
    batches = [{"frames": np.full([size, steps, NUM_VISIBLE], value, np.float32),
                "mask": np.ones([size, steps], bool), "starts": np.ones([size], bool)}
               for value, size, steps in validation]
    logs = fit(model, make_batch(), validation_data=dataset_of(*batches))
    np.testing.assert_allclose(logs["val_log_likelihood"], [expected], rtol=1e-5)


def test_validation_steps_bound_an_endless_dataset():
    model = frozen_in_time(models.RNNRBM(3, 4, num_gibbs_steps=1))
    endless = dataset_of(make_batch()).repeat()
    logs = fit(model, make_batch(), validation_data=endless, validation_steps=2)
    assert np.isfinite(logs["val_log_likelihood"]).all()


class CountingCell(cells.SimpleCell):
    """A simple cell that counts how often Python runs through it."""

    count = 0

    def project_inputs(self, frames: tf.Tensor) -> tf.Tensor:
        """Counts, and projects."""
        CountingCell.count += 1
        return super().project_inputs(frames)


@pytest.mark.parametrize("call", [
    lambda model, batch: model.log_prob(batch["frames"], batch["mask"]),
    lambda model, batch: model.generate(
        batch["frames"], len(batch["mask"]), seed=len(batch["mask"]), temperature=0.5),
    lambda model, batch: fit(model, batch, make_batch(2, 5)),
    lambda model, batch: model.evaluate(dataset_of(batch), verbose=0)],
    ids=["log_prob", "generate", "fit", "evaluate"])
def test_batches_of_other_sizes_and_lengths_trace_no_more(call):
    model = frozen_in_time(models.SequenceModel(CountingCell(4), heads.BernoulliHead()))
    for sizes in ((3, 6), (2, 4)):
        call(model, make_batch(*sizes))
    traced = CountingCell.count
    for sizes in ((5, 7), (1, 3), (4, 9)):
        call(model, make_batch(*sizes))
    assert CountingCell.count == traced


def test_left_out_mask_and_starts_mean_that_all_is_real_and_new():
    model, frames = with_random_weights(models.RNN(4)), make_batch(3, 4)["frames"]
    whole = {"frames": frames, "mask": np.ones([3, 4], bool), "starts": np.ones([3], bool)}
    np.testing.assert_array_equal(model({"frames": frames}), model(whole))
    logs = frozen_in_time(model).fit({"frames": frames}, verbose=0).history
    np.testing.assert_allclose(
        logs["log_likelihood"][0], mean_log_likelihood(model, whole), rtol=1e-5)


def test_a_model_has_no_metrics_before_it_is_built():
    model = models.RNN(4)
    model.compile("sgd")
    model.reset_metrics()
    assert model.metrics == []


def test_integer_frames_are_frames():
    model, frames = with_random_weights(models.RNN(4)), make_batch()["frames"]
    np.testing.assert_array_equal(
        model.log_prob(frames.astype(np.uint8)), model.log_prob(frames))


@pytest.mark.parametrize("arguments", [{"loss": "mse"}, {"metrics": ["accuracy"]}])
def test_a_loss_or_metric_of_ones_own_is_refused(arguments):
    model = models.RNN(num_hidden=3)
    model.compile(optimizer="sgd", **arguments)
    with pytest.raises(ValueError, match="compile must be given no loss and no metrics, got loss="):
        model.fit({"frames": np.zeros([2, 3, 4], np.float32)}, verbose=0)


def test_a_batch_of_no_steps_has_no_parameters():
    model = models.RNN(num_hidden=3)
    assert model({"frames": np.zeros([2, 0, 4], np.float32)}).shape == (2, 0, 4)
