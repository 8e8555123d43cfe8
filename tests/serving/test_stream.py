"""Streams keep time, by a clock that moves only when somebody waits."""

import asyncio
import itertools
import threading
from concurrent.futures import Future

import numpy as np
import pytest

from rnnpt.serving import _stream
from rnnpt.serving.client import AsyncClient, Client, InvalidArgument, NotFound, Retry, Unavailable
from tests.serving.fake_server import AsyncFakeServer, FakeClock, FakeServer, as_frame, as_number

DOWN = Unavailable("nobody is there")


@pytest.fixture
def at_once(monkeypatch) -> None:
    """Calls that are made ahead are over before the next frame is due."""

    class Executor:
        def __init__(self, *arguments, **options) -> None:
            pass

        def submit(self, function, *arguments) -> Future:
            future: Future = Future()
            try:
                future.set_result(function(*arguments))
            except Exception as error:
                future.set_exception(error)
            return future

        def shutdown(self, **options) -> None:
            pass

    monkeypatch.setattr(_stream, "ThreadPoolExecutor", Executor)


def streaming(server: FakeServer, clock: FakeClock, **arguments) -> Client:
    return Client("fake", transport=server, clock=clock, retry=Retry(num_attempts=1), **arguments)


def music(num_steps: int) -> np.ndarray:
    return np.stack([as_frame(number) for number in range(num_steps)])


def test_frames_come_when_they_are_due() -> None:
    clock = FakeClock()
    client = streaming(FakeServer(), clock)
    heard_at = []
    for played in client.stream(music(5), num_steps=40, qpm=90, steps_per_quarter=4):
        heard_at.append(clock.time_s)
        assert as_number(played.frame) == 5 + played.step
        assert (played.late_s, played.version) == (0, 1)
        assert played.due_s == pytest.approx(clock.time_s)
    expected = 100 + np.arange(40) * 60 / 90 / 4
    np.testing.assert_allclose(heard_at, expected, rtol=0, atol=1e-9)


def test_a_long_stream_does_not_drift() -> None:
    clock = FakeClock()
    stream = streaming(FakeServer(), clock).stream(qpm=70, steps_per_quarter=3)
    last = next(itertools.islice(stream, 2000, None))
    assert last.due_s == 100 + 2000 * (60 / (70 * 3))
    stream.close()


def test_a_slow_call_delays_no_frame_that_is_there() -> None:
    server, clock, going_on = FakeServer(), FakeClock(), threading.Event()
    stream = streaming(server, clock).stream(qpm=60, ahead_s=8.0)
    played = [next(stream)]

    def be_slow(method: str) -> None:
        assert going_on.wait(20)

    server.before = be_slow
    # More calls are on their way and answer nothing: these frames do not wait for them.
    played += [next(stream) for _ in range(3)]
    assert [item.late_s for item in played] == [0] * 4
    going_on.set()
    played += [next(stream) for _ in range(8)]
    assert [as_number(item.frame) for item in played] == list(range(12))
    assert [item.due_s for item in played] == [100 + second for second in range(12)]
    stream.close()


def test_frames_that_are_late_say_so_and_the_clock_is_kept(at_once) -> None:
    server, clock = FakeServer(), FakeClock()
    stream = streaming(server, clock).stream(num_steps=16, qpm=60, ahead_s=4.0)
    lateness = [next(stream).late_s]

    def be_slow(method: str) -> None:
        clock.time_s += 5.5
        server.before = lambda method: None

    server.before = be_slow
    lateness += [played.late_s for played in stream]
    # Each of those that catch up is a step less late than the one before it.
    assert lateness == [0, 4.5, 3.5, 2.5, 1.5, 0.5] + [0] * 10
    assert clock.time_s == 115


def test_a_stream_has_as_many_frames_as_were_asked_for() -> None:
    server = FakeServer()
    frames = list(streaming(server, FakeClock()).stream(num_steps=7, qpm=60, ahead_s=6.0))
    assert [played.step for played in frames] == list(range(7))
    # `draw` draws one.
    drawn = [inputs.get("num_steps", np.ones(1)).item()
             for inputs in server.inputs if "seed" in inputs]
    assert drawn == [3, 3, 1]


def test_calls_are_as_long_as_half_of_what_is_computed_ahead_and_never_too_long() -> None:
    server = FakeServer()
    list(streaming(server, FakeClock()).stream(
        num_steps=300, qpm=1000, steps_per_quarter=96, ahead_s=2.0))
    assert {inputs["num_steps"].item() for inputs in server.inputs
            if "num_steps" in inputs} == {64, 300 % 64}


def test_an_error_comes_after_the_music_that_is_there() -> None:
    server, clock = FakeServer(), FakeClock()
    stream = streaming(server, clock).stream(qpm=60, ahead_s=4.0)
    first = next(stream)
    server.errors = [DOWN] * 999
    played = []
    with pytest.raises(Unavailable, match="nobody is there"):
        for item in stream:
            played.append(item)
    assert [item.step for item in (first, *played)] == list(range(len(played) + 1))
    assert played and {item.late_s for item in played} == {0}


def test_a_short_silence_is_not_heard(at_once) -> None:
    server, clock = FakeServer(), FakeClock()
    stream = streaming(server, clock).stream(num_steps=30, qpm=60, ahead_s=6.0)
    played = [next(stream)]
    server.errors = [DOWN]
    played += list(stream)
    assert [as_number(item.frame) for item in played] == list(range(30))
    assert not server.errors


def test_a_stream_resumes_at_another_replica() -> None:
    servers, clock = [FakeServer(), FakeServer()], FakeClock()
    client = Client("fake", transport=servers, clock=clock)
    stream = client.stream(music(3), num_steps=20, qpm=60, ahead_s=2.0)
    played = [next(stream)]
    servers[0].errors = [DOWN] * 999
    played += list(stream)
    assert [as_number(item.frame) for item in played] == list(range(3, 23))


def test_a_version_that_is_gone_is_told_with_the_frames() -> None:
    server = FakeServer(versions=[1])
    stream = streaming(server, FakeClock()).stream(num_steps=20, qpm=60, ahead_s=2.0)
    versions = [next(stream).version]
    server.versions[:] = [2]
    versions += [played.version for played in stream]
    assert versions[0] == 1 and versions[-1] == 2 and versions == sorted(versions)


def test_a_stream_that_cannot_begin_raises_at_once() -> None:
    server = FakeServer(errors=[NotFound("no such model")])
    with pytest.raises(NotFound, match="no such model"):
        next(streaming(server, FakeClock()).stream())


def test_a_closed_stream_asks_for_nothing_more() -> None:
    server = FakeServer()
    stream = streaming(server, FakeClock()).stream()
    next(stream)
    stream.close()
    for thread in threading.enumerate():
        if thread.name.startswith("rnnpt-stream"):
            thread.join(20)
    num_calls = len(server.calls)
    assert list(stream) == [] and len(server.calls) == num_calls


@pytest.mark.parametrize(("arguments", "message"), [
    ({"num_steps": 0}, "num_steps must be at least 1, got 0: None has no end"),
    ({"qpm": 0.0}, "qpm must be positive and finite, got 0: 120 is usual"),
    ({"qpm": float("nan")}, "qpm must be positive and finite, got nan"),
    ({"steps_per_quarter": 0}, "steps_per_quarter must be at least 1, got 0"),
    ({"ahead_s": 0.0}, "ahead_s must be positive and finite, got 0"),
    ({"prime": np.zeros(12)}, r"frames must have the shape \(T, V\), got \(12,\)"),
])
def test_bad_arguments_are_refused_before_the_first_frame(arguments, message) -> None:
    for client in (streaming(FakeServer(), FakeClock()),
                   AsyncClient("fake", transport=AsyncFakeServer(FakeServer()))):
        with pytest.raises(InvalidArgument, match=message):
            client.stream(**arguments)


def test_an_asyncio_stream_keeps_the_same_time() -> None:
    async def play() -> list:
        async with AsyncClient("fake", transport=AsyncFakeServer(FakeServer()),
                               clock=clock) as client:
            stream = client.stream(music(2), num_steps=30, qpm=90, steps_per_quarter=2)
            return [(as_number(item.frame), item.due_s, item.late_s) async for item in stream]

    clock = FakeClock()
    played = asyncio.run(play())
    assert [number for number, *_ in played] == list(range(2, 32))
    np.testing.assert_allclose([due_s for _, due_s, _ in played], 100 + np.arange(30) / 3)
    assert {late_s for *_, late_s in played} == {0}


def test_an_asyncio_stream_plays_what_is_there_while_a_call_is_slow() -> None:
    async def play() -> None:
        server, clock, going_on = AsyncFakeServer(FakeServer()), FakeClock(), asyncio.Event()
        client = AsyncClient("fake", transport=server, clock=clock)
        stream = client.stream(qpm=60, ahead_s=8.0)
        played = [await anext(stream)]
        predict = server.predict

        async def be_slow(*arguments):
            await going_on.wait()
            return await predict(*arguments)

        server.predict = be_slow
        played += [await anext(stream) for _ in range(3)]
        going_on.set()
        played += [await anext(stream) for _ in range(8)]
        assert [as_number(item.frame) for item in played] == list(range(12))
        assert {item.late_s for item in played} == {0}
        await stream.aclose()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(play())


def test_an_asyncio_stream_ends_with_its_error() -> None:
    async def play() -> None:
        server = FakeServer()
        client = AsyncClient("fake", transport=AsyncFakeServer(server), clock=FakeClock(),
                             retry=Retry(num_attempts=1))
        stream = client.stream(qpm=60)
        await anext(stream)
        server.errors = [DOWN] * 999
        with pytest.raises(Unavailable, match="nobody is there"):
            async for _ in stream:
                pass

    asyncio.run(play())
