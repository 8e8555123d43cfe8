"""Which folder is which version."""

import pathlib

import pytest

from rnnpt.export import _folder, next_version


@pytest.mark.parametrize(("names", "expected"), [
    ((), "1"),
    (("1", "2", "10"), "11"),
    (("00000005", "v6", ".7", "8.tmp", "-9", "٣"), "6"),
    ((str(2**63), "4"), "5"),
])
def test_next_version_is_one_more_than_the_server_sees(
    tmp_path: pathlib.Path, names: tuple[str, ...], expected: str
) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == tmp_path / expected


def test_newest_version_is_the_last_that_was_finished(tmp_path: pathlib.Path) -> None:
    for name in ("2", "10", "11"):
        (tmp_path / name).mkdir()
    for name in ("2", "10"):
        (tmp_path / name / "saved_model.pb").touch()
    assert _folder.newest_version(tmp_path) == tmp_path / "10"
    assert _folder.newest_version(tmp_path / "2") == tmp_path / "2"


def test_folder_without_a_saved_model_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(
            FileNotFoundError, match="directory must hold saved_model.pb, .* got '.*models'"):
        _folder.newest_version(tmp_path / "models")


def test_version_appears_whole_with_the_rights_of_its_parent(tmp_path: pathlib.Path) -> None:
    base = tmp_path / "models" / "chorales"
    with _folder.written_beside(base / "1") as beside:
        beside.mkdir()
        (beside / "file").write_text("whole")
        assert not (base / "1").exists()
    assert [path.name for path in base.iterdir()] == ["1"]
    assert (base / "1" / "file").read_text() == "whole"
    assert (base / "1").stat().st_mode == base.stat().st_mode


def test_version_that_another_export_took_meanwhile_stays(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="directory must be a version that is not there"):
        with _folder.written_beside(tmp_path / "1") as beside:
            beside.mkdir()
            (tmp_path / "1").mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
