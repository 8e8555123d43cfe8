"""The table of models that the threads of a server share: who is configured, and who may be used.

One lock, `changed`, guards it. Requests do without: what they read is replaced, never changed.
"""

import threading
from collections.abc import Iterable, Iterator

from tensorflow_serving.config import model_server_config_pb2

from rnnpt.serving._model import Model, Version
from rnnpt.serving._model_config import ModelSettings, model_settings
from rnnpt.serving._servable import Servable
from rnnpt.serving.error import FailedPrecondition, ServingError


class ModelTable:
    """The models of a server by name, those that are no longer configured too.

    Args:
        may_label_unavailable: Whether a new label may name a version that is not loaded.
    """

    def __init__(self, may_label_unavailable: bool):
        #: Told when anything here changes. Reentrant: a signal handler may come upon its own
        #: thread in a wait.
        self.changed = threading.Condition(threading.RLock())
        self.is_stopping = False
        #: Whether the list has changed since somebody looked at the folders.
        self.is_look_due = False
        #: Name and version, or None for the newest -> what answers such a request.
        self.served: dict[tuple[str, int | None], Servable] = {}
        #: Name -> label -> version.
        self.labels: dict[str, dict[str, int]] = {}
        self.models: dict[str, Model] = {}
        self._has_config = False
        self._may_label_unavailable = may_label_unavailable

    def take_config(self, config: model_server_config_pb2.ModelServerConfig) -> list[Model]:
        """Replaces the list of models.

        Args:
            config: The new list.

        Returns:
            The models that were not in the old one.

        Raises:
            ServingError: If it is refused; the old list stays.
        """
        with self.changed:
            kind = config.WhichOneof("config")
            if self._has_config and kind != "model_config_list":
                raise FailedPrecondition(
                    "Cannot transition to requested config. It is only legal to transition from "
                    "one ModelConfigList to another.")
            if kind is None:
                return []
            known = [name for name, model in self.models.items() if model.settings is not None]
            return self.take_settings(model_settings(config, known))

    def take_settings(self, settings: list[ModelSettings]) -> list[Model]:
        """Replaces the list of models by one that was checked but for its labels.

        Args:
            settings: The new list.

        Returns:
            The models that were not in the old one.

        Raises:
            FailedPrecondition: If a label may not go where it is sent; the old list stays.
        """
        with self.changed:
            self.labels = self._new_labels(settings)
            wanted = {one.name: one for one in settings}
            for name, model in self.models.items():
                if name not in wanted:
                    model.drop()
            added = []
            for name, one in wanted.items():
                model = self.models.setdefault(name, Model(name))
                if model.settings is None:
                    added.append(model)
                model.settings = one
            self._has_config = self.is_look_due = True
            self.changed.notify_all()
            return added

    def _new_labels(self, settings: Iterable[ModelSettings]) -> dict[str, dict[str, int]]:
        labels: dict[str, dict[str, int]] = {}
        for one in settings:
            model = self.models.get(one.name)
            for label, number in one.labels.items():
                is_moved = self.labels.get(one.name, {}).get(label, number) != number
                may_wait = self._may_label_unavailable and not is_moved
                if not may_wait and not (model and model.is_available(number)):
                    raise FailedPrecondition(
                        f"Request to assign label to version {number} of model {one.name}, which "
                        "is not currently available for inference")
                labels.setdefault(one.name, {})[label] = number
        return labels

    def configured(self) -> Iterator[tuple[Model, ModelSettings]]:
        """Goes through the models that are served now; the caller holds the lock.

        Yields:
            Each with its settings.
        """
        for model in self.models.values():
            if model.settings is not None:
                yield model, model.settings

    def next_turn(self) -> tuple[Model, Version] | None:
        """Tells what to do next; the caller holds the lock.

        Returns:
            A model with a version to unload if it is AVAILABLE, else to load; None for nothing.
        """
        turns = [(model, version) for model in self.models.values()
                 if (version := model.next_version()) is not None]
        # Unloading comes first; among equals min takes the first of the list.
        return min(turns, key=lambda turn: turn[1].is_new, default=None)

    def publish(self) -> None:
        """Lets requests see what is AVAILABLE now; the caller holds the lock."""
        served: dict[tuple[str, int | None], Servable] = {}
        for name, model in self.models.items():
            versions = model.served()
            served.update({(name, number): servable for number, servable in versions.items()})
            if versions:
                served[name, None] = versions[max(versions)]
        self.served = served
        self.changed.notify_all()

    def stop(self) -> None:
        """Ends every wait for a change."""
        with self.changed:
            self.is_stopping = True
            self.changed.notify_all()


def check_available(models: Iterable[Model], what: str) -> None:
    """Tells of models that were waited for and have been given up; the caller holds the lock.

    Args:
        models: The models.
        what: What the sentence calls them.

    Raises:
        ServingError: If there is one, in TensorFlow Serving's words.
    """
    failed = {model.name: version for model in models
              if (version := model.decided()) is not None and version.error is not None}
    if failed:
        told = "".join(
            f"{{{{name: {name} version: {version.number}}} due to error: "
            f"{version.error.code}: {version.error}}}, "
            for name, version in sorted(failed.items()) if version.error is not None)
        raise ServingError(f"{len(failed)} {what}(s) did not become available: {{{told}}}")
