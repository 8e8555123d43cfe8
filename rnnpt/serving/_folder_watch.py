"""The thread that watches the folders of the models and has versions loaded and unloaded."""

import logging
import time
from pathlib import Path

from rnnpt.serving._model import Model
from rnnpt.serving._model_config import ModelSettings
from rnnpt.serving._model_table import ModelTable
from rnnpt.serving._version_folder import version_folders
from rnnpt.serving._version_loader import VersionLoader

_LOGGER = logging.getLogger("rnnpt.serving")


class FolderWatch:
    """Looks at the folders again and again.

    Args:
        table: The models.
        loader: What loads their versions.
        wait_seconds: The time between two looks.
    """

    def __init__(self, table: ModelTable, loader: VersionLoader, wait_seconds: float):
        #: Looks that have ended; a change of the list is seen by the second look after it, as one
        #: may be under way.
        self.num_looks = 0
        self._table = table
        self._loader = loader
        self._wait_seconds = wait_seconds

    def run(self) -> None:
        """Watches until the table stops; the body of a thread."""
        while not self._table.is_stopping:
            self._look()
            self._work_until(time.monotonic() + self._wait_seconds)

    def _look(self) -> None:
        with self._table.changed:
            self._table.is_look_due = False
            configured = list(self._table.configured())
        found: list[tuple[Model, ModelSettings, dict[int, Path]]] = []
        for model, settings in configured:
            folders = version_folders(settings.base_path)
            if folders is None:
                # As in TensorFlow Serving, one missing folder holds up all models.
                _LOGGER.error("base_path of model %s must be a folder, got %s; waiting for it to "
                              "appear", model.name, settings.base_path)
                found = []
                break
            chosen = settings.choose(folders)
            if not chosen:
                _LOGGER.warning("base_path of model %s must hold a version folder such as 1, got "
                                "none in %s; waiting for one", model.name, settings.base_path)
            found.append((model, settings, chosen))
        with self._table.changed:
            for model, settings, chosen in found:
                if model.settings is settings:
                    model.want(chosen)
            self.num_looks += 1
            self._table.changed.notify_all()

    def _work_until(self, end: float) -> None:
        """Does what there is to do, one after the other, until it is time for the next look."""
        while True:
            with self._table.changed:
                remaining = end - time.monotonic()
                if self._table.is_stopping or self._table.is_look_due or remaining <= 0:
                    return
                turn = self._table.next_turn()
                if turn is None:
                    self._table.changed.wait(remaining)
                    continue
                model, version = turn
                is_new = version.is_new
                version.is_due = True
            if is_new:
                self._loader.load(model.name, version)
            else:
                self._loader.unload(model.name, version)
