"""The lives of versions: who is loaded, kept, unloaded, and what the status says meanwhile."""

import pathlib
import shutil
import threading

import numpy as np
import pytest

from rnnpt.serving._servable import Servable
from rnnpt.serving.error import InvalidArgument, NotFound, ServingError
from tests.serving.fake_model import (
    FakeLoader,
    make_config,
    make_version,
    running,
    spec,
    states,
    used,
    wait_for,
)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of models: a, with versions 1 and 2, and b, with version 1."""
    for name, number in (("a", 1), ("a", 2), ("b", 1)):
        make_version(tmp_path / name, number)
    return tmp_path


@pytest.mark.parametrize(("policy", "expected"), [
    # row 60
    ({}, {2}), ({"latest": {"num_versions": 2}}, {1, 2}), ({"all": {}}, {1, 2}),
    ({"specific": {"versions": [1, 9]}}, {1}),
])
def test_row_60_several_versions_are_served_at_once(folder, policy, expected) -> None:
    config = make_config(folder, {"name": "a", "model_version_policy": policy})
    with running(config) as manager:
        assert states(manager, "a") == {number: "AVAILABLE" for number in expected}
        assert used(manager, "a") == max(expected)
        for number in (1, 2):
            if number in expected:
                assert used(manager, "a", version=number) == number
            else:
                with pytest.raises(NotFound, match=rf"Specific\(a, {number}\)$"):
                    used(manager, "a", version=number)


@pytest.mark.parametrize(("model_spec", "error", "message"), [
    (spec(""), InvalidArgument, "ModelSpec has no name specified."),
    (spec("nope"), NotFound, "Servable not found for request: Latest(nope)"),  # row 27
    (spec("nope", version=3), NotFound, "Servable not found for request: Specific(nope, 3)"),
    (spec("a", version=9), NotFound, "Servable not found for request: Specific(a, 9)"),  # row 28
    (spec("a", version=0), NotFound, "Servable not found for request: Specific(a, 0)"),
    (spec("a", label="zzz"), InvalidArgument,
     "Unrecognized servable version label: zzz"),  # row 29
    (spec("nope", label="zzz"), InvalidArgument, "Unrecognized servable version label: zzz"),
    (spec("../b"), NotFound, "Servable not found for request: Latest(../b)"),
    (spec("a/../b"), NotFound, "Servable not found for request: Latest(a/../b)"),
])
def test_rows_27_to_29_nobody_answers_for_what_is_not_there(
        folder, model_spec, error, message) -> None:
    loader = FakeLoader()
    with running(make_config(folder, "a"), loader) as manager:
        with pytest.raises(error) as caught:
            with manager.borrow(model_spec):
                pass
        assert str(caught.value) == message
    assert loader.tries == ["a/2"]


@pytest.mark.parametrize(("name", "number", "message"), [
    ("nope", None, "Could not find any versions of model nope"),
    ("nope", 3, "Could not find version 3 of model nope"),
    ("a", 3, "Could not find version 3 of model a"),
    ("a", 1, "Could not find version 1 of model a"),  # there, but the policy passed it over
])
def test_row_54_the_status_of_what_was_never_seen(folder, name, number, message) -> None:
    with running(make_config(folder, "a")) as manager:
        with pytest.raises(NotFound) as caught:
            manager.status(name, number)
        assert str(caught.value) == message


def test_row_54_a_model_without_versions_is_not_found(folder) -> None:
    (folder / "empty").mkdir()
    with running(make_config(folder, "a", "empty"), is_waited_for=False) as manager:
        wait_for(lambda: states(manager, "a") == {2: "AVAILABLE"}, "a is loaded")
        with pytest.raises(NotFound, match="^Could not find any versions of model empty$"):
            manager.status("empty", None)


def test_row_53_versions_are_listed_newest_first_from_the_start(folder) -> None:
    loader = FakeLoader()
    config = make_config(folder, {"name": "a", "model_version_policy": {"all": {}}})
    with running(config, loader, num_load_threads=1) as manager:
        loader.closed = {"a/3", "a/10"}
        for number in (3, 10):
            make_version(folder / "a", number)
        # The one thread takes the version that was seen first; the other waits in START.
        wait_for(lambda: sorted(states(manager, "a").values()) == [
            "AVAILABLE", "AVAILABLE", "LOADING", "START"], "one loads and one waits")
        assert list(states(manager, "a")) == [10, 3, 2, 1]
        loader.open("a/3")
        loader.open("a/10")
        wait_for(lambda: set(states(manager, "a").values()) == {"AVAILABLE"}, "all are loaded")
        assert used(manager, "a") == 10


def test_row_61_the_old_version_goes_when_the_new_one_has_loaded(folder) -> None:
    loader = FakeLoader()
    with running(make_config(folder, "a"), loader) as manager:
        loader.closed = {"a/3"}
        make_version(folder / "a", 3)
        wait_for(lambda: states(manager, "a") == {3: "LOADING", 2: "AVAILABLE"}, "3 loads")
        with manager.borrow(spec("a")) as held:
            loader.open("a/3")
            wait_for(lambda: states(manager, "a") == {3: "AVAILABLE", 2: "UNLOADING"},
                     "2 is left to its borrower")
            assert used(manager, "a") == 3
            with pytest.raises(NotFound):
                used(manager, "a", version=2)
            assert held.version == 2 and not held.is_closed
        assert held.is_closed
        assert states(manager, "a") == {3: "AVAILABLE", 2: "END"}
        assert manager.status("a", 2)[0].error is None


def test_row_61_of_two_versions_one_stays_while_the_third_loads(folder) -> None:
    loader = FakeLoader()
    config = make_config(
        folder, {"name": "a", "model_version_policy": {"latest": {"num_versions": 2}}})
    with running(config, loader) as manager:
        loader.closed = {"a/3"}
        make_version(folder / "a", 3)
        # As in TensorFlow Serving: version 2 is wanted and serves, so 1 need not wait for 3.
        wait_for(lambda: states(manager, "a") == {3: "LOADING", 2: "AVAILABLE", 1: "END"},
                 "1 is unloaded first")
        loader.open("a/3")
        wait_for(lambda: states(manager, "a")[3] == "AVAILABLE", "3 is loaded")
        assert states(manager, "a")[2] == "AVAILABLE"


def test_row_62_a_broken_version_is_tried_loading_and_then_ends(folder) -> None:
    loader = FakeLoader()
    with running(make_config(folder, "a"), loader, max_num_load_retries=5,
                 load_retry_interval_micros=20_000) as manager:
        loader.closed = {"a/3"}
        make_version(folder / "a", 3, is_broken=True)
        wait_for(lambda: states(manager, "a").get(3) == "LOADING", "3 is tried")
        loader.open("a/3")
        wait_for(lambda: loader.tries.count("a/3") > 2, "3 is tried again")
        status, = manager.status("a", 3)
        assert (status.state, status.error) == ("LOADING", None)
        wait_for(lambda: states(manager, "a") == {3: "END", 2: "AVAILABLE"}, "3 is given up")
        assert loader.tries.count("a/3") == 6
        error = manager.status("a", 3)[0].error
        assert isinstance(error, NotFound) and str(error) == "a/3 is broken"
        assert used(manager, "a") == 2


def test_row_62_deleting_a_broken_version_neither_clears_nor_tries_it(folder) -> None:
    loader = FakeLoader()
    with running(make_config(folder, "a"), loader) as manager:
        make_version(folder / "a", 3, is_broken=True)
        wait_for(lambda: states(manager, "a").get(3) == "END", "3 is given up")
        shutil.rmtree(folder / "a" / "3")
        look = manager._watch.num_looks + 2
        wait_for(lambda: manager._watch.num_looks >= look, "the folder is seen")
        # Nor does a good folder of the same number, while the old version serves.
        make_version(folder / "a", 3)
        look = manager._watch.num_looks + 2
        wait_for(lambda: manager._watch.num_looks >= look, "the folder is seen")
        assert loader.tries == ["a/2", "a/3"]
        assert states(manager, "a") == {3: "END", 2: "AVAILABLE"}
        assert str(manager.status("a", 3)[0].error) == "a/3 is broken"
        make_version(folder / "a", 4)
        wait_for(lambda: states(manager, "a") == {4: "AVAILABLE", 3: "END", 2: "END"},
                 "a newer one takes over")


@pytest.mark.parametrize("num_load_threads", [0, 2])
def test_row_63_without_load_threads_a_retry_holds_up_other_models(
        folder, num_load_threads: int) -> None:
    loader = FakeLoader()
    with running(make_config(folder, "a", "b"), loader, num_load_threads=num_load_threads,
                 max_num_load_retries=1000) as manager:
        make_version(folder / "a", 3, is_broken=True)
        wait_for(lambda: loader.tries.count("a/3") > 1, "a is tried again")
        make_version(folder / "b", 2)
        if num_load_threads:
            wait_for(lambda: states(manager, "b") == {2: "AVAILABLE", 1: "END"}, "b is replaced")
            assert states(manager, "a")[3] == "LOADING"
        else:
            seen = loader.tries.count("a/3")
            wait_for(lambda: loader.tries.count("a/3") > seen + 20, "a is tried on and on")
            assert states(manager, "b") == {1: "AVAILABLE"}
            (folder / "a" / "3" / "broken").unlink()
            wait_for(lambda: states(manager, "b") == {2: "AVAILABLE", 1: "END"}, "b is replaced")
            assert used(manager, "a") == 3


def test_with_load_threads_a_deleted_version_is_tried_no_more(folder) -> None:
    with running(make_config(folder, "a"), num_load_threads=1, max_num_load_retries=1000,
                 load_retry_interval_micros=600_000_000) as manager:
        make_version(folder / "a", 3, is_broken=True)
        wait_for(lambda: states(manager, "a").get(3) == "LOADING", "3 is tried")
        make_version(folder / "a", 4)
        wait_for(lambda: states(manager, "a") == {4: "AVAILABLE", 3: "END", 2: "END"},
                 "4 follows at once")
        assert str(manager.status("a", 3)[0].error) == "a/3 is broken"


def test_row_64_a_base_path_that_goes_changes_nothing(folder, caplog) -> None:
    with running(make_config(folder, "a", "b")) as manager:
        (folder / "a").rename(folder / "elsewhere")
        wait_for(lambda: f"base_path of model a must be a folder, got {folder}/a" in caplog.text,
                 "it is told")
        make_version(folder / "b", 2)
        look = manager._watch.num_looks + 2
        wait_for(lambda: manager._watch.num_looks >= look, "the folders are seen")
        assert used(manager, "a") == 2
        # As in TensorFlow Serving, the other models stay as they are too.
        assert states(manager, "b") == {1: "AVAILABLE"}
        (folder / "elsewhere").rename(folder / "a")
        wait_for(lambda: states(manager, "b") == {2: "AVAILABLE", 1: "END"}, "b goes on")


def test_row_64_without_version_folders_all_are_unloaded(folder) -> None:
    loader = FakeLoader()
    config = make_config(folder, {"name": "a", "model_version_policy": {"all": {}}})
    with running(config, loader) as manager:
        for number in (1, 2):
            (folder / "a" / str(number)).rmdir()
        wait_for(lambda: states(manager, "a") == {2: "END", 1: "END"}, "all are unloaded")
        with pytest.raises(NotFound, match=r"Latest\(a\)$"):
            used(manager, "a")
        make_version(folder / "a", 1)
        wait_for(lambda: states(manager, "a") == {2: "END", 1: "AVAILABLE"}, "1 is served again")
        assert loader.tries.count("a/1") == 2


def test_a_version_that_is_wanted_again_is_unloaded_first(folder) -> None:
    loader = FakeLoader()
    with running(make_config(folder, "a"), loader) as manager:
        with manager.borrow(spec("a")):
            (folder / "a" / "2").rename(folder / "2")
            wait_for(lambda: states(manager, "a") == {2: "UNLOADING", 1: "AVAILABLE"},
                     "1 takes over")
            (folder / "2").rename(folder / "a" / "2")
            look = manager._watch.num_looks + 2
            wait_for(lambda: manager._watch.num_looks >= look, "2 is seen")
            assert states(manager, "a") == {2: "UNLOADING", 1: "AVAILABLE"}
        wait_for(lambda: states(manager, "a") == {2: "AVAILABLE", 1: "END"}, "2 is served again")
        assert loader.tries == ["a/2", "a/1", "a/2"]


def test_row_65_the_start_waits_for_every_model(folder, caplog) -> None:
    loader = FakeLoader()
    with running(make_config(folder, "a", "later"), loader, is_waited_for=False) as manager:
        wait_for(lambda: caplog.text.count("base_path of model later must be a folder") > 1,
                 "it is told at each look")
        # One missing folder holds up all.
        assert loader.tries == []
        make_version(folder / "later", 1)
        wait_for(lambda: states(manager, "later") == {1: "AVAILABLE"}, "later is loaded")
        # They load beside each other, and either may be first.
        wait_for(lambda: states(manager, "a").get(2) == "AVAILABLE", "a is loaded")
        assert used(manager, "a") == 2


def test_row_65_at_the_start_models_load_beside_each_other(folder) -> None:
    loader = FakeLoader()
    loader.closed = {"a/2", "b/1"}
    with running(make_config(folder, "a", "b"), loader, is_waited_for=False) as manager:
        wait_for(lambda: sorted(loader.tries) == ["a/2", "b/1"], "both load")
        assert states(manager, "a") == {2: "LOADING"}
        loader.open("a/2")
        loader.open("b/1")


def test_row_65_broken_models_end_the_start(folder) -> None:
    make_version(folder / "a", 3, is_broken=True)
    make_version(folder / "c", 1, is_broken=True)
    with pytest.raises(ServingError) as caught:
        with running(make_config(folder, "c", "b", "a")):
            pass
    assert caught.value.code == "UNKNOWN"
    assert str(caught.value) == (
        "2 servable(s) did not become available: {"
        "{{name: a version: 3} due to error: NOT_FOUND: a/3 is broken}, "
        "{{name: c version: 1} due to error: NOT_FOUND: c/1 is broken}, }")


def test_a_loader_that_breaks_ends_the_version_only(folder) -> None:
    loads = FakeLoader()

    def load(path: pathlib.Path, number: int):
        if number == 3:
            raise MemoryError("no more")
        return loads(path, number)

    with running(make_config(folder, "a"), load) as manager:
        make_version(folder / "a", 3)
        wait_for(lambda: states(manager, "a").get(3) == "END", "3 is given up")
        error = manager.status("a", 3)[0].error
        assert (error.code, str(error)) == ("INTERNAL", "MemoryError('no more')")
        assert used(manager, "a") == 2


def test_stopping_ends_the_tries_and_closes_what_is_unused(folder) -> None:
    with running(make_config(folder, "a"), load_retry_interval_micros=600_000_000,
                 max_num_load_retries=1) as manager:
        make_version(folder / "a", 3, is_broken=True)
        wait_for(lambda: states(manager, "a").get(3) == "LOADING", "3 is tried")
        with manager.borrow(spec("a")) as held:
            manager.stop()
            assert not held.is_closed
            with pytest.raises(NotFound):
                used(manager, "a")
        assert held.is_closed


def test_a_borrowed_model_stays_open_until_its_last_user_is_done(tiny_model) -> None:
    servable = Servable(tiny_model / "1", 1)
    closed = threading.Event()
    assert servable.hold() and servable.hold()
    servable.retire(closed.set)
    assert not servable.hold()
    servable.release()
    output = servable.signatures["start"].outputs["state"].name
    session = servable.signatures["start"].inputs["session"].name
    answer, = servable.run([(session, np.zeros(1, np.int32))], [output])
    assert answer.tolist() == [[0.5, 0.25, -0.5]]
    assert not closed.is_set()
    servable.release()
    assert closed.is_set()
    servable.retire(pytest.fail)  # once is enough
