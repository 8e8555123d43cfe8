"""The published rolls: their figures, where they are looked for, and what a bad file gets."""
import hashlib
import io
import os
import pickle
import re
import urllib.error
import urllib.request

import numpy as np
import pytest
import scipy.io

from rnnpt.datasets import pianoroll, pianorolls

# Pieces and frames (train, valid, test); mean polyphony of test; empty frames of test in %;
# distinct frames of train; test frames seen in train in %.
TABLE = {
    "Piano_midi": ((87, 12, 25), (75911, 8540, 19036), 2.945, 3.4, 13212, 64.0),
    "Nottingham": ((694, 173, 170), (176561, 45513, 44463), 3.990, 0.04, 1252, 98.5),
    "MuseData": ((524, 135, 124), (245202, 82755, 64339), 3.293, 7.8, 39289, 80.0),
    "JSB_Chorales": ((229, 76, 77), (13807, 4602, 4725), 3.887, 0.36, 2420, 90.0),
}
KEYS = ("traindata", "validdata", "testdata")


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """An empty cache, no RNNPT_DATA and no network; returns the cache folder."""
    def refuse(url, timeout):
        raise urllib.error.URLError("no network")

    monkeypatch.delenv("RNNPT_DATA", raising=False)
    monkeypatch.setattr(pianoroll, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return tmp_path / "cache"


def small_rolls(num_pieces: int = 2) -> dict[str, np.ndarray]:
    content = {}
    for key in KEYS:
        pieces = np.empty((1, num_pieces), object)
        for i in range(num_pieces):
            pieces[0, i] = np.eye(3 + i, 88, k=i, dtype=np.uint8)
        content[key] = pieces
    return content


def write_mat(folder, name="JSB_Chorales", **options):
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.mat"
    scipy.io.savemat(path, small_rolls(**options))
    return path


def write_pickle(folder, content, protocol=2):
    path = folder / "JSB_Chorales.pickle"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def pitch_lists(piece) -> list[tuple[int, ...]]:
    return [tuple(int(key) + 21 for key in np.flatnonzero(frame)) for frame in piece]


@pytest.mark.parametrize("name", TABLE)
def test_published_sets_have_their_known_figures(name, shared_data):
    num_pieces, num_frames, polyphony, empty, distinct, seen = TABLE[name]
    data = pianorolls(name, shared_data)
    splits = (data.train, data.valid, data.test)
    assert tuple(len(split) for split in splits) == num_pieces
    assert tuple(split.num_frames for split in splits) == num_frames
    train = {frame.tobytes() for frame in np.concatenate(data.train.sequences)}
    test = np.concatenate(data.test.sequences)
    sounding = test.sum(axis=1)
    assert len(train) == distinct
    assert sounding.mean() == pytest.approx(polyphony, abs=5e-4)
    assert 100 * np.mean(sounding == 0) == pytest.approx(empty, abs=0.05)
    assert 100 * np.mean([frame.tobytes() in train for frame in test]) == pytest.approx(
        seen, abs=0.05)
    assert set(np.unique(test)) == {0, 1}


@pytest.mark.parametrize("name", TABLE)
def test_checksums_are_those_of_the_published_files(name, shared_data):
    content = (shared_data / f"{name}.mat").read_bytes()
    assert hashlib.sha256(content).hexdigest() == pianoroll.CHECKSUMS[name]


@pytest.mark.parametrize("alias", ["jsb", "JSB", "jsb_chorales", "JSB_Chorales"])
def test_names_are_free_in_case_and_may_be_short(alias, tmp_path):
    write_mat(tmp_path / "data")
    data = pianorolls(alias, tmp_path / "data")
    assert data.name == "JSB_Chorales"
    assert data.test.names == ["test_000", "test_001"]


@pytest.mark.parametrize("name, steps_per_quarter", [
    ("JSB_Chorales", 1), ("jsb", 1), ("Nottingham", 2), ("NOTTINGHAM", 2), ("MuseData", 2),
    ("muse", 2), ("Piano_midi", 2), ("piano-midi.de", 2)])
def test_a_frame_is_an_eighth_note_and_of_jsb_a_quarter(name, steps_per_quarter, tmp_path):
    write_mat(tmp_path, pianoroll.ALIASES[name.lower()])
    assert pianorolls(name, tmp_path).steps_per_quarter == steps_per_quarter


def test_basses_of_nottingham_last_for_bars_of_eighth_notes(shared_data):
    lengths = []
    for roll in pianorolls("nottingham", shared_data).train.sequences:
        lowest = np.where(roll.any(axis=1), roll.argmax(axis=1), -1)
        lengths.append(np.diff(np.flatnonzero(np.diff(lowest))))
    counts = np.bincount(np.concatenate(lengths))[2:]
    assert set(np.argsort(counts)[-2:] + 2) == {6, 8}  # of 6/8 and of 4/4


def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match="`name` must be one of JSB_Chorales.*name='bach'"):
        pianorolls("bach")


def test_data_dir_comes_before_the_environment_and_that_before_the_cache(
        machine, tmp_path, monkeypatch):
    write_mat(machine, num_pieces=3)
    assert len(pianorolls("jsb").train) == 3
    write_mat(tmp_path / "environment", num_pieces=2)
    monkeypatch.setenv("RNNPT_DATA", str(tmp_path / "environment"))
    assert len(pianorolls("jsb").train) == 2
    write_mat(tmp_path / "named", num_pieces=1)
    assert len(pianorolls("jsb", tmp_path / "named").train) == 1


def test_a_folder_without_the_file_is_passed_over(machine, tmp_path):
    write_mat(machine)
    assert len(pianorolls("jsb", tmp_path).train) == 2


def test_missing_folders_are_refused(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="`data_dir` must be an existing.*nowhere"):
        pianorolls("jsb", tmp_path / "nowhere")
    monkeypatch.setenv("RNNPT_DATA", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match="`RNNPT_DATA` must be an existing.*gone"):
        pianorolls("jsb")


def test_without_file_and_network_the_error_says_what_to_put_where(machine):
    with pytest.raises(FileNotFoundError) as caught:
        pianorolls("nottingham")
    message = str(caught.value)
    assert "`name`='nottingham' needs the file Nottingham.mat" in message
    assert f"Put Nottingham.mat (SHA-256 {pianoroll.CHECKSUMS['Nottingham']})" in message
    assert str(machine) in message
    assert "\n" not in message
    assert not machine.exists()


def test_download_tries_every_origin_until_one_has_the_right_file(
        machine, tmp_path, monkeypatch):
    content = write_mat(tmp_path / "origin").read_bytes()
    monkeypatch.setitem(
        pianoroll.CHECKSUMS, "JSB_Chorales", hashlib.sha256(content).hexdigest())
    answers = [urllib.error.URLError("dead"), b"a page that says sorry", content]
    asked = []

    def answer(url, timeout):
        asked.append(url)
        reply = answers[len(asked) - 1]
        if isinstance(reply, Exception):
            raise reply
        return io.BytesIO(reply)

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    assert len(pianorolls("jsb").train) == 2
    assert asked == [origin.format(file="JSB_Chorales.mat") for origin in pianoroll.ORIGINS]
    assert [path.name for path in machine.iterdir()] == ["JSB_Chorales.mat"]
    assert len(pianorolls("jsb").train) == 2
    assert len(asked) == 3


def test_download_that_never_has_the_right_file_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"no"))
    with pytest.raises(ConnectionError, match="JSB_Chorales.mat: not the expected file"):
        pianoroll.download("JSB_Chorales", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.6, 0.9, 0.99])
def test_truncated_mat_gets_one_line_with_its_name(fraction, tmp_path):
    path = write_mat(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:int(fraction * len(content))])
    with pytest.raises(ValueError) as caught:
        pianorolls("jsb", tmp_path)
    assert str(caught.value).startswith(f"{path} must be a whole `.mat` file")
    assert "Delete it" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [
    {"frames": np.zeros((3, 88))},
    {key: np.array([[np.zeros((2, 88))]], object) for key in KEYS},
    {key: np.zeros((1, 4)) for key in KEYS}])
def test_foreign_mat_is_refused(content, tmp_path):
    scipy.io.savemat(tmp_path / "JSB_Chorales.mat", content)
    with pytest.raises(ValueError, match="JSB_Chorales.mat must be a whole `.mat` file"):
        pianorolls("jsb", tmp_path)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickle_reads_like_the_mat(protocol, shared_data, tmp_path):
    expected = pianorolls("jsb", shared_data)
    write_pickle(tmp_path, {
        split: [pitch_lists(piece) for piece in getattr(expected, split).sequences]
        for split in ("train", "valid", "test")}, protocol)
    data = pianorolls("jsb", tmp_path)
    for split in ("train", "valid", "test"):
        pairs = zip(getattr(data, split).sequences, getattr(expected, split).sequences)
        assert all(np.array_equal(got, known) for got, known in pairs)


@pytest.mark.parametrize("frame", [
    (np.int64(60), np.int64(64)), np.array([60, 64]), [60, 64]])
@pytest.mark.parametrize("protocol", [3, 4])
def test_pickle_may_hold_numpy_numbers(frame, protocol, tmp_path):
    write_pickle(tmp_path, dict.fromkeys(("train", "valid", "test"), [[frame]]), protocol)
    roll = pianorolls("jsb", tmp_path).train.sequences[0]
    assert np.flatnonzero(roll[0]).tolist() == [39, 43]


class Command:
    """Pickled, it asks for a command to be run."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_malicious_pickle_is_refused_and_does_not_run(tmp_path):
    trace = tmp_path / "trace"
    path = write_pickle(tmp_path, {"train": Command(f"touch {trace}")})
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.*system, which is not allowed"):
        pianorolls("jsb", tmp_path)
    assert not trace.exists()


@pytest.mark.parametrize("code", [
    b"cbuiltins\neval\n(S'1'\ntR.", b"cnumpy\nload\n.", b"cbuiltins\ngetattr\n.",
    b"cnumpy._core.multiarray\nfromfile\n."])
def test_pickle_may_name_nothing_that_acts(code, tmp_path):
    (tmp_path / "JSB_Chorales.pickle").write_bytes(code)
    with pytest.raises(ValueError, match="JSB_Chorales.pickle.*which is not allowed"):
        pianorolls("jsb", tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x80\x02}q\x00(X", pickle.dumps([1, 2])])
def test_damaged_pickle_is_refused(content, tmp_path):
    (tmp_path / "JSB_Chorales.pickle").write_bytes(content)
    with pytest.raises(ValueError, match="JSB_Chorales.pickle must be a pickled dict"):
        pianorolls("jsb", tmp_path)


def test_pickle_with_a_pitch_off_the_keyboard_is_refused(tmp_path):
    write_pickle(tmp_path, dict.fromkeys(("train", "valid", "test"), [[(60, 20)]]))
    with pytest.raises(ValueError, match="MIDI pitches from 21 to 108. Received: 20"):
        pianorolls("jsb", tmp_path)
