"""MIDI in and out: the grid, the round trip, and files that mean harm."""

import io
import struct
import subprocess
import sys
import tracemalloc

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnpt.music import pianoroll_midi
from rnnpt.music.piano_roll import MAX_STEPS, MusicError, PianoRoll, onsets_of
from rnnpt.music.pianoroll_midi import midi_to_pianoroll, pianoroll_to_midi

C4 = 60 - 21  # middle C's column


def on(pitch, time, channel=0):
    return mido.Message("note_on", note=pitch, velocity=64, time=time, channel=channel)


def off(pitch, time, channel=0):
    return mido.Message("note_off", note=pitch, time=time, channel=channel)


def pedal(value, time):
    return mido.Message("control_change", control=64, value=value, time=time)


def midi(*tracks, resolution=480, kind=1):
    file = io.BytesIO()
    mido.MidiFile(type=kind, ticks_per_beat=resolution,
                  tracks=[mido.MidiTrack(track) for track in tracks]).save(file=file)
    return file.getvalue()


def raw_midi(track, resolution=480, kind=1):
    return (b"MThd" + struct.pack(">lhhh", 6, kind, 1, resolution)
            + b"MTrk" + struct.pack(">L", len(track)) + track)


def steps(roll, pitch=60):
    return np.flatnonzero(roll.frames[:, pitch - 21]).tolist()


def onsets(roll, pitch=60):
    return np.flatnonzero(roll.onsets[:, pitch - 21]).tolist()


@st.composite
def rolls(draw):
    num_steps = draw(st.integers(1, 12))
    frames = draw(hnp.arrays(np.uint8, (num_steps, 88), elements=st.integers(0, 1),
                             fill=st.just(0)))
    struck = draw(hnp.arrays(np.uint8, (num_steps, 88), elements=st.integers(0, 1),
                             fill=st.just(0)))
    frames[draw(st.integers(0, num_steps - 1)), draw(st.integers(0, 87))] = 1
    return PianoRoll(frames, onsets_of(frames) | (frames & struck),
                     draw(st.sampled_from([1, 2, 3, 4, 7, 24])),
                     draw(st.floats(4, 1000)))


@settings(derandomize=True, deadline=None)
@given(rolls())
def test_roll_to_midi_and_back_loses_no_frame_and_no_onset(roll):
    back = midi_to_pianoroll(pianoroll_to_midi(roll), roll.steps_per_quarter)
    np.testing.assert_array_equal(back.frames, roll.frames)
    np.testing.assert_array_equal(back.onsets, roll.onsets)
    # A MIDI tempo is a whole number of microseconds a quarter note, here cut off.
    assert 6e7 / back.qpm == pytest.approx(6e7 / roll.qpm, abs=1.001)


def test_longest_roll_and_finest_grid_go_there_and_back():
    frames = np.zeros((MAX_STEPS, 88), np.uint8)
    frames[-2:, C4] = 1
    roll = PianoRoll(frames, onsets_of(frames), 96, 90.0)
    back = midi_to_pianoroll(pianoroll_to_midi(roll), 96)
    np.testing.assert_array_equal(back.frames, frames)


def test_written_notes_can_be_heard():
    frames = np.eye(88, dtype=np.uint8)
    file = mido.MidiFile(file=io.BytesIO(pianoroll_to_midi(PianoRoll(frames, onsets_of(frames)))))
    loud = [event for track in file.tracks for event in track
            if event.type == "note_on" and event.velocity > 0]
    assert [event.note for event in loud] == list(range(21, 109))


def test_steps_follow_beats_through_tempo_and_time_signature_changes():
    conductor = [mido.MetaMessage("time_signature", numerator=3, denominator=8),
                 mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(60)),
                 mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(200), time=720),
                 mido.MetaMessage("time_signature", numerator=7, denominator=4, time=100)]
    melody = [on(60, 480), off(60, 480), on(62, 0), off(62, 960)]
    roll = midi_to_pianoroll(midi(conductor, melody))
    assert (steps(roll, 60), steps(roll, 62)) == ([1], [2, 3])
    assert roll.qpm == pytest.approx(60)


def test_tempo_events_of_a_later_track_do_no_harm():
    late = [mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(90)), on(60, 0), off(60, 480)]
    assert midi_to_pianoroll(midi([on(64, 0), off(64, 480)], late)).qpm == pytest.approx(90)


def test_of_several_first_tempos_the_last_counts_as_in_a_player():
    def tempo(qpm, time=0):
        return mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(qpm), time=time)

    note = [on(60, 0), off(60, 480)]
    assert midi_to_pianoroll(midi([tempo(90), tempo(60), *note])).qpm == pytest.approx(60)
    assert midi_to_pianoroll(midi([tempo(60), tempo(90), *note])).qpm == pytest.approx(90)
    assert midi_to_pianoroll(midi([tempo(90)], [tempo(60), *note])).qpm == pytest.approx(60)
    assert midi_to_pianoroll(midi([tempo(90, 9)], [tempo(60), *note])).qpm == pytest.approx(60)


@pytest.mark.parametrize("microseconds", [0, 59_999, 2**24 - 1, 500_000])
def test_a_tempo_that_is_asked_for_stands_in_place_of_any(microseconds):
    data = midi([mido.MetaMessage("set_tempo", tempo=microseconds), on(60, 0), off(60, 960)])
    roll = midi_to_pianoroll(data, qpm=70)
    assert (roll.qpm, steps(roll)) == (70, [0, 1])
    with pytest.raises(MusicError, match="qpm must lie between 4 and 1000 .* got 2000"):
        midi_to_pianoroll(data, qpm=2000)


def test_file_without_a_tempo_runs_at_120():
    assert midi_to_pianoroll(midi([on(60, 0), off(60, 480)])).qpm == 120


def test_finer_grid_shows_what_a_coarse_one_skips():
    data = midi([on(60, 0), off(60, 240), on(62, 0), off(62, 240)])
    assert steps(midi_to_pianoroll(data, 1), 62) == []
    assert steps(midi_to_pianoroll(data, 2), 62) == [1]


def test_human_timing_gives_the_score_it_came_from():
    late = midi([on(60, 40), off(60, 470), on(60, 5), off(60, 400)])
    roll = midi_to_pianoroll(late)
    assert (steps(roll), onsets(roll)) == ([0, 1], [0, 1])


def test_repeated_note_is_told_from_a_held_one():
    roll = midi_to_pianoroll(midi([on(60, 0), off(60, 480), on(60, 0), off(60, 960)]))
    assert (steps(roll), onsets(roll)) == ([0, 1, 2], [0, 1])


def test_unison_of_two_tracks_keeps_the_longer_note():
    roll = midi_to_pianoroll(midi([on(60, 0), off(60, 4 * 480)], [on(60, 480), off(60, 480)]))
    assert (steps(roll), onsets(roll)) == ([0, 1, 2, 3], [0, 1])


def test_overlapping_notes_of_one_track_sound_until_the_last_ends():
    roll = midi_to_pianoroll(midi([on(60, 0), on(60, 0), off(60, 960), off(60, 960)]))
    assert (steps(roll), onsets(roll)) == ([0, 1, 2, 3], [0])
    data = midi([on(60, 0), on(60, 480), on(62, 0), off(60, 240), off(62, 240), off(60, 960),
                 on(60, 480), off(60, 480)])
    roll = midi_to_pianoroll(data)
    assert (steps(roll), onsets(roll)) == ([0, 1, 2, 3, 5], [0, 1, 5])
    assert steps(roll, 62) == [1]


def test_overlapping_notes_of_two_channels_end_each_for_itself():
    data = midi([on(60, 0), on(60, 480, 1), off(60, 480), on(60, 480), off(60, 480, 1),
                 off(60, 480)])
    roll = midi_to_pianoroll(data)
    assert (steps(roll), onsets(roll)) == ([0, 1, 2, 3, 4], [0, 1, 3])


@pytest.mark.parametrize("events", [
    [on(60, 0), on(60, 480), off(60, 480), on(62, 0), off(62, 480)],
    [off(60, 0), on(60, 0), on(60, 480), off(60, 480), on(62, 0), off(62, 480)]])
def test_a_key_whose_releases_match_no_strokes_ends_with_its_first_release(events):
    roll = midi_to_pianoroll(midi(events))
    assert (steps(roll), onsets(roll), steps(roll, 62)) == ([0, 1], [0, 1], [2])


def test_sustain_pedal_holds_notes_until_it_is_lifted():
    data = midi([pedal(127, 0), on(60, 0), off(60, 480), pedal(0, 960), on(62, 0), off(62, 480)])
    assert steps(midi_to_pianoroll(data, sustain=True)) == [0, 1, 2]
    assert steps(midi_to_pianoroll(data)) == [0]


def test_sustained_key_struck_again_is_a_new_note():
    data = midi([pedal(127, 0), on(60, 0), off(60, 480), on(60, 480), off(60, 480),
                 pedal(0, 480)])
    roll = midi_to_pianoroll(data, sustain=True)
    assert (steps(roll), onsets(roll)) == ([0, 1, 2, 3], [0, 2])


def test_pedal_that_is_never_lifted_holds_to_the_last_event():
    data = midi([pedal(64, 0), on(60, 0), off(60, 480), on(62, 0), off(62, 480)])
    assert steps(midi_to_pianoroll(data, sustain=True)) == [0, 1]


def test_pedal_below_half_holds_nothing():
    data = midi([pedal(63, 0), on(60, 0), off(60, 480), on(62, 0), off(62, 480)])
    assert steps(midi_to_pianoroll(data, sustain=True)) == [0]


def test_drums_and_notes_beyond_the_keyboard_are_left_out():
    data = midi([on(60, 0), on(20, 0), on(109, 0), on(36, 0, channel=9), off(20, 480),
                 off(109, 0), off(60, 0), off(36, 480, channel=9)])
    assert midi_to_pianoroll(data).notes().tolist() == [[60, 0, 1]]


def test_path_and_bytes_give_the_same_roll(tmp_path):
    data = midi([on(60, 0), off(60, 480)])
    path = tmp_path / "one.mid"
    path.write_bytes(data)
    for source in (path, str(path)):
        np.testing.assert_array_equal(midi_to_pianoroll(source).frames,
                                      midi_to_pianoroll(data).frames)


@pytest.mark.parametrize(("source", "message"), [
    (b"", "source must be a MIDI file, got 0 bytes that begin with b''"),
    (b"hello world", "source must be a MIDI file, got 11 bytes that begin with b'hell'"),
    (b"MThd", "source must be a complete MIDI file, got 4 bytes"),
    (midi([on(60, 0), off(60, 480)])[:-6], "source must be a complete MIDI file, got"),
    (raw_midi(b"\x00\x90\xff\x40"), "source must be a complete MIDI file, got"),
    (midi(), "note in the 88 keys .* got none among 0"),
    (midi([on(20, 0), off(20, 480)]), "note in the 88 keys .* got none among 1"),
    (midi([on(60, 0, 9), off(60, 480, 9)]), "note in the 88 keys .* got none among 0"),
    (midi([on(60, 0)]), "note in the 88 keys .* got none among 0"),
    (midi([on(60, 0), off(60, 480)], kind=2), "source must count ticks .* got 480 in type 2"),
    (raw_midi(b"\x00\xff\x2f\x00", kind=9), "source must count ticks .* got 480 in type 9"),
    (raw_midi(b"\x00\xff\x2f\x00", resolution=-6360), "source must count ticks .* got -6360"),
    (raw_midi(b"\x00\xff\x2f\x00", resolution=0), "source must count ticks .* got 0"),
    (midi([mido.MetaMessage("set_tempo", tempo=0), on(60, 0), off(60, 480)]),
     "qpm must lie between 4 and 1000 .* got 6e"),
    (midi([on(60, 0), off(60, pianoroll_midi.MAX_TICKS + 1)]),
     "source must last at most 9999999 ticks, got more"),
    (b"MThd" + bytes(pianoroll_midi.MAX_BYTES), "source must have at most 1048576 bytes"),
])
def test_bad_file_gets_one_line_that_says_why(source, message):
    with pytest.raises(MusicError, match=message) as caught:
        midi_to_pianoroll(source)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="source must be a MIDI file, got .*gone.mid"):
        midi_to_pianoroll(tmp_path / "gone.mid")
    with pytest.raises(FileNotFoundError, match="source must be a MIDI file"):
        midi_to_pianoroll(tmp_path)


def test_large_file_is_refused_before_it_is_read_whole(tmp_path):
    path = tmp_path / "large.mid"
    with open(path, "wb") as file:
        file.truncate(2**33)  # takes no space
    with pytest.raises(MusicError, match="source must have at most 1048576 bytes, got more"):
        midi_to_pianoroll(path)


@pytest.mark.parametrize("source", [None, 7, [b"MThd"]])
def test_source_of_another_type_is_refused(source):
    with pytest.raises(TypeError, match="source must be a path or bytes, got"):
        midi_to_pianoroll(source)


def test_music_longer_than_the_limit_is_refused():
    data = midi([on(60, 0), off(60, 480 * 9)])
    assert len(midi_to_pianoroll(data, max_steps=9).frames) == 9
    with pytest.raises(MusicError, match="max_steps is 8, got music of 9 steps"):
        midi_to_pianoroll(data, max_steps=8)
    with pytest.raises(MusicError, match="max_steps is 65536, got music of 9999999 steps"):
        midi_to_pianoroll(midi([on(60, 0), off(60, pianoroll_midi.MAX_TICKS)], resolution=1))


def test_music_of_more_notes_than_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(pianoroll_midi, "MAX_NOTES", 3)
    notes = [on(60, 0), off(60, 480)]
    silent = mido.Message("note_on", note=60, velocity=0)
    assert midi_to_pianoroll(midi(2 * notes, notes + [silent])).notes().shape == (2, 3)
    with pytest.raises(MusicError, match="source must have at most 3 notes, got more: cut"):
        midi_to_pianoroll(midi(2 * notes, 2 * notes))


@pytest.mark.parametrize("limit", [1e7, 1e10])  # pretty_midi's own, and note-seq's
def test_forty_bytes_that_ask_for_gigabytes_get_none(monkeypatch, limit):
    monkeypatch.setattr(pretty_midi.pretty_midi, "MAX_TICK", limit)
    bomb = raw_midi(b"\x00\x90\x3c\x40\x9f\xff\xff\x7f\x80\x3c\x40\x00\xff\x2f\x00")
    tracemalloc.start()
    try:
        with pytest.raises(MusicError, match="source must last at most 9999999 ticks"):
            midi_to_pianoroll(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_number_without_an_end_is_refused_at_sight():
    with pytest.raises(MusicError, match="source must be a complete MIDI file"):
        midi_to_pianoroll(raw_midi(b"\x80" * 10**6 + b"\x00\xff\x2f\x00"))


# Events whole and broken, so that the fuzz gets past the first bytes.
EVENTS = st.sampled_from([
    b"\x00\x90\x3c\x40", b"\x60\x80\x3c\x00", b"\x00\x3c\x40", b"\x83\x60\x90\x3c\x00",
    b"\x00\xb0\x40\x7f", b"\x60\xb0\x40\x00", b"\x00\xb0\x7b\x00", b"\x00\x99\x24\x40",
    b"\x00\xff\x51\x03\x07\xa1\x20", b"\x00\xff\x51\x03\x00\x00\x00", b"\x00\xff\x51\x01\x00",
    b"\x00\xff\x58\x04\x03\xff\x18\x08", b"\x00\xff\x59\x02\x09\x05", b"\x00\xf0\x03\x01\x02\xf7",
    b"\xff\xff\xff\x7f\x90\x3c\x40", b"\x00\xc0\x05", b"\x00\xe0\x00\x40", b"\x00\xff\x2f\x00"])
TRACKS = st.lists(EVENTS | st.binary(max_size=4), max_size=20).map(b"".join)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=60)
       | st.builds(raw_midi, TRACKS, st.sampled_from([1, 96, 480, 32767, 0, -1]),
                   st.integers(-1, 3)), st.sampled_from([1, 96]), st.booleans())
def test_any_bytes_give_a_roll_or_a_music_error(source, steps_per_quarter, sustain):
    try:
        roll = midi_to_pianoroll(source, steps_per_quarter, max_steps=4096, sustain=sustain)
    except MusicError as error:
        assert "\n" not in str(error)
    else:
        assert roll.frames.any() and len(roll.frames) <= 4096


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
       st.integers(0, 10**6))
def test_damaged_file_gives_a_roll_or_a_music_error(changes, length):
    frames = np.eye(6, 88, 30, dtype=np.uint8)
    data = bytearray(pianoroll_to_midi(PianoRoll(frames, onsets_of(frames))))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        assert midi_to_pianoroll(bytes(data[:length % (2 * len(data))])).frames.any()
    except MusicError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(("module", "heavy", "rooms"), [
    ("piano_roll", ["mido", "pretty_midi"], []),
    ("pianoroll_midi", [], ["rnnpt.music.piano_roll"])])
def test_module_imports_no_other_room_and_nothing_heavy(module, heavy, rooms):
    code = (f"import sys, rnnpt.music.{module}\n"
            "print(*sorted({name.split('.')[0] for name in sys.modules} & set(sys.argv[1:])),\n"
            "      *sorted(name for name in sys.modules if name.startswith('rnnpt')))")
    heavy = [*heavy, "tensorflow", "keras", "scipy", "matplotlib", "note_seq", "music21"]
    output = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True,
                            check=True).stdout
    assert output.split() == ["rnnpt", "rnnpt.music", *rooms, f"rnnpt.music.{module}"]
