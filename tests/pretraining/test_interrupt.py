"""Ctrl-C ends a training even where Python or TensorFlow loses it on the way."""
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import pytest
import tensorflow as tf

from rnnpt import models
from rnnpt.datasets import Sequences
from rnnpt.pretraining import Phase, PlanResult, TrainingInterrupted, run_plan
from tests.pretraining.small_plan import draw_pieces


class Calls(Sequences):
    """Sequences that call a function when an epoch asks for them."""

    def __init__(self, sequences: Sequences, function: Callable[[], Any]) -> None:
        super().__init__(sequences.sequences)
        self._function = function

    def segments(self, length: int, batch_size: int = 16, seed: int = 0,
                 first_epoch: int = 0) -> tf.data.Dataset:
        self._function()
        return super().segments(length, batch_size, seed, first_epoch)


def train(function: Callable[[], Any], epochs: int = 3) -> PlanResult:
    phase = Phase("fit", "train", epochs, keras.optimizers.Adam(0.01), batch_size=4,
                  segment_length=8)
    return run_plan(models.RNN(num_hidden=5), [phase],
                    {"train": lambda: Calls(draw_pieces(0), function)}, valid=None, seed=0,
                    progress=False)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


class PressesWhenDropped:
    """Ctrl-C in its `__del__`, where Python drops every exception."""

    def __del__(self) -> None:
        press()


def press_and_fail() -> None:
    try:
        press()
    except KeyboardInterrupt:
        raise SystemError("returned a result with an exception set") from None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_stops_the_training_all_the_same():
    with pytest.raises(TrainingInterrupted, match="phase 'fit' after epoch 0 of 3"):
        train(PressesWhenDropped)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_that_became_another_error_is_told_as_an_interrupt():
    with pytest.raises(TrainingInterrupted, match="phase 'fit' after epoch 0 of 3"):
        train(press_and_fail)


def test_another_error_stays_what_it_is():
    def fail() -> None:
        raise SystemError("a fault")

    with pytest.raises(SystemError, match="a fault"):
        train(fail)


@pytest.fixture
def pressed() -> Iterator[list[int]]:
    """What a handler of the caller's own was given."""
    calls: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: calls.append(number))
    yield calls
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_handler_of_the_callers_own_stays_in_charge(pressed):
    assert len(train(press).history) == 3
    assert pressed == [signal.SIGINT] * 3


def test_a_training_in_another_thread_needs_no_signal():
    results: list[PlanResult] = []
    thread = threading.Thread(target=lambda: results.append(train(lambda: None, epochs=1)))
    thread.start()
    thread.join()
    assert len(results[0].history) == 1
