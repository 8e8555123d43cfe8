"""Data sets by name, for configs and the command line."""
import os
from collections.abc import Callable

from rnnpt.datasets.chorale import chorales
from rnnpt.datasets.midi_file import midi_folder
from rnnpt.datasets.pianoroll import ALIASES, pianorolls
from rnnpt.datasets.splits import Splits

_FOLDER = "midi_folder:"
_DESCRIPTIONS = {
    "chorales": "chorales by Bach in quarter notes, from the music21 package; no download",
    "chorales_eighth": "the same in eighth notes",
    "jsb_chorales": "JSB chorales of 2012: 382 by Bach in quarter notes, with the published split",
    "nottingham": "Nottingham: 1037 folk tunes with chords, in eighth notes",
    "musedata": "MuseData: 783 pieces in eighth notes; personal and research use only",
    "piano_midi": "Piano-midi.de: 124 classical piano pieces in eighth notes",
    f"{_FOLDER}PATH": "your own MIDI files in the folder PATH and the folders in it",
}


def names() -> dict[str, str]:
    """List the data sets.

    Returns:
        What each name stands for, one line each, in order of use.
    """
    return dict(_DESCRIPTIONS)


def get(name: str, data_dir: str | os.PathLike[str] | None = None) -> Splits:
    """Read a data set by its name.

    Args:
        name: One of `names()`, in any case, or a short name that `pianorolls` takes;
            "midi_folder:PATH" with a folder of MIDI files for PATH.
        data_dir: Folder with the files of the published sets; others do not use it.

    Returns:
        The data set.

    Raises:
        ValueError: If there is no data set of this name, or its files are damaged.
        FileNotFoundError: If its files are not there and cannot be downloaded.

    Example:
        >>> from rnnpt import datasets
        >>> "chorales" in datasets.names()
        True
    """
    if name.startswith(_FOLDER):
        return midi_folder(name.removeprefix(_FOLDER))
    if name.lower() in ALIASES:
        return pianorolls(name, data_dir)
    built: dict[str, Callable[[], Splits]] = {
        "chorales": chorales, "chorales_eighth": lambda: chorales("eighth")}
    if name.lower() not in built:
        raise ValueError(
            f"`name` must be one of {', '.join(_DESCRIPTIONS)}. Received: name={name!r}. Pass one "
            "of these names.")
    return built[name.lower()]()
