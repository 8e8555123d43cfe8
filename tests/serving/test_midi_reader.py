"""MIDI in processes of their own: each file ends as music or as one line, nothing hangs."""

import contextlib
import itertools
import math
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import numpy as np
import pytest

from rnnpt.music.pianoroll_midi import MAX_BYTES, midi_to_pianoroll, pianoroll_to_midi
from rnnpt.serving import _midi_process, _midi_reader, _midi_worker
from rnnpt.serving._midi_message import ERROR, READ, ROLL, pack_roll, unpack_roll
from rnnpt.serving._midi_reader import MidiReader
from rnnpt.serving.error import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    ServingError,
    Unavailable,
)
from tests.music.midi_fuzz import CRAFTED, END, NOTE, SCORE, chord, file_of, mutated_midis

#: The crafted files that can be played after all.
MUSIC = {
    "ticks without a note", "running status after a text", "a beat of two to the 255th",
    "most ticks", "many notes", "many small tracks", "no end of the track"}
# A clock with a tick for each of 9 million floats.
LONG = file_of(b"\x00\x90\x3c\x40\x84\xa5\xa8\x00\x80\x3c\x40" + END, division=32767)


@pytest.fixture(scope="module")
def shared_reader():
    with contextlib.closing(MidiReader(num_processes=1)) as reader:
        yield reader


@pytest.fixture
def reader(shared_reader):
    """A reader whose one process has started."""
    assert len(shared_reader.read(chord()).frames) == 4
    return shared_reader


def pid_of(reader: MidiReader) -> int:
    return reader._idle.queue[0].pid


def highest_memory(pid: int) -> int:
    """Bytes that a process has held at most."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def error_of(reader: MidiReader, data: bytes, **arguments) -> ServingError:
    with pytest.raises(ServingError) as caught:
        reader.read(data, **arguments)
    assert "\n" not in str(caught.value)
    return caught.value


@contextlib.contextmanager
def stopped(pid: int):
    """A process that neither runs nor ends."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("data", [chord(), chord(7), SCORE])
def test_a_file_is_read_and_written_as_it_is_here(reader, data) -> None:
    ours, here = reader.read(data, 4), midi_to_pianoroll(data, 4)
    np.testing.assert_array_equal(ours.frames, here.frames)
    np.testing.assert_array_equal(ours.onsets, here.onsets)
    assert (ours.qpm, ours.steps_per_quarter) == (here.qpm, 4)
    assert reader.write(ours) == pianoroll_to_midi(here)


@pytest.mark.parametrize("change", [lambda body: body[:15], lambda body: body[:-1],
                                    lambda body: body + b"\x00", lambda body: bytes(len(body))])
def test_a_body_that_holds_no_roll_is_refused(change) -> None:
    body = pack_roll(midi_to_pianoroll(chord()))
    np.testing.assert_array_equal(unpack_roll(body).frames, midi_to_pianoroll(chord()).frames)
    with pytest.raises(ValueError, match="(body|frames) must h.* got "):
        unpack_roll(change(body))


def test_the_parsers_words_come_through(reader) -> None:
    with pytest.raises(InvalidArgument, match="source must be a MIDI file, got 3 bytes"):
        reader.read(b"RIF")
    with pytest.raises(InvalidArgument, match="max_steps is 2, got music of 4 steps"):
        reader.read(chord(4), max_steps=2)


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_file_ends_as_music_or_as_a_line(reader, name) -> None:
    if name in MUSIC:
        assert reader.read(CRAFTED[name]).frames.any()
    else:
        error = error_of(reader, CRAFTED[name])
        assert isinstance(error, InvalidArgument)
        assert re.fullmatch(r"(source|the music|qpm) must .* got .*: .*", str(error))


def test_five_hundred_broken_files_end_as_music_or_as_a_line_in_little_memory(reader) -> None:
    outcomes = []
    pid = pid_of(reader)
    for data in itertools.islice(mutated_midis(0), 500):
        try:
            outcomes.append(bool(reader.read(data).frames.any()))
        except InvalidArgument as error:
            assert "\n" not in str(error)
            outcomes.append(False)
    assert 25 < sum(outcomes) < 250
    assert pid_of(reader) == pid, "a file has ended the process"
    assert highest_memory(pid) < 120 * 2**20


def test_the_same_seed_breaks_files_the_same_way() -> None:
    first, again, other = (
        list(itertools.islice(mutated_midis(seed), 100)) for seed in (3, 3, 4))
    assert first == again
    assert first[:len(CRAFTED)] == other[:len(CRAFTED)] and first != other


def test_a_process_that_is_killed_costs_one_request(reader) -> None:
    pid = pid_of(reader)
    with stopped(pid):
        threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()
        error = error_of(reader, chord())
    assert isinstance(error, Internal)
    assert str(error) == (
        "the process that reads MIDI must live until it answers, got its end with code -9 over "
        f"one of {len(chord())} bytes; send the file again")
    assert len(reader.read(chord()).frames) == 4


def test_a_process_that_died_in_its_sleep_is_replaced(reader) -> None:
    process = reader._idle.queue[0]
    process.kill()
    process._process.wait()
    assert len(reader.read(chord()).frames) == 4


def test_a_request_ends_at_its_time_and_so_does_its_process(reader) -> None:
    pid = pid_of(reader)
    with stopped(pid):
        error = error_of(reader, chord(), ends_at=time.monotonic() + 0.1)
    assert isinstance(error, DeadlineExceeded)
    assert str(error).startswith(
        "a MIDI file must be done within 30 seconds and the request's own time, got one of ")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert len(reader.read(chord()).frames) == 4


def test_a_file_ends_at_the_readers_own_time_limit() -> None:
    with contextlib.closing(MidiReader(1, timeout_s=0.1)) as reader:
        with stopped(pid_of(reader)):
            assert "within 0.1 seconds" in str(error_of(reader, chord()))


def test_a_file_ends_at_its_limit_of_cpu() -> None:
    slow = file_of(b"\x00\xb0\x07\x40" + b"\x00\x07\x40" * 340_000 + NOTE + END)
    assert len(slow) < MAX_BYTES
    # What had begun of a second counts, so that this is at most one.
    with contextlib.closing(MidiReader(1, cpu_seconds=0)) as reader:
        error = error_of(reader, slow)
        assert isinstance(error, InvalidArgument)
        assert str(error) == ("a MIDI file must be done in 0 seconds of CPU, got one of "
                              f"{len(slow)} bytes that takes longer; cut the piece")


def test_a_file_ends_at_its_limit_of_memory() -> None:
    with contextlib.closing(MidiReader(1, memory_bytes=200 * 2**20)) as reader:
        error = error_of(reader, LONG)
        assert isinstance(error, InvalidArgument)
        assert str(error) == (f"a MIDI file must be done in 200 MiB, got one of {len(LONG)} bytes "
                              "that takes more; cut the piece")
        pid = pid_of(reader)
        assert highest_memory(pid) < 200 * 2**20
        assert len(reader.read(chord()).frames) == 4
        assert pid_of(reader) == pid
    with contextlib.closing(MidiReader(1)) as reader:
        assert len(reader.read(LONG, 96).frames) > 20_000


def test_a_process_is_replaced_after_some_requests() -> None:
    with contextlib.closing(MidiReader(1, max_requests=2)) as reader:
        pids = []
        for _ in range(4):
            pids.append(pid_of(reader))
            reader.read(chord())
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_who_finds_no_free_process_is_sent_away(reader) -> None:
    with reader._borrowed(math.inf):
        assert reader.num_idle == 0
        error = error_of(reader, chord(), ends_at=time.monotonic() + 0.01)
    assert isinstance(error, Unavailable)
    assert str(error).startswith("MIDI files must come at most 1 at a time, got more for 0.0")
    assert reader.num_idle == 1


def test_closing_ends_what_is_under_way() -> None:
    reader = MidiReader(1)
    errors: list[ServingError] = []
    with stopped(pid_of(reader)):
        reading = threading.Thread(target=lambda: errors.append(error_of(reader, chord())))
        reading.start()
        while reader.num_idle:
            time.sleep(0.005)
        reader.close()
        reading.join()
    errors.append(error_of(reader, chord()))
    reader.close()
    assert [(type(error), str(error)) for error in errors] == 2 * [
        (Unavailable, "the server must run to read MIDI, got a stop; ask another server")]


def test_closing_ends_while_a_process_is_replaced(monkeypatch) -> None:
    reader = MidiReader(num_processes=1)
    closing = threading.Thread(target=reader.close, daemon=True)
    start = reader._start

    def start_and_close(*replaced):
        process = start(*replaced)
        closing.start()
        while not reader._is_closed:
            time.sleep(0.001)
        return process

    monkeypatch.setattr(reader, "_start", start_and_close)
    reader._idle.queue[0].close()
    assert isinstance(error_of(reader, chord()), Unavailable)
    closing.join(30)
    assert not closing.is_alive()


def test_a_process_gets_neither_sockets_nor_secrets_nor_tensorflow(monkeypatch) -> None:
    monkeypatch.setenv("RNNPT_PASSWORD", "sesame")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        ours = os.readlink(f"/proc/self/fd/{listening.fileno()}")
        with contextlib.closing(MidiReader(1)) as reader:
            reader.read(chord())
            folder = pathlib.Path(f"/proc/{pid_of(reader)}")
            theirs = {os.readlink(file) for file in (folder / "fd").iterdir()}
            assert len([link for link in theirs if link.startswith("socket:")]) == 1
            assert ours not in theirs
            assert b"sesame" not in (folder / "environ").read_bytes()
            assert "tensorflow" not in (folder / "maps").read_text()
            limits = (folder / "limits").read_text()
            assert re.search(r"Max address space +805306368 +805306368", limits)
            assert re.search(r"Max core file size +0 +0", limits)
            assert re.search(r"Max file size +0 +0", limits)
            # Ctrl-C in the server's terminal is not for it.
            assert os.getpgid(pid_of(reader)) == pid_of(reader)


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_process_ends_when_the_server_is_gone(is_asked) -> None:
    process = _midi_process.MidiProcess(2**30, 10)
    with stopped(process.pid):
        if is_asked:
            with pytest.raises(TimeoutError):
                process.ask(READ, bytes(100), time.monotonic() + 0.01)
        process._socket.close()
    assert process._process.wait(30) == 0


@pytest.mark.parametrize("answer", [(ROLL, b"nonsense"), (ROLL, bytes(16))])
def test_a_process_that_answers_nonsense_is_replaced(reader, monkeypatch, answer) -> None:
    pid = pid_of(reader)
    with monkeypatch.context() as patch:
        patch.setattr(_midi_process.MidiProcess, "ask", lambda *_: answer)
        assert isinstance(error_of(reader, chord()), Internal)
    assert pid_of(reader) != pid
    assert len(reader.read(chord()).frames) == 4


def test_a_process_that_announces_too_much_is_replaced(reader, monkeypatch) -> None:
    pid = pid_of(reader)
    with monkeypatch.context() as patch:
        patch.setattr(_midi_process, "_MAX_ANSWER_BYTES", 10)
        patch.setattr(_midi_process, "_EXIT_WAIT_S", 0.01)
        assert "with code None over" in str(error_of(reader, chord()))
    assert pid_of(reader) != pid


def test_an_error_is_one_line_of_some_length(reader, monkeypatch) -> None:
    monkeypatch.setattr(
        _midi_process.MidiProcess, "ask", lambda *_: (ERROR, b"a\n b\xff " + b"c" * 9999))
    text = str(error_of(reader, chord()))
    assert text.startswith("a b\ufffd cc") and len(text) == _midi_reader._LONGEST_ERROR


def test_a_process_that_cannot_be_replaced_is_told_and_tried_again(reader, monkeypatch) -> None:
    def fail(*_, **__):
        raise OSError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", fail)
        reader._idle.queue[0].kill()
        reader._idle.queue[0]._process.wait()
        error = error_of(reader, chord())
        with pytest.raises(OSError, match="Resource temporarily unavailable"):
            MidiReader()
    assert isinstance(error, Unavailable)
    assert str(error).startswith(
        "a MIDI process must start, got Resource temporarily unavailable; free ")
    assert len(reader.read(chord()).frames) == 4


@pytest.mark.parametrize(("error", "text"), [
    (MemoryError(), "a MIDI file must be done in 7 MiB, got one of 5 bytes that takes more; cut "
                    "the piece"),
    (KeyError(3), "a MIDI file must be one that the parser knows, got one of 5 bytes that ends in "
                  "KeyError; export it again")])
def test_whatever_the_parser_raises_is_a_line(monkeypatch, error, text) -> None:
    def read(*_, **__):
        raise error

    monkeypatch.setattr(_midi_worker, "midi_to_pianoroll", read)
    assert _midi_worker._answer(READ, bytes(21), 7 * 2**20) == (ERROR, text.encode())


def test_the_largest_number_of_bytes_passes(reader) -> None:
    with pytest.raises(InvalidArgument, match=f"source must be a MIDI file, got {MAX_BYTES} bytes"):
        reader.read(bytes(MAX_BYTES))
