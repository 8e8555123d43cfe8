"""The models of a server, as requests and operators meet them."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from rnnpt.serving._folder_watch import FolderWatch
from rnnpt.serving._metrics import Metrics
from rnnpt.serving._model import Model, Version, not_found
from rnnpt.serving._model_config import ModelSettings, read_config
from rnnpt.serving._model_table import ModelTable, check_available
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._servable import Servable
from rnnpt.serving._version_loader import VersionLoader
from rnnpt.serving.error import Aborted, InvalidArgument, NotFound, ServingError, Unavailable

_LOGGER = logging.getLogger("rnnpt.serving")


class ModelManager:
    """The models of a server.

    Args:
        options: How often to look, to try, and to read the list of models again.
        load: Folder and number of a version -> a model that is ready.
    """

    def __init__(self, options: ServerOptions, load: Callable[[Path, int], Servable]):
        self._options = options
        self._table = ModelTable(options.allow_version_labels_for_unavailable_models)
        self._loader = VersionLoader(load, options, self._table)
        self._watch = FolderWatch(
            self._table, self._loader, options.file_system_poll_wait_seconds)
        self._threads: list[threading.Thread] = []
        self._reloading = threading.Lock()
        self._num_reloads_waiting = 0
        self.metrics = Metrics()

    def wait_for_startup(self, settings: list[ModelSettings] | None) -> bool:
        """Loads the models for the first time; may wait for their folders for ever.

        Args:
            settings: The models; None for a config that names none and leaves all open.

        Returns:
            True when all are loaded, False if `interrupt` was called meanwhile.

        Raises:
            ServingError: If a label is refused or a model does not load.
        """
        models = [] if settings is None else self._table.take_settings(settings)
        self._start_thread(self._watch.run, "rnnpt-model-versions")
        with self._table.changed:
            self._table.changed.wait_for(lambda: self._table.is_stopping or (
                all(model.decided() for model in models)
                and not any(model.is_loading for model in models)))
            if self._table.is_stopping:
                return False
            check_available(models, "servable")
            self._loader.end_startup()
        if self._options.model_config_file and self._options.model_config_file_poll_wait_seconds:
            self._start_thread(self._watch_config, "rnnpt-model-config")
        return True

    def _start_thread(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def reload(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Replaces the whole list of models, and waits until the new ones are loaded.

        Reloads run one after the other; one that waits for a folder that is not there gives way
        to the next, which may be the correction.

        Args:
            config: The new list.

        Raises:
            ServingError: If the list is refused, and the old one stays; or if a new model does
                not load, and the new list stays.
        """
        with self._in_turn():
            models = self._table.take_config(config)
            with self._table.changed:
                num_looks = self._watch.num_looks + 2
                self._table.changed.wait_for(lambda: (
                    self._table.is_stopping or all(model.decided() for model in models)
                    or self._is_overtaken(models, num_looks)))
                if self._table.is_stopping:
                    raise Unavailable(
                        "the server must run to reload, got a stop; ask again when it runs")
                check_available(models, "model")
                if not all(model.decided() for model in models):
                    names = ", ".join(model.name for model in models if model.is_empty)
                    raise Aborted(f"base_path of model {names} must hold a version folder, got "
                                  "none when the next reload came; make one and reload again")

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        with self._table.changed:
            self._num_reloads_waiting += 1
            self._table.changed.notify_all()
        with self._reloading:
            with self._table.changed:
                self._num_reloads_waiting -= 1
            yield

    def _is_overtaken(self, models: Iterable[Model], num_looks: int) -> bool:
        return (self._num_reloads_waiting > 0 and self._watch.num_looks >= num_looks
                and any(model.is_empty for model in models))

    def _watch_config(self) -> None:
        file = str(self._options.model_config_file)
        while not self.wait_for_interrupt(self._options.model_config_file_poll_wait_seconds):
            try:
                config = read_config(file)
                # Nobody waits for the answer, so this does not wait for the models either.
                with self._in_turn():
                    self._table.take_config(config)
            except ServingError as error:
                _LOGGER.error("model_config_file must be one that can be served, got %s (%s: %s); "
                              "the models stay as they are", file, error.code, error)

    def wait_for_interrupt(self, timeout_s: float | None = None) -> bool:
        """Waits until `interrupt` is called.

        Args:
            timeout_s: How long at most, in seconds; None for ever.

        Returns:
            Whether it was called.
        """
        with self._table.changed:
            return self._table.changed.wait_for(lambda: self._table.is_stopping, timeout_s)

    def interrupt(self) -> None:
        """Ends the watch, and every wait; a signal handler may call it."""
        self._table.stop()

    def stop(self) -> None:
        """Ends the watch and drops the models; calls under way end first."""
        self.interrupt()
        for thread in self._threads:
            thread.join()
        self._loader.stop()
        with self._table.changed:
            served, self._table.served = self._table.served, {}
        for (_, number), servable in served.items():
            if number is not None:  # the newest stands there twice
                servable.retire()

    @contextlib.contextmanager
    def borrow(self, model_spec: Any) -> Iterator[Servable]:
        """Holds the model that a request names, for the length of a `with` statement.

        Args:
            model_spec: The official `ModelSpec`: a name, and a version or a label or neither.

        Yields:
            The model.

        Raises:
            InvalidArgument: If the name is empty or the label unknown.
            NotFound: If that model, or that version of it, is not loaded.
        """
        name = model_spec.name
        if not name:
            raise InvalidArgument("ModelSpec has no name specified.")
        choice = model_spec.WhichOneof("version_choice")
        number = None
        if choice == "version":
            number = model_spec.version.value
        elif choice == "version_label":
            number = self._table.labels.get(name, {}).get(model_spec.version_label)
            if number is None:
                raise InvalidArgument(
                    f"Unrecognized servable version label: {model_spec.version_label}")
        while True:
            servable = self._table.served.get((name, number))
            if servable is None:
                raise not_found(name, number)
            # One that is retired meanwhile left the table before that, so this ends.
            if servable.hold():
                break
        try:
            yield servable
        finally:
            servable.release()

    def names(self) -> list[str]:
        """Lists the models.

        Returns:
            Their names, sorted.
        """
        with self._table.changed:
            return sorted(self._table.models)

    def status(self, name: str, number: int | None) -> list[Version]:
        """Lists the versions of a model, those that have ended too.

        Args:
            name: The model.
            number: One version, None for all.

        Returns:
            The versions, newest first.

        Raises:
            NotFound: If there is none.
        """
        with self._table.changed:
            model = self._table.models.get(name)
            versions = [] if model is None else model.status()
        if number is not None:
            versions = [version for version in versions if version.number == number]
            if not versions:
                raise NotFound(f"Could not find version {number} of model {name}")
        if not versions:
            raise NotFound(f"Could not find any versions of model {name}")
        return versions
