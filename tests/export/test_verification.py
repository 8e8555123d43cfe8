"""Golden requests: what stands beside a model, and what is told when an export differs from it."""

import errno
import pathlib
import re
import shutil
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import cli, export, models
from rnnpt.cells import SimpleCell
from rnnpt.export import saved_model, verification
from rnnpt.export._golden import ANSWERS_FILE, ORDER, REQUESTS_FILE, write_golden
from rnnpt.export._option import ExportOptions
from rnnpt.export._signature import Signatures
from rnnpt.heads import BernoulliHead
from tests.export.conftest import INPUTS, NUM_VISIBLE, Exported, make_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An export of which the tests damage copies."""
    directory = tmp_path_factory.mktemp("whole") / "1"
    export.save(make_model("RNN"), directory)
    return directory


@pytest.fixture
def copy(whole: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return shutil.copytree(whole, tmp_path / "models" / "1")


def read(file: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(file) as arrays:
        return dict(arrays)


def truncate(file: pathlib.Path) -> None:
    file.write_bytes(file.read_bytes()[:file.stat().st_size // 2])


def test_each_signature_is_asked_once_with_rows_that_differ(exported: Exported) -> None:
    requests = read(exported.directory / REQUESTS_FILE)
    assert sorted(requests) == sorted(
        f"{number}/{name}/{key}" for number, name in enumerate(ORDER) for key in INPUTS[name])
    assert set(ORDER) == set(INPUTS)
    for key, value in requests.items():
        assert len(value) == 2
        if not key.endswith(("temperature", "start/state", "step/state")):
            assert (value[0] != value[1]).any(), key


def test_stored_answers_are_those_of_the_model(exported: Exported) -> None:
    requests, answers = (read(exported.directory / file) for file in (REQUESTS_FILE, ANSWERS_FILE))
    asked = {key.split("/")[2]: value for key, value in requests.items() if key[0] == "2"}
    stored = {key[2:]: value for key, value in answers.items() if key[0] == "2"}
    drawn = exported.call("generate", **asked)
    assert stored.keys() == drawn.keys()
    np.testing.assert_array_equal(stored["frames"], drawn["frames"])
    np.testing.assert_array_equal(stored["length"], [4, 3])
    np.testing.assert_allclose(stored["state"], drawn["state"], rtol=1e-6, atol=1e-6)


def test_the_same_model_gets_the_same_golden_bytes_and_passes(
    whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    export.save(make_model("RNN"), tmp_path / "5", verify=True)
    assert [path.name for path in tmp_path.iterdir()] == ["5"]
    for file in (REQUESTS_FILE, ANSWERS_FILE):
        assert (tmp_path / "5" / file).read_bytes() == (whole / file).read_bytes()


def test_an_export_that_answers_as_the_model_passes(exported: Exported) -> None:
    assert export.verify(exported.directory.parent) == exported.directory


def test_golden_requests_keep_within_the_least_maxima(tmp_path: pathlib.Path) -> None:
    options = ExportOptions(1, 1, saved_model.SCORE_SCHEDULE, 0)
    signatures = Signatures(make_model("RNN"), options)
    write_golden(tmp_path, signatures.functions(), signatures.specs, options)
    assert read(tmp_path / ANSWERS_FILE)["2/frames"].shape == (2, 1, NUM_VISIBLE)


def plus(number: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: array + array.dtype.type(number)


@pytest.mark.parametrize(("key", "function", "message"), [
    ("0/state", plus(1e-3), r"signature start: state must be what the exported model answered, "
     r"\S+ at \[0, 0\], got \S+; export it again"),
    ("1/sample", lambda a: 1 - a, r"signature step: sample must be .*, [01].0 at \[0, 0\], got"),
    ("2/frames", plus(1e-6), r"generate: frames must be .* at \[0, 0, 0\], got 1?\S+;"),
    ("2/length", plus(1), r"generate: length must be .*, 4 at \[0\], got 5"),
    ("3/probabilities", lambda a: a[:1], r"serving_default: probabilities must be .*, float32 of "
     r"\[2, 6\], got float32 of \[1, 6\]"),
    ("4/frames_scored", lambda a: a.astype(np.float32), "score: frames_scored must .*got float32"),
    ("4/log_likelihood", lambda a: None, "score: log_likelihood must be .*, got nothing"),
    ("4/log_likelihood", lambda a: a * np.nan, r"score: log_likelihood must be .*, got nan"),
])
def test_another_answer_is_told(
    whole: pathlib.Path, monkeypatch: pytest.MonkeyPatch, key: str, function: Callable,
    message: str,
) -> None:
    answers = read(whole / ANSWERS_FILE)
    answers[key] = function(answers[key])
    monkeypatch.setattr(verification, "replay", lambda *_: answers)
    with pytest.raises(export.ExportError, match=message):
        export.verify(whole)


def test_the_rounding_of_another_build_is_let_pass(
    whole: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = read(whole / ANSWERS_FILE)
    answers["0/state"] += np.float32(5e-6)
    answers["4/log_likelihood"] *= np.float32(1 + 5e-5)
    monkeypatch.setattr(verification, "replay", lambda *_: answers)
    assert export.verify(whole) == whole


def test_a_refused_golden_request_is_told(copy: pathlib.Path) -> None:
    requests = read(copy / REQUESTS_FILE)
    requests["1/step/temperature"] *= 0
    np.savez(copy / REQUESTS_FILE, **requests)
    with pytest.raises(export.ExportError, match=(
            r"signature step must answer its golden request, got \S+assertion failed: "
            r".temperature must be positive .*; export it again")) as told:
        export.verify(copy)
    assert "\n" not in str(told.value)


def test_an_export_of_an_older_rnnpt_is_told_so(copy: pathlib.Path) -> None:
    (copy / REQUESTS_FILE).unlink()
    with pytest.raises(
            export.ExportError, match="directory must hold golden requests, got '.*1' without"):
        export.verify(copy)


@pytest.mark.parametrize("file", [REQUESTS_FILE, ANSWERS_FILE], ids=lambda file: file.stem)
def test_a_truncated_golden_file_is_told(copy: pathlib.Path, file: pathlib.Path) -> None:
    truncate(copy / file)
    with pytest.raises(export.ExportError, match=f"directory must hold {file.name} whole, got '"):
        export.verify(copy)


def test_a_process_that_does_not_answer_is_ended(whole: pathlib.Path) -> None:
    with pytest.raises(
            export.ExportError, match=r"directory must answer within timeout_s=0.01, got no"):
        verification.replay(whole, whole / REQUESTS_FILE, timeout_s=0.01)


TRUNCATED = ["saved_model.pb", "variables/variables.index",
             "variables/variables.data-00000-of-00001"]


@pytest.mark.parametrize("file", TRUNCATED)
@pytest.mark.parametrize("play", [export.load, export.verify])
def test_a_truncated_saved_model_is_one_line(
    copy: pathlib.Path, file: str, play: Callable
) -> None:
    truncate(copy / file)
    message = "(?i)directory must hold a .*saved_?model.*, got '.*1'"
    with pytest.raises(export.ExportError, match=message) as told:
        play(copy)
    assert "\n" not in str(told.value)


def test_an_export_that_fails_its_verification_leaves_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_other(directory: pathlib.Path, *arguments: object) -> None:
        write_golden(directory, *arguments)
        answers = read(directory / ANSWERS_FILE)
        answers["2/frames"] = 1 - answers["2/frames"]
        np.savez(directory / ANSWERS_FILE, **answers)

    monkeypatch.setattr(saved_model, "write_golden", write_other)
    with pytest.raises(export.ExportError, match="generate: frames must be what the exported"):
        export.save(make_model("RNN"), tmp_path / "1", verify=True)
    assert not list(tmp_path.iterdir())


class OneRowHead(BernoulliHead):
    """A head whose mean forgets all rows but one."""

    def mean(self, parameters: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return super().mean(parameters, seed)[:1]


def test_an_answer_without_a_row_for_each_of_the_request_is_refused(
    tmp_path: pathlib.Path
) -> None:
    model = models.SequenceModel(SimpleCell(4), OneRowHead())
    model.build_for(NUM_VISIBLE)
    with pytest.raises(export.ExportError, match=(
            r"signature step: probabilities must have a row for each of the request's 2, got "
            r"\[1, 6\]; change")):
        export.save(model, tmp_path / "1")
    assert not list(tmp_path.iterdir())


NO_SPACE = "No space left on device"


def no_space_in_python(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, NO_SPACE)


def no_space_in_tensorflow(*_: object, **__: object) -> None:
    raise tf.errors.ResourceExhaustedError(
        None, None, f"{{{{function_node SaveV2}}}} variables.data; {NO_SPACE} [Op:SaveV2]")


@pytest.mark.parametrize(("module", "name", "failure"), [
    (tf.saved_model, "save", no_space_in_tensorflow),
    (np, "savez", no_space_in_python),
    (pathlib.Path, "mkdir", no_space_in_python),
])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str,
    failure: Callable,
) -> None:
    model = make_model("RNN")
    with monkeypatch.context() as patched:
        patched.setattr(module, name, failure)
        with pytest.raises(export.ExportError, match=(
                f"directory must be a place with room to write, got '.*1': .*{NO_SPACE}; make room"
                )) as told:
            export.save(model, tmp_path / "1")
    assert not re.search(r"\n|\{|\[Op", str(told.value))
    assert not list(tmp_path.iterdir())


def test_command_verifies_the_newest_version(
    copy: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["export", "--verify", "--export_dir", str(copy.parent)]
    assert cli.main(words) == 0
    assert capsys.readouterr().out == f"{copy}: answers as the exported model did\n"
    truncate(copy / "variables/variables.index")
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    assert err.startswith("rnnpt: directory must hold a SavedModel that TensorFlow's C API runs, ")
