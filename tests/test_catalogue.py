"""What holds for every cell, head and model, whichever it is."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cells, heads, models
from tests import catalogue
from tests.catalogue import CELLS, HEADS, MODELS, make_batch, with_random_weights


def batch_for(head: heads.Head, **kwargs: object) -> dict[str, np.ndarray]:
    """Returns a batch of frames that a head knows."""
    return make_batch(support=head.support, **kwargs)


def outputs_of(part: cells.Cell | heads.Head) -> list[np.ndarray]:
    """Returns what a built cell or head makes of fixed inputs."""
    if isinstance(part, cells.Cell):
        frames = make_batch()["frames"]
        outputs, state = cells.unroll(part, frames, part.get_initial_state(3))
        return [np.array(outputs), *map(np.array, state)]
    frames = batch_for(part)["frames"]
    size = part.num_parameters(catalogue.NUM_VISIBLE)
    parameters = np.linspace(-1, 1, 18 * size, dtype=np.float32).reshape([18, size])
    frames = frames.reshape([18, -1])
    return [np.array(answer) for answer in (
        part.log_prob(parameters, frames), part.loss(parameters, frames, (1, 2)),
        part.sample(parameters, (1, 2), 0.5), part.mean(parameters, (1, 2)))]


def figures_of(model: models.SequenceModel) -> list[np.ndarray]:
    """Returns what a model makes of fixed inputs."""
    batch = batch_for(model.head)
    return [np.array(answer) for answer in (
        model(batch),
        model.generate(batch["frames"], 3, seed=2, temperature=0.7, length=[6, 5, 4]))]


def assert_equal(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    """Fails where two lists of arrays differ anywhere."""
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("room, base, entries", [
    (cells, cells.Cell, CELLS), (heads, heads.Head, HEADS), (models, models.SequenceModel, MODELS)])
def test_the_catalogue_has_every_public_part(room, base, entries):
    public = {name for name in room.__all__
              if isinstance(getattr(room, name), type) and issubclass(getattr(room, name), base)}
    assert set(entries) == public - {"Cell", "Head"}
    assert {type(make()).__name__ for make in entries.values()} == set(entries)


@pytest.mark.parametrize("make", [*CELLS.values(), *HEADS.values()], ids=[*CELLS, *HEADS])
def test_a_part_from_its_config_has_the_same_outputs(make):
    part = make()
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(part))
    assert copy.get_config() == part.get_config()
    for each in (part, copy):
        each.build((None, catalogue.NUM_VISIBLE))
    # The initializers in the catalogue are seeded: equal configs start from equal weights.
    assert_equal(outputs_of(part), outputs_of(copy))


@pytest.mark.parametrize("make", HEADS.values(), ids=list(HEADS))
@pytest.mark.parametrize("temperature", [[1.0, 1.0, 1.0], [0.5, 1.0, 2.0], []])
def test_a_head_draws_a_sample_and_the_mean_at_once_as_it_does_apart(make, temperature):
    part, num_rows = make(), len(temperature)
    part.build((None, catalogue.NUM_VISIBLE))
    size = part.num_parameters(catalogue.NUM_VISIBLE)

    # As a served model is traced: of any number of rows.
    @tf.function(input_signature=[
        tf.TensorSpec([None, size]), tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([None])])
    def answers(parameters, seeds, temperature):
        return part.sample_and_mean(parameters, seeds, temperature), (
            part.sample(parameters, seeds, temperature), part.mean(parameters, seeds))

    parameters = np.linspace(-1, 1, num_rows * size).reshape([num_rows, size])
    seeds = np.arange(2 * num_rows).reshape([num_rows, 2])
    for one, other in zip(*answers(parameters, seeds, temperature), strict=True):
        assert one.shape == [num_rows, catalogue.NUM_VISIBLE]
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))
def test_a_model_from_its_config_has_the_same_outputs_and_the_same_training(make):
    model = make()
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert type(copy) is type(model) and copy.get_config() == model.get_config()
    histories = []
    for each in (model, copy):
        each.compile(keras.optimizers.SGD(0.1))
        history = each.fit(batch_for(model.head), epochs=2, shuffle=False, verbose=0)
        histories.append(history.history)
    assert histories[0] == histories[1]
    assert_equal(figures_of(model), figures_of(copy))


@pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))
def test_weights_carry_a_model_over(make, tmp_path):
    model, copy = with_random_weights(make()), make()
    model.save_weights(tmp_path / "model.weights.h5")
    copy.build_for(catalogue.NUM_VISIBLE)
    copy.load_weights(tmp_path / "model.weights.h5")
    assert_equal(figures_of(model), figures_of(copy))


@pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))
def test_a_saved_model_loads_and_trains_on_as_it_would_have(make, tmp_path):
    model = with_random_weights(make())
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(batch_for(model.head), shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_equal(figures_of(model), figures_of(loaded))
    first, second = (
        each.fit(batch_for(model.head), epochs=2, shuffle=False, verbose=0).history
        for each in (model, loaded))
    assert first == second


@pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))
def test_garbage_in_the_padding_changes_nothing(make):
    results = []
    for garbage in (0.0, np.nan):
        model = with_random_weights(make())
        batch = batch_for(model.head, garbage=garbage)
        parameters, mask = np.array(model(batch)), batch["mask"]
        state = model.advance(batch["frames"], mask, model.initial_state(3))
        model.compile(keras.optimizers.SGD(0.1))
        evaluated = model.evaluate(batch, verbose=0, return_dict=True)
        loss = model.fit(batch, shuffle=False, verbose=0).history["loss"]
        results.append([
            parameters[mask], *map(np.array, state), np.array([*evaluated.values(), *loss]),
            *model.get_weights(), model.log_prob(batch["frames"], mask),
            model.generate(batch["frames"], 2, seed=1, length=mask.sum(axis=1))])
    for other in results[1:]:
        assert_equal(results[0], other)
    assert all(np.isfinite(part).all() for part in results[0])


@pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))
def test_a_padded_batch_has_the_likelihoods_of_its_rows_alone(make):
    model = with_random_weights(make())
    batch = batch_for(model.head)
    together, error = model.estimate_log_prob(batch["frames"], batch["mask"])
    for row, length in enumerate(batch["mask"].sum(axis=1)):
        alone, alone_error = model.estimate_log_prob(batch["frames"][row:row + 1, :length])
        # Other draws of an estimate: six standard errors; where exact, float32.
        bound = 6 * np.hypot(error[row], alone_error[0]) + 1e-5
        assert abs(together[row] - alone[0]) < bound


@pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))
def test_generate_with_a_seed_a_row_does_not_know_its_neighbours(make):
    model = with_random_weights(make())
    batch = batch_for(model.head)
    seeds, lengths = np.array([[1, 2], [3, 4], [5, 6]]), batch["mask"].sum(axis=1)
    together = model.generate(batch["frames"], 8, seeds, length=lengths).numpy()
    for rows in ([2, 1, 0], [1], [0, 2]):
        some = model.generate(batch["frames"][rows], 8, seeds[rows], length=lengths[rows])
        np.testing.assert_array_equal(some, together[rows])


@pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))
def test_step_by_step_gives_what_whole_sequences_give(make):
    model = with_random_weights(make())
    batch = batch_for(model.head, batch_size=1)
    state = model.initial_state(1)
    stepped = [model.parameters(state)]
    for frame in batch["frames"][0]:
        parameters, state = model.step(frame[None], state)
        stepped.append(parameters)
    np.testing.assert_allclose(
        np.concatenate(stepped)[:-1], model(batch)[0], rtol=1e-5, atol=1e-5)
    advanced = model.advance(batch["frames"], None, model.initial_state(1))
    for one, other in zip(advanced, state, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))
def test_each_row_generates_its_own_number_of_frames(make):
    model = with_random_weights(make())
    seeds, temperature = tf.constant([[1, 2], [3, 4], [5, 6]]), tf.ones([3])
    frames, state = model.generate_from(
        model.initial_state(3), tf.constant([4, 2, 0]), seeds, temperature)
    longer, _ = model.generate_from(model.initial_state(3), tf.fill([3], 4), seeds, temperature)
    first, _ = model.draw_from(model.initial_state(3), seeds, temperature)
    np.testing.assert_array_equal(first, longer[:, 0])
    for row, length in enumerate([4, 2, 0]):
        np.testing.assert_array_equal(frames[row, :length], longer[row, :length])
        assert not frames[row, length:].numpy().any()
        alone = model.advance(frames[row:row + 1, :length], None, model.initial_state(1))
        np.testing.assert_allclose(state[0][row], alone[0][0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))
def test_a_second_call_traces_nothing(make, monkeypatch):
    model, num_traces = with_random_weights(make()), []
    advance = type(model.cell).advance

    def counting(self: cells.Cell, *arguments: object) -> list[tf.Tensor]:
        num_traces.append(None)
        return advance(self, *arguments)

    # Every way through a model runs its cell, in Python only while a graph is made.
    monkeypatch.setattr(type(model.cell), "advance", counting)
    model.compile(keras.optimizers.SGD(0.01))
    seen = []
    for num_rows in (3, 3, 2, 4):
        batch = batch_for(model.head, batch_size=num_rows)
        model.fit(batch, shuffle=False, verbose=0)
        model.evaluate(batch, verbose=0)
        model.log_prob(batch["frames"], batch["mask"])
        model.generate(batch["frames"], 2, seed=1, length=batch["mask"].sum(axis=1))
        seen.append(len(num_traces))
    # A second number of rows may make a graph for any number of them.
    assert 0 < seen[0] == seen[1] and seen[2] == seen[3]
