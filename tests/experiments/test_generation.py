"""Music from a generator: what is written, and what the three sources share."""

import mido
import numpy as np
import pytest

from rnnpt.experiments import generation, run_folder
from rnnpt.experiments.setting import ConfigError
from rnnpt.music.piano_roll import MusicError, PianoRoll, onsets_of
from rnnpt.music.pianoroll_midi import midi_to_pianoroll, pianoroll_to_midi


def make_roll(num_steps=4, qpm=90.0):
    frames = np.zeros((num_steps, 88), np.uint8)
    frames[:, 39] = 1
    onsets = onsets_of(frames)
    onsets[2, 39] = 1  # struck again
    return PianoRoll(frames, onsets, 2, qpm)


def climb(prime, num_steps, seeds, temperature):
    """Holds the last frame for a step and then climbs from the key that the seed names."""
    frames = np.zeros((len(prime), num_steps, 88), np.float32)
    for row, (seed, index) in enumerate(seeds):
        for step in range(num_steps):
            frames[row, step, seed + index + step] = 1
        if prime.shape[1]:
            frames[row, 0] = prime[row, -1]
    return frames


def test_generated_files_hold_what_the_model_drew_a_stream_a_piece(tmp_path):
    paths = generation.generate_files(
        climb, tmp_path / "new", num_outputs=2, num_steps=5, qpm=60, seed=30, steps_per_quarter=2
    )
    assert [path.name for path in paths] == ["generated_1.mid", "generated_2.mid"]
    for index, path in enumerate(paths):
        roll = midi_to_pianoroll(path, steps_per_quarter=2)
        np.testing.assert_array_equal(roll.frames.argmax(axis=1), 30 + index + np.arange(5))
        assert roll.qpm == pytest.approx(60)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "generated_1.mid", "generated_2.mid"
    ]


def test_a_continuation_keeps_the_primer_and_holds_notes_over_the_seam(tmp_path):
    primer = make_roll()
    path = generation.continue_file(climb, primer, tmp_path, num_steps=3, seed=50)
    roll = midi_to_pianoroll(path, steps_per_quarter=2)
    np.testing.assert_array_equal(roll.frames[:4], primer.frames)
    np.testing.assert_array_equal(roll.frames[4:].argmax(axis=1), [39, 51, 52])
    np.testing.assert_array_equal(np.flatnonzero(roll.onsets[:, 39]), [0, 2])
    assert roll.qpm == pytest.approx(90, rel=1e-5)  # whole microseconds


def test_a_primer_has_the_tempo_that_is_asked_for(tmp_path):
    path = tmp_path / "primer.mid"
    path.write_bytes(pianoroll_to_midi(make_roll()))
    # A MIDI tempo is whole microseconds.
    assert generation.read_primer(path, 2).qpm == pytest.approx(90, rel=1e-5)
    assert generation.read_primer(path, 2, qpm=70).qpm == 70
    with pytest.raises(MusicError, match="qpm must lie between .*, got 0"):
        generation.read_primer(path, 2, qpm=0)


def test_a_primer_of_an_impossible_tempo_is_read_at_another(tmp_path):
    path = tmp_path / "primer.mid"
    fast = mido.MetaMessage("set_tempo", tempo=1)
    note = [mido.Message(kind, note=60, time=time) for kind, time in
            (("note_on", 0), ("note_off", 480))]
    mido.MidiFile(tracks=[mido.MidiTrack([fast, *note])], ticks_per_beat=480).save(path)
    with pytest.raises(MusicError, match="qpm must lie between .*, got 6e"):
        generation.read_primer(path)
    assert generation.read_primer(path, qpm=70).qpm == 70


@pytest.mark.parametrize("data, steps_per_quarter", [
    ("chorales", 1), ("chorales_eighth", 2), ("Chorales_Eighth", 2), ("jsb", 1), ("Nottingham", 2),
    ("muse", 2), ("PIANO_MIDI", 2), ("piano-midi.de", 2), ("midi_folder:Nottingham", 1)])
def test_a_run_tells_the_grid_of_its_data_in_any_case(tmp_path, data, steps_per_quarter):
    run_folder.open_run(tmp_path / "run", "rnn_jsb", [f"data={data}"])
    assert generation.steps_per_quarter_of(tmp_path / "run") == steps_per_quarter


@pytest.mark.parametrize("text, steps_per_quarter", [('{"steps_per_quarter": 2}', 2), (None, 1)])
def test_an_export_tells_the_grid_of_its_newest_version(tmp_path, text, steps_per_quarter):
    for version in ("1", "2"):
        (tmp_path / version / "assets.extra").mkdir(parents=True)
        (tmp_path / version / "saved_model.pb").touch()
    if text is not None:
        (tmp_path / "2" / "assets.extra" / "rnnpt.json").write_text(text)
    for directory in (tmp_path, tmp_path / "2"):
        assert generation.exported_steps_per_quarter(directory) == steps_per_quarter


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_outputs": 0}, "num_outputs must be at least 1, got 0"),
        ({"num_steps": -3}, "num_steps must be at least 1, got -3"),
        ({"seed": -1}, "seed must be from 0 to 2147483647, got -1"),
        ({"seed": 2**31}, "seed must be from 0 to 2147483647, got 2147483648"),
        ({"qpm": 5000.0}, "qpm must lie between .*, got 5000"),
    ],
)
def test_generating_refuses_and_writes_nothing(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        generation.generate_files(climb, tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_continuing_by_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="num_steps must be at least 1, got 0"):
        generation.continue_file(climb, make_roll(), tmp_path, num_steps=0)
    assert not list(tmp_path.iterdir())


def test_a_client_is_asked_with_a_frame_that_does_not_count_where_there_is_no_primer():
    class Client:
        def generate(self, prime, num_steps, seed, temperature, length):
            self.asked = prime.shape, num_steps, seed.tolist(), temperature, length
            return type("Answer", (), {"frames": np.ones((len(prime), 9, 88), np.float32)})

    client = Client()
    generator = generation.from_client(client)
    seeds = np.array([[3, 0], [3, 1]])
    frames = generator(np.zeros((2, 0, 88), np.float32), 4, seeds, 0.5)
    assert frames.shape == (2, 4, 88)
    assert client.asked == ((2, 1, 88), 4, [[3, 0], [3, 1]], 0.5, 0)
    generator(np.zeros((2, 6, 88), np.float32), 4, seeds, 0.5)
    assert client.asked[0] == (2, 6, 88) and client.asked[-1] is None
