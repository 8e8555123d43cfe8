"""Reading MIDI in processes of their own: each file ends as music or as one line, nothing hangs."""

import itertools
import os
import signal
import struct
import threading
import time

import numpy as np
import pytest

from rnnpt.music.pianoroll_midi import MAX_BYTES, midi_to_pianoroll
from rnnpt.serving import _midi_reader, _midi_worker
from rnnpt.serving._midi_reader import MidiReader
from rnnpt.serving.error import InvalidArgument, Unavailable
from tests.music.midi_fuzz import CRAFTED, chord, mutated_midis


@pytest.fixture(scope="module")
def reader():
    reader = MidiReader(num_processes=1)
    yield reader
    reader.close()


def test_a_file_reads_as_it_does_here(reader) -> None:
    for data in (chord(), chord(7)):
        ours, here = reader.read(data, 4), midi_to_pianoroll(data, 4)
        np.testing.assert_array_equal(ours.frames, here.frames)
        np.testing.assert_array_equal(ours.onsets, here.onsets)
        assert (ours.qpm, ours.steps_per_quarter) == (here.qpm, 4)


def test_the_parsers_words_come_through(reader) -> None:
    with pytest.raises(InvalidArgument, match="source must be a MIDI file, got 3 bytes"):
        reader.read(b"RIF", 1)
    with pytest.raises(InvalidArgument, match="max_steps is 2, got music of 4 steps"):
        reader.read(chord(4), 1, max_steps=2)


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_file_ends_as_music_or_as_a_line(reader, name) -> None:
    try:
        assert len(reader.read(CRAFTED[name], 1).frames)
    except InvalidArgument as error:
        assert "\n" not in str(error) and "got" in str(error)


def test_three_hundred_broken_files_end_as_music_or_as_a_line(reader) -> None:
    process = reader._idle.queue[0]
    outcomes = set()
    for data in itertools.islice(mutated_midis(0), 300):
        try:
            outcomes.add(type(reader.read(data, 1)).__name__)
        except InvalidArgument as error:
            assert "\n" not in str(error)
            outcomes.add("line")
    assert outcomes == {"PianoRoll", "line"}
    # Replaced for its age, not because a file had ended it.
    assert process.num_files == _midi_reader._MAX_FILES


def test_a_process_that_is_killed_costs_one_request(reader) -> None:
    process = reader._idle.queue[0]
    os.kill(process._process.pid, signal.SIGSTOP)
    killing = threading.Timer(0.2, os.kill, (process._process.pid, signal.SIGKILL))
    killing.start()
    with pytest.raises(InvalidArgument, match="data must be a MIDI file that is read in .*, got "
                                              f"{len(chord())} bytes on which the reader ended"):
        reader.read(chord(), 1)
    killing.join()
    assert len(reader.read(chord(), 1).frames) == 4


def test_a_process_that_died_in_its_sleep_is_replaced(reader) -> None:
    process = reader._idle.queue[0]._process
    process.kill()
    process.wait()
    assert len(reader.read(chord(), 1).frames) == 4


def test_time_is_limited() -> None:
    reader = MidiReader(num_processes=1, timeout_s=0.001)
    start = time.monotonic()
    with pytest.raises(InvalidArgument, match="that is read in 0.001 seconds, got"):
        reader.read(chord(), 1)
    assert time.monotonic() - start < 10
    reader.close()


def test_who_finds_no_free_process_is_sent_away() -> None:
    reader = MidiReader(num_processes=1, wait_s=0.01)
    with reader._borrowed():
        with pytest.raises(Unavailable, match="at most 1 at a time, got more for 0.01 seconds"):
            reader.read(chord(), 1)
    reader.close()


def test_memory_and_time_of_the_process_are_limited(monkeypatch) -> None:
    limits = {}
    monkeypatch.setattr(_midi_worker.resource, "setrlimit",
                        lambda kind, pair: limits.update({kind: pair}))
    _midi_worker._limit()
    _midi_worker._limit_cpu()
    assert limits[_midi_worker.resource.RLIMIT_AS] == (2**30, 2**30)
    used = sum(os.times()[:2])
    soft, _ = limits[_midi_worker.resource.RLIMIT_CPU]
    assert used < soft <= used + _midi_worker.MAX_CPU_SECONDS + 1


def test_a_file_that_needs_too_much_memory_is_told(monkeypatch) -> None:
    def need_more(*_):
        raise MemoryError

    written = []
    monkeypatch.setattr(_midi_worker, "midi_to_pianoroll", need_more)
    monkeypatch.setattr(_midi_worker, "_write_line", lambda _, line: written.append(line))
    _midi_worker._answer(None, b"12345", 1, 10)
    assert written == [{"error": "data must be a MIDI file that is read in 1024 MiB, got one of 5 "
                                 "bytes that needs more; cut the piece"}]


def test_the_process_has_no_tensorflow_and_no_descriptor_of_ours(reader) -> None:
    process = reader._idle.queue[0]._process
    reader.read(chord(), 1)
    with open(f"/proc/{process.pid}/maps", encoding="utf-8") as file:
        assert "tensorflow" not in file.read()
    assert {int(name) for name in os.listdir(f"/proc/{process.pid}/fd")} <= {0, 1, 2}


def test_the_largest_number_of_bytes_passes_through_the_pipe(reader) -> None:
    with pytest.raises(InvalidArgument, match=f"source must be a MIDI file, got {MAX_BYTES} bytes"):
        reader.read(bytes(MAX_BYTES), 1)
    assert _midi_worker.REQUEST.size == struct.calcsize(">III")
