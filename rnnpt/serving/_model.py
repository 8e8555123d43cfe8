"""The versions of one model and the order in which they come and go.

The rules are TensorFlow Serving's: what it calls aspired is wanted here, and its policy that
preserves availability chooses the next version to load or to unload.
"""

import dataclasses
from pathlib import Path

from rnnpt.serving._model_config import ModelSettings
from rnnpt.serving._servable import Servable
from rnnpt.serving.error import NotFound, ServingError


@dataclasses.dataclass
class Version:
    """A version that was seen; it stays listed when it has ended.

    Args:
        number: The folder's name.
        folder: Where it is loaded from.
        state: TensorFlow Serving's word: START, LOADING, AVAILABLE, UNLOADING or END.
        error: Why it has ended, None if it was only unloaded.
        servable: The model while it is AVAILABLE.
        is_wanted: Whether the folder is there and the policy picks it.
        is_due: Whether somebody is at it: its load has been asked for.
    """

    number: int
    folder: Path
    state: str = "START"
    error: ServingError | None = None
    servable: Servable | None = None
    is_wanted: bool = True
    is_due: bool = False

    @property
    def is_new(self) -> bool:
        """Whether nobody has begun to load it."""
        return self.state == "START" and not self.is_due


class Model:
    """One model's versions; whoever calls it holds the manager's lock.

    Args:
        name: The name in requests.
    """

    def __init__(self, name: str):
        self.name = name
        #: What the operator says of it; None when it is no longer configured.
        self.settings: ModelSettings | None = None
        self._listed: dict[int, Version] = {}
        self._managed: dict[int, Version] = {}
        self._next_folders: dict[int, Path] | None = None

    def want(self, folders: dict[int, Path]) -> None:
        """Says which versions are to be served from now on.

        Args:
            folders: Number -> folder.
        """
        self._next_folders = folders

    def drop(self) -> None:
        """Takes the model out of the configuration: its versions are unloaded in their turn."""
        self.settings = None
        self._next_folders = {}
        for version in self._managed.values():
            version.is_wanted = False

    def next_version(self) -> Version | None:
        """Tells whose turn it is.

        Returns:
            A version that is AVAILABLE and to be unloaded, or one in START that is to be loaded;
            None if all is as it should be or under way.
        """
        self._settle()
        wanted = [version for version in self._managed.values() if version.is_wanted]
        leftover = [version for version in self._managed.values()
                    if not version.is_wanted and version.state == "AVAILABLE"]
        is_served = any(version.state == "AVAILABLE" for version in wanted)
        if leftover and (not wanted or is_served or len(leftover) > 1):
            return min(leftover, key=lambda version: version.number)
        new = [version for version in wanted if version.is_new]
        return max(new, key=lambda version: version.number, default=None)

    def _settle(self) -> None:
        """Forgets what has ended, then takes up what `want` said last."""
        for number, version in list(self._managed.items()):
            if not version.is_wanted and (version.is_new or version.state == "END"):
                del self._managed[number]
        folders = self._next_folders
        if folders is None:
            return
        # A version that is wanted again has to end first; until then nothing else changes.
        if any(number in folders and not version.is_wanted
               for number, version in self._managed.items()):
            return
        self._next_folders = None
        for number, version in self._managed.items():
            version.is_wanted = number in folders
        for number in folders.keys() - self._managed.keys():
            version = Version(number, folders[number])
            self._managed[number] = self._listed[number] = version

    def served(self) -> dict[int, Servable]:
        """Finds what requests may use.

        Returns:
            Number -> model of each version that is AVAILABLE.
        """
        return {version.number: version.servable for version in self._managed.values()
                if version.servable is not None}

    def decided(self) -> Version | None:
        """Tells how the wait for the model ends.

        Returns:
            The newest version that is wanted and AVAILABLE, or given up; None while there is
            something to wait for.
        """
        ended = [version for version in self._managed.values()
                 if version.is_wanted and version.state in ("AVAILABLE", "END")]
        return max(ended, key=lambda version: version.number, default=None)

    @property
    def is_loading(self) -> bool:
        """Whether a version is being loaded, or is to be."""
        return any(version.state == "LOADING"
                   or (version.state == "START" and (version.is_due or version.is_wanted))
                   for version in self._managed.values())

    @property
    def is_empty(self) -> bool:
        """Whether no version is wanted: none is there, or none that the policy picks."""
        return not any(version.is_wanted for version in self._managed.values())

    def is_available(self, number: int) -> bool:
        """Tells whether requests may use a version.

        Args:
            number: The version.

        Returns:
            Whether it is AVAILABLE.
        """
        version = self._managed.get(number)
        return version is not None and version.state == "AVAILABLE"

    def status(self) -> list[Version]:
        """Lists the versions that were ever seen.

        Returns:
            Copies, newest first.
        """
        return [dataclasses.replace(self._listed[number])
                for number in sorted(self._listed, reverse=True)]


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
