"""A model in memory: its runs, their time limits, its threads."""

import os
import pathlib
import shutil
from concurrent import futures

import numpy as np
import pytest

from rnnpt import export, models
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._servable import METADATA_FILE, Servable
from rnnpt.serving.error import DeadlineExceeded, FailedPrecondition, InvalidArgument
from tests.serving.fuzz import valid_inputs
from tests.serving.tiny_model import MAX_STEPS, NUM_VISIBLE


@pytest.fixture(scope="module")
def tiny_servable(tiny_model: pathlib.Path) -> Servable:
    return Servable(tiny_model / "1", 1)


def generate_inputs(num_steps: int) -> dict[str, np.ndarray]:
    return {
        "state": np.zeros((1, 3), np.float32), "length": np.ones(1, np.int32),
        "frames": np.zeros((1, 1, NUM_VISIBLE), np.float32),
        "num_steps": np.full(1, num_steps, np.int32), "seed": np.zeros((1, 2), np.int32),
        "temperature": np.ones(1, np.float32)}


def ask(
    servable: Servable, name: str, inputs: dict[str, np.ndarray], timeout_s: float | None = None
) -> dict[str, np.ndarray]:
    signature = servable.signatures[name]
    feeds = [(signature.inputs[key].name, value) for key, value in inputs.items()]
    fetches = [info.name for info in signature.outputs.values()]
    return dict(zip(signature.outputs, servable.run(feeds, fetches, timeout_s), strict=True))


def test_row_39_a_run_whose_time_is_over_ends_and_harms_nobody(tiny_servable) -> None:
    before = ask(tiny_servable, "generate", generate_inputs(MAX_STEPS))
    for _ in range(3):
        with pytest.raises(DeadlineExceeded, match="Timed out waiting for notification"):
            ask(tiny_servable, "generate", generate_inputs(1_000_000), timeout_s=0.05)
        after = ask(tiny_servable, "generate", generate_inputs(MAX_STEPS))
        np.testing.assert_array_equal(after["frames"], before["frames"])


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
def test_row_39_no_time_is_no_run(tiny_servable, timeout_s: float) -> None:
    with pytest.raises(DeadlineExceeded, match="Timed out waiting for notification"):
        tiny_servable.run([], [], timeout_s)


def test_a_run_with_time_enough_is_as_any(tiny_servable) -> None:
    session = tiny_servable.signatures["start"].inputs["session"].name
    state = tiny_servable.signatures["start"].outputs["state"].name
    feeds = [(session, np.zeros(2, np.int32))]
    [timed] = tiny_servable.run(feeds, [state], timeout_s=60)
    np.testing.assert_array_equal(timed, tiny_servable.run(feeds, [state])[0])


def test_outputs_come_in_the_order_that_is_asked_for(tiny_servable) -> None:
    signature = tiny_servable.signatures["generate"]
    feeds = [(signature.inputs[key].name, value) for key, value in generate_inputs(4).items()]
    names = {alias: info.name for alias, info in signature.outputs.items()}
    frames, length = tiny_servable.run(feeds, [names["frames"], names["length"]])
    assert frames.shape == (1, 4, NUM_VISIBLE) and length.tolist() == [4]
    [state, again] = tiny_servable.run(feeds, [names["state"], names["length"]])
    assert state.shape == (1, 3) and again.tolist() == [4]


def test_a_tensor_that_is_not_there_is_told(tiny_servable) -> None:
    with pytest.raises(InvalidArgument, match="Tensor :0, specified in either feed_devices or "
                                              "fetch_devices was not found in the Graph"):
        tiny_servable.run([], [""])


def test_a_model_that_runs_each_request_alone_has_no_queue(tiny_servable) -> None:
    assert not tiny_servable.is_batched
    with pytest.raises(FailedPrecondition, match="requests must be batched .*; call run"):
        tiny_servable.submit([], [])


def test_what_rnnpt_exports_runs_one_operation_after_the_other(tiny_model, tmp_path) -> None:
    shutil.copytree(tiny_model / "1", tmp_path / "1")
    (tmp_path / "1" / METADATA_FILE).parent.mkdir()
    (tmp_path / "1" / METADATA_FILE).touch()
    ours, other = Servable(tmp_path / "1", 1), Servable(tiny_model / "1", 1)
    assert ours._session._config.experimental.executor_type == "SINGLE_THREADED_EXECUTOR"
    assert not other._session._config.experimental.executor_type
    for name, inputs in valid_inputs().items():
        signature = other.signatures[name]
        fetches = [info.name for info in signature.outputs.values()]
        feeds = [(info.name, inputs[key]) for key, info in signature.inputs.items()]
        for one, another in zip(ours.run(feeds, fetches), other.run(feeds, fetches), strict=True):
            np.testing.assert_allclose(one, another, rtol=1e-6, atol=1e-6)


def test_more_runs_at_once_than_there_are_threads_do_not_wait_for_each_other(tmp_path) -> None:
    # Of a real export, whose loops lie within each other.
    model = models.RNN(num_hidden=3)
    model.build_for(NUM_VISIBLE)
    export.save(model, tmp_path / "1", max_steps=8, max_num_steps=8)
    servable = Servable(tmp_path / "1", 1)
    num_threads = 4 * (os.cpu_count() or 1)
    with futures.ThreadPoolExecutor(num_threads) as pool:
        runs = [pool.submit(ask, servable, "generate", generate_inputs(8), timeout_s=20)
                for _ in range(20 * num_threads)]
        try:
            for run in runs:
                run.result()
        finally:  # one that fails is enough
            pool.shutdown(wait=False, cancel_futures=True)


@pytest.mark.parametrize(("flags", "intra", "inter"), [
    ({}, 0, 0),
    ({"tensorflow_session_parallelism": 3}, 3, 3),
    ({"tensorflow_intra_op_parallelism": 2, "tensorflow_session_parallelism": 3}, 2, 0),
    ({"tensorflow_intra_op_parallelism": 2, "tensorflow_inter_op_parallelism": 1}, 2, 1),
])
def test_the_flags_give_tensorflow_its_threads(
    tiny_model, flags: dict, intra: int, inter: int
) -> None:
    config = Servable(tiny_model / "1", 1, ServerOptions(**flags))._session._config
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (
        intra, inter)
