"""Two replicas of `MirroredStrategy` train and evaluate as one device does."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, dict]]:
    """What two_replicas.py prints."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, pathlib.Path(__file__).with_name("two_replicas.py")],
        env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("part", ["before", "history", "weights"])
@pytest.mark.parametrize("model", ["RNN", "Transducer", "RBM", "Autoencoder"])
def test_two_replicas_do_what_one_device_does(results, model, part):
    one, two = (results[model][number][part] for number in ("one", "two"))
    if part == "weights":
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-5)
        return
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, err_msg=name)


def test_two_replicas_of_an_rbm_model_log_the_likelihood_that_one_device_logs(results):
    # Before training the weights are the same, and only the draws differ: 22 frames of AIS with
    # 100 runs each, at small weights.
    one, two = (results["RNNRBM"][number]["before"] for number in ("one", "two"))
    np.testing.assert_allclose(two["log_likelihood"], one["log_likelihood"], atol=0.01)
    np.testing.assert_allclose(results["loss"], results["expected loss"], rtol=1e-5)
    assert np.isfinite(results["RNNRBM"]["two"]["weights"]).all()
    assert set(results["RNNRBM"]["two"]["history"]) == {
        "loss", "val_loss", "val_log_likelihood"}
