"""Pictures of piano rolls, learning curves and validation over time, drawn without a screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rnnpt.music.piano_roll import LOWEST_PITCH, NUM_KEYS, MusicError, PianoRoll, onsets_of
from rnnpt.whole_file import written_beside

_FORMATS = (".png", ".pdf", ".svg")
_BLUE, _ORANGE = "#2f6db3", "#e07b39"  # told apart by the colour-blind, too
_CURVES = {"log_likelihood": ("training", _BLUE), "val_log_likelihood": ("validation", _ORANGE)}
# Okabe and Ito (2008), without the yellow, which is pale on white.
_RUN_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
# Of each figure its axis, how it is written, and how far below the highest it is drawn.
_FIGURES = {
    "val_accuracy": ("accuracy on the validation pieces, 2012 rule (%)", "{:.1f} %", None),
    "val_log_likelihood": ("log-likelihood on the validation pieces (nats)", "{:.3f}", 1.5)}
_STRIPE, _INK = "#f1f1f4", "#4a4a55"
_BLACK_KEYS = (1, 3, 6, 8, 10)  # pitch classes
_NAMES = {0: "C", 4: "E", 7: "G"}  # of those that are written on the axis; MIDI 60 is C4
_MARGIN_KEYS = 3
_INCHES_PER_STEP, _MIN_WIDTH, _MAX_WIDTH = 0.12, 8.0, 24.0
_NOTE_GAP = 0.12  # of a step, so that a struck note is told from a held one


def plot_pianoroll(frames: np.ndarray, path: str | Path, prime_steps: int | None = None,
                   onsets: np.ndarray | None = None, steps_per_quarter: int = 1,
                   title: str = "") -> None:
    """Draw a piano roll: a bar a note, quarter notes from left to right, pitch upwards.

    Args:
        frames: 1 where a key sounds, 0 elsewhere (T, 88).
        path: the picture to write, .png, .pdf or .svg; its folder is made if missing.
        prime_steps: how many steps were given; the rest, in another colour, is the
            continuation. None draws all in one colour.
        onsets: where notes begin (T, 88); without, a stretch of steps is one note.
        steps_per_quarter: steps in a quarter note.
        title: what stands above.

    Raises:
        MusicError: if the frames are no roll, the prime is longer than they are, or the
            picture's format is none of the three.
    """
    path = _checked(path)
    roll = PianoRoll(frames, onsets_of(frames) if onsets is None else onsets, steps_per_quarter)
    num_steps = len(roll.frames)
    if prime_steps is not None and not 0 <= prime_steps <= num_steps:
        raise MusicError(f"prime_steps must lie between 0 and the {num_steps} steps of frames, "
                         f"got {prime_steps}: pass the prime's own length")
    split = num_steps if prime_steps is None else prime_steps
    width = min(max(_INCHES_PER_STEP * num_steps, _MIN_WIDTH), _MAX_WIDTH)
    figure, axes = _figure(width, 4.8, title)
    _draw_keys(axes, roll.frames)
    starts = roll.onsets.copy()
    starts[split:split + 1] |= roll.frames[split:split + 1]  # a note over the border has a part
    notes = PianoRoll(roll.frames, starts, steps_per_quarter).notes()  # in each colour
    _draw_notes(axes, notes[notes[:, 1] < split], steps_per_quarter, _BLUE,
                "notes" if prime_steps is None else "prime")
    if prime_steps is not None:
        _draw_notes(axes, notes[notes[:, 1] >= split], steps_per_quarter, _ORANGE, "continuation")
        axes.axvline(split / steps_per_quarter, color=_INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    axes.set_xlim(0, num_steps / steps_per_quarter)
    axes.set_xlabel("quarter notes")
    _save(figure, path)


def plot_learning_curve(rows: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]],
                        path: str | Path, title: str = "") -> None:
    """Draw the log-likelihood a frame over the epochs of all phases, one after the other.

    The axis may leave out the steep climb of the first epochs, which would flatten the rest.

    Args:
        rows: a row an epoch in order, or a list a column: `log_likelihood` (training) and
            `val_log_likelihood`, one of them at least, in nats a frame, as numbers or as
            a CSV file gives them, and `phase` if there are several. Empty values are left out.
        path: the picture to write, .png, .pdf or .svg; its folder is made if missing.
        title: what stands above.

    Raises:
        MusicError: if there is nothing to draw, a value is no number, or the picture's format
            is none of the three.
    """
    path = _checked(path)
    if isinstance(rows, Mapping):
        rows = [dict(zip(rows, values)) for values in zip(*rows.values())]
    curves = {name: np.array([_number(row.get(name)) for row in rows]) for name in _CURVES}
    if not np.isfinite(list(curves.values())).any():
        raise MusicError(f"rows must hold log_likelihood or val_log_likelihood, got {len(rows)} "
                         f"rows without: pass the log of a training")
    figure, axes = _figure(8.0, 4.8, title)
    epochs = np.arange(1, len(rows) + 1)
    for name, (label, colour) in _CURVES.items():
        drawn = np.isfinite(curves[name])
        if drawn.any():
            axes.plot(epochs[drawn], curves[name][drawn], color=colour, label=label,
                      linewidth=1.8, marker="o", markersize=3 if len(rows) <= 60 else 0)
    _draw_range(axes, np.concatenate(list(curves.values())))
    _draw_phases(axes, [str(row.get("phase", "")) for row in rows])
    axes.legend(loc="lower right", frameon=False)
    axes.set_xlim(0.5, len(rows) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("log-likelihood (nats a frame)")
    axes.grid(axis="y", color=_STRIPE)
    _save(figure, path)


def plot_validation(runs: Mapping[str, Sequence[Mapping[str, Any]]], path: str | Path,
                    figure: str = "val_accuracy", title: str = "") -> None:
    """Draw accuracies or log-likelihoods over time, a line and a star at the highest for each run.

    Wall time is on the left, the processor's on the right, which other work on the machine does not
    lengthen. The last phase of a run is drawn through, those before it are dotted.

    Args:
        runs: by name, points in order of time: `seconds` and `cpu_seconds` since the run's
            beginning, the figure, `phase` and `epoch`, as numbers and texts or as a CSV file gives
            them.
        path: the picture to write, .png, .pdf or .svg; its folder is made if missing.
        figure: "val_accuracy", in percent, or "val_log_likelihood", in nats a frame, of which what
            is far below the highest is cut off.
        title: what stands above.

    Raises:
        MusicError: if there is nothing to draw, a value is no number, the figure is another one, or
            the picture's format is none of the three.
    """
    path = _checked(path)
    if not runs or not all(runs.values()):
        raise MusicError(f"runs must hold a point each, got {sorted(runs)}: pass those with one")
    if figure not in _FIGURES:
        raise MusicError(f"figure must be one of {', '.join(_FIGURES)}, got {figure!r}")
    label, form, depth = _FIGURES[figure]
    tops = [max(points, key=lambda point: _number(point[figure])) for points in runs.values()]
    picture = Figure(figsize=(11.0, 4.8), dpi=130, layout="constrained")
    left, right = picture.subplots(1, 2, sharey=True)
    for axes, name, time in ((left, "seconds", "minutes"),
                             (right, "cpu_seconds", "processor's minutes")):
        _dress(axes, title if axes is left else "")
        for number, points in enumerate(runs.values()):
            _draw_run(axes, points, name, figure, _RUN_COLOURS[number % len(_RUN_COLOURS)])
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{time}: data, pre-training (dotted) and training")
        axes.grid(axis="y", color=_STRIPE)
    left.set_ylabel(label)
    if depth is not None:
        left.set_ylim(bottom=max(_number(top[figure]) for top in tops) - depth)
    picture.legend(right.get_lines()[1::3], [
        f"{name}: {form.format(_number(top[figure]))} in epoch {top['epoch']} of {top['phase']}"
        for name, top in zip(runs, tops)], loc="outside lower center", ncols=2, frameon=False,
        fontsize="small")
    _save(picture, path)


def _draw_run(axes: Axes, points: Sequence[Mapping[str, Any]], time: str, figure: str, colour: str
              ) -> None:
    """Draw three lines: phases before the last, the last phase, the star."""
    minutes = np.array([_number(point[time]) for point in points]) / 60
    values = np.array([_number(point[figure]) for point in points])
    last = [point["phase"] == points[-1]["phase"] for point in points].index(True)
    before = max(last - 1, 0)  # where the last phase begins
    axes.plot(minutes[:last], values[:last], color=colour, linestyle=":")
    axes.plot(minutes[before:], values[before:], color=colour, linewidth=1.8)
    top = int(np.argmax(values))
    axes.plot(minutes[top], values[top], color=colour, marker="*", markersize=12)


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise MusicError(f"path must end in {', '.join(_FORMATS)}, got {str(path)!r}: rename it")
    return path


def _figure(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    _dress(axes, title)
    return figure, axes


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", color=_INK)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    axes.tick_params(colors=_INK)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)


def _save(figure: Figure, path: Path) -> None:
    with written_beside(path) as beside:
        figure.savefig(beside, format=path.suffix[1:].lower())


def _draw_keys(axes: Axes, frames: np.ndarray) -> None:
    """Choose the keys around the notes, shade the black ones and name some of the white."""
    used = np.flatnonzero(frames.any(axis=0)) + LOWEST_PITCH
    lowest, highest = (used.min(), used.max()) if len(used) else (60, 72)
    lowest = max(lowest - _MARGIN_KEYS, LOWEST_PITCH)
    highest = min(highest + _MARGIN_KEYS, LOWEST_PITCH + NUM_KEYS - 1)
    pitches = range(lowest, highest + 1)
    for pitch in pitches:
        if pitch % 12 in _BLACK_KEYS:
            axes.axhspan(pitch - 0.5, pitch + 0.5, color=_STRIPE, linewidth=0)
    named = [pitch for pitch in pitches if pitch % 12 in _NAMES]
    axes.set_yticks(named, [f"{_NAMES[pitch % 12]}{pitch // 12 - 1}" for pitch in named])
    axes.set_ylim(lowest - 0.5, highest + 0.5)


def _draw_notes(axes: Axes, notes: np.ndarray, steps_per_quarter: int, colour: str,
                label: str) -> None:
    pitches, starts, stops = notes.T[:, :, np.newaxis]
    left, right = starts / steps_per_quarter, (stops - _NOTE_GAP) / steps_per_quarter
    corners = np.stack([np.hstack([left, right, right, left]),
                        pitches + np.array([-0.42, -0.42, 0.42, 0.42])], axis=2)
    axes.add_collection(PolyCollection(list(corners), facecolors=colour, label=label))


def _number(value: Any) -> float:
    try:
        return float("nan") if value in (None, "") else float(value)
    except (TypeError, ValueError) as error:
        raise MusicError(f"rows must hold numbers, got {value!r}: pass the log of a training"
                         ) from error


def _draw_range(axes: Axes, values: np.ndarray) -> None:
    """Leave out the lowest twentieth of the values if it would take more than half the axis."""
    values = values[np.isfinite(values)]
    low, twentieth, high = np.quantile(values, [0, 0.05, 1])
    low = twentieth if low < twentieth - (high - twentieth) else low
    margin = 0.06 * max(high - low, 1e-3)
    axes.set_ylim(low - margin, high + 3 * margin)


def _draw_phases(axes: Axes, phases: list[str]) -> None:
    """Shade every other phase and name them at the top."""
    begins = [i for i, phase in enumerate(phases) if i == 0 or phase != phases[i - 1]]
    for number, (first, last) in enumerate(zip(begins, [*begins[1:], len(phases)])):
        if number % 2:
            axes.axvspan(first + 0.5, last + 0.5, color=_STRIPE, linewidth=0, zorder=0)
        axes.text((first + last + 1) / 2, 0.98, phases[first], ha="center", va="top", color=_INK,
                  transform=axes.get_xaxis_transform())
