"""Sessions: one piece of music, one version, whatever happens to it."""

import asyncio
import itertools
import logging
import re

import numpy as np
import pytest

from rnnpt.serving._transport import TensorSpec
from rnnpt.serving.client import (
    AsyncClient,
    Client,
    InvalidArgument,
    NotFound,
    Restart,
    ServingError,
    Unavailable,
)
from tests.serving import fake_server
from tests.serving.fake_server import AsyncFakeServer, FakeClock, FakeServer, as_frame, as_number


def client_of(*servers: FakeServer) -> Client:
    return Client("fake", transport=servers, clock=FakeClock())


def numbers(frames: np.ndarray) -> list[int]:
    return [as_number(frame) for frame in frames]


def music(num_steps: int) -> np.ndarray:
    return np.stack([as_frame(number) for number in range(num_steps)])


def test_steps_and_chunks_follow_one_another() -> None:
    session = client_of(FakeServer()).session(music(3))
    assert as_number(session.step()) == 3
    assert numbers(session.generate(4)) == [4, 5, 6, 7]
    assert numbers(list(itertools.islice(session, 2))) == [8, 9]
    assert numbers(session.frames) == list(range(10))


@pytest.mark.parametrize("knows_draw", [True, False])
def test_a_frame_more_is_drawn_for_less_where_the_version_knows_how(knows_draw) -> None:
    server = FakeServer(signatures={
        name: signature for name, signature in fake_server.SIGNATURES.items()
        if knows_draw or name != "draw"})
    session = client_of(server).session(music(3))
    assert numbers(list(itertools.islice(session, 3))) == [3, 4, 5]
    one = "draw" if knows_draw else "generate"
    assert [name for name, _ in server.calls] == ["metadata", "start", "generate", one, one]


def test_a_session_begins_from_nothing() -> None:
    session = client_of(FakeServer()).session()
    assert session.frames.shape == (0, 0) and session.version is None
    assert numbers(session.generate(2)) == [0, 1]


def test_each_call_has_its_own_seed_and_passes_the_temperature() -> None:
    server = FakeServer()
    session = client_of(server).session(music(3), seed=7, temperature=0.5)
    session.generate(2)
    session.step()
    drawn = [inputs for inputs in server.inputs if "seed" in inputs]
    assert [inputs["seed"].tolist() for inputs in drawn] == [[[7, 3]], [[7, 5]]]
    assert {inputs["temperature"].item() for inputs in drawn} == {0.5}


def test_music_of_others_is_heard_with_the_next_call() -> None:
    server = FakeServer()
    session = client_of(server).session(music(1))
    session.step()
    num_calls = len(server.calls)
    session.hear([as_frame(5), as_frame(6)])
    assert len(server.calls) == num_calls
    session.step()
    assert numbers(server.inputs[-1]["frames"][0]) == [5, 6]
    assert numbers(session.frames) == [0, 1, 5, 6, 4]


def test_a_long_prime_is_heard_in_pieces() -> None:
    server = FakeServer()
    session = client_of(server).session(music(150))
    assert as_number(session.step()) == 150
    pieces = [inputs for inputs in server.inputs if "frames" in inputs]
    assert [(inputs["length"].item(), inputs["num_steps"].item()) for inputs in pieces] == [
        (64, 0), (64, 0), (22, 1)]


def test_the_version_is_pinned_while_a_newer_one_comes() -> None:
    server = FakeServer(versions=[1])
    session = client_of(server).session(music(2))
    session.step()
    server.versions.append(2)
    session.step()
    assert session.version == 1 and not session.restarts
    assert server.calls == [("metadata", None), ("start", 1), ("generate", 1), ("draw", 1)]


def test_a_version_that_is_gone_is_replaced_by_the_newest(caplog) -> None:
    server = FakeServer(versions=[1])
    session = client_of(server).session(music(70), seed=3)
    session.generate(4)
    server.versions[:] = [2, 5]
    with caplog.at_level(logging.WARNING, "rnnpt.serving.client"):
        assert as_number(session.step()) == 74
    assert session.version == 5
    assert session.restarts == [Restart(old_version=1, new_version=5, num_frames=74)]
    assert caplog.messages == ["version 1 of model chorales is gone: version 5 goes on, having "
                               "heard all 74 frames again"]
    heard = np.concatenate([inputs["frames"][0] for inputs in server.inputs[-2:]])
    assert numbers(heard) == list(range(74)), "the prime and its own frames"
    assert server.inputs[-1]["seed"].tolist() == [[3, 74]]
    assert as_number(session.step()) == 75


def test_versions_may_go_while_music_is_heard_again() -> None:
    server = FakeServer(versions=[1])
    session = client_of(server).session(music(2))
    session.step()
    server.versions[:] = [2]

    def go_on(method: str) -> None:
        if (method, server.calls[-1][1]) == ("generate", 2):
            server.versions[:] = [3]

    server.before = go_on
    assert as_number(session.step()) == 3
    assert [restart.new_version for restart in session.restarts] == [2, 3]


def test_a_model_that_is_gone_is_told_and_the_music_kept() -> None:
    server = FakeServer(versions=[1])
    session = client_of(server).session(music(2))
    session.step()
    server.versions.clear()
    with pytest.raises(NotFound, match="Servable not found"):
        session.step()
    assert numbers(session.frames) == [0, 1, 2]
    server.versions.append(4)
    assert as_number(session.step()) == 3 and session.version == 4


def test_a_server_that_denies_its_newest_version_ends_the_call() -> None:
    server = FakeServer(errors=[None, NotFound("no such version")])
    with pytest.raises(NotFound, match="no such version"):
        client_of(server).session(music(2)).step()
    assert len(server.calls) == 3


def test_a_client_of_one_version_changes_to_no_other() -> None:
    server = FakeServer(versions=[1])
    session = Client("fake", version=1, transport=server).session(music(2))
    session.step()
    server.versions[:] = [2]
    with pytest.raises(NotFound, match=re.escape("Specific(chorales, 1)")):
        session.step()
    assert not session.restarts


def test_a_session_goes_to_the_server_that_still_has_its_version() -> None:
    servers = [FakeServer(versions=[1]), FakeServer(versions=[1])]
    session = client_of(*servers).session(music(2))
    session.step()
    servers[0].versions[:] = [2]
    assert numbers(session.generate(3)) == [3, 4, 5]
    assert numbers(list(itertools.islice(session, 3))) == [6, 7, 8]
    assert session.version == 1


def test_an_error_changes_nothing() -> None:
    server = FakeServer()
    client = client_of(server)
    session = client.session(music(70))
    session.step()
    server.errors = [Unavailable("down")] * 5
    with pytest.raises(Unavailable):
        session.generate(3)
    assert numbers(session.generate(2)) == [71, 72]


@pytest.mark.parametrize(("call", "message"), [
    (lambda c: c.session(np.zeros((1, 2, 12))),
     r"frames must have the shape \(T, V\), got \(1, 2, 12\): a session has one row"),
    (lambda c: c.session(music(2)).hear(np.zeros((1, 11))),
     r"frames must have the shape \(T, 12\), got \(1, 11\)"),
    (lambda c: c.session(np.zeros((2, 11))).step(),
     r"frames must have the shape \(any, any, 12\), got \(1, 2, 11\)"),
    (lambda c: c.session().generate(0), "num_steps must be at least 1, got 0: ask for a frame"),
    (lambda c: c.session(seed=2**31).step(), "seed must be int32, got 2147483648"),
    (lambda c: c.session(np.full((1, 12), np.nan)).step(), "frames must be finite in float32"),
])
def test_bad_arguments_are_refused(call, message) -> None:
    with pytest.raises(InvalidArgument, match=message):
        call(client_of(FakeServer()))


def test_a_model_without_a_width_is_told(monkeypatch) -> None:
    spec = TensorSpec(np.dtype(np.float32), None)
    monkeypatch.setitem(fake_server.SIGNATURES["generate"].inputs, "frames", spec)
    with pytest.raises(ServingError, match="generate's frames must have a width, got the shape "
                                           "None: export the model with rnnpt"):
        client_of(FakeServer()).session().step()


def test_an_asyncio_session_does_the_same() -> None:
    async def play() -> None:
        server = FakeServer(versions=[1])
        async with AsyncClient("fake", transport=AsyncFakeServer(server)) as client:
            session = client.session(music(70), seed=3)
            assert numbers(await session.generate(2)) == [70, 71]
            session.hear([as_frame(72)])
            server.versions[:] = [2]
            assert as_number(await session.step()) == 73
            assert [restart.new_version for restart in session.restarts] == [2]
            async for frame in session:
                assert as_number(frame) == 74
                break
            assert numbers(session.frames) == list(range(75)) and session.version == 2

    asyncio.run(play())
