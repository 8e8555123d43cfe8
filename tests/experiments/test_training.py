"""Training in a run folder: its files, its seed, its resuming, and the model back from it."""

import dataclasses
import json

import numpy as np
import pytest

from rnnpt import datasets, models
from rnnpt.experiments import evaluation, run_folder, training
from rnnpt.experiments.config import EvaluationConfig, named
from rnnpt.experiments.setting import ConfigError, override

RNN = ["model.num_hidden=5", "fit.epochs=3", "fit.batch_size=2", "fit.segment_length=4"]
RBM = [
    "model.num_hidden=5", "model.num_recurrent=4", "model.num_gibbs_steps=1", "fit.epochs=2",
    "pretrain.epochs=2", "hmm.num_states=2", "hmm.num_sequences=4", "hmm.max_iterations=2",
]


def make_splits(seed=0):
    rng = np.random.default_rng(seed)

    def make(count):
        return datasets.Sequences([rng.random((7, 6)) < 0.4 for _ in range(count)])

    return datasets.Splits(make(5), make(2), make(2), name="toy")


def train(run_dir, name="rnn_jsb", assignments=RNN):
    config = run_folder.open_run(run_dir, name, assignments)
    return training.train(run_dir, config, make_splits(), progress=False)


def test_a_run_folder_holds_all_that_a_run_keeps(tmp_path):
    train(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "config.json", "plan.json", "checkpoint.npz", "log.csv", "best.weights.h5", "tensorboard"
    }
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert len(lines) == 4 and "val_log_likelihood" in lines[0]


def test_the_accuracy_on_the_validation_pieces_is_logged_where_it_is_asked_for(tmp_path):
    plain = train(tmp_path / "plain").history
    assert not any("accuracy" in name for row in plain for name in row)
    history = train(tmp_path / "asked", assignments=[*RNN, "accuracy_every=2"]).history
    assert [row["epoch"] for row in history if "val_accuracy" in row] == [2, 3]
    assert [row["loss"] for row in history] == [row["loss"] for row in plain]
    model = training.load_model(tmp_path / "asked", num_visible=6)
    best = max(history, key=lambda row: row["val_log_likelihood"])
    measured = evaluation.evaluate_model(
        model, make_splits().valid, dataclasses.replace(EvaluationConfig(), num_samples=1))
    assert best["epoch"] == 3 and best["val_accuracy"] == measured[0].accuracy


def test_the_same_seed_gives_the_same_losses_and_another_one_does_not(tmp_path):
    def losses(name, *assignments):
        history = train(tmp_path / name, assignments=[*RNN, *assignments]).history
        return [row["loss"] for row in history]

    first = losses("a")
    assert losses("b") == first
    assert losses("c", "seed=1") != first


def test_pretraining_comes_first_on_drawn_sequences(tmp_path):
    result = train(tmp_path, "rnn_rbm_chorales", RBM)
    assert [row["phase"] for row in result.history] == ["hmm", "hmm", "fit", "fit"]
    assert (tmp_path / "hmm.npz").is_file()


def test_pretraining_may_train_the_parts_by_themselves(tmp_path):
    result = train(tmp_path, "rnn_rbm_chorales", [
        *RBM, "pretrain.schedule=parts", "pretrain.frame_epochs=1"])
    assert [row["phase"] for row in result.history] == [
        "frames", "recurrence", "recurrence", "fit", "fit"]


def test_each_phase_has_its_penalty_on_kernels(tmp_path):
    train(tmp_path, "rnn_rbm_chorales", [*RBM, "fit.kernel_l2=0.5", "pretrain.kernel_l2=0.25"])
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert [phase["kernel_l2"] for phase in plan["phases"]] == [0.25, 0.5]


@pytest.mark.parametrize("segment_length", [7, 3])  # as long as the pieces, and shorter
def test_the_recurrence_by_itself_may_take_a_curvature(tmp_path, segment_length):
    result = train(tmp_path, "rnn_rbm_chorales", [
        *RBM, "pretrain.schedule=parts", "pretrain.frame_epochs=1", "pretrain.batch_size=15",
        f"pretrain.segment_length={segment_length}", "pretrain.optimizer=hessian_free"])
    frames, first, second, *_ = result.history
    assert "damping" not in frames and second["damping"] > 0
    assert second["loss"] < first["loss"]


def test_a_run_may_begin_as_a_linear_autoencoder(tmp_path):
    def first_loss(*assignments):
        history = train(tmp_path / str(len(assignments)), assignments=[
            *RNN, "fit.learning_rate=1e-6", *assignments]).history
        return next(row["loss"] for row in history if row["epoch"] == 1)

    assert first_loss("pretrain.schedule=linear") < first_loss() - 0.1


def test_a_run_may_begin_with_features_of_single_frames(tmp_path):
    result = train(tmp_path, assignments=[
        *RNN, "pretrain.schedule=inputs", "pretrain.frame_epochs=2"])
    assert [row["phase"] for row in result.history] == ["inputs", "fit", "fit", "fit"]
    assert run_folder.read_config(tmp_path).pretrain.frame_epochs == 2


STACK = [
    "model.cell.units=4", "model.cell.num_layers=2", "fit.epochs=1", "pretrain.epochs=2",
    "pretrain.schedule=layers"]


@pytest.mark.parametrize("kind", ["simple", "gru"])
def test_a_stack_may_learn_a_layer_at_a_time(tmp_path, kind):
    result = train(tmp_path, "gru_jsb", [*STACK, f"model.cell.kind={kind}"])
    assert [row["phase"] for row in result.history] == ["layer_1"] * 2 + ["layer_2"] * 2 + ["fit"]


@pytest.mark.parametrize("name, assignments", [
    ("gru_jsb", [*STACK, "model.cell.num_layers=1"]),
    ("rnn_jsb", [*RNN, "pretrain.epochs=2", "pretrain.schedule=layers"])])
def test_layers_of_a_model_without_a_stack_are_refused(tmp_path, name, assignments):
    with pytest.raises(ConfigError, match="pretrain.schedule must not be layers for a model"):
        train(tmp_path, name, assignments)


def test_a_stopped_run_ends_with_the_weights_of_an_unbroken_one(tmp_path, monkeypatch):
    train(tmp_path / "whole", "rnn_rbm_chorales", RBM)
    fit, calls = models.RNNRBM.fit, []

    def stop_in_third_epoch(self, *args, **kwargs):
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(models.RNNRBM, "fit", stop_in_third_epoch)
    with pytest.raises(KeyboardInterrupt, match="after epoch 0 of 2.*broken"):
        train(tmp_path / "broken", "rnn_rbm_chorales", RBM)
    train(tmp_path / "broken", "rnn_rbm_chorales", RBM)
    whole, broken = (
        training.load_model(tmp_path / name, num_visible=6).get_weights()
        for name in ("whole", "broken")
    )
    for expected, value in zip(whole, broken, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_the_loaded_model_has_the_likelihood_of_the_best_epoch(tmp_path):
    best = train(tmp_path).best
    model = training.load_model(tmp_path, num_visible=6)
    valid = make_splits().valid
    total = sum(float(model.log_prob(piece[None])[0]) for piece in valid.sequences)
    assert total / valid.num_frames == pytest.approx(best["val_log_likelihood"], abs=1e-5)


def test_a_run_without_trained_weights_is_named_with_the_way_to_go_on(tmp_path):
    run_folder.open_run(tmp_path, "rnn_jsb", RNN)
    with pytest.raises(ConfigError, match="run_dir must hold trained weights, .*rnnpt train --run"):
        training.load_model(tmp_path)


def test_weights_of_another_model_are_refused(tmp_path):
    train(tmp_path / "small")
    run_folder.open_run(tmp_path / "large", "rnn_jsb", [*RNN, "model.num_hidden=9"])
    weights = (tmp_path / "small" / "best.weights.h5").read_bytes()
    (tmp_path / "large" / "best.weights.h5").write_bytes(weights)
    with pytest.raises(ConfigError, match="run_dir must hold the weights of its own") as error:
        training.load_model(tmp_path / "large", num_visible=6)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind, settings", [
    ("adam", []), ("sgd", []), ("hessian_free", ["fit.batch_size=5", "fit.segment_length=7"]),
    # Shorter than the pieces, which are cut.
    ("hessian_free", ["fit.batch_size=20", "fit.segment_length=3"])])
def test_each_optimizer_trains(tmp_path, kind, settings):
    history = train(tmp_path, assignments=[*RNN, *settings, f"fit.optimizer={kind}"]).history
    assert history[-1]["loss"] < history[0]["loss"]


def test_overrides_reach_the_model():
    config = override(named("rnn_rbm_jsb"), ["model.num_hidden=3", "model.num_recurrent=2"])
    model = training.build_model(config.model, seed=5)
    model.build_for(4)
    assert model.head.kernel.shape == (4, 3) and model.cell.state_size == [2] and model.seed == 5


def test_a_linear_decay_ends_at_no_rate_after_the_last_update():
    train_set = make_splits().train
    config = override(named("rnn_jsb"), RNN).fit
    optimizer = training._fit_phase(config, train_set).new_optimizer()
    num_updates = 3 * int(train_set.segments(4, 2).cardinality())
    rates = [float(optimizer._learning_rate(step)) for step in (0, num_updates / 2, num_updates)]
    np.testing.assert_allclose(rates, [0.01, 0.005, 0.0], atol=1e-8)


def test_weight_decay_and_a_constant_rate_reach_the_optimizer():
    config = override(
        named("rnn_jsb"), RNN + ["fit.decay=constant", "fit.weight_decay=0.25"]).fit
    optimizer = training._fit_phase(config, make_splits().train).new_optimizer()
    assert optimizer.weight_decay == 0.25
    np.testing.assert_allclose(float(optimizer.learning_rate), 0.01, rtol=1e-6)
