"""The table: each figure against its definition, and chunks that change nothing."""

import csv
import dataclasses

import numpy as np
import pytest

from rnnpt import datasets, models
from rnnpt.experiments import evaluation
from rnnpt.experiments.config import EvaluationConfig

SMALL = EvaluationConfig(
    num_samples=3, num_gibbs_steps=4, num_ais_runs=50, num_ais_temperatures=20, num_frames=6
)


def make_splits():
    rng = np.random.default_rng(0)

    def make(lengths):
        return datasets.Sequences([rng.random((length, 5)) < 0.4 for length in lengths])

    return datasets.Splits(make([9, 4]), make([3]), make([8, 3, 5]), name="toy")


def make_rnn():
    model = models.RNN(num_hidden=4, seed=1)
    model.build_for(5)
    return model


def make_rbm():
    model = models.RNNRBM(num_hidden=3, num_recurrent=4, num_gibbs_steps=1, seed=1)
    model.build_for(5)
    model.head.kernel.assign(np.random.default_rng(2).normal(size=(5, 3)))
    return model


def test_log_likelihood_is_the_models_own_pooled_over_all_frames():
    splits, model = make_splits(), make_rnn()
    row = evaluation.evaluate(model, splits, SMALL)[0]
    total = sum(float(model.log_prob(piece[None])[0]) for piece in splits.test.sequences)
    assert row.log_likelihood == pytest.approx(total / 16, abs=1e-5)
    assert row.standard_error == 0


def test_accuracy_of_a_certain_model_is_that_of_its_one_frame():
    splits, model = make_splits(), make_rnn()
    kernel, bias = model.readout.get_weights()
    model.readout.set_weights([0 * kernel, np.array([40, -40, -40, 40, -40], np.float32)])
    row = evaluation.evaluate(model, splits, SMALL)[0]
    frame, frames = np.array([1, 0, 0, 1, 0]), splits.test.frames()
    shared = (frames * frame).sum(axis=1)
    expected = np.mean(shared / np.maximum(frames.sum(axis=1), 2))
    wrong = (frames != frame).sum()
    assert row.accuracy == pytest.approx(100 * expected)
    assert row.micro_accuracy == pytest.approx(100 * shared.sum() / (shared.sum() + wrong))


@pytest.mark.parametrize("make_model", [make_rnn, make_rbm])
def test_pieces_read_at_a_time_change_no_figure(make_model):
    splits, model = make_splits(), make_model()
    alone, together = (
        evaluation.evaluate(model, splits, dataclasses.replace(SMALL, batch_size=size))
        for size in (1, 3)
    )
    # Chunks differ, and with them the draws of the RBM: 16 frames, 50 runs of AIS.
    assert alone[0].log_likelihood == pytest.approx(together[0].log_likelihood, abs=0.02)
    assert alone[-2:] == together[-2:]


def test_evaluation_is_a_function_of_its_seed():
    splits, model = make_splits(), make_rbm()
    first, again, other = (evaluation.evaluate(model, splits, SMALL, seed) for seed in (4, 4, 5))
    assert first == again and first[0] != other[0] and first[-2] != other[-2]


def test_an_rbm_is_measured_with_both_chains_and_its_exact_likelihood_is_within_the_error():
    splits, model = make_splits(), make_rbm()
    config = dataclasses.replace(SMALL, num_ais_runs=400)
    rows = evaluation.evaluate(model, splits, config)
    assert [row.sampling for row in rows[:2]] == [
        "4 Gibbs steps from the frame before", "4 Gibbs steps from an independent frame"
    ]
    every = ((np.arange(32)[:, None] >> np.arange(5)) & 1).astype(np.float32)
    total = 0.0
    for piece in splits.test.sequences:
        for row, frame in zip(model({"frames": piece[None].astype(np.float32)})[0], piece):
            energies = model.head.free_energy(np.repeat(row[None], 32, axis=0), every).numpy()
            own = model.head.free_energy(row[None], frame[None].astype(np.float32)).numpy()[0]
            total += -own - np.log(np.sum(np.exp(-energies)))
    # Four standard errors: one test in 16,000 would miss them.
    assert 0 < rows[0].standard_error < 0.01
    assert abs(rows[0].log_likelihood - total / 16) < 4 * rows[0].standard_error


def test_a_chain_of_no_length_worth_mixing_keeps_the_notes_of_the_frame_before():
    splits, model = make_splits(), make_rbm()
    # Both layers follow the start alone: hidden units repeat three notes, and they the notes.
    model.head.kernel.assign(40 * np.eye(5, 3))
    kernel, bias = model.readout.get_weights()
    model.readout.set_weights([0 * kernel, np.array([-20] * 8, np.float32)])
    config = dataclasses.replace(SMALL, num_gibbs_steps=1, num_ais_runs=2)
    rows = evaluation.evaluate(model, splits, config)
    previous = np.concatenate([
        np.concatenate([np.zeros((1, 5)), piece[:-1]]) for piece in splits.test.sequences
    ]) * [1, 1, 1, 0, 0]
    frames = splits.test.frames()
    larger = np.maximum(previous.sum(axis=1), frames.sum(axis=1))
    shared = (previous * frames).sum(axis=1)
    expected = np.mean(np.where(larger > 0, shared / np.maximum(larger, 1), 1))
    assert rows[0].accuracy == pytest.approx(100 * expected)


def test_the_table_is_written_as_csv_and_markdown(tmp_path):
    rows = evaluation.evaluate(make_rnn(), make_splits(), SMALL)
    markdown = evaluation.save_table(tmp_path, rows)
    assert (tmp_path / "evaluation.md").read_text() == markdown
    lines = markdown.splitlines()
    assert len({len(line) for line in lines}) == 1 and len(lines) == 7
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "RNN", "Frame 3-gram", "Note 12-gram", "Note 1-gram", "copy the previous frame"
    ]
    with (tmp_path / "evaluation.csv").open(newline="") as file:
        stored = list(csv.DictReader(file))
    assert float(stored[0]["log_likelihood"]) == rows[0].log_likelihood
    assert stored[4]["log_likelihood"] == ""
