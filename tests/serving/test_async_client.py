"""The client of asyncio over both wires, against the embedded server and against silence."""

import asyncio
import inspect
import socket
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from rnnpt.music import pianoroll_midi
from rnnpt.music.piano_roll import PianoRoll, onsets_of
from rnnpt.serving.client import (
    AsyncClient,
    Cancelled,
    Client,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Retry,
    Unavailable,
)
from tests.serving.fake_server import AsyncFakeServer, FakeClock, FakeServer

SCHEMES = ["", "http://"]


def frames_of(num_rows: int, num_steps: int) -> np.ndarray:
    return (np.random.default_rng(1).random((num_rows, num_steps, 88)) < 0.05).astype(np.float32)


@pytest.fixture(params=SCHEMES)
def target(server, request) -> str:
    """The embedded server, over each wire."""
    port = server.rest_api_port if request.param else server.port
    return f"{request.param}127.0.0.1:{port}"


def play(target: str, call: Callable[[AsyncClient], Awaitable], **arguments):
    """Runs a call in an event loop of its own."""
    async def run():
        async with AsyncClient(target, **{"timeout_s": 20, **arguments}) as client:
            return await call(client)

    return asyncio.run(run())


def opening() -> bytes:
    frames = np.zeros((4, 88), np.uint8)
    frames[:, 39] = 1
    return pianoroll_midi.pianoroll_to_midi(
        PianoRoll(frames, onsets_of(frames)))


@pytest.mark.parametrize("call", [
    lambda c: c.metadata(),
    lambda c: c.status(),
    lambda c: c.wait_until_ready(10),
    lambda c: c.predict({"frames": frames_of(2, 3), "length": [3, 2]}),
    lambda c: c.start(2),
    lambda c: c.step(frames_of(2, 1)[:, 0], np.zeros((2, 3), np.float32), seed=4),
    lambda c: c.generate(frames_of(2, 5), num_steps=[4, 2], seed=7, temperature=[1.0, 0.5]),
    lambda c: c.generate(num_steps=3),
    lambda c: c.score(frames_of(2, 3), length=[3, 1]),
    lambda c: c.continue_midi(opening(), num_steps=5, seed=2, qpm=77),
    lambda c: c.session(frames_of(1, 9)[0], seed=3).generate(4),
])
def test_awaited_calls_answer_as_plain_ones_do(target: str, call) -> None:
    with Client(target, timeout_s=20) as client:
        plain = call(client)
    awaited = play(target, call)
    if isinstance(plain, bytes) or not isinstance(plain, dict | tuple | np.ndarray):
        assert awaited == plain
        return
    if isinstance(plain, dict):
        assert plain.keys() == awaited.keys()
        plain, awaited = list(plain.values()), list(awaited.values())
    for one, other in zip(plain, awaited, strict=True):
        np.testing.assert_array_equal(one, other)


def test_both_clients_have_the_same_calls() -> None:
    def calls_of(cls: type) -> dict[str, list]:
        return {name: [(parameter.name, parameter.default)
                       for parameter in inspect.signature(function).parameters.values()]
                for name, function in vars(cls).items()
                if inspect.isfunction(function) and not name.startswith("_")}

    assert calls_of(Client) == calls_of(AsyncClient)


def test_a_stream_over_the_wire_is_the_music_of_its_chunks(target: str) -> None:
    async def play_stream(client: AsyncClient) -> list:
        client._driver.clock = FakeClock()
        stream = client.stream(frames_of(1, 3)[0], num_steps=8, seed=5, qpm=60, ahead_s=8.0)
        return [(played.step, played.late_s, played.frame) async for played in stream]

    played = play(target, play_stream)
    with Client(target, timeout_s=20) as client:
        session = client.session(frames_of(1, 3)[0], seed=5)
        expected = np.concatenate([session.generate(4), session.generate(4)])
    np.testing.assert_array_equal([frame for *_, frame in played], expected)
    assert [step for step, *_ in played] == list(range(8))
    assert expected.any()


def test_calls_run_beside_one_another(target: str) -> None:
    async def ask_together(client: AsyncClient) -> list:
        return await asyncio.gather(*[
            client.score(frames_of(1, length), length=length) for length in range(1, 9)])

    scored = play(target, ask_together)
    assert [int(item.frames_scored[0]) for item in scored] == list(range(1, 9))


def test_errors_are_the_same(target: str) -> None:
    for call, error in ((lambda c: c.score(np.zeros((2, 88))), InvalidArgument),
                        (lambda c: c.predict({}, "nosuch"), InvalidArgument),
                        (lambda c: c.continue_midi(b"no music"), InvalidArgument),
                        (lambda c: c.generate(frames_of(1, 65)), InvalidArgument)):
        with pytest.raises(error) as awaited:
            play(target, call)
        with Client(target) as client, pytest.raises(error) as plain:
            call(client)
        assert str(awaited.value) == str(plain.value)
    with pytest.raises(NotFound, match=r"Latest\(nope\)"):
        play(target, lambda client: client.start(), model_name="nope")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nobody_there_is_unavailable(scheme: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = f"{scheme}127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unavailable, match="a server must answer at .*127.0.0.1"):
            play(target, lambda client: client.status(), retry=Retry(num_attempts=2))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_silence_ends_at_the_deadline(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"{scheme}127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DeadlineExceeded, match="answer"):
            play(target, lambda client: client.status(), timeout_s=0.2)


def test_a_rest_call_that_is_cancelled_hangs_up() -> None:
    async def give_up(client: AsyncClient) -> None:
        loop = asyncio.get_running_loop()
        asking = asyncio.create_task(client.status())
        connection, _ = await loop.sock_accept(silent)
        with connection:
            connection.setblocking(False)
            while b"GET" not in await loop.sock_recv(connection, 4096):
                pass
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert await asyncio.wait_for(loop.sock_recv(connection, 1), 10) == b""
        assert not client._driver.transports[0]._pool._idle

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        play(f"http://127.0.0.1:{silent.getsockname()[1]}", give_up)


def test_a_grpc_call_that_is_cancelled_ends() -> None:
    async def give_up(client: AsyncClient) -> None:
        asking = asyncio.create_task(client.status())
        connection, _ = await asyncio.get_running_loop().sock_accept(silent)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asking, 10)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        play(f"127.0.0.1:{silent.getsockname()[1]}", give_up)


def test_closing_a_client_ends_its_grpc_calls_with_an_error() -> None:
    async def close(client: AsyncClient) -> None:
        asking = asyncio.create_task(client.status())
        connection, _ = await asyncio.get_running_loop().sock_accept(silent)
        await client.close()
        with pytest.raises(Cancelled, match="the client of .* must stay open during a call"):
            await asyncio.wait_for(asking, 10)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        play(f"127.0.0.1:{silent.getsockname()[1]}", close)


def test_a_closed_client_is_told(target: str) -> None:
    async def use_again(client: AsyncClient) -> None:
        await client.status()
        await client.close()
        for call in (client.status, client.start, client.session().step):
            with pytest.raises(FailedPrecondition, match="client must be open, got a closed one"):
                await call()

    play(target, use_again)


def test_another_event_loop_is_told(target: str) -> None:
    client = AsyncClient(target)
    asyncio.run(client.status())
    with pytest.raises(FailedPrecondition, match="client must be used in one event loop, got "
                                                 "another: make a client in each"):
        asyncio.run(client.status())
    asyncio.run(client.close())


def test_unavailable_is_tried_again_with_awaited_waits() -> None:
    server, clock = FakeServer(errors=[Unavailable("down")] * 2), FakeClock()
    client = AsyncClient("fake", transport=AsyncFakeServer(server), clock=clock)
    assert asyncio.run(client.status())[0].version == 1
    assert len(server.calls) == 3 and len(clock.sleeps) == 2


def test_servers_take_turns_in_asyncio() -> None:
    async def ask() -> None:
        for _ in range(4):
            await client.status()

    servers = [FakeServer(), FakeServer()]
    client = AsyncClient("fake", transport=[AsyncFakeServer(server) for server in servers])
    asyncio.run(ask())
    assert [len(server.calls) for server in servers] == [2, 2]
