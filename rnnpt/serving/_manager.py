"""The models of a server, and the thread that watches their folders."""

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from rnnpt.serving._metrics import Metrics
from rnnpt.serving._model import Model, Version, not_found
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._servable import Servable
from rnnpt.serving.error import InvalidArgument, NotFound


class ModelManager:
    """The models of a server.

    Args:
        models: The models, of different names.
        options: How often to look.
    """

    def __init__(self, models: Iterable[Model], options: ServerOptions):
        self._models = {model.name: model for model in models}
        self._options = options
        self.metrics = Metrics()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def wait_for_startup(self) -> bool:
        """Loads the models for the first time; may wait for their folders for ever.

        Returns:
            True when all are loaded, False if `stop` was called meanwhile.

        Raises:
            Unavailable: If a model does not load.
        """
        while not self._stopping.is_set():
            self._refresh()
            if all([model.startup() for model in self._models.values()]):
                self._thread = threading.Thread(
                    target=self._watch, name="rnnpt-model-versions", daemon=True)
                self._thread.start()
                return True
            self._stopping.wait(self._options.file_system_poll_wait_seconds)
        return False

    def _watch(self) -> None:
        while not self._stopping.wait(self._options.file_system_poll_wait_seconds):
            self._refresh()

    def _refresh(self) -> None:
        for model in self._models.values():
            model.refresh()

    def interrupt(self) -> None:
        """Ends the watch, and the wait of `wait_for_startup`; a signal handler may call it."""
        self._stopping.set()

    def stop(self) -> None:
        """Ends the watch and drops the models; calls under way end first."""
        self.interrupt()
        if self._thread is not None:
            self._thread.join()
        for model in self._models.values():
            model.close()

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
        if not model_spec.name:
            raise InvalidArgument("ModelSpec has no name specified.")
        choice = model_spec.WhichOneof("version_choice")
        if choice == "version_label":
            raise InvalidArgument(
                f"Unrecognized servable version label: {model_spec.version_label}")
        number = model_spec.version.value if choice == "version" else None
        model = self._models.get(model_spec.name)
        if model is None:
            raise not_found(model_spec.name, number)
        servable = model.hold(number)
        try:
            yield servable
        finally:
            servable.release()

    def status(self, name: str, number: int | None) -> list[Version]:
        """Lists the versions of a model.

        Args:
            name: The model.
            number: One version, None for all.

        Returns:
            The versions, newest first.

        Raises:
            NotFound: If there is none.
        """
        versions = self._models[name].status() if name in self._models else []
        if not versions:
            raise NotFound(f"Could not find any versions of model {name}")
        chosen = [version for version in versions if number in (None, version.number)]
        if not chosen:
            raise NotFound(f"Could not find version {number} of model {name}")
        return chosen
