"""Optimizers with a curvature take the same updates on several devices as on one."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnnpt import optimizers

REPOSITORY = pathlib.Path(__file__).parents[2]
CASES = ("sequences", "odd batch", "hidden units", "held out", "augmented", "Krylov")


def start(kind: str, **environment: str) -> subprocess.Popen[str]:
    """Returns replicas.py, running."""
    return subprocess.Popen(
        [sys.executable, pathlib.Path(__file__).with_name("replicas.py"), kind],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": "-1",
             **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def printed(process: subprocess.Popen[str]) -> dict[str, dict]:
    """Returns what it prints last."""
    found, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(found.splitlines()[-1])


@pytest.fixture(scope="module")
def mirrored() -> dict[str, dict[str, dict]]:
    """Outcomes on one device and on two."""
    return printed(start("mirrored"))


def free_port() -> int:
    """Returns a port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def assert_same(one: dict[str, dict], two: dict[str, dict]) -> None:
    """Asserts equal weights and equal figures."""
    np.testing.assert_allclose(two["weights"], one["weights"], atol=1e-5)
    assert set(one["history"]) == set(two["history"])
    for name, values in one["history"].items():
        np.testing.assert_allclose(two["history"][name], values, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_two_replicas_take_the_updates_of_one_device(mirrored, case):
    assert_same(**mirrored[case])


def test_two_processes_take_the_updates_of_one_device(mirrored):
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    processes = [
        start("worker", TF_CONFIG=json.dumps({
            "cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}))
        for index in range(2)]
    try:
        outcomes = [printed(process) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for outcome in outcomes:
        assert set(outcome) == {"sequences", "held out"}
        for case, found in outcome.items():
            assert_same(mirrored[case]["one"], found)


def test_rows_of_the_curvature_are_shared_equally(monkeypatch):
    optimizer = optimizers.HessianFree(curvature_rows=4)
    assert optimizer.share(4) == 4 and optimizer.share(None) is None

    class Three:
        num_replicas_in_sync = 3

    monkeypatch.setattr(tf.distribute, "get_strategy", Three)
    assert optimizer.share(6) == 2
    with pytest.raises(ValueError, match="multiples of the 3 replicas, got 4; take 6"):
        optimizer.share(4)


def test_an_optimizer_without_a_curvature_wants_one_device(monkeypatch):
    class Two:
        num_replicas_in_sync = 2

    objective = optimizers.Objective([keras.Variable([1.0])], lambda: tf.constant(0.0))
    monkeypatch.setattr(tf.distribute, "get_strategy", Two)
    with pytest.raises(ValueError, match="one replica, got 2; train on one device"):
        optimizers.LBFGS().minimize(objective)
