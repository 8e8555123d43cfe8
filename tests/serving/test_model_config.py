"""The file that names the models: what it may say, and the version folders that it picks."""

import logging
import os
import pathlib

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from rnnpt.serving._model_config import (
    ModelSettings,
    VersionPolicy,
    model_settings,
    read_config,
    single_model,
)
from rnnpt.serving._version_folder import version_folders
from rnnpt.serving.error import InvalidArgument, NotFound, PermissionDenied

MODEL = "config { name: 'a' base_path: '/m/a' model_platform: 'tensorflow' %s }"


def parse(models: str) -> model_server_config_pb2.ModelServerConfig:
    return text_format.Parse(
        f"model_config_list {{ {models} }}", model_server_config_pb2.ModelServerConfig())


def test_row_66_a_config_becomes_settings() -> None:
    config = parse(MODEL % "" + """ config {
        name: "../b" base_path: "file:///m/b/../c" model_type: TENSORFLOW
        model_version_policy { specific { versions: 3 versions: 5 } }
        version_labels { key: "stable" value: 3 } version_labels { key: "canary" value: 5 }
        logging_config { sampling_config { sampling_rate: 0.1 } } }""")
    a, b = model_settings(config)
    assert (a.name, a.base_path, dict(a.labels)) == ("a", pathlib.Path("/m/a"), {})
    assert (b.name, str(b.base_path)) == ("../b", "/m/b/../c")
    assert dict(b.labels) == {"stable": 3, "canary": 5}
    assert list(b.policy.specific.versions) == [3, 5]


@pytest.mark.parametrize(("models", "message"), [
    # row 67
    ("config { name: 'a' base_path: 'rel/fa' model_platform: 'tensorflow' }",
     "Expected model a to have an absolute path or URI; got base_path()=rel/fa"),
    ("config { name: 'a' model_platform: 'tensorflow' }",
     "Expected model a to have an absolute path or URI; got base_path()="),
    (MODEL % "" + MODEL % "", "Illegal to list model a multiple times in config list"),
    ("config { name: 'a' base_path: '/m' }",
     "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
     "ModelServerConfig::model_platform, model name is a"),
    ("config { name: 'a' base_path: '/m' model_platform: 'keras' }",
     "Model a requests unsupported platform keras"),
    # The rest stands in TensorFlow Serving's source only.
    (MODEL % "model_type: TENSORFLOW",
     "Illegal setting both ModelServerConfig::model_type (deprecated) and "
     "ModelServerConfig::model_platform."),
    ("config { name: 'a' base_path: '/m' model_type: OTHER }",
     "ModelServerConfig::model_type choice 2 not supported."),
    # The house's own: no other file system is at hand.
    ("config { name: 'a' base_path: 'gs://bucket/a' model_platform: 'tensorflow' }",
     "base_path of model a must be a folder of this machine, got gs://bucket/a; copy or mount it"),
    ("config { name: 'a' base_path: 'file://host/a' model_platform: 'tensorflow' }",
     "base_path of model a must be a folder of this machine, got file://host/a; copy or mount it"),
])
def test_row_67_a_config_is_refused_in_the_words_of_tensorflow_serving(models, message) -> None:
    with pytest.raises(InvalidArgument) as caught:
        model_settings(parse(models))
    assert str(caught.value) == message


def test_a_model_keeps_its_platform() -> None:
    config = parse("config { name: 'a' base_path: '/m' model_platform: 'keras' }")
    with pytest.raises(InvalidArgument) as caught:
        model_settings(config, known={"a"})
    assert str(caught.value) == (
        "Illegal to change a model's platform. For model a platform was tensorflow and new "
        "platform requested is keras")


@pytest.mark.parametrize("text", [
    b"model_config_list { config {", b"models {}", b"\xff\xfe",
    b"model_config_list {} model_config_list {}",  # row 66: exactly once
])
def test_row_67_a_file_of_something_else_is_refused(tmp_path, text: bytes) -> None:
    file = tmp_path / "models.config"
    file.write_bytes(text)
    with pytest.raises(InvalidArgument) as caught:
        read_config(file)
    assert str(caught.value) == f"Invalid protobuf file: '{file}'"


def test_a_file_that_cannot_be_read_is_told(tmp_path, monkeypatch) -> None:
    with pytest.raises(NotFound, match=f"^{tmp_path}/none; No such file or directory$"):
        read_config(tmp_path / "none")
    with pytest.raises(NotFound, match=f"^{tmp_path}; Is a directory$"):
        read_config(tmp_path)

    def refuse(path: pathlib.Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    # The tests may run as a user who may read everything.
    monkeypatch.setattr(pathlib.Path, "read_bytes", refuse)
    with pytest.raises(PermissionDenied, match=f"^{tmp_path}/x; Permission denied$"):
        read_config(tmp_path / "x")


@pytest.mark.parametrize(("policy", "expected"), [
    # row 60
    ("", {7}),
    ("latest {}", {7}),
    ("latest { num_versions: 1 }", {7}),
    ("latest { num_versions: 2 }", {7, 5}),
    ("latest { num_versions: 9 }", {1, 2, 5, 7}),
    ("all {}", {1, 2, 5, 7}),
    ("specific { versions: 2 versions: 1 }", {1, 2}),
    ("specific { versions: 3 }", set()),
    ("specific {}", set()),
])
def test_row_60_a_policy_picks_versions(policy: str, expected: set[int]) -> None:
    settings = ModelSettings("a", pathlib.Path("/m"),
                             text_format.Parse(policy, VersionPolicy()), {})
    folders = {number: pathlib.Path(f"/m/{number}") for number in (1, 5, 7, 2)}
    assert settings.choose(folders) == {number: folders[number] for number in expected}


def test_row_60_a_missing_specific_version_is_only_warned_of(caplog) -> None:
    settings = ModelSettings("a", pathlib.Path("/m"),
                             VersionPolicy(specific={"versions": [1, 4]}), {})
    with caplog.at_level(logging.WARNING):
        assert set(settings.choose({1: pathlib.Path("/m/1")})) == {1}
    assert "version 4 of model a, which its policy asks for, must be in /m" in caplog.text
    assert "version 1" not in caplog.text


def test_row_59_what_parses_as_an_integer_is_a_version(tmp_path, caplog) -> None:
    names = ["00000005", "v6", ".tmp", "7", "-2", " 3", "4_0", "1.5", "+8", "٣", str(2**63),
             str(2**63 - 1)]
    for name in names:
        (tmp_path / name).mkdir()
    found = version_folders(tmp_path)
    assert found is not None
    assert {number: path.name for number, path in found.items()} == {
        5: "00000005", 7: "7", -2: "-2", 3: " 3", 2**63 - 1: str(2**63 - 1)}
    (tmp_path / "5").mkdir()
    assert version_folders(tmp_path)[5].name == "5"
    assert f"00000005 and {tmp_path}/5 are the same version" in caplog.text


@pytest.mark.parametrize("name", ["none", "nul\0", "x" * 300, "file"])
def test_no_folder_is_told_from_an_empty_one(tmp_path, name: str) -> None:
    (tmp_path / "file").touch()
    assert version_folders(tmp_path / name) is None
    assert version_folders(tmp_path) == {}


def test_a_single_model_serves_the_newest_version_of_an_absolute_path(tmp_path) -> None:
    settings = single_model("a", os.path.relpath(tmp_path))
    assert settings.base_path == tmp_path
    assert set(settings.choose({1: tmp_path, 2: tmp_path})) == {2}
