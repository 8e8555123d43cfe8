"""The pictures of a run, of several runs and of a MIDI file. Imports no TensorFlow."""

import csv
from pathlib import Path

from rnnpt.experiments import curve
from rnnpt.experiments.run_folder import LOG, read_config
from rnnpt.experiments.setting import ConfigError
from rnnpt.music.piano_roll import PianoRoll
from rnnpt.music.pianoroll_midi import midi_to_pianoroll
from rnnpt.music.plot import plot_learning_curve, plot_pianoroll, plot_validation


def draw_learning_curve(run_dir: Path, output_dir: Path) -> Path:
    """Draws the log-likelihoods of a run, epoch by epoch.

    Args:
        run_dir: The run folder.
        output_dir: Folder of the picture; made if it is not there.

    Returns:
        The picture, `learning_curve.png`.

    Raises:
        ConfigError: If the run has not finished an epoch.
    """
    read_config(run_dir)
    if not (run_dir / LOG).is_file():
        raise ConfigError(
            f"run_dir must hold a run with an epoch behind it, got {str(run_dir)!r} without {LOG}: "
            f"go on with rnnpt train --run_dir {run_dir}."
        )
    with (run_dir / LOG).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    path = output_dir / "learning_curve.png"
    plot_learning_curve(rows, path, title=run_dir.resolve().name)
    return path


def draw_curves(curves: Path, output_dir: Path) -> list[Path]:
    """Draws the validation of a table's runs over their time.

    Args:
        curves: Their CSV file, which `rnnpt reproduce` writes beside the results.
        output_dir: Folder of the pictures; made if it is not there.

    Returns:
        A picture a data set, named after the file and the set.

    Raises:
        ConfigError: If it is no such file.
    """
    paths = []
    for data, runs in curve.read(curves).items():
        paths.append(output_dir / f"{curves.stem}_{data}.png")
        plot_validation(runs, paths[-1], curve.figure_of(runs), title=data)
    return paths


def draw_midi(midi: Path, output_dir: Path, steps_per_quarter: int = 1) -> Path:
    """Draws the piano roll of a MIDI file.

    Args:
        midi: The file.
        output_dir: Folder of the picture; made if it is not there.
        steps_per_quarter: Steps a quarter note.

    Returns:
        The picture, named after the file.
    """
    return draw_roll(
        midi_to_pianoroll(midi, steps_per_quarter), output_dir / f"{midi.stem}.png", title=midi.stem
    )


def draw_roll(
    roll: PianoRoll, path: Path, prime_steps: int | None = None, title: str = ""
) -> Path:
    """Draws a piano roll.

    Args:
        roll: The roll.
        path: The picture; its folder is made if it is not there.
        prime_steps: How many steps were given, the rest is drawn in another colour.
        title: What stands above.

    Returns:
        The picture.
    """
    plot_pianoroll(
        roll.frames, path, prime_steps, roll.onsets, roll.steps_per_quarter, title
    )
    return path
