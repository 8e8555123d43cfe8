"""Which models a server serves: TensorFlow Serving's `ModelServerConfig`, read and checked.

The checks, their order and their words are TensorFlow Serving's.
"""

import dataclasses
import logging
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tensorflow_serving.config import file_system_storage_path_source_pb2 as storage_pb2
from tensorflow_serving.config import model_server_config_pb2

from rnnpt.serving._text_message import read_text_message
from rnnpt.serving.error import InvalidArgument, Unimplemented

_LOGGER = logging.getLogger("rnnpt.serving")
_PLATFORM = "tensorflow"
_URI = re.compile("[A-Za-z][A-Za-z0-9.]*://")
_FILE_URI = "file:///"

VersionPolicy = storage_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """What the operator says of one model.

    Args:
        name: The name in requests; never a part of a path.
        base_path: The folder of version folders, absolute.
        policy: Which of them are served; the newest if it says nothing.
        labels: Label -> version.
    """

    name: str
    base_path: Path
    policy: Any = dataclasses.field(default_factory=VersionPolicy)
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def choose(self, folders: Mapping[int, Path]) -> dict[int, Path]:
        """Picks the versions to serve; tells one that is asked for and missing.

        Args:
            folders: Those that are there.

        Returns:
            Those to serve.
        """
        choice = self.policy.WhichOneof("policy_choice")
        if choice == "all":
            return dict(folders)
        if choice == "specific":
            wanted = set(self.policy.specific.versions)
            for number in sorted(wanted - set(folders)):
                _LOGGER.warning("version %d of model %s, which its policy asks for, must be in %s; "
                                "waiting for it", number, self.name, self.base_path)
        else:
            count = max(self.policy.latest.num_versions, 1)
            wanted = set(sorted(folders, reverse=True)[:count])
        return {number: folder for number, folder in folders.items() if number in wanted}


def single_model(name: str, base_path: str | os.PathLike) -> ModelSettings:
    """Makes the settings of a server of one model.

    Args:
        name: The name in requests.
        base_path: The folder of version folders.

    Returns:
        The settings; the newest version is served.
    """
    return ModelSettings(name, Path(os.path.abspath(base_path)))


def read_config(file: str | os.PathLike) -> model_server_config_pb2.ModelServerConfig:
    """Reads a text file of a `ModelServerConfig`.

    Args:
        file: The file.

    Returns:
        The message, not checked yet.
    """
    return read_text_message(file, model_server_config_pb2.ModelServerConfig())


def model_settings(
    config: model_server_config_pb2.ModelServerConfig, known: Collection[str] = ()
) -> list[ModelSettings]:
    """Checks the models of a config.

    Args:
        config: The config, with a `model_config_list`.
        known: Names of the models of the config before it.

    Returns:
        Their settings.

    Raises:
        InvalidArgument: If a name stands twice, a base path is not absolute, or a platform is
            another than "tensorflow".
        Unimplemented: If the config is no list of models.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise Unimplemented("ModelServer does not yet support custom model config.")
    models = config.model_config_list.config
    names: set[str] = set()
    for model in models:
        if model.name in names:
            raise InvalidArgument(f"Illegal to list model {model.name} multiple times in config "
                                  "list")
        names.add(model.name)
    base_paths = [_base_path(model) for model in models]
    for model in models:
        _check_platform(model, known)
    return [ModelSettings(model.name, base_path, model.model_version_policy,
                          dict(model.version_labels))
            for model, base_path in zip(models, base_paths, strict=True)]


def _base_path(model: model_server_config_pb2.ModelConfig) -> Path:
    text = model.base_path
    if text.startswith(_FILE_URI):
        text = text[len(_FILE_URI) - 1:]
    if _URI.match(text):
        raise InvalidArgument(f"base_path of model {model.name} must be a folder of this machine, "
                              f"got {text}; copy or mount it")
    if not text.startswith("/"):
        raise InvalidArgument(f"Expected model {model.name} to have an absolute path or URI; got "
                              f"base_path()={text}")
    return Path(text)


def _check_platform(model: model_server_config_pb2.ModelConfig, known: Collection[str]) -> None:
    platform = model.model_platform
    if model.model_type:
        if platform:
            raise InvalidArgument("Illegal setting both ModelServerConfig::model_type (deprecated) "
                                  "and ModelServerConfig::model_platform.")
        if model.model_type != model_server_config_pb2.TENSORFLOW:
            raise InvalidArgument(
                f"ModelServerConfig::model_type choice {model.model_type} not supported.")
        platform = _PLATFORM
    if not platform:
        raise InvalidArgument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {model.name}")
    if platform == _PLATFORM:
        return
    if model.name in known:
        raise InvalidArgument(
            f"Illegal to change a model's platform. For model {model.name} platform was "
            f"{_PLATFORM} and new platform requested is {platform}")
    raise InvalidArgument(f"Model {model.name} requests unsupported platform {platform}")
