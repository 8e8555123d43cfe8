"""Scores and NoteSequences, and the traps of note-seq and of its MusicXML reader."""

import subprocess
import sys
import zipfile
from importlib import util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnpt.music.note_sequence import (
    abc_to_pianorolls,
    from_note_sequence,
    musicxml_to_pianoroll,
    to_note_sequence,
)
from rnnpt.music.piano_roll import MusicError, PianoRoll, onsets_of
from rnnpt.music.pianoroll_midi import midi_to_pianoroll
from rnnpt.music.transposition import Key, semitones_to_c, transpose

QUARTER = 4  # divisions of a quarter note in the scores below


def some_roll():
    frames = np.zeros((5, 88), np.uint8)
    frames[1:4, 39] = frames[0, 43] = 1
    onsets = onsets_of(frames)
    onsets[2, 39] = 1
    return PianoRoll(frames, onsets, 2, 90.0)


def note(step, octave, duration=QUARTER, alter=0, tie=(), inside=""):
    ties = "".join(f'<tie type="{kind}"/>' for kind in tie)
    return (f"<note>{inside}<pitch><step>{step}</step><alter>{alter}</alter>"
            f"<octave>{octave}</octave></pitch><duration>{duration}</duration>{ties}</note>")


def key(fifths, mode=None, transpose=""):
    mode = f"<mode>{mode}</mode>" if mode else ""
    return f"<attributes><key><fifths>{fifths}</fifths>{mode}</key>{transpose}</attributes>"


def tempo(qpm):
    return f'<direction><sound tempo="{qpm}"/></direction>'


def bar(*content, attributes='number="1"'):
    divisions = f"<attributes><divisions>{QUARTER}</divisions></attributes>"
    return f"<measure {attributes}>{divisions}{''.join(content)}</measure>"


def score(folder, *parts, name="score.musicxml"):
    path = folder / name
    path.write_text("<score-partwise>" + "".join(f'<part id="P{i}">{part}</part>'
                                                 for i, part in enumerate(parts))
                    + "</score-partwise>")
    return path


def heard(roll):
    return [tuple(row) for row in roll.notes().tolist()]


@settings(derandomize=True, deadline=None, max_examples=30)
@given(hnp.arrays(np.uint8, (6, 88), elements=st.integers(0, 1)),
       hnp.arrays(np.uint8, (6, 88), elements=st.integers(0, 1)), st.floats(4, 1000))
def test_roll_to_note_sequence_and_back_loses_nothing(frames, struck, qpm):
    frames[2, 30] = 1
    roll = PianoRoll(frames, onsets_of(frames) | (frames & struck), 3, qpm)
    back = from_note_sequence(to_note_sequence(roll), 3)
    np.testing.assert_array_equal(back.frames, frames)
    np.testing.assert_array_equal(back.onsets, roll.onsets)
    assert back.qpm == qpm


def test_note_sequence_sounds_when_magenta_writes_it_as_midi(tmp_path):
    sequence = to_note_sequence(some_roll())
    from note_seq import midi_io  # after the function, which guards pretty_midi's tick limit
    path = tmp_path / "magenta.mid"
    midi_io.note_sequence_to_pretty_midi(sequence).write(str(path))
    roll = midi_to_pianoroll(path, steps_per_quarter=2)
    assert heard(roll) == heard(some_roll())


def test_tick_limit_is_what_it_was_before_note_seq_came():
    code = ("import pretty_midi, rnnpt.music.note_sequence as n\n"
            "before = pretty_midi.pretty_midi.MAX_TICK\n"
            "n.abc_to_pianorolls('X:1\\nK:C\\nC')\n"
            "assert 'note_seq' in __import__('sys').modules\n"
            "print(before, pretty_midi.pretty_midi.MAX_TICK)")
    output = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True,
                            text=True, check=True)
    before, after = output.stdout.split()
    assert before == after == str(1e7)
    assert output.stderr == ""  # nor a word about ffmpeg


def test_note_seq_is_imported_on_demand():
    code = "import sys, rnnpt.music.note_sequence; sys.exit('note_seq' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_seconds_become_quarters_through_every_tempo():
    sequence = to_note_sequence(some_roll())
    del sequence.notes[:], sequence.tempos[:]
    sequence.total_time = 0
    sequence.tempos.add(time=4, qpm=30)  # out of order
    sequence.tempos.add(time=0, qpm=60)
    sequence.notes.add(pitch=60, velocity=1, start_time=3, end_time=6)
    sequence.notes.add(pitch=62, velocity=1, start_time=6, end_time=10)
    sequence.notes.add(pitch=36, velocity=1, start_time=0, end_time=99, is_drum=True)
    roll = from_note_sequence(sequence)
    assert heard(roll) == [(60, 3, 5), (62, 5, 7)]
    assert roll.qpm == 60


def test_sequence_without_a_tempo_runs_at_120():
    sequence = to_note_sequence(some_roll())
    del sequence.tempos[:]
    assert from_note_sequence(sequence).qpm == 120


@pytest.mark.parametrize(("field", "value", "message"), [
    ("qpm", 0.0, "sequence.tempos must be positive, .* got 0 quarter"),
    ("qpm", float("inf"), "sequence.tempos must be positive, .* got inf quarter"),
    ("time", -1.0, "sequence.tempos must be positive, .* at -1 s"),
])
def test_impossible_tempo_is_refused(field, value, message):
    sequence = to_note_sequence(some_roll())
    setattr(sequence.tempos[0], field, value)
    with pytest.raises(MusicError, match=message):
        from_note_sequence(sequence)


def test_sequence_without_notes_or_too_long_is_refused():
    sequence = to_note_sequence(some_roll())
    with pytest.raises(MusicError, match="max_steps is 4, got music of 5 steps"):
        from_note_sequence(sequence, 2, max_steps=4)
    del sequence.notes[:]
    with pytest.raises(MusicError, match="must have a note in the 88 keys .* got none among 0"):
        from_note_sequence(sequence)


def test_tied_notes_are_one_and_repeated_notes_two(tmp_path):
    path = score(tmp_path, bar(note("C", 4, tie=["start"]), note("C", 4, tie=["stop", "start"]))
                 + bar(note("C", 4, tie=["stop"]), note("C", 4)))
    assert heard(musicxml_to_pianoroll(path)[0]) == [(60, 0, 3), (60, 3, 4)]


def test_tie_that_leads_nowhere_ends_its_note(tmp_path):
    path = score(tmp_path, bar(note("C", 4, tie=["start"]), note("D", 4),
                               note("C", 4, tie=["stop"])))
    assert heard(musicxml_to_pianoroll(path)[0]) == [(60, 0, 1), (62, 1, 2), (60, 2, 3)]


@pytest.mark.parametrize(("step", "alter", "octave", "pitch"), [
    ("B", 1, 3, 60), ("C", -1, 4, 59), ("B", 2, 3, 61), ("C", -2, 4, 58), ("F", 1, 4, 66)])
def test_accidental_across_the_octave_stays_in_its_place(tmp_path, step, alter, octave, pitch):
    roll, _ = musicxml_to_pianoroll(score(tmp_path, bar(note(step, octave, alter=alter))))
    assert heard(roll) == [(pitch, 0, 1)]


def test_parts_keep_together_through_a_change_of_tempo(tmp_path):
    tune = note("C", 5) + tempo(40) + note("D", 5) + note("E", 5)
    bass = note("C", 3) + note("D", 3) + note("E", 3)
    roll, _ = musicxml_to_pianoroll(score(tmp_path, bar(tempo(80), tune), bar(bass)))
    assert heard(roll) == [(48, 0, 1), (72, 0, 1), (50, 1, 2), (74, 1, 2), (52, 2, 3), (76, 2, 3)]
    assert roll.qpm == 80


def test_grace_note_takes_no_time(tmp_path):
    grace = "<note><grace/><pitch><step>G</step><octave>4</octave></pitch></note>"
    roll, _ = musicxml_to_pianoroll(score(tmp_path, bar(note("C", 4), grace, note("D", 4))))
    assert heard(roll) == [(60, 0, 1), (62, 1, 2)]


def test_bars_begin_on_the_grid_after_a_short_pickup(tmp_path):
    bars = bar(note("G", 4, QUARTER // 2), attributes='number="0"') + bar(note("C", 4),
                                                                          note("D", 4))
    path = score(tmp_path, bars)
    assert heard(musicxml_to_pianoroll(path, 1)[0]) == [(60, 1, 2), (62, 2, 3)]
    assert heard(musicxml_to_pianoroll(path, 2)[0]) == [(67, 0, 1), (60, 1, 3), (62, 3, 5)]


@pytest.mark.parametrize(("fifths", "mode", "written"), [
    (0, "major", Key(0, "major")), (3, "major", Key(9, "major")), (-3, "minor", Key(0, "minor")),
    (7, "major", Key(1, "major")), (-7, "minor", Key(8, "minor")), (0, "dorian", Key(2, "minor")),
    (1, "mixolydian", Key(2, "major")), (0, "phrygian", Key(4, "minor")),
    (-1, "lydian", Key(10, "major")), (2, "aeolian", Key(11, "minor")),
    (0, "locrian", Key(11, "minor")), (1, "ionian", Key(7, "major"))])
def test_key_is_the_written_one_with_its_mode(tmp_path, fifths, mode, written):
    path = score(tmp_path, bar(key(fifths, mode), note("C", 4)))
    assert musicxml_to_pianoroll(path)[1] == written


@pytest.mark.parametrize(("last_bass", "written"), [
    ("A", Key(9, "minor")), ("C", Key(0, "major")), ("E", Key(0, "major"))])
@pytest.mark.parametrize("signature", [key(0), key(0, "none"), ""])
def test_signature_without_a_mode_asks_the_final_bass(tmp_path, last_bass, written, signature):
    path = score(tmp_path, bar(signature, note("D", 5), note("A", 5)),
                 bar(note("A", 2), note(last_bass, 3)))
    assert musicxml_to_pianoroll(path)[1] == written


def test_key_of_a_transposing_part_is_the_one_that_sounds(tmp_path):
    clarinet = key(2, "major", "<transpose><chromatic>-2</chromatic></transpose>")
    roll, sounding = musicxml_to_pianoroll(score(tmp_path, bar(clarinet, note("D", 4))))
    assert (heard(roll), sounding) == ([(60, 0, 1)], Key(0, "major"))


def test_compressed_score_is_read(tmp_path):
    plain = score(tmp_path, bar(note("C", 4)))
    path = tmp_path / "score.mxl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(plain, "score.xml")
        archive.writestr("META-INF/container.xml", '<container><rootfiles><rootfile '
                         'full-path="score.xml"/></rootfiles></container>')
    assert heard(musicxml_to_pianoroll(path)[0]) == [(60, 0, 1)]


@pytest.mark.parametrize(("name", "content", "message"), [
    ("wild.xml", b"\x00\xffno xml", "path must be a MusicXML score, got .*wild.xml.*ParseError"),
    ("wild.mxl", b"no zip", "path must be a MusicXML score, got .*wild.mxl.*BadZipFile"),
    ("page.xml", b"<html><body/></html>", "path must be a MusicXML score, got .*page.xml"),
    ("empty.xml", b"", "path must be a MusicXML score, got .*empty.xml"),
])
def test_file_that_is_no_score_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MusicError, match=message) as caught:
        musicxml_to_pianoroll(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_score_that_swells_when_unpacked_is_refused(tmp_path):
    path = tmp_path / "bomb.mxl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("score.xml", bytes(2**24 + 1))
    with pytest.raises(MusicError, match="path must hold at most 16777216 bytes .* got 16777217"):
        musicxml_to_pianoroll(path)


def test_score_without_notes_or_file_is_refused(tmp_path):
    rest = f"<note><rest/><duration>{QUARTER}</duration></note>"
    with pytest.raises(MusicError, match="must have a note in the 88 keys .* got none among 0"):
        musicxml_to_pianoroll(score(tmp_path, bar(rest)))
    with pytest.raises(FileNotFoundError, match="path must be a MusicXML file, got .*gone.xml"):
        musicxml_to_pianoroll(tmp_path / "gone.xml")


def test_bach_chorale_is_read_as_it_is_sung():
    corpus = Path(util.find_spec("music21").submodule_search_locations[0]) / "corpus" / "bach"
    roll, written = musicxml_to_pianoroll(corpus / "bwv269.mxl")
    assert written == Key(7, "major")
    assert roll.notes()[:4, 0].tolist() == [43, 59, 62, 67]  # G2 B3 D4 G4, the pickup
    frames = transpose(roll.frames, semitones_to_c(*written))
    assert (np.flatnonzero(frames[-1]) + 21)[0] % 12 == 0  # it ends on C in the bass


ABC = """X:2
T:Second
Q:1/4=90
L:1/4
K:Am
|:A B:|c2|

X:1
L:1/8
K:D Dorian
D2 E F|
"""


def test_tunes_come_by_number_with_repeats_and_keys():
    (first, dorian), (second, minor) = abc_to_pianorolls(ABC, 2)
    assert heard(first) == [(62, 0, 2), (64, 2, 3), (65, 3, 4)]
    assert heard(second) == [(69, 0, 2), (71, 2, 4), (69, 4, 6), (71, 6, 8), (72, 8, 12)]
    assert (dorian, minor) == (Key(2, "minor"), Key(9, "minor"))
    assert second.qpm == 90


@pytest.mark.parametrize(("text", "message"), [
    ("", "text must be an ABC tunebook, got '' .*no tune"),
    ("X:1\nK:H\nC", r"text must be an ABC tunebook, got 'X:1\\nK:H\\nC' "),
    ("X:1\nK:C\n[CEG]", "text must be an ABC tunebook, got .*ChordError"),
    ("X:1\nK:C\nC\n\nX:1\nK:C\nC", "text must be an ABC tunebook, got .*appears more than once"),
    ("X:1\nK:C\nz", "text must be an ABC tunebook, got .*InvalidCharacterError"),
    ("X:1\nK:C\nC\n\nA", "text must be an ABC tunebook, got .*tune 0 has no K: field"),
    ("X:1\nK:C\nC,,,,,", "must have a note in the 88 keys"),
    ("X:1\nK:C\n|" + ":" * 40 + " C " + ":" * 40 + "|", "text must play no section more than 16"),
    ("x" * (2**20 + 1), "text must have at most 1048576 characters, got 1048577"),
])
def test_text_that_is_no_tune_is_refused(text, message):
    with pytest.raises(MusicError, match=message) as caught:
        abc_to_pianorolls(text)
    assert "\n" not in str(caught.value)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.text("X:1\nKCAm|[]{}()zab234/^_='\"~ ", max_size=30))
def test_any_text_gives_tunes_or_a_music_error(text):
    try:
        assert abc_to_pianorolls("X:1\nK:C\n" + text)
    except MusicError as error:
        assert "\n" not in str(error)
