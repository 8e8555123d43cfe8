"""Several servers behind one client: nothing but the request holds the music."""

import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import numpy as np
import pytest

from rnnpt.serving.client import Client, Restart, Unavailable
from rnnpt.serving.server import ModelServer
from tests.serving.conftest import OPTIONS
from tests.serving.fake_server import FakeClock
from tests.serving.tiny_model import save_tiny

PRIME = (np.random.default_rng(2).random((5, 88)) < 0.05).astype(np.float32)
SERVE = """
    import sys
    from rnnpt.serving.server import ModelServer

    with ModelServer("chorales", sys.argv[1], port=0, rest_api_port=0) as server:
        print(server.port, server.rest_api_port, flush=True)
        sys.stdin.read()
"""


@pytest.fixture(scope="module")
def other_server(tiny_model: pathlib.Path, tmp_path_factory) -> Iterator[ModelServer]:
    """A replica, with a copy of the model."""
    base_path = tmp_path_factory.mktemp("replica") / "chorales"
    shutil.copytree(tiny_model, base_path)
    with ModelServer("chorales", base_path, port=0, rest_api_port=0, options=OPTIONS) as server:
        yield server


def targets(scheme: str, *servers: ModelServer) -> str:
    ports = [server.rest_api_port if scheme else server.port for server in servers]
    # Names and numbers are the same to it.
    return ",".join(f"{scheme}{host}:{port}" for host, port in zip(("127.0.0.1", "localhost"),
                                                                   ports))


def count_answers(client: Client) -> list[int]:
    """Counts from now on how often each server answers."""
    counts = [0] * len(client._driver.transports)

    def count(place: int, predict):
        def counted(*arguments):
            answer = predict(*arguments)
            counts[place] += 1
            return answer
        return counted

    for place, transport in enumerate(client._driver.transports):
        transport.predict = count(place, transport.predict)
    return counts


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_two_servers_answer_one_session(server, other_server, scheme: str) -> None:
    with Client(targets(scheme, server), timeout_s=20) as client:
        session = client.session(PRIME, seed=8)
        alone = [session.step() for _ in range(6)] + list(session.generate(5))
    with Client(targets(scheme, server, other_server), timeout_s=20) as client:
        counts = count_answers(client)
        session = client.session(PRIME, seed=8)
        together = [session.step() for _ in range(6)] + list(session.generate(5))
    np.testing.assert_array_equal(together, alone)
    assert np.any(alone)
    # The start, six steps and a chunk, in turn.
    assert counts == [4, 4]


def test_two_servers_answer_calls_that_carry_their_state(server, other_server) -> None:
    def walk(client: Client) -> np.ndarray:
        state, frame, frames = client.start(2), np.zeros((2, 88)), []
        for step in range(6):
            stepped = client.step(frame, state, seed=step)
            state, frame = stepped.state, stepped.sample
            frames.append(frame)
        return np.stack(frames)

    with Client(targets("", server), timeout_s=20) as client:
        alone = walk(client)
    with Client(targets("", server, other_server), timeout_s=20) as client:
        counts = count_answers(client)
        np.testing.assert_array_equal(walk(client), alone)
    assert min(counts) == 3 and alone.any()


def test_a_session_goes_on_with_the_version_that_replaces_its_own(tiny_model, tmp_path) -> None:
    base_path = tmp_path / "chorales"
    shutil.copytree(tiny_model, base_path)
    with ModelServer("chorales", base_path, port=0, rest_api_port=0, options=OPTIONS) as server:
        with Client(targets("", server), timeout_s=20) as client:
            session = client.session(PRIME, seed=4)
            session.generate(3)
            save_tiny(base_path / "2", scale=-1)
            end = time.monotonic() + 30
            while [status.state for status in client.status()] != ["AVAILABLE", "END"]:
                assert time.monotonic() < end, "version 2 never took over"
                time.sleep(0.02)
            heard = session.frames
            drawn = session.generate(6)
            assert session.restarts == [Restart(1, 2, len(heard))]
            # As if version 2 had been given all that music at first.
            np.testing.assert_array_equal(drawn, client.session(heard, seed=4).generate(6))
            assert drawn.any()


def test_a_server_killed_during_a_stream_is_replaced_or_told(server, tiny_model) -> None:
    replica = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVE), str(tiny_model)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})
    with replica:
        try:
            assert select.select([replica.stdout], [], [], 180)[0], "the replica never started"
            port, rest_api_port = replica.stdout.readline().split()
            over_both = Client(f"127.0.0.1:{port},127.0.0.1:{server.port}", clock=FakeClock())
            over_one = Client(f"127.0.0.1:{port}", timeout_s=20, clock=FakeClock())
            over_rest = Client(f"http://127.0.0.1:{rest_api_port}", timeout_s=20, clock=FakeClock())
            clients = (over_both, over_one, over_rest)
            streams = [client.stream(PRIME, num_steps=24, seed=8, qpm=60, ahead_s=4.0)
                       for client in clients]
            played = [[next(stream) for _ in range(3)] for stream in streams]
            os.kill(replica.pid, signal.SIGKILL)
            replica.wait(20)
            played[0] += list(streams[0])
            for stream in streams[1:]:
                with pytest.raises(Unavailable, match="a server must answer at .*127.0.0.1"):
                    list(stream)
        finally:
            replica.kill()
    with Client(f"127.0.0.1:{server.port}", clock=FakeClock()) as client:
        expected = list(client.stream(PRIME, num_steps=24, seed=8, qpm=60, ahead_s=4.0))
    assert [item.step for item in played[0]] == list(range(24))
    np.testing.assert_array_equal(
        [item.frame for item in played[0]], [item.frame for item in expected])
    for client in clients:
        client.close()
