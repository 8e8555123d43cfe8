"""A folder of MIDI files becomes a data set; bad files are named and left out."""
import re

import numpy as np
import pytest

from rnnpt.datasets import midi_folder
from rnnpt.music.piano_roll import PianoRoll, onsets_of
from rnnpt.music.pianoroll_midi import pianoroll_to_midi


def random_roll(seed: int, num_steps: int = 8, steps_per_quarter: int = 1) -> PianoRoll:
    frames = np.zeros((num_steps, 88), np.uint8)
    frames[np.arange(num_steps), np.random.default_rng(seed).integers(88, size=num_steps)] = 1
    return PianoRoll(frames, onsets_of(frames), steps_per_quarter)


@pytest.fixture
def folder(tmp_path):
    """Ten MIDI files, some in a folder inside, and a file that is none."""
    (tmp_path / "inner").mkdir()
    for i in range(10):
        name = f"inner/{i}.MIDI" if i % 2 else f"{i}.mid"
        (tmp_path / name).write_bytes(pianoroll_to_midi(random_roll(i)))
    (tmp_path / "notes.txt").write_text("no music")
    return tmp_path


def test_every_file_is_in_one_split_and_reads_as_written(folder):
    data = midi_folder(folder)
    assert [len(split) for split in (data.train, data.valid, data.test)] == [6, 2, 2]
    rolls = {name: roll for split in (data.train, data.valid, data.test)
             for name, roll in zip(split.names, split.sequences)}
    assert set(rolls) == {f"inner/{i}.MIDI" if i % 2 else f"{i}.mid" for i in range(10)}
    for name, roll in rolls.items():
        number = int(re.search(r"\d+", name).group())
        np.testing.assert_array_equal(roll, random_roll(number).frames)


def test_split_depends_on_names_and_seed_only(folder, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy")
    (copy / "inner").mkdir()
    for path in sorted(folder.rglob("*.[mM]*"), reverse=True):
        (copy / path.relative_to(folder)).write_bytes(pianoroll_to_midi(random_roll(3)))
    assert midi_folder(copy).train.names == midi_folder(folder).train.names
    assert midi_folder(folder, seed=1).train.names != midi_folder(folder).train.names


def test_fractions_cut_the_files(folder):
    data = midi_folder(folder, fractions=(0.3, 0.5, 0.2))
    assert [len(split) for split in (data.train, data.valid, data.test)] == [3, 5, 2]


@pytest.mark.parametrize("num_files", [3, 4, 5])
def test_every_split_has_a_piece(num_files, tmp_path):
    for i in range(num_files):
        (tmp_path / f"{i}.mid").write_bytes(pianoroll_to_midi(random_roll(i)))
    data = midi_folder(tmp_path, fractions=(0.01, 0.01, 0.98))
    assert len(data.train) >= 1 and len(data.valid) >= 1 and len(data.test) >= 1


def test_the_grid_is_the_users(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.mid").write_bytes(
            pianoroll_to_midi(random_roll(i, steps_per_quarter=4)))
    data = midi_folder(tmp_path, steps_per_quarter=4)
    assert data.steps_per_quarter == 4
    number = int(data.train.names[0][0])
    np.testing.assert_array_equal(data.train.sequences[0], random_roll(number).frames)


def test_bad_files_are_left_out_with_a_line_each_and_a_count(folder, caplog):
    (folder / "0.mid").write_bytes(b"no MIDI")
    (folder / "2.mid").write_bytes(b"")
    data = midi_folder(folder)
    assert len(data.train) + len(data.valid) + len(data.test) == 8
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in lines[:2]] == ["Left out 0.mid", "Left out 2.mid"]
    assert lines[2] == f"Left out 2 of 10 MIDI files in {folder}"
    assert not any("\n" in line for line in lines)


def test_too_few_good_files_are_refused(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.mid").write_bytes(b"no MIDI")
    message = "`path` must hold at least three MIDI files.*Received: 0 of 3 in.*; 0.mid: "
    with pytest.raises(ValueError, match=message):
        midi_folder(tmp_path)


def test_a_folder_without_midi_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="`path` must be.*a folder without .mid or .midi"):
        midi_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="`path` must be a folder.*nowhere', no folder"):
        midi_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.5, 0.5, 0.0), (0.6, 0.3, 0.3)])
def test_bad_fractions_are_refused(fractions, folder):
    with pytest.raises(ValueError, match=re.escape(f"fractions={fractions}")):
        midi_folder(folder, fractions=fractions)


@pytest.mark.parametrize("steps", [0, 97])
def test_bad_steps_are_refused(steps, folder):
    with pytest.raises(ValueError, match=f"steps_per_quarter.*{steps}"):
        midi_folder(folder, steps_per_quarter=steps)
