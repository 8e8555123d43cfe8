"""Blocking calls beside an event loop."""

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from rnnpt.serving._offload import Offload
from rnnpt.serving.error import Unavailable


def fail(error: BaseException) -> None:
    raise error


def test_results_and_errors_come_back_to_their_callers() -> None:
    async def ask(executor: ThreadPoolExecutor) -> list:
        offload = Offload(executor)
        calls = [offload.run(pow, number, 2) for number in range(200)]
        return await asyncio.gather(
            *calls, offload.run(fail, KeyError("x")), return_exceptions=True)

    with ThreadPoolExecutor(4) as executor:
        *results, error = asyncio.run(ask(executor))
    assert results == [number * number for number in range(200)]
    assert isinstance(error, KeyError)


def test_a_call_runs_in_another_thread() -> None:
    async def ask(executor: ThreadPoolExecutor) -> threading.Thread:
        return await Offload(executor).run(threading.current_thread)

    with ThreadPoolExecutor(1) as executor:
        assert asyncio.run(ask(executor)) is not threading.current_thread()


def test_what_is_waited_for_and_given_up_is_cancelled() -> None:
    async def give_up(answer: Future, executor: ThreadPoolExecutor) -> None:
        waiting = asyncio.ensure_future(Offload(executor).wait(answer))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    answer: Future = Future()
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(give_up(answer, executor))
    assert answer.cancelled()


def test_an_executor_that_refuses_is_heard() -> None:
    class Full(ThreadPoolExecutor):
        def submit(self, *_) -> Future:
            raise Unavailable("full")

    async def ask(executor: ThreadPoolExecutor) -> None:
        await Offload(executor).run(pow, 2, 2)

    with Full(1) as executor, pytest.raises(Unavailable, match="full"):
        asyncio.run(ask(executor))


def test_a_call_that_is_given_up_before_its_turn_never_runs() -> None:
    ran: list[str] = []
    busy = threading.Event()

    async def give_up(executor: ThreadPoolExecutor) -> None:
        offload = Offload(executor)
        first = asyncio.ensure_future(offload.run(busy.wait))
        second = asyncio.ensure_future(offload.run(ran.append, "second"))
        await asyncio.sleep(0)  # both are handed over
        second.cancel()
        await asyncio.wait([second])
        busy.set()
        await asyncio.gather(first, offload.run(ran.append, "third"))

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(give_up(executor))
    assert ran == ["third"]


def test_a_result_for_a_caller_who_left_and_a_loop_that_closed_is_dropped() -> None:
    busy = threading.Event()
    futures: list[Future] = []

    class Watched(ThreadPoolExecutor):
        def submit(self, *arguments) -> Future:
            futures.append(super().submit(*arguments))
            return futures[-1]

    async def leave(executor: ThreadPoolExecutor) -> None:
        call = asyncio.ensure_future(Offload(executor).run(busy.wait))
        await asyncio.sleep(0)
        call.cancel()

    with Watched(1) as executor:
        asyncio.run(leave(executor))
        busy.set()
        assert futures[0].cancelled() or futures[0].exception(timeout=20) is None
