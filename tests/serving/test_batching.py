"""Batching by parameters: what is merged, what is refused, and that an answer is a row's own."""

import http.client
import json
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rnnpt import export, models
from rnnpt.serving._batching import Batcher, Batching
from rnnpt.serving._batching_config import BatchingSettings, read_settings
from rnnpt.serving._batching_merge import join
from rnnpt.serving._batching_threads import BatchThreads
from rnnpt.serving._rest import STATUS_OF
from rnnpt.serving._servable import Servable
from rnnpt.serving.client import Client
from rnnpt.serving.error import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    ServingError,
    Unavailable,
)
from rnnpt.serving.server import ModelServer, ServerOptions, StartError
from tests.export.conftest import INPUTS
from tests.export.conftest import NUM_VISIBLE as NUM_UNITS
from tests.export.conftest import Exported, make_inputs
from tests.serving.tiny_model import NUM_VISIBLE

# Nothing is run until a batch is full: which requests meet is up to the test.
FOR_EVER = 3600 * 10**6
ALL_FIELDS = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 20 }
max_enqueued_batches { value: 3 }
num_batch_threads { value: 2 }
thread_pool_name { value: "mine" }
allowed_batch_sizes: 4
allowed_batch_sizes: 8
pad_variable_length_inputs: true
enable_large_batch_splitting { value: true }
max_execution_batch_size { value: 4 }
"""


class Doubling:
    """A model that doubles its input "x", and keeps what it was run with."""

    def __init__(self) -> None:
        self.calls: list[np.ndarray] = []
        self.timeouts: list[float | None] = []
        self.answer: Callable[[np.ndarray], np.ndarray] = lambda x: 2 * x
        self.may_run = threading.Event()
        self.may_run.set()
        self.is_busy = threading.Event()

    def run(self, feeds, fetches, timeout_s):
        self.calls.append(feeds[0][1])
        self.timeouts.append(timeout_s)
        self.is_busy.set()
        assert self.may_run.wait(20)
        return [self.answer(feeds[0][1]) for _ in fetches]

    def sizes(self) -> list[int]:
        return [len(call) for call in self.calls]


@pytest.fixture
def model() -> Doubling:
    return Doubling()


@pytest.fixture
def make_batcher(model: Doubling) -> Iterator[Callable[..., Batcher]]:
    made: list[BatchThreads] = []

    def make(**settings) -> Batcher:
        made.append(BatchThreads(settings.pop("num_batch_threads", 1), "test"))
        return Batcher(model.run, BatchingSettings(**settings), made[-1])

    yield make
    model.may_run.set()
    for threads in made:
        threads.close()


def submit(batcher: Batcher, *values, timeout_s: float | None = None):
    return batcher.submit([("x", np.asarray(values, np.float32))], ["y"], timeout_s)


def test_row_71_every_field_of_the_parameters_is_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "batching.config").write_text(ALL_FIELDS)
    assert read_settings(tmp_path / "batching.config") == BatchingSettings(
        8, 20, 3, 2, "mine", (4, 8), True, True, 4)


def test_row_71_fields_that_are_left_out_have_the_defaults(tmp_path: pathlib.Path) -> None:
    (tmp_path / "batching.config").write_text("num_batch_threads { value: 5 }")
    settings = read_settings(tmp_path / "batching.config")
    assert settings == BatchingSettings(1000, 0, 10, 5, "batch_threads", (), False, False, 1000)


def test_row_71_the_parameters_of_the_repository_are_read() -> None:
    file = pathlib.Path(__file__).parents[2] / "serving" / "batching.config"
    assert read_settings(file).allowed_batch_sizes[-1] == read_settings(file).max_batch_size


@pytest.mark.parametrize(("text", "words"), [
    ("max_batch_size: 4", "Invalid protobuf file: 'FILE'"),
    ("\xff", "Invalid protobuf file: 'FILE'"),
    ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
    ("max_batch_size { value: 0 }", "input_batch_size_limit must be positive; was 0"),
    ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be non-negative; was -1"),
    ("max_enqueued_batches { value: -2 }", "max_enqueued_batches must be positive; was -2"),
    ("enable_large_batch_splitting { value: true } max_execution_batch_size { value: 0 }",
     "max_execution_batch_size must be positive; was 0"),
    ("enable_large_batch_splitting { value: true } max_batch_size { value: 4 } "
     "max_execution_batch_size { value: 8 }",
     "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or "
     "equal to max_execution_batch_size."),
    ("max_batch_size { value: 16 } allowed_batch_sizes: 8",  # row 74
     "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 8; expected 16"),
    ("allowed_batch_sizes: 8",  # row 74
     "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 8; "
     "expected 1000"),
])
def test_row_71_wrong_parameters_are_refused(tmp_path, text: str, words: str) -> None:
    file = tmp_path / "batching.config"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidArgument) as caught:
        read_settings(file)
    assert str(caught.value) == words.replace("FILE", str(file))


def test_parameters_that_are_not_there_are_told(tmp_path) -> None:
    with pytest.raises(NotFound, match="nowhere; No such file"):
        read_settings(tmp_path / "nowhere")


def test_old_parameters_without_a_queue_have_the_open_batch(tmp_path) -> None:
    (tmp_path / "batching.config").write_text("max_enqueued_batches { value: 0 }")
    assert read_settings(tmp_path / "batching.config").max_enqueued_batches == 1


def test_row_71_large_batches_are_as_large_as_requests_unless_told(tmp_path) -> None:
    (tmp_path / "batching.config").write_text(
        "max_batch_size { value: 6 } enable_large_batch_splitting { value: true }")
    assert read_settings(tmp_path / "batching.config").batch_limit == 6


def test_row_71_the_file_needs_the_flag() -> None:
    with pytest.raises(ValueError, match="batching_parameters_file must stand beside "
                                         "enable_batching, got 'f' alone"):
        ServerOptions(batching_parameters_file="f")


def test_row_71_a_wrong_file_stops_the_server_at_its_start(tiny_model, tmp_path) -> None:
    options = ServerOptions(enable_batching=True, batching_parameters_file=str(tmp_path / "no"))
    with pytest.raises(StartError, match=r"batching_parameters_file must hold .*, got .*/no \("):
        ModelServer("chorales", tiny_model, options=options)


def test_row_71_a_model_may_have_parameters_of_its_own(tmp_path) -> None:
    options = ServerOptions(enable_batching=True, enable_per_model_batching_parameters=True)
    batching = Batching(options)
    assert batching.batcher(tmp_path, Doubling().run) is None
    (tmp_path / "batching_params.pbtxt").write_text(ALL_FIELDS)
    assert batching.batcher(tmp_path, Doubling().run).settings.max_batch_size == 8
    (tmp_path / "batching_params.pbtxt").write_text("?")
    with pytest.raises(InvalidArgument, match="Invalid protobuf file: '.*/batching_params.pbtxt'"):
        batching.batcher(tmp_path, Doubling().run)
    batching.close()


def test_row_71_the_operators_parameters_are_every_models(tmp_path) -> None:
    (tmp_path / "batching.config").write_text(ALL_FIELDS)
    (tmp_path / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    batching = Batching(ServerOptions(
        enable_batching=True, batching_parameters_file=str(tmp_path / "batching.config")))
    assert batching.batcher(tmp_path, Doubling().run).settings.max_batch_size == 8
    batching.close()


def test_without_the_flag_nothing_is_batched(tmp_path) -> None:
    batching = Batching(ServerOptions())
    assert batching.batcher(tmp_path, Doubling().run) is None
    batching.close()


def test_what_waits_is_merged_and_each_gets_its_rows(model, make_batcher) -> None:
    batcher = make_batcher(max_batch_size=4, batch_timeout_micros=FOR_EVER)
    answers = [submit(batcher, [1]), submit(batcher, [2], [3]), submit(batcher, [4])]
    assert [answer.result(20)[0].tolist() for answer in answers] == [[[2]], [[4], [6]], [[8]]]
    assert [call.tolist() for call in model.calls] == [[[1], [2], [3], [4]]]


def test_without_a_time_out_a_batch_is_what_came_meanwhile(model, make_batcher) -> None:
    batcher = make_batcher()
    model.may_run.clear()
    first = submit(batcher, [1])
    assert model.is_busy.wait(20)
    others = [submit(batcher, [value]) for value in range(5)]
    model.may_run.set()
    assert [answer.result(20)[0].tolist() for answer in (first, *others)] == [
        [[2]], [[0]], [[2]], [[4]], [[6]], [[8]]]
    assert model.sizes() == [1, 5]


def test_a_batch_goes_when_its_time_is_over(model, make_batcher) -> None:
    batcher = make_batcher(batch_timeout_micros=20_000)
    assert submit(batcher, [1]).result(20)[0].tolist() == [[2]]


def test_requests_of_other_signatures_and_outputs_are_not_merged(model, make_batcher) -> None:
    batcher = make_batcher()
    model.may_run.clear()
    submit(batcher, [0])
    assert model.is_busy.wait(20)
    value = np.ones((1, 1), np.float32)
    answers = [batcher.submit([(name, value)], fetches)
               for name, fetches in (("x", ["y"]), ("z", ["y"]), ("x", ["y", "z"]))]
    model.may_run.set()
    assert [len(answer.result(20)) for answer in answers] == [1, 1, 2]
    assert model.sizes() == [1, 1, 1, 1]


def test_queues_take_turns(model, make_batcher) -> None:
    batcher = make_batcher(max_batch_size=1)
    model.may_run.clear()
    submit(batcher, [9])
    assert model.is_busy.wait(20)
    answers = [submit(batcher, [value]) for value in (0, 1)]
    answers += [submit(batcher, [value, value]) for value in (2, 3)]
    model.may_run.set()
    for answer in answers:
        answer.result(20)
    assert [call.flat[0] for call in model.calls] == [9, 0, 2, 1, 3]


@pytest.mark.parametrize(("values", "words"), [
    ([np.float32(1)], "Batching Run() input tensors must have at least one dimension"),
    ([np.zeros(2), np.zeros((3, 1))],
     "Batching Run() input tensors must have equal 0th-dimension size"),
    ([], "Batching Run() must have at least one input tensor"),
])
def test_row_72_inputs_need_equal_rows(make_batcher, values: Sequence, words: str) -> None:
    feeds = [(f"x{index}", np.asarray(value)) for index, value in enumerate(values)]
    with pytest.raises(InvalidArgument) as caught:
        make_batcher().run(feeds, ["y"])
    assert str(caught.value) == words


@pytest.mark.parametrize(("answer", "words"), [
    (np.sum, "Batched output tensor has 0 dimensions"),
    (lambda x: x[:1], "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                      "dimension sizes of the input tensors"),
])
def test_row_73_outputs_need_a_row_for_each_input(
    model, make_batcher, answer: Callable, words: str
) -> None:
    model.answer = answer
    batcher = make_batcher(max_batch_size=3, batch_timeout_micros=FOR_EVER)
    for answer in [submit(batcher, [1], [2]), submit(batcher, [3])]:
        with pytest.raises(FailedPrecondition) as caught:
            answer.result(20)
        assert str(caught.value) == words
    assert STATUS_OF[caught.value.code] == 400
    assert model.sizes() == [3]


def test_row_74_a_request_that_is_too_big(make_batcher) -> None:
    with pytest.raises(InvalidArgument) as caught:
        submit(make_batcher(max_batch_size=4), *[[0]] * 5)
    assert str(caught.value) == "Task size 5 is larger than maximum input batch size 4"


def test_row_74_a_full_queue(model, make_batcher) -> None:
    batcher = make_batcher(max_batch_size=4, max_enqueued_batches=1)
    model.may_run.clear()
    submit(batcher, [0])
    assert model.is_busy.wait(20)
    waiting = [submit(batcher, [value]) for value in range(4)]
    with pytest.raises(Unavailable) as caught:
        submit(batcher, [4])
    assert str(caught.value) == (
        "The batch scheduling queue to which this task was submitted is full; currently 1 batches "
        "enqueued and max_enqueued_batches is 1")
    assert STATUS_OF[caught.value.code] == 503
    model.may_run.set()
    assert [answer.result(20)[0].tolist() for answer in waiting] == [[[0]], [[2]], [[4]], [[6]]]


def test_row_74_time_that_ends_in_the_queue(model, make_batcher) -> None:
    batcher = make_batcher()
    model.may_run.clear()
    submit(batcher, [0])
    assert model.is_busy.wait(20)
    late, patient = submit(batcher, [1], timeout_s=0.0), submit(batcher, [2], timeout_s=60)
    model.may_run.set()
    with pytest.raises(ResourceExhausted) as caught:
        late.result(20)
    assert str(caught.value) == "Run() timeout exceeded while waiting in batching queue"
    assert STATUS_OF[caught.value.code] == 429
    assert patient.result(20)[0].tolist() == [[4]]
    assert model.sizes() == [1, 1]


def test_a_batch_has_the_time_of_who_waits_longest(model, make_batcher) -> None:
    batcher = make_batcher(max_batch_size=2, batch_timeout_micros=FOR_EVER)
    for times in ([50, 100], [50, None]):
        for answer in [submit(batcher, [0], timeout_s=timeout_s) for timeout_s in times]:
            answer.result(20)
    assert 90 < model.timeouts[0] <= 100 and model.timeouts[1] is None


def test_row_75_other_shapes_are_not_merged(model, make_batcher) -> None:
    batcher = make_batcher()
    model.may_run.clear()
    submit(batcher, [0])
    assert model.is_busy.wait(20)
    answers = [submit(batcher, [1, 2]), submit(batcher, [3]), submit(batcher, [4, 5])]
    model.may_run.set()
    assert [answer.result(20)[0].tolist() for answer in answers] == [[[2, 4]], [[6]], [[8, 10]]]
    assert [call.shape for call in model.calls] == [(1, 1), (2, 2), (1, 1)]


def test_row_75_padding_merges_shapes_with_the_first_element(model, make_batcher) -> None:
    batcher = make_batcher(
        max_batch_size=3, batch_timeout_micros=FOR_EVER, pad_variable_length_inputs=True)
    for answer in [submit(batcher, [7, 1], [2, 3]), submit(batcher, [4, 5, 6])]:
        answer.result(20)
    assert model.calls[0].tolist() == [[7, 1, 7], [2, 3, 7], [4, 5, 6]]


def test_row_75_nothing_cannot_be_padded(model, make_batcher) -> None:
    batcher = make_batcher(
        max_batch_size=2, batch_timeout_micros=FOR_EVER, pad_variable_length_inputs=True)
    empty = batcher.submit([("x", np.zeros((1, 0), np.float32))], ["y"])
    whole = submit(batcher, [1, 2])
    # Apart, as requests that were refused together are, both are right.
    assert empty.result(20)[0].shape == (1, 0) and whole.result(20)[0].tolist() == [[2, 4]]


def test_batches_are_filled_up_to_an_allowed_size(model, make_batcher) -> None:
    batcher = make_batcher(max_batch_size=8, allowed_batch_sizes=(2, 8))
    model.may_run.clear()
    first = submit(batcher, [0])
    assert model.is_busy.wait(20)
    answers = [submit(batcher, [1]), submit(batcher, [2], [3])]
    model.may_run.set()
    assert [answer.result(20)[0].tolist() for answer in (first, *answers)] == [
        [[0]], [[2]], [[4], [6]]]
    assert model.calls[0].ravel().tolist() == [0, 0]
    # The first row of the last request, as often as it takes.
    assert model.calls[1].ravel().tolist() == [1, 2, 3, 2, 2, 2, 2, 2]


def test_no_row_is_an_answer_too(model, make_batcher) -> None:
    batcher = make_batcher(max_batch_size=8, allowed_batch_sizes=(8,))
    answer = batcher.submit([("x", np.zeros((0, 1), np.float32))], ["y"])
    assert answer.result(20)[0].shape == (0, 1)


def test_large_requests_are_cut(model, make_batcher) -> None:
    batcher = make_batcher(
        max_batch_size=10, enable_large_batch_splitting=True, max_execution_batch_size=4)
    model.may_run.clear()
    submit(batcher, [0])
    assert model.is_busy.wait(20)
    small, large = submit(batcher, [1]), submit(batcher, *[[value] for value in range(10)])
    model.may_run.set()
    assert large.result(20)[0].ravel().tolist() == list(range(0, 20, 2))
    assert small.result(20)[0].tolist() == [[2]]
    assert model.sizes() == [1, 4, 4, 3]


def test_a_large_request_fails_with_any_of_its_parts(model, make_batcher) -> None:
    def refuse(x: np.ndarray) -> np.ndarray:
        if 3 in x:
            raise InvalidArgument("no 3")
        return x

    model.answer = refuse
    batcher = make_batcher(
        max_batch_size=4, enable_large_batch_splitting=True, max_execution_batch_size=2)
    with pytest.raises(InvalidArgument, match="no 3"):
        submit(batcher, [1], [2], [3]).result(20)


def test_parts_that_ran_beside_others_are_filled_up_with_zeros(model, make_batcher) -> None:
    # As `generate` does: its frames are as long as the batch's longest row wants them.
    model.answer = lambda x: np.arange(1, x.max() + 1) * (np.arange(x.max()) < x)
    batcher = make_batcher(
        max_batch_size=4, enable_large_batch_splitting=True, max_execution_batch_size=2)
    model.may_run.clear()
    submit(batcher, [1])
    assert model.is_busy.wait(20)
    small, large = submit(batcher, [4]), submit(batcher, [2], [3], [1])
    model.may_run.set()
    assert large.result(20)[0].tolist() == [[1, 2, 0, 0], [1, 2, 3, 0], [1, 0, 0, 0]]
    assert small.result(20)[0].tolist() == [[1, 2, 3, 4]]
    assert [call.ravel().tolist() for call in model.calls] == [[1], [4, 2], [3, 1]]


def test_parts_that_do_not_fit_together_fail(model, make_batcher) -> None:
    model.answer = lambda x: x if len(x) == 2 else x[..., np.newaxis]
    batcher = make_batcher(
        max_batch_size=4, enable_large_batch_splitting=True, max_execution_batch_size=2)
    with pytest.raises(ValueError, match="argument 2 is longer"):
        submit(batcher, [1], [2], [3]).result(20)


def test_strings_of_parts_are_filled_up_with_empty_ones() -> None:
    parts = [[np.array([[b"a", b"b"]], object)], [np.array([[b"c"]], object)]]
    assert join(parts)[0].tolist() == [[b"a", b"b"], [b"c", b""]]


def test_row_74_a_full_queue_of_parts(model, make_batcher) -> None:
    batcher = make_batcher(max_batch_size=10, enable_large_batch_splitting=True,
                           max_execution_batch_size=4, max_enqueued_batches=2)
    model.may_run.clear()
    submit(batcher, [0])
    assert model.is_busy.wait(20)
    submit(batcher, *[[0]] * 5)
    with pytest.raises(Unavailable) as caught:
        submit(batcher, *[[0]] * 4)
    assert str(caught.value) == (
        "The batch scheduling queue to which this task was submitted is full; task size is 4 but "
        "scheduling capacity is only 3 (num_enqueued_batches=2, max_enqueued_batches=2, "
        "open_batch_size=1, max_execution_batch_size=4)")


def test_a_wrong_request_fails_alone(model, make_batcher) -> None:
    def refuse(x: np.ndarray) -> np.ndarray:
        if np.isnan(x).any():
            raise InvalidArgument(f"no NaN of {len(x)}")
        return x

    model.answer = refuse
    batcher = make_batcher(max_batch_size=8, batch_timeout_micros=FOR_EVER)
    values = [0, 1, 2, np.nan, 4, 5, 6, 7]
    answers = [submit(batcher, [value]) for value in values]
    for value, answer in zip(values, answers, strict=True):
        if np.isnan(value):
            with pytest.raises(InvalidArgument, match="no NaN of 1"):
                answer.result(20)
        else:
            assert answer.result(20)[0].tolist() == [[value]]
    assert model.sizes() == [8, 4, 2, 2, 1, 1, 4]


@pytest.mark.parametrize("error", [DeadlineExceeded("late"), Internal("broken"), ValueError("odd")])
def test_what_is_no_fault_of_a_request_fails_for_all(model, make_batcher, error) -> None:
    def fail(x: np.ndarray) -> np.ndarray:
        raise error

    model.answer = fail
    batcher = make_batcher(max_batch_size=2, batch_timeout_micros=FOR_EVER)
    answers = [submit(batcher, [0]), submit(batcher, [1])]
    raised = [answer.exception(20) for answer in answers]
    assert [type(one) for one in raised] == [type(error)] * 2
    assert raised[0] is not raised[1] and str(raised[0]) == str(error)
    assert model.sizes() == [2]


def test_closing_runs_what_waits_and_refuses_the_rest(model, make_batcher) -> None:
    batcher = make_batcher(batch_timeout_micros=FOR_EVER)
    waiting = submit(batcher, [1])
    batcher._threads.close()
    assert waiting.result(0)[0].tolist() == [[2]]
    with pytest.raises(Unavailable, match="the server stops; ask another one"):
        submit(batcher, [2])


def test_who_gave_up_in_the_queue_is_not_run(model, make_batcher) -> None:
    batcher = make_batcher()
    model.may_run.clear()
    submit(batcher, [0])
    assert model.is_busy.wait(20)
    lost, kept = submit(batcher, [1]), submit(batcher, [2])
    assert lost.cancel()
    model.may_run.set()
    assert kept.result(20)[0].tolist() == [[4]]
    assert [call.tolist() for call in model.calls] == [[[0]], [[2]]]


def test_who_takes_a_batch_leaves_the_next_to_another_thread(model, make_batcher) -> None:
    batcher = make_batcher(num_batch_threads=2, max_batch_size=1)
    model.may_run.clear()
    with batcher._threads._changed:  # nobody looks before both are there
        answers = [submit(batcher, [1]), submit(batcher, [2])]
    end = time.monotonic() + 20
    while len(model.calls) < 2:
        assert time.monotonic() < end, "both batches must run at once"
        time.sleep(0.001)
    model.may_run.set()
    assert [answer.result(20)[0].tolist() for answer in answers] == [[[2]], [[4]]]


def test_the_wait_is_told(model) -> None:
    told: list[tuple[str, list[float]]] = []
    threads = BatchThreads(1, "mine", lambda name, seconds: told.append((name, seconds)))
    Batcher(model.run, BatchingSettings(), threads).run([("x", np.zeros((1, 1)))], ["y"])
    threads.close()
    [(name, [seconds])] = told
    assert name == "mine" and 0 <= seconds < 20


@pytest.fixture(scope="module")
def nade_servable(tmp_path_factory: pytest.TempPathFactory) -> Servable:
    """A small RNN-NADE, exported as users do: its draws take a seed a row."""
    model = models.RNNNADE(num_hidden=5, num_recurrent=4)
    model.build_for(NUM_UNITS)
    random = np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.7, weight.shape))
    directory = tmp_path_factory.mktemp("rnn_nade") / "1"
    export.save(model, directory, max_steps=12, max_num_steps=10)
    return Servable(directory, 1)


@pytest.fixture(scope="module")
def exported(nade_servable: Servable) -> Exported:
    """Its `call` is one request alone."""
    def call(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        return ask(nade_servable.run, nade_servable, name, inputs)

    return Exported(models.RNNNADE(), nade_servable.path, call, lambda _: [])


def ask(run: Callable, servable: Servable, name: str, inputs) -> dict[str, np.ndarray]:
    signature = servable.signatures[name]
    feeds = [(signature.inputs[key].name, value) for key, value in inputs.items()]
    values = run(feeds, [info.name for info in signature.outputs.values()])
    return dict(zip(signature.outputs, values, strict=True))


def ask_together(
    servable: Servable, name: str, requests: Sequence[dict[str, np.ndarray]], **settings
) -> list[dict[str, np.ndarray] | ServingError]:
    """One batch of requests from as many threads."""
    threads = BatchThreads(1, "test")
    batcher = Batcher(servable.run, BatchingSettings(
        max_batch_size=sum(len(next(iter(request.values()))) for request in requests),
        batch_timeout_micros=FOR_EVER, **settings), threads)

    def one(request: dict[str, np.ndarray]) -> dict[str, np.ndarray] | ServingError:
        try:
            return ask(batcher.run, servable, name, request)
        except ServingError as error:
            return error

    with ThreadPoolExecutor(len(requests)) as executor:
        answers = list(executor.map(one, requests))
    threads.close()
    return answers


@pytest.mark.parametrize("name", INPUTS)
def test_an_answer_does_not_depend_on_its_neighbours(exported, nade_servable, name: str) -> None:
    inputs = make_inputs(exported, name, 4, 5)
    # One request of one row, one of two, one of one.
    requests = [{key: value[rows] for key, value in inputs.items()}
                for rows in (slice(0, 1), slice(1, 3), slice(3, 4))]
    together = ask_together(nade_servable, name, requests)
    for request, answer in zip(requests, together, strict=True):
        alone = exported.call(name, **request)
        assert set(answer) == set(alone)
        for key, value in alone.items():
            if (name, key) == ("generate", "frames"):
                # As long as the longest of the batch, silent past each row's own length.
                longest = value.shape[1]
                assert not answer[key][:, longest:].any()
                np.testing.assert_array_equal(answer[key][:, :longest], value)
            elif key in ("sample", "length", "frames_scored"):
                np.testing.assert_array_equal(answer[key], value)
            else:
                # float32; a matrix product of more rows adds in another order.
                np.testing.assert_allclose(answer[key], value, rtol=1e-5, atol=1e-6)


def test_padded_primes_are_heard_up_to_their_length(exported, nade_servable) -> None:
    requests = [make_inputs(exported, "generate", 1, num_steps) for num_steps in (3, 6)]
    together = ask_together(nade_servable, "generate", requests, pad_variable_length_inputs=True)
    for request, answer in zip(requests, together, strict=True):
        alone = exported.call("generate", **request)
        np.testing.assert_array_equal(answer["frames"], alone["frames"])
        np.testing.assert_allclose(answer["state"], alone["state"], rtol=1e-5, atol=1e-6)


def test_a_nan_stops_nobody_elses_music(exported, nade_servable) -> None:
    inputs = make_inputs(exported, "step", 3, 1)
    requests = [{key: value[row:row + 1].copy() for key, value in inputs.items()}
                for row in range(3)]
    requests[1]["frame"][0, 0] = np.nan
    together = ask_together(nade_servable, "step", requests)
    assert isinstance(together[1], InvalidArgument)
    for row in (0, 2):
        np.testing.assert_array_equal(
            together[row]["sample"], exported.call("step", **requests[row])["sample"])


@pytest.fixture(scope="module")
def batched_server(
    tiny_model: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ModelServer]:
    file = tmp_path_factory.mktemp("config") / "batching.config"
    file.write_text("max_batch_size { value: 4 } num_batch_threads { value: 1 }")
    options = ServerOptions(
        enable_batching=True, batching_parameters_file=str(file), stop_grace_seconds=1)
    with ModelServer("chorales", tiny_model, 0, 0, options=options) as server:
        yield server


def test_players_of_a_batched_server_hear_what_they_would_alone(server, batched_server) -> None:
    primes = np.random.default_rng(0).integers(0, 2, (12, 1, 3, NUM_VISIBLE)).astype(np.float32)

    def play(target: ModelServer) -> list[np.ndarray]:
        with Client(f"127.0.0.1:{target.port}", timeout_s=30) as client:
            with ThreadPoolExecutor(12) as executor:
                return list(executor.map(
                    lambda index: client.generate(primes[index], 5, seed=index).frames,
                    range(12)))

    for alone, together in zip(play(server), play(batched_server), strict=True):
        np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize(("inputs", "words"), [
    (3, "Batching Run() input tensors must have at least one dimension"),  # row 72
    ([0] * 5, "Task size 5 is larger than maximum input batch size 4"),  # row 74
])
def test_rows_72_74_reach_a_client(batched_server, inputs: object, words: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", batched_server.rest_api_port, timeout=20)
    body = json.dumps({"signature_name": "start", "inputs": inputs})
    connection.request("POST", "/v1/models/chorales:predict", body)
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())) == (400, {"error": words})
    connection.close()
