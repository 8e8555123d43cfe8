"""Each data set has a name."""
import pytest

from rnnpt import datasets
from rnnpt.datasets import registry
from rnnpt.music.piano_roll import PianoRoll, onsets_of
from rnnpt.music.pianoroll_midi import pianoroll_to_midi


@pytest.fixture
def calls(monkeypatch):
    """Readers that only tell how they were called."""
    monkeypatch.setattr(registry, "chorales", lambda step="quarter": ("chorales", step))
    monkeypatch.setattr(registry, "pianorolls", lambda name, data_dir: (name, data_dir))
    monkeypatch.setattr(registry, "midi_folder", lambda path: ("midi_folder", path))


@pytest.mark.parametrize("name, call", [
    ("chorales", ("chorales", "quarter")),
    ("Chorales_Eighth", ("chorales", "eighth")),
    ("jsb", ("jsb", "folder")),
    ("midi_folder:My Music/a:b", ("midi_folder", "My Music/a:b")),
])
def test_names_lead_to_their_readers(name, call, calls):
    assert datasets.get(name, data_dir="folder") == call


def test_every_listed_name_is_known(calls):
    for name in datasets.names():
        assert datasets.get(name)


def test_unknown_name_gets_the_list():
    with pytest.raises(ValueError, match="`name` must be one of chorales, .*name='mozart'"):
        datasets.get("mozart")


def test_a_folder_is_read_by_its_name(tmp_path):
    frames = [[column == key for column in range(88)] for key in (40, 44, 47)]
    for i in range(3):
        (tmp_path / f"{i}.mid").write_bytes(
            pianoroll_to_midi(PianoRoll(frames, onsets_of(frames))))
    data = datasets.get(f"midi_folder:{tmp_path}")
    assert data.train.sequences[0].tolist() == frames
