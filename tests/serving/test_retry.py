"""When the client tries again, where, and when it gives up."""

import re

import numpy as np
import pytest

from rnnpt.serving import error as error_module
from rnnpt.serving._retry import Deadline, Rotation
from rnnpt.serving.client import (
    Client,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    Retry,
    ServingError,
    Unavailable,
)
from tests.serving.fake_server import FakeClock, FakeServer

DOWN = Unavailable("nobody is there")


def client_of(*servers: FakeServer, **arguments) -> Client:
    arguments = {"clock": FakeClock()} | arguments
    return Client("fake", transport=servers, **arguments)


def test_waits_are_drawn_from_spans_that_double_up_to_the_longest() -> None:
    retry = Retry(num_attempts=6, first_wait_s=0.1, longest_wait_s=0.5)
    spans = []
    assert list(retry.waits(lambda low, high: spans.append((low, high)) or high)) == [
        pytest.approx(wait) for wait in (0.1, 0.2, 0.4, 0.5, 0.5)]
    assert {low for low, _ in spans} == {0}


def test_two_clients_do_not_wait_alike() -> None:
    assert list(Retry().waits()) != list(Retry().waits())


@pytest.mark.parametrize(("arguments", "message"), [
    ({"num_attempts": 0}, "num_attempts must be at least 1, got 0: 1 never tries again"),
    ({"first_wait_s": -1.0}, "first_wait_s must be at least 0 and finite, got -1"),
    ({"longest_wait_s": float("nan")}, "longest_wait_s must be at least 0 and finite, got nan"),
])
def test_retry_must_make_sense(arguments, message) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Retry(**arguments)


def test_unavailable_is_tried_again_with_waits() -> None:
    server, clock = FakeServer(errors=[DOWN, DOWN, DOWN]), FakeClock()
    assert client_of(server, clock=clock).status()[0].version == 1
    assert len(server.calls) == 4
    assert len(clock.sleeps) == 3 and all(
        0 <= wait <= span for wait, span in zip(clock.sleeps, (0.1, 0.2, 0.4)))


def test_attempts_are_bounded() -> None:
    server = FakeServer(errors=[DOWN] * 9)
    with pytest.raises(Unavailable, match="^nobody is there$"):
        client_of(server, retry=Retry(num_attempts=3)).status()
    assert len(server.calls) == 3


@pytest.mark.parametrize("error", [
    cls for cls in (ServingError, *ServingError.__subclasses__()) if cls is not Unavailable])
def test_no_other_error_is_tried_again(error: type[ServingError]) -> None:
    server = FakeServer(errors=[error("no")])
    with pytest.raises(error, match="^no$"):
        client_of(server).status()
    assert len(server.calls) == 1


def test_every_code_has_an_error_of_its_own() -> None:
    codes = {cls.code for cls in ServingError.__subclasses__()}
    assert len(codes) == len(ServingError.__subclasses__())
    assert all(error_module.error_class(code).code == code for code in codes)


def test_attempts_share_the_time_of_the_call() -> None:
    server, clock = FakeServer(errors=[DOWN] * 9), FakeClock()

    def take_long(method: str) -> None:
        clock.time_s += 2

    server.before = take_long
    with pytest.raises(Unavailable):
        client_of(server, clock=clock, timeout_s=5.0).status()
    assert clock.time_s <= 100 + 5 + 2
    assert server.timeouts_s[0] == 5
    assert all(later <= earlier - 2
               for earlier, later in zip(server.timeouts_s, server.timeouts_s[1:]))


def test_a_call_made_of_several_ends_at_one_deadline() -> None:
    server, clock = FakeServer(), FakeClock()

    def take_long(method: str) -> None:
        clock.time_s += 2

    server.before = take_long
    client_of(server, clock=clock, timeout_s=6.5).generate(np.zeros((1, 2, 12)))
    assert [method for method, _ in server.calls] == ["metadata", "start", "generate"]
    assert server.timeouts_s == [6.5, 4.5, 2.5]
    client = client_of(server, clock=clock, timeout_s=3.5)
    with pytest.raises(DeadlineExceeded, match="a call must end in timeout_s=3.5, got no answer"):
        client.generate(np.zeros((1, 2, 12)))
    assert server.timeouts_s[3:] == [3.5, 1.5]


@pytest.mark.parametrize("timeout_s", [0, -1.0, float("nan"), float("inf")])
def test_timeout_must_be_a_time(timeout_s: float) -> None:
    message = f"timeout_s must be positive and finite, got {timeout_s:g}"
    with pytest.raises(InvalidArgument, match=message):
        Client("localhost:8500", timeout_s=timeout_s)
    with pytest.raises(InvalidArgument, match=message):
        client_of(FakeServer()).wait_until_ready(timeout_s)


def test_servers_take_turns() -> None:
    servers = [FakeServer() for _ in range(3)]
    client = client_of(*servers)
    for _ in range(6):
        client.status()
    assert [len(server.calls) for server in servers] == [2, 2, 2]


def test_another_server_answers_for_one_that_died() -> None:
    dead, alive = FakeServer(errors=[DOWN] * 99), FakeServer()
    clock = FakeClock()
    client = client_of(dead, alive, clock=clock)
    for _ in range(8):
        client.status()
    assert len(alive.calls) == 8
    assert len(dead.calls) == 1, "it rests"
    clock.time_s += 1
    client.status()
    client.status()
    assert len(dead.calls) == 2 and len(alive.calls) == 10


def test_a_server_that_came_back_takes_its_turns_again() -> None:
    servers = [FakeServer(errors=[DOWN]), FakeServer()]
    clock = FakeClock()
    client = client_of(*servers, clock=clock)
    client.status()
    clock.time_s += 1
    for _ in range(4):
        client.status()
    assert [len(server.calls) for server in servers] == [1 + 2, 1 + 2]


def test_rests_double_until_a_server_answers() -> None:
    clock = FakeClock()
    rotation = Rotation(2, clock.now)
    rests_s = []
    for _ in range(9):
        rotation.failed(0)
        begin_s = clock.time_s
        while 0 not in rotation.turn():
            clock.time_s += 1
        rests_s.append(clock.time_s - begin_s)
    assert rests_s == [1, 2, 4, 8, 16, 32, 64, 120, 120]
    rotation.answered(0)
    rotation.failed(0)
    clock.time_s += 1
    assert set(rotation.turn()) == {0, 1}


def test_when_all_servers_rest_the_one_that_wakes_first_is_asked() -> None:
    clock = FakeClock()
    rotation = Rotation(3, clock.now)
    for server in (1, 0, 2):
        rotation.failed(server)
        clock.time_s += 0.1
    assert [rotation.turn() for _ in range(3)] == [[1]] * 3


def test_a_version_that_one_server_lacks_is_asked_of_the_others() -> None:
    new, old = FakeServer(versions=[2]), FakeServer(versions=[1])
    client = client_of(new, old, version=1)
    for _ in range(4):
        assert client.metadata().version == 1
    with pytest.raises(NotFound, match=re.escape("Specific(chorales, 3)")):
        client_of(new, old, version=3).metadata()


def test_a_model_that_one_server_lacks_is_told() -> None:
    with pytest.raises(NotFound):
        client_of(FakeServer(errors=[NotFound("Latest(chorales)")]), FakeServer()).metadata()


def test_wait_until_ready_waits_for_any_server() -> None:
    servers = [FakeServer(errors=[DOWN] * 99), FakeServer(errors=[DOWN, NotFound("not yet")])]
    clock = FakeClock()
    client_of(*servers, clock=clock).wait_until_ready(timeout_s=10)
    assert clock.sleeps and clock.time_s < 110


def test_wait_until_ready_ends() -> None:
    clock = FakeClock()
    with pytest.raises(DeadlineExceeded, match="^model chorales must be served at fake within "
                                               "timeout_s=3, got: nobody is there$"):
        client_of(FakeServer(errors=[DOWN] * 99), clock=clock).wait_until_ready(timeout_s=3)
    assert 102 < clock.time_s <= 103


def test_deadline_tells_what_is_left() -> None:
    clock = FakeClock()
    deadline = Deadline(2.0, clock.now)
    clock.time_s += 1.5
    assert deadline.left_s() == 0.5
    assert deadline.allows(0.4) and not deadline.allows(0.5)


def test_closing_closes_every_way() -> None:
    servers = [FakeServer(), FakeServer()]
    client_of(*servers).close()
    assert all(server.is_closed for server in servers)
