"""Loading and unloading versions: the tries, and the threads in which they run."""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rnnpt.serving._model import Version
from rnnpt.serving._model_table import ModelTable
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._servable import Servable
from rnnpt.serving.error import Internal, ServingError

_LOGGER = logging.getLogger("rnnpt.serving")
# Source: num_initial_load_threads of tensorflow/serving's server_core.h.
_INITIAL_THREADS_PER_CPU = 4


class VersionLoader:
    """Loads versions beside each other at the start, then as many at once as the options say.

    With no threads a load, and the waits between its tries, hold up whoever asked for it, and so
    every other load: TensorFlow Serving's default.

    Args:
        load: Folder and number -> a model that is ready.
        options: How many threads, and how often to try.
        table: The models.
    """

    def __init__(
        self, load: Callable[[Path, int], Servable], options: ServerOptions, table: ModelTable
    ):
        self._load = load
        self._options = options
        self._table = table
        self._pool = _make_pool(_INITIAL_THREADS_PER_CPU * (os.cpu_count() or 1))

    def end_startup(self) -> None:
        """Goes over to the threads that the options say; nothing is loading at that moment."""
        initial, self._pool = self._pool, _make_pool(self._options.num_load_threads)
        if initial is not None:
            initial.shutdown(wait=False)

    def load(self, name: str, version: Version) -> None:
        """Loads a version, in a thread if there are threads.

        Args:
            name: The model.
            version: The version, marked as due.
        """
        if self._pool is None:
            self._try(name, version)
        else:
            self._pool.submit(self._try, name, version)

    def _try(self, name: str, version: Version) -> None:
        changed = self._table.changed
        with changed:
            version.state = "LOADING"
            changed.notify_all()
        num_failures = 0
        while (error := self._try_once(name, version)) is not None:
            num_failures += 1
            with changed:
                is_last = num_failures > self._options.max_num_load_retries
                is_over = is_last or changed.wait_for(
                    lambda: self._table.is_stopping or not version.is_wanted,
                    self._options.load_retry_interval_micros / 1e6)
                if is_over:
                    version.error, version.state = error, "END"
                    changed.notify_all()
            if is_over:
                _LOGGER.error("model %s: version %d is given up", name, version.number)
                return

    def _try_once(self, name: str, version: Version) -> ServingError | None:
        try:
            servable = self._load(version.folder, version.number)
        except Exception as error:  # whatever a broken file makes the loader raise
            _LOGGER.error("model %s: version %d does not load: %s", name, version.number, error)
            return error if isinstance(error, ServingError) else Internal(repr(error))
        with self._table.changed:
            version.servable, version.state = servable, "AVAILABLE"
            self._table.publish()
        _LOGGER.info("model %s: version %d is available", name, version.number)
        return None

    def unload(self, name: str, version: Version) -> None:
        """Takes a version from new requests; it ends when those that hold it are done.

        Args:
            name: The model.
            version: The version, which is AVAILABLE.
        """
        with self._table.changed:
            servable, version.servable, version.state = version.servable, None, "UNLOADING"
            self._table.publish()

        def end() -> None:
            with self._table.changed:
                version.state = "END"
                self._table.changed.notify_all()
            _LOGGER.info("model %s: version %d is unloaded", name, version.number)

        if servable is not None:
            # Without the lock: who releases a model last closes it, which takes its time.
            servable.retire(end)

    def stop(self) -> None:
        """Waits for the loads under way."""
        if self._pool is not None:
            self._pool.shutdown()


def _make_pool(num_threads: int) -> ThreadPoolExecutor | None:
    if not num_threads:
        return None
    return ThreadPoolExecutor(num_threads, thread_name_prefix="rnnpt-load")
