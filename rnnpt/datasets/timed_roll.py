"""Music as rolls whose steps are parts of a second: a user's MIDI files, or the chorales played."""
import os
from collections.abc import Sequence

from rnnpt.datasets.chorale import STEPS, chorales
from rnnpt.datasets.midi_file import FRACTIONS, read_folder
from rnnpt.datasets.sequence import Sequences
from rnnpt.datasets.splits import Splits
from rnnpt.music.piano_roll import PianoRoll, onsets_of
from rnnpt.music.timed_roll import SECONDS_PER_STEP, midi_to_timed_roll, timed_roll_of

# The finest grid of the chorales here.
_STEP = "eighth"


def timed_midi_folder(path: str | os.PathLike[str], seconds_per_step: float = SECONDS_PER_STEP,
                      fractions: Sequence[float] = FRACTIONS, seed: int = 0) -> Splits:
    """Read all MIDI files of a folder and the folders in it, at the tempos that they tell.

    Use it for performances, or to model music as the thesis does: a key is on in each step that a
    note of it reaches into. Which split a file goes to, and what becomes of files that cannot be
    read, is as of `midi_folder`. Nothing is transposed: `Excerpts` does.

    Args:
        path: Folder of `.mid` and `.midi` files.
        seconds_per_step: Seconds in a frame.
        fractions: Shares of the training, validation and test pieces; each gets one at least.
        seed: Seed of the hash, for another split of the same files.

    Returns:
        Training, validation and test pieces (T, 128), column 0 is MIDI pitch 0; frames in a quarter
        note there are none.

    Raises:
        FileNotFoundError: If `path` is not a folder, or holds no MIDI file.
        ValueError: If fewer than three files can be read, `fractions` are not three positive
            numbers with sum 1, or `seconds_per_step` is not positive.

    Source: Sutskever 2013, section 4.5.2.
    """
    return read_folder(
        path, lambda file: midi_to_timed_roll(file, seconds_per_step), fractions, seed)


def timed_chorales(qpm: float = 120.0, seconds_per_step: float = SECONDS_PER_STEP,
                   cache_dir: str | os.PathLike[str] | None = None) -> Splits:
    """Play some 400 chorales by Bach at one tempo, as rolls whose steps are parts of a second.

    It stands in for the thesis' MIDI files, which are not to be had, where a user has none: the
    format is theirs, the music is plainer, and figures are not comparable. The pieces and their
    splits are those of `chorales`, in eighth notes.

    Args:
        qpm: Tempo in quarter notes a minute, 4 to 1000.
        seconds_per_step: Seconds in a frame.
        cache_dir: Folder for the chorales' prepared rolls; by default the user's cache.

    Returns:
        Training, validation and test pieces (T, 128), column 0 is MIDI pitch 0.

    Raises:
        ValueError: If the tempo or the step is out of its range.
        FileNotFoundError: If music21 or its scores are not installed.
    """
    scores = chorales(_STEP, cache_dir)

    def play(split: Sequences) -> Sequences:
        return Sequences([
            timed_roll_of(PianoRoll(frames, onsets_of(frames), STEPS[_STEP], qpm), seconds_per_step)
            for frames in split.sequences], split.names)

    return Splits(play(scores.train), play(scores.valid), play(scores.test), "timed_chorales")
