"""Changes of the list of models while the server runs, and the labels that the list gives."""

import pathlib
import threading

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from rnnpt.serving.error import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ServingError,
    Unavailable,
    Unimplemented,
)
from tests.serving.fake_model import (
    FakeLoader,
    make_config,
    make_version,
    running,
    states,
    used,
    wait_for,
)

EMPTY = model_server_config_pb2.ModelServerConfig()
CUSTOM = model_server_config_pb2.ModelServerConfig()
CUSTOM.custom_model_config.SetInParent()


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of models: a, with versions 1 and 2, and b and c, with version 1."""
    for name, number in (("a", 1), ("a", 2), ("b", 1), ("c", 1)):
        make_version(tmp_path / name, number)
    return tmp_path


def in_thread(function, *args) -> tuple[threading.Thread, list[BaseException | None]]:
    """Calls a function beside the test; the list gets its error or None when it has ended."""
    ended: list[BaseException | None] = []

    def run() -> None:
        try:
            function(*args)
            ended.append(None)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, ended


def labelled(name: str = "a", policy: dict | None = None, **labels: int) -> dict:
    """Fields of a ModelConfig: all versions, and labels."""
    return {"name": name, "version_labels": labels,
            "model_version_policy": {"all": {}} if policy is None else policy}


def test_row_50_the_new_list_replaces_the_old(folder) -> None:
    loader = FakeLoader()
    with running(make_config(folder, "a", "b"), loader) as manager:
        manager.reload(make_config(folder, "b", "c"))
        assert used(manager, "c") == used(manager, "b") == 1
        wait_for(lambda: states(manager, "a") == {2: "END"}, "a is unloaded")  # row 56
        with pytest.raises(NotFound, match=r"Latest\(a\)"):
            used(manager, "a")
        assert loader.tries.count("b/1") == 1
        # A model that comes back is loaded again.
        manager.reload(make_config(folder, "a"))
        assert used(manager, "a") == 2
        assert loader.tries.count("a/2") == 2
        manager.reload(make_config(folder))
        wait_for(lambda: states(manager, "a") == {2: "END"}, "all are unloaded")


def test_row_50_a_reload_waits_for_the_new_models(folder) -> None:
    loader = FakeLoader()
    with running(make_config(folder, "a"), loader) as manager:
        loader.closed = {"b/1"}
        thread, ended = in_thread(manager.reload, make_config(folder, "a", "b", "c"))
        wait_for(lambda: states(manager, "b") == {1: "LOADING"}, "b loads")
        assert not ended and used(manager, "a") == 2
        loader.open("b/1")
        thread.join()
        assert ended == [None]
        assert used(manager, "b") == used(manager, "c") == 1


def test_row_50_a_changed_policy_is_taken_up_without_a_wait(folder) -> None:
    with running(make_config(folder, "a")) as manager:
        manager.reload(make_config(
            folder, {"name": "a", "model_version_policy": {"specific": {"versions": [1]}}}))
        wait_for(lambda: states(manager, "a") == {2: "END", 1: "AVAILABLE"}, "1 takes over")


def test_row_50_a_new_model_that_does_not_load_is_told(folder) -> None:
    make_version(folder / "bad", 7, is_broken=True)
    with running(make_config(folder, "a")) as manager:
        with pytest.raises(ServingError) as caught:
            manager.reload(make_config(folder, "b", "bad"))
        assert caught.value.code == "UNKNOWN"
        assert str(caught.value) == (
            "1 model(s) did not become available: {"
            "{{name: bad version: 7} due to error: NOT_FOUND: bad/7 is broken}, }")
        # The new list counts all the same.
        wait_for(lambda: states(manager, "a") == {2: "END"}, "a is unloaded")
        assert used(manager, "b") == 1


@pytest.mark.parametrize(("models", "error", "message"), [
    (("b", "b"), InvalidArgument, "Illegal to list model b multiple times in config list"),
    (("b", {"name": "c", "base_path": "rel"}), InvalidArgument,
     "Expected model c to have an absolute path or URI; got base_path()=rel"),
    (("b", {"name": "a", "model_platform": "keras"}), InvalidArgument,
     "Illegal to change a model's platform. For model a platform was tensorflow and new platform "
     "requested is keras"),
    (("b", {"name": "c", "model_platform": "keras"}), InvalidArgument,
     "Model c requests unsupported platform keras"),
    (("b", labelled(new=3)), FailedPrecondition,
     "Request to assign label to version 3 of model a, which is not currently available for "
     "inference"),
])
def test_row_50_a_list_that_is_refused_changes_nothing(folder, models, error, message) -> None:
    with running(make_config(folder, "a")) as manager:
        manager.reload(make_config(folder, labelled(stable=2, policy={})))
        with pytest.raises(error) as caught:
            manager.reload(make_config(folder, *models))
        assert str(caught.value) == message
        assert used(manager, "a", label="stable") == 2
        assert states(manager, "b") == {}
        manager.reload(make_config(folder, "a", "b"))
        assert used(manager, "b") == 1


@pytest.mark.parametrize("config", [EMPTY, CUSTOM])
def test_row_50_only_a_list_may_follow_a_list(folder, config) -> None:
    with running(make_config(folder, "a")) as manager:
        with pytest.raises(FailedPrecondition) as caught:
            manager.reload(config)
        assert str(caught.value) == (
            "Cannot transition to requested config. It is only legal to transition from one "
            "ModelConfigList to another.")
        assert used(manager, "a") == 2


def test_a_config_that_says_nothing_leaves_all_open(folder) -> None:
    with running(EMPTY) as manager:
        manager.reload(EMPTY)
        with pytest.raises(Unimplemented, match="^ModelServer does not yet support custom model"):
            manager.reload(CUSTOM)
        manager.reload(make_config(folder, "a"))
        assert used(manager, "a") == 2


def test_row_50_reloads_run_one_after_the_other(folder) -> None:
    loader = FakeLoader()
    with running(make_config(folder, "a"), loader) as manager:
        loader.closed = {"b/1"}
        first, first_ended = in_thread(manager.reload, make_config(folder, "b"))
        wait_for(lambda: states(manager, "b") == {1: "LOADING"}, "b loads")
        second, second_ended = in_thread(manager.reload, make_config(folder, "c"))
        wait_for(lambda: manager._num_reloads_waiting == 1, "the second waits")
        assert not first_ended and not second_ended and states(manager, "c") == {}
        loader.open("b/1")
        first.join()
        second.join()
        assert first_ended == second_ended == [None]
        wait_for(lambda: states(manager, "b") == {1: "END"}, "b is unloaded")
        assert used(manager, "c") == 1


def test_a_reload_that_waits_for_a_missing_folder_gives_way_to_the_next(folder) -> None:
    with running(make_config(folder, "a")) as manager:
        thread, ended = in_thread(manager.reload, make_config(folder, "a", "typo"))
        wait_for(lambda: "typo" in manager._table.models, "the first list counts")
        assert not ended
        manager.reload(make_config(folder, "a", "b"))
        thread.join()
        error, = ended
        assert isinstance(error, Aborted)
        assert str(error) == ("base_path of model typo must hold a version folder, got none when "
                              "the next reload came; make one and reload again")
        assert used(manager, "b") == 1


def test_a_reload_ends_when_its_folder_appears(folder) -> None:
    with running(make_config(folder, "a")) as manager:
        thread, ended = in_thread(manager.reload, make_config(folder, "a", "later"))
        wait_for(lambda: "later" in manager._table.models, "the list counts")
        make_version(folder / "later", 4)
        thread.join()
        assert ended == [None] and used(manager, "later") == 4


def test_a_stop_ends_a_reload(folder) -> None:
    with running(make_config(folder, "a")) as manager:
        thread, ended = in_thread(manager.reload, make_config(folder, "a", "never"))
        wait_for(lambda: "never" in manager._table.models, "the list counts")
        manager.stop()
        thread.join()
        error, = ended
        assert isinstance(error, Unavailable)
        assert str(error) == "the server must run to reload, got a stop; ask again when it runs"


def test_removing_a_broken_model_ends_its_tries(folder) -> None:
    make_version(folder / "bad", 1, is_broken=True)
    with running(make_config(folder, "a"), max_num_load_retries=1,
                 load_retry_interval_micros=600_000_000) as manager:
        manager._table.take_config(make_config(folder, "a", "bad"))
        wait_for(lambda: states(manager, "bad") == {1: "LOADING"}, "it is tried")
        manager.reload(make_config(folder, "a", "b"))
        assert states(manager, "bad") == {1: "END"}
        assert used(manager, "b") == 1


@pytest.mark.parametrize("name", ["../a", "/a", "..", "a/1", "a\0b", "", "x" * 5000])
def test_a_name_never_becomes_a_path(folder, name: str) -> None:
    loader = FakeLoader()
    with running(make_config(folder, {"name": name, "base_path": str(folder / "b")}),
                 loader) as manager:
        assert states(manager, name) == {1: "AVAILABLE"}
        if name:
            assert used(manager, name) == 1
    assert loader.tries == ["b/1"]


@pytest.mark.parametrize("base_path", ["/nul\0", "/" + "x" * 5000])
def test_a_base_path_that_no_file_system_takes_is_only_missing(folder, base_path, caplog) -> None:
    with running(make_config(folder, "a")) as manager:
        manager._table.take_config(
            make_config(folder, "a", {"name": "odd", "base_path": base_path}))
        wait_for(lambda: "base_path of model odd must be a folder" in caplog.text, "it is told")
        manager.reload(make_config(folder, "a", "b"))
        assert used(manager, "b") == 1


def test_row_29_a_label_names_a_version(folder) -> None:
    with running(make_config(folder, labelled())) as manager:
        manager.reload(make_config(folder, labelled(stable=1, canary=2)))
        assert used(manager, "a", label="stable") == 1
        assert used(manager, "a", label="canary") == 2
        # All labels are replaced too, and a moved one needs no flag when its version is there.
        manager.reload(make_config(folder, labelled(stable=2)))
        assert used(manager, "a", label="stable") == 2
        with pytest.raises(InvalidArgument, match="^Unrecognized servable version label: canary$"):
            used(manager, "a", label="canary")
        manager.reload(make_config(folder, "b"))
        with pytest.raises(InvalidArgument, match="^Unrecognized servable version label: stable$"):
            used(manager, "a", label="stable")


def test_row_69_at_startup_labels_need_the_flag(folder) -> None:
    config = make_config(folder, labelled(stable=1))
    with pytest.raises(FailedPrecondition) as caught:
        with running(config):
            pass
    assert str(caught.value) == ("Request to assign label to version 1 of model a, which is not "
                                 "currently available for inference")
    with running(config, allow_version_labels_for_unavailable_models=True) as manager:
        assert used(manager, "a", label="stable") == 1


def test_row_69_the_flag_lets_a_new_label_wait_and_moves_none(folder) -> None:
    with running(make_config(folder, labelled(stable=1)),
                 allow_version_labels_for_unavailable_models=True) as manager:
        manager.reload(make_config(folder, labelled(stable=1, canary=3)))
        with pytest.raises(NotFound) as caught:
            used(manager, "a", label="canary")
        assert str(caught.value) == "Servable not found for request: Specific(a, 3)"
        with pytest.raises(FailedPrecondition, match="label to version 3 of model a, which is not"):
            manager.reload(make_config(folder, labelled(stable=3, canary=3)))
        assert used(manager, "a", label="stable") == 1
        # In two steps it goes: the version first.
        make_version(folder / "a", 3)
        wait_for(lambda: states(manager, "a").get(3) == "AVAILABLE", "3 is loaded")
        assert used(manager, "a", label="canary") == 3
        manager.reload(make_config(folder, labelled(stable=3)))
        assert used(manager, "a", label="stable") == 3


def write(file: pathlib.Path, config: model_server_config_pb2.ModelServerConfig | str) -> None:
    """Replaces a file in one go."""
    text = config if isinstance(config, str) else text_format.MessageToString(config)
    file.with_suffix(".new").write_text(text)
    file.with_suffix(".new").rename(file)


def test_row_68_the_file_is_read_again_only_with_the_flag(folder) -> None:
    file = folder / "models.config"
    write(file, make_config(folder, "a"))
    with running(make_config(folder, "a"), model_config_file=str(file)) as manager:
        assert [thread.name for thread in manager._threads] == ["rnnpt-model-versions"]
    with running(make_config(folder, "a"), model_config_file=str(file),
                 model_config_file_poll_wait_seconds=0.01) as manager:
        write(file, make_config(folder, "b"))
        wait_for(lambda: states(manager, "b") == {1: "AVAILABLE"}, "b is loaded")
        wait_for(lambda: states(manager, "a") == {2: "END"}, "a is unloaded")


@pytest.mark.parametrize(("text", "message"), [
    ("model_config_list {", "INVALID_ARGUMENT: Invalid protobuf file: '"),
    ("", "FAILED_PRECONDITION: Cannot transition to requested config."),
    ("model_config_list { config { name: 'b' base_path: 'b' model_platform: 'tensorflow' } }",
     "INVALID_ARGUMENT: Expected model b to have an absolute path or URI; got base_path()=b"),
    (None, "No such file or directory"),
])
def test_row_68_a_bad_file_is_logged_and_the_models_stay(folder, caplog, text, message) -> None:
    file = folder / "models.config"
    write(file, make_config(folder, "a"))
    with running(make_config(folder, "a"), model_config_file=str(file),
                 model_config_file_poll_wait_seconds=0.01) as manager:
        if text is None:
            file.unlink()
        else:
            write(file, text)
        wait_for(lambda: message in caplog.text, "it is told")
        assert f"model_config_file must be one that can be served, got {file}" in caplog.text
        assert used(manager, "a") == 2
        write(file, make_config(folder, "a", "c"))
        wait_for(lambda: states(manager, "c") == {1: "AVAILABLE"}, "the mended file counts")


def test_row_68_a_file_that_names_a_missing_folder_can_be_mended(folder, caplog) -> None:
    file = folder / "models.config"
    write(file, make_config(folder, "a"))
    with running(make_config(folder, "a"), model_config_file=str(file),
                 model_config_file_poll_wait_seconds=0.01) as manager:
        write(file, make_config(folder, "a", "typo"))
        wait_for(lambda: "base_path of model typo must be a folder" in caplog.text, "it is told")
        write(file, make_config(folder, "a", "b"))
        wait_for(lambda: states(manager, "b") == {1: "AVAILABLE"}, "b is loaded")
