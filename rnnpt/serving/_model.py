"""The versions of one model: which are there, which are in memory, and how they fail."""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rnnpt.serving._option import ServerOptions
from rnnpt.serving._servable import Servable
from rnnpt.serving.error import Internal, NotFound, ServingError, Unavailable

_LOGGER = logging.getLogger("rnnpt.serving")
_MAX_INT64 = 2**63 - 1


@dataclasses.dataclass
class Version:
    """A version that was seen; it stays listed when it has ended.

    Args:
        number: The folder's name.
        state: TensorFlow Serving's word: LOADING, AVAILABLE or END.
        error: Why it does not load.
        servable: The model while it is AVAILABLE.
        num_failures: How many times it failed to load.
        next_try: When it is tried again, on the monotonic clock.
    """

    number: int
    state: str = "LOADING"
    error: ServingError | None = None
    servable: Servable | None = None
    num_failures: int = 0
    next_try: float = 0.0


def version_folders(base_path: Path) -> dict[int, Path] | None:
    """Finds the versions of a model.

    Args:
        base_path: The folder of version folders.

    Returns:
        Number -> folder; names that are no number of 64 bits are passed over. None if there is no
        such folder.
    """
    try:
        folders = sorted(path for path in base_path.iterdir() if path.is_dir())
    except OSError:
        return None
    found: dict[int, Path] = {}
    for folder in folders:
        name = folder.name
        if not (name.isascii() and name.isdigit()) or int(name) > _MAX_INT64:
            continue
        if int(name) in found:
            _LOGGER.warning("%s and %s are the same version; the first is used",
                            found[int(name)].name, folder)
            continue
        found[int(name)] = folder
    return found


class Model:
    """One model's versions: the newest is served, and an old one until the newest has loaded.

    Args:
        name: The name in requests.
        base_path: The folder of version folders.
        options: How often to try.
        load: Folder and number -> a model that is ready.
    """

    def __init__(
        self, name: str, base_path: Path, options: ServerOptions,
        load: Callable[[Path, int], Servable],
    ):
        self.name = name
        self.base_path = base_path
        self._options = options
        self._load = load
        self._lock = threading.Lock()
        self._versions: dict[int, Version] = {}
        self._wanted: dict[int, Path] = {}

    def refresh(self) -> None:
        """Looks at the folder, loads what is new, then drops what is old. One thread calls it."""
        folders = version_folders(self.base_path)
        if folders is None:
            _LOGGER.warning("model_base_path must be a folder, got %s; waiting for it to appear",
                            self.base_path)
            return
        if not folders and not self._versions:
            _LOGGER.warning("model_base_path must hold a version folder such as 1, got none in %s; "
                            "waiting for one", self.base_path)
        newest = max(folders, default=None)
        self._wanted = {} if newest is None else {newest: folders[newest]}
        for number, folder in self._wanted.items():
            self._try_load(number, folder)
        self._drop_unwanted()

    def _try_load(self, number: int, folder: Path) -> None:
        with self._lock:
            version = self._versions.get(number)
            # One that was unloaded may be wanted again; one that failed for good stays out.
            if version is None or (version.state == "END" and version.error is None):
                version = self._versions[number] = Version(number)
        if version.state != "LOADING" or time.monotonic() < version.next_try:
            return
        try:
            servable = self._load(folder, number)
        except Exception as error:  # whatever a broken file makes the loader raise
            known = error if isinstance(error, ServingError) else Internal(repr(error))
            self._record_failure(version, known)
            return
        with self._lock:
            version.servable, version.state, version.error = servable, "AVAILABLE", None
        _LOGGER.info("model %s: version %d is available", self.name, number)

    def _record_failure(self, version: Version, error: ServingError) -> None:
        options = self._options
        with self._lock:
            version.num_failures += 1
            version.next_try = time.monotonic() + options.load_retry_interval_micros / 1e6
            ended = version.num_failures > options.max_num_load_retries
            if ended:
                version.error, version.state = error, "END"
        _LOGGER.error("model %s: version %d does not load (%s): %s", self.name, version.number,
                      "given up" if ended else "will be tried again", error)

    def _drop_unwanted(self) -> None:
        retired = []
        with self._lock:
            available = {n for n, v in self._versions.items() if v.state == "AVAILABLE"}
            if self._wanted and not available & set(self._wanted):
                return
            for number in available - set(self._wanted):
                version = self._versions[number]
                retired.append(version.servable)
                version.servable, version.state = None, "END"
        for servable in retired:
            if servable is not None:
                servable.retire()

    def hold(self, number: int | None) -> Servable:
        """Finds a version to run.

        Args:
            number: Its number, None for the newest that is loaded.

        Returns:
            The model, which the caller has to release.

        Raises:
            NotFound: If that version, or any, is not loaded.
        """
        with self._lock:
            served = {n: v.servable for n, v in self._versions.items() if v.servable is not None}
            servable = served.get(max(served, default=0) if number is None else number)
            if servable is None:
                raise not_found(self.name, number)
            # Under the lock, because what is dropped leaves the table first.
            servable.hold()
            return servable

    def status(self) -> list[Version]:
        """Lists the versions.

        Returns:
            Copies, newest first.
        """
        with self._lock:
            versions = [dataclasses.replace(version) for version in self._versions.values()]
        return sorted(versions, key=lambda version: -version.number)

    def startup(self) -> bool:
        """Tells how the first load went.

        Returns:
            True once the newest version is loaded, False while there is something to wait for.

        Raises:
            Unavailable: If the newest version will not load.
        """
        wanted = [version for version in self.status() if version.number in self._wanted]
        failed = [version for version in wanted if version.state == "END"]
        if failed:
            raise Unavailable(f"version {failed[0].number} of model {self.name} in "
                              f"{self.base_path} does not load: {failed[0].error}")
        return bool(wanted) and all(version.state == "AVAILABLE" for version in wanted)

    def close(self) -> None:
        """Drops every version."""
        self._wanted = {}
        self._drop_unwanted()


def not_found(name: str, number: int | None) -> NotFound:
    """Makes the error of a request for a version that is not loaded.

    Args:
        name: The model.
        number: The version, None for the newest.

    Returns:
        The error, to be raised.
    """
    what = f"Latest({name})" if number is None else f"Specific({name}, {number})"
    return NotFound(f"Servable not found for request: {what}")
