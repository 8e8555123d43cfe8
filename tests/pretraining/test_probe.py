"""A probe is measured when it is due, logged, left out of the time, and of no weight."""
import csv
import os
import signal
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnnpt import models
from rnnpt.pretraining import Phase, PlanError, Probe, TrainingInterrupted, run_plan
from tests.pretraining.small_plan import draw_pieces

PHASES = [
    Phase(name, "train", epochs, keras.optimizers.Adam(0.01), batch_size=4, segment_length=8)
    for name, epochs in (("first", 1), ("second", 3))]


def run(model, probe=None, directory=None, phases=PHASES):
    return run_plan(model, phases, {"train": lambda: draw_pieces(0)}, draw_pieces(1), 0, directory,
                    False, probe=probe)


def total_of(model):
    """A figure that follows from the weights alone."""
    return lambda: float(sum(np.sum(weight) for weight in model.get_weights()))


def without_seconds(history):
    return [{name: value for name, value in row.items() if not name.endswith("seconds")}
            for row in history]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The model, the history and the folder of a run that nothing stops."""
    model, directory = models.RNN(num_hidden=5), tmp_path_factory.mktemp("unbroken")
    return model, run(model, Probe("total", 2, total_of(model)), directory).history, directory


def test_it_is_logged_every_so_many_epochs_of_each_phase_and_after_its_last(unbroken):
    model, history, directory = unbroken
    measured = [(row["phase"], row["epoch"]) for row in history if "total" in row]
    assert measured == [("first", 1), ("second", 2), ("second", 3)]
    assert history[-1]["total"] == total_of(model)()
    with (directory / "log.csv").open(newline="") as file:
        logged = [row["total"] for row in csv.DictReader(file)]
    assert logged == [str(row.get("total", "")) for row in history]
    events = EventAccumulator(str(directory / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    assert [(event.step, float(tf.make_ndarray(event.tensor_proto)))
            for event in events.Tensors("total")] == [
        (i + 1, pytest.approx(row["total"])) for i, row in enumerate(history) if "total" in row]


def test_it_changes_nothing_else(unbroken):
    expected = without_seconds(run(models.RNN(num_hidden=5)).history)
    history = without_seconds(unbroken[1])
    assert [{name: row[name] for name in row if name != "total"} for row in history] == expected


def test_its_time_is_no_part_of_an_epochs_seconds(monkeypatch):
    clock = [0.0]
    read = types.SimpleNamespace(perf_counter=lambda: clock[0], process_time=lambda: clock[0])
    monkeypatch.setattr("rnnpt.pretraining.plan.time", read)

    def measure():
        clock[0] += 1000.0
        return 1.0

    history = run(models.RNN(num_hidden=5), Probe("one", 1, measure), phases=PHASES[:1]).history
    assert {row["one_seconds"] for row in history} == {1000.0}
    assert {row[name] for row in history for name in ("seconds", "cpu_seconds")} == {0.0}


def test_a_run_that_is_stopped_while_it_is_measured_ends_with_the_same_log(unbroken, tmp_path):
    stopped, calls = models.RNN(num_hidden=5), []

    def stop_in_second_phase():
        calls.append(None)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return total_of(stopped)()

    with pytest.raises(TrainingInterrupted, match="phase 'second' after epoch 1 of"):
        run(stopped, Probe("total", 2, stop_in_second_phase), tmp_path)
    resumed = models.RNN(num_hidden=5)
    history = run(resumed, Probe("total", 2, total_of(resumed)), tmp_path).history
    assert without_seconds(history) == without_seconds(unbroken[1])


def test_a_run_may_go_on_with_another_probe(unbroken):
    *_, directory = unbroken
    history = run(models.RNN(num_hidden=5), Probe("one", 1, lambda: 1.0), directory).history
    assert history == unbroken[1]


def test_it_sees_the_model_with_the_part_that_is_trained():
    model = models.RNNRBM(num_hidden=3, num_recurrent=4, num_gibbs_steps=1)
    phase = Phase("recurrence", "train", 2, keras.optimizers.Adam(0.01), batch_size=4,
                  segment_length=8, part="recurrence")
    history = run(model, Probe("total", 1, lambda: float(np.sum(np.abs(model.readout.kernel)))),
                  phases=[phase]).history
    assert len({row["total"] for row in history}) == 2


@pytest.mark.parametrize("every", [0, 1.5, True])
def test_a_number_of_epochs_that_is_none_is_refused(every):
    with pytest.raises(PlanError, match=f"`every`.*every={every}"):
        Probe("one", every, lambda: 1.0)
