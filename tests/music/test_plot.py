"""Pictures of rolls, learning curves and accuracies: what they show, and what they refuse."""

import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib import colors, image

from rnnpt.music import plot
from rnnpt.music.piano_roll import MusicError, onsets_of
from rnnpt.music.plot import plot_learning_curve, plot_pianoroll, plot_validation


def columns(path, colour):
    """Say which columns of a PNG hold a colour below its legend, from 0 at the left to 1."""
    pixels = image.imread(path)[:, :, :3]
    pixels = pixels[len(pixels) // 8:]
    same = np.abs(pixels - colors.to_rgb(colour)).max(axis=2) < 0.02
    return np.flatnonzero(same.any(axis=0)) / pixels.shape[1]


def words(path):
    return re.findall(r"<!-- (.*?) -->", path.read_text())


def held(num_steps=16):
    frames = np.zeros((num_steps, 88), np.uint8)
    frames[:, 39] = 1
    return frames


def test_prime_and_continuation_stand_in_two_colours(tmp_path):
    plot_pianoroll(held(), tmp_path / "roll.png", prime_steps=8)
    blue = columns(tmp_path / "roll.png", plot._BLUE)
    orange = columns(tmp_path / "roll.png", plot._ORANGE)
    assert blue.min() < 0.1 and blue.max() < orange.min() and orange.max() > 0.9
    assert abs(len(blue) - len(orange)) <= 2


def test_legend_names_prime_and_continuation_and_axis_names_keys(tmp_path):
    plot_pianoroll(held(), tmp_path / "roll.svg", prime_steps=8, title="Two halves")
    assert {"prime", "continuation", "C4", "quarter notes", "Two halves"} <= set(
        words(tmp_path / "roll.svg"))


def test_roll_without_a_prime_has_one_colour_and_no_legend(tmp_path):
    plot_pianoroll(held(), tmp_path / "roll.svg")
    assert "prime" not in words(tmp_path / "roll.svg")
    assert plot._ORANGE not in (tmp_path / "roll.svg").read_text()


def test_struck_notes_are_drawn_apart(tmp_path):
    struck = onsets_of(held())
    plot_pianoroll(held(), tmp_path / "held.png")
    struck[8, 39] = 1
    plot_pianoroll(held(), tmp_path / "struck.png", onsets=struck)
    gaps = [np.diff(columns(tmp_path / name, plot._BLUE)).max()
            for name in ("held.png", "struck.png")]
    assert gaps[0] < 0.002 < gaps[1]


def test_beats_follow_the_steps_of_a_quarter_note(tmp_path):
    plot_pianoroll(held(40), tmp_path / "roll.svg", steps_per_quarter=4)
    assert "10" in words(tmp_path / "roll.svg") and "12" not in words(tmp_path / "roll.svg")


@pytest.mark.parametrize("prime_steps", [0, 3])
def test_silence_and_an_empty_part_can_be_drawn(tmp_path, prime_steps):
    plot_pianoroll(np.zeros((3, 88)), tmp_path / "roll.png", prime_steps=prime_steps)
    assert (tmp_path / "roll.png").stat().st_size > 0


def test_edges_of_the_keyboard_are_drawn(tmp_path):
    frames = np.zeros((3, 88))
    frames[:, [0, 87]] = 1
    plot_pianoroll(frames, tmp_path / "roll.svg")
    assert {"C1", "C8"} <= set(words(tmp_path / "roll.svg"))


@pytest.mark.parametrize(("arguments", "message"), [
    ({"prime_steps": 17}, "prime_steps must lie between 0 and the 16 steps .* got 17"),
    ({"prime_steps": -1}, "prime_steps must lie between 0 and the 16 steps .* got -1"),
    ({"path": "roll.gif"}, r"path must end in .png, .pdf, .svg, got 'roll.gif'"),
    ({"frames": np.zeros((3, 49))}, r"frames must have .* got shape \(3, 49\)"),
])
def test_picture_that_cannot_be_drawn_is_refused(tmp_path, arguments, message):
    with pytest.raises(MusicError, match=message):
        plot_pianoroll(**{"frames": held(), "path": tmp_path / "roll.png"} | arguments)
    assert not list(tmp_path.iterdir())


def test_missing_folder_is_made(tmp_path):
    plot_pianoroll(held(), tmp_path / "new" / "roll.png")
    assert (tmp_path / "new" / "roll.png").read_bytes().startswith(b"\x89PNG")


def test_failed_drawing_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "roll.png"
    path.write_bytes(b"old")

    def fail(figure, file, **_):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plot_pianoroll(held(), path)
    assert [file.name for file in tmp_path.iterdir()] == ["roll.png"]
    assert path.read_bytes() == b"old"


def rows(num_epochs, phase="fine-tuning"):
    return [{"phase": phase, "epoch": epoch, "log_likelihood": -8 - 2 / epoch,
             "val_log_likelihood": -9 - 2 / epoch} for epoch in range(1, num_epochs + 1)]


def test_learning_curve_names_its_phases_and_curves(tmp_path):
    plot_learning_curve(rows(3, "hmm") + rows(5), tmp_path / "curve.svg", title="Run")
    assert {"hmm", "fine-tuning", "training", "validation", "epoch", "8", "Run"} <= set(
        words(tmp_path / "curve.svg"))


def test_columns_and_the_strings_of_a_csv_file_draw_the_same_picture(tmp_path):
    numbers = rows(5)
    strings = [{name: str(value) for name, value in row.items()} for row in numbers]
    by_column = {name: [row[name] for row in numbers] for name in numbers[0]}
    pictures = []
    for form in (numbers, strings, by_column):
        plot_learning_curve(form, tmp_path / "curve.png")
        pictures.append(image.imread(tmp_path / "curve.png"))
    np.testing.assert_array_equal(pictures[0], pictures[1])
    np.testing.assert_array_equal(pictures[0], pictures[2])


def test_epochs_without_a_value_are_left_out(tmp_path):
    log = rows(4)
    log[1]["log_likelihood"] = ""
    log[2]["log_likelihood"] = None
    del log[3]["log_likelihood"]
    plot_learning_curve(log, tmp_path / "curve.svg")
    assert {"training", "validation"} <= set(words(tmp_path / "curve.svg"))
    for row in log:
        row.pop("log_likelihood", None)
    plot_learning_curve(log, tmp_path / "curve.svg")
    assert "training" not in words(tmp_path / "curve.svg")


def test_steep_start_does_not_flatten_the_rest(tmp_path):
    log = rows(60)
    log[0]["log_likelihood"] = log[0]["val_log_likelihood"] = -60
    plot_learning_curve(log, tmp_path / "curve.svg")
    assert not {"−60", "−50", "−20"} & set(words(tmp_path / "curve.svg"))


@pytest.mark.parametrize("log", [[], {}, [{"epoch": 1, "loss": 3.0}],
                                 [{"val_log_likelihood": float("nan")}]])
def test_log_without_a_likelihood_is_refused(tmp_path, log):
    with pytest.raises(MusicError, match="rows must hold log_likelihood or val_log_likelihood, "
                                         f"got {len(log)} rows without"):
        plot_learning_curve(log, tmp_path / "curve.png")


def test_value_that_is_no_number_is_shown(tmp_path):
    with pytest.raises(MusicError, match="rows must hold numbers, got 'high'"):
        plot_learning_curve([{"val_log_likelihood": "high"}], tmp_path / "curve.png")


def points(*accuracies):
    return [{"phase": "hmm" if number < 2 else "fit", "epoch": str(number % 2 + 1),
             "seconds": f"{60 * number + 60}", "cpu_seconds": "60", "val_accuracy": f"{value}"}
            for number, value in enumerate(accuracies)]


def test_accuracies_tell_the_highest_of_each_run(tmp_path):
    plot_validation({"RNN, HMM": points(10, 30, 62.5, 60), "RNN": points(9, 11)},
                    tmp_path / "runs.svg", title="nottingham")
    text = " ".join(words(tmp_path / "runs.svg"))
    assert "RNN, HMM: 62.5 % in epoch 1 of fit" in text
    assert "RNN: 11.0 % in epoch 2 of hmm" in text and "nottingham" in text


def test_log_likelihoods_are_drawn_near_their_highest(tmp_path):
    runs = {"RNN": [point | {"val_log_likelihood": str(-30.0 / (number + 1))}
                    for number, point in enumerate(points(*range(10)))]}
    plot_validation(runs, tmp_path / "runs.svg", "val_log_likelihood")
    text = words(tmp_path / "runs.svg")
    assert "RNN: -3.000 in epoch 2 of fit" in " ".join(text)
    ticks = [float(word.replace("\N{MINUS SIGN}", "-")) for word in text
             if re.fullmatch("\N{MINUS SIGN}[0-9.]+", word)]
    assert ticks and min(ticks) > -5


def test_another_figure_is_refused(tmp_path):
    with pytest.raises(MusicError, match="figure must be one of val_accuracy, .*, got 'loss'"):
        plot_validation({"RNN": points(1)}, tmp_path / "runs.png", "loss")


@pytest.mark.parametrize("runs", [{}, {"RNN": []}])
def test_runs_without_a_point_are_refused(tmp_path, runs):
    with pytest.raises(
            MusicError, match=re.escape(f"runs must hold a point each, got {list(runs)}")):
        plot_validation(runs, tmp_path / "runs.png")


def test_an_accuracy_that_is_no_number_is_refused(tmp_path):
    with pytest.raises(MusicError, match="rows must hold numbers, got 'high'"):
        plot_validation({"RNN": points("high")}, tmp_path / "runs.png")


def test_drawing_needs_no_screen_and_no_global_figure():
    code = "import sys, rnnpt.music.plot; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
