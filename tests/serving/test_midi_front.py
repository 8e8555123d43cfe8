"""MIDI over HTTP: a file in, a file out, and one line for whatever is wrong."""

import contextlib
import dataclasses
import http.client
import json
import os
import re
import shutil
import signal
import socket
import threading
import time

import numpy as np
import pytest

from rnnpt.music.piano_roll import PianoRoll, onsets_of
from rnnpt.music.pianoroll_midi import MAX_BYTES, midi_to_pianoroll, pianoroll_to_midi
from rnnpt.serving import _midi_continuation, _midi_front
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._midi_query import Parameters, parse_query
from rnnpt.serving.client import Client
from rnnpt.serving.server import ModelServer, ServerOptions, StartError, serve
from tests.music.midi_fuzz import CRAFTED, END, NOTE, SCORE, chord, file_of
from tests.serving.tiny_model import TinyModel, save

OPTIONS = ServerOptions(midi_port=0, stop_grace_seconds=1)


def midi_server_of(base_path, **changes) -> ModelServer:
    return ModelServer("chorales", base_path, port=0, rest_api_port=0,
                       options=dataclasses.replace(OPTIONS, **changes))


@pytest.fixture(scope="module")
def midi_server(tiny_model):
    with midi_server_of(tiny_model) as server:
        yield server


def ask(server: ModelServer, query: str = "", data: bytes | None = None, method: str = "POST",
        path: str = "/v1/continue", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Sends a request on a connection of its own; the chord if no other file."""
    connection = http.client.HTTPConnection("127.0.0.1", server.midi_port, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path + query, chord() if data is None else data, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def error_of(answer: tuple[int, http.client.HTTPMessage, bytes]) -> tuple[int, str]:
    status, headers, body = answer
    assert headers["content-type"] == "application/json"
    assert body.endswith(b"}\n") and body.count(b"\n") == 1
    return status, json.loads(body)["error"]


class Asking(threading.Thread):
    """A request in a thread of its own; `answer` waits for its end."""

    def __init__(self, server: ModelServer, query: str = "", data: bytes | None = None):
        super().__init__()
        self._arguments = (server, query, data)
        self.start()

    def run(self) -> None:
        self._answer = ask(*self._arguments)

    def answer(self) -> tuple[int, http.client.HTTPMessage, bytes]:
        self.join()
        return self._answer


def open_request(server: ModelServer, *lines: str, data: bytes = b"") -> socket.socket:
    """Sends the beginning of a request."""
    connection = socket.create_connection(("127.0.0.1", server.midi_port), timeout=30)
    head = "\r\n".join(("POST /v1/continue HTTP/1.1", "host: x", *lines)) + "\r\n\r\n"
    connection.sendall(head.encode() + data)
    return connection


def read_all(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


def wait_for(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@contextlib.contextmanager
def stopped_processes(server: ModelServer):
    """The processes of MIDI neither run nor end; yields their numbers."""
    reader = server._midi_front._reader
    pids = [process.pid for process in reader._idle.queue]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield pids
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def num_busy(server: ModelServer) -> int:
    return 2 - server._midi_front._reader.num_idle


def test_a_file_comes_back_continued_as_the_client_continues_it(midi_server) -> None:
    query = "?num_steps=9&seed=3&temperature=0.8&qpm=90&steps_per_quarter=2"
    status, headers, body = ask(midi_server, query)
    assert (status, headers["content-type"]) == (200, "audio/midi")
    roll = midi_to_pianoroll(body, 2)
    # A tempo of MIDI is a whole number of microseconds.
    assert len(roll.frames) == 8 + 9 and roll.qpm == pytest.approx(90, abs=1e-3)
    np.testing.assert_array_equal(roll.frames[:8], midi_to_pianoroll(chord(), 2).frames)
    with Client(f"127.0.0.1:{midi_server.port}") as client:
        assert body == client.continue_midi(
            chord(), num_steps=9, seed=3, temperature=0.8, steps_per_quarter=2, qpm=90)
    assert ask(midi_server, query)[2] == body
    assert ask(midi_server, query.replace("seed=3", "seed=4"))[2] != body
    assert ask(midi_server, query.replace("0.8", "8"))[2] != body


def test_the_files_own_tempo_is_kept_and_64_steps_are_added(midi_server) -> None:
    roll = midi_to_pianoroll(ask(midi_server, data=SCORE)[2])
    prime = midi_to_pianoroll(SCORE)
    assert (len(roll.frames), roll.qpm) == (len(prime.frames) + 64, prime.qpm)
    np.testing.assert_array_equal(roll.onsets[:len(prime.onsets)], prime.onsets)


@pytest.mark.parametrize(("query", "text"), [
    ("num_steps=0", "num_steps must be a whole number from 1 to 2147483647, got '0'; choose one"),
    ("num_steps=x", "num_steps must be a whole number from 1 to 2147483647, got 'x'; choose one"),
    ("num_steps=1_0", "num_steps must be .*, got '1_0'; choose one"),
    ("num_steps=%D9%A3", "num_steps must be .*, got '\u0663'; choose one"),
    ("num_steps=", "num_steps must be .*, got ''; choose one"),
    ("num_steps=2000", "num_steps must be at most 1024, got 2000; send the answer back for more"),
    ("temperature=0", "temperature must be a number from 0.001 to 1000, got '0'; choose one"),
    ("temperature=nan", "temperature must be a number from .*, got 'nan'; choose one"),
    ("temperature=1e999", "temperature must be a number from .*, got '1e999'; choose one"),
    ("temperature=--", "temperature must be a number from .*, got '--'; choose one"),
    ("qpm=1", "qpm must be a number from 4 to 1000, got '1'; choose one"),
    ("steps_per_quarter=97", "steps_per_quarter must be .* from 1 to 96, got '97'; choose one"),
    ("seed=-1", "seed must be a whole number from 0 to 2147483647, got '-1'; choose one"),
    ("version=9223372036854775808", "version must be a whole number from 0 to "
                                    "9223372036854775807, got '9223372036854775808'; choose one"),
    ("steps=3", "the query must hold each of model, .* at most once, got 'steps'; leave it out"),
    ("seed=1&seed=2", "the query must hold each of .*, got 'seed' again; leave it out"),
    ("x" * 70 + "=1", "the query must hold each of .*, got 'x{59}; leave it out"),
])
def test_wrong_parameters_are_told(midi_server, query, text) -> None:
    status, error = error_of(ask(midi_server, f"?{query}"))
    assert status == 400
    assert re.fullmatch(text, error), error


def test_the_query_is_read_whole() -> None:
    assert parse_query("") == Parameters()
    assert parse_query("model=a%20b&num_steps=3&temperature=1e-1&version=7&qpm=90.5") == Parameters(
        model="a b", num_steps=3, temperature=0.1, version=7, qpm=90.5)


@pytest.mark.parametrize(("data", "text"), [
    (b"RIFF", "source must be a MIDI file, got 4 bytes that begin with b'RIFF': pass a .mid file, "
              "which begins with b'MThd'"),
    (b"", "source must be a MIDI file, got 0 bytes that begin with b'': pass a .mid file, which "
          "begins with b'MThd'"),
    (CRAFTED["ticks that would fill gigabytes"],
     "source must last at most 9999999 ticks, got more: export it with fewer than 480 ticks a "
     "quarter note")])
def test_a_wrong_file_is_told(midi_server, data, text) -> None:
    assert error_of(ask(midi_server, data=data)) == (400, text)


def test_unknown_models_and_versions_are_told(midi_server) -> None:
    assert error_of(ask(midi_server, "?model=nope")) == (
        404, "model must be one of chorales, got 'nope'; name one that is served")
    assert error_of(ask(midi_server, "?version=9")) == (
        404, "version must be one of model chorales that is loaded, got 9; GET "
             "/v1/models/chorales of the REST port lists them")
    assert ask(midi_server, "?model=chorales&version=1&num_steps=1")[0] == 200


def test_of_several_models_one_must_be_named_and_must_make_music(tiny_model, tmp_path) -> None:
    (tmp_path / "mute").mkdir()
    save(tmp_path / "mute" / "1", TinyModel(), ("start",))
    config = tmp_path / "models.config"
    config.write_text("model_config_list { %s }" % " ".join(
        f"config {{ name: '{name}' base_path: '{path}' model_platform: 'tensorflow' }}"
        for name, path in (("chorales", tiny_model), ("mute", tmp_path / "mute"))))
    with midi_server_of(tiny_model, model_config_file=str(config)) as server:
        assert error_of(ask(server)) == (
            400, "model must be one of chorales, mute, got none; add ?model=NAME to the address")
        assert error_of(ask(server, "?model=mute")) == (
            400, "model must generate frames of 88 keys, got mute, which does not; name one that "
                 "was trained on music")
        assert ask(server, "?model=chorales&num_steps=1")[0] == 200


@pytest.mark.parametrize("path", ["/", "/v1/continue"])
def test_a_get_tells_how_to_use_it(midi_server, path) -> None:
    status, headers, body = ask(midi_server, method="GET", path=path)
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert "curl --data-binary @my.mid 'HOST:PORT/v1/continue?num_steps=64'" in body.decode()
    for field in dataclasses.fields(Parameters):
        assert f"\n    {field.name}=" in body.decode()
    status, headers, nothing = ask(midi_server, method="HEAD", path=path)
    assert (status, headers["content-length"], nothing) == (200, str(len(body)), b"")


@pytest.mark.parametrize(("method", "path", "allow"), [
    ("PUT", "/v1/continue", "GET, HEAD, POST"), ("DELETE", "/v1/continue", "GET, HEAD, POST"),
    ("OPTIONS", "/v1/continue", "GET, HEAD, POST"), ("POST", "/", "GET, HEAD")])
def test_another_method_is_told_which_to_use(midi_server, method, path, allow) -> None:
    answer = ask(midi_server, method=method, path=path)
    assert answer[1]["allow"] == allow
    assert error_of(answer) == (
        405, f"the method must be POST to /v1/continue, got {method} {path}; send the file so")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/continue/", "/V1/continue", "/../v1/continue"])
def test_another_path_is_told_which_to_use(midi_server, path) -> None:
    assert error_of(ask(midi_server, path=path)) == (
        404, f"the path must be /v1/continue, got '{path}'; POST a MIDI file there")


def test_a_file_that_is_too_large_is_refused_before_it_comes(midi_server, monkeypatch) -> None:
    monkeypatch.setattr(_midi_front, "_LINGER_S", 0.05)
    # Who waits for 100 (Continue) sends nothing.
    answer = read_all(open_request(
        midi_server, "content-length: 1048577", "expect: 100-continue"))
    assert answer.startswith(b"HTTP/1.1 413 ") and b"\r\nconnection: close\r\n" in answer.lower()
    assert b"a MIDI file must have at most 1048576 bytes, got 1048577; cut the piece" in answer


def test_who_sends_all_of_a_file_that_is_too_large_reads_why_it_was_refused(midi_server) -> None:
    assert error_of(ask(midi_server, data=bytes(8 * MAX_BYTES))) == (
        413, f"a MIDI file must have at most 1048576 bytes, got {8 * MAX_BYTES}; cut the piece")
    parts = (bytes(MAX_BYTES) for _ in range(8))
    assert error_of(ask(midi_server, data=parts)) == (
        413, "a MIDI file must have at most 1048576 bytes, got more; cut the piece")


def test_who_never_ends_a_file_that_is_too_large_is_cut_off(midi_server, monkeypatch) -> None:
    monkeypatch.setattr(_midi_front, "_LINGER_S", 0.05)
    answer = read_all(open_request(midi_server, "content-length: 99999999", data=b"MThd"))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_file_in_pieces_is_put_together(midi_server) -> None:
    pieces = (chord()[i:i + 7] for i in range(0, len(chord()), 7))
    assert ask(midi_server, "?num_steps=3", pieces)[2] == ask(midi_server, "?num_steps=3")[2]


def test_two_files_are_read_at_the_same_time_and_a_third_waits(midi_server) -> None:
    with stopped_processes(midi_server):
        asking = [Asking(midi_server, f"?num_steps=5&seed={seed}") for seed in (1, 1, 2)]
        wait_for(lambda: num_busy(midi_server) == 2
                 and midi_server._midi_front._num_requests == 3)
    bodies = [one.answer()[2] for one in asking]
    assert bodies[0] == bodies[1] != bodies[2]
    assert len(midi_to_pianoroll(bodies[2]).frames) == 4 + 5


def test_who_leaves_while_a_file_comes_or_is_read_costs_no_music(midi_server, monkeypatch) -> None:
    front = midi_server._midi_front
    generated = []
    with monkeypatch.context() as patch:
        patch.setattr(_midi_continuation, "_generate", lambda *_: generated.append(1))
        with open_request(midi_server, "content-length: 900", data=b"MThd"):
            wait_for(lambda: front._num_requests == 1)
        wait_for(lambda: front._num_requests == 0)
        with stopped_processes(midi_server):
            leaving = [open_request(midi_server, f"content-length: {len(chord())}", data=chord())
                       for _ in range(3)]
            wait_for(lambda: num_busy(midi_server) == 2 and front._num_requests == 3)
            for connection in leaving:
                connection.close()
            wait_for(lambda: front._num_requests == 0)
        wait_for(lambda: num_busy(midi_server) == 0)
        # Behind those that were under way.
        assert ask(midi_server, data=b"")[0] == 400
        assert not generated
    assert ask(midi_server, "?num_steps=1")[0] == 200


def test_a_process_that_is_killed_costs_one_request(midi_server) -> None:
    with stopped_processes(midi_server) as pids:
        asking = Asking(midi_server)
        wait_for(lambda: num_busy(midi_server) == 1)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        status, error = error_of(asking.answer())
    assert status == 500
    assert error == ("the process that reads MIDI must live until it answers, got its end with "
                     f"code -9 over one of {len(chord())} bytes; send the file again")
    assert ask(midi_server, "?num_steps=1")[0] == 200


def test_more_requests_than_may_be_under_way_are_refused(tiny_model) -> None:
    with midi_server_of(tiny_model, max_waiting_requests=1) as server:
        slow = open_request(server, f"content-length: {len(chord())}", "connection: close",
                            data=chord()[:9])
        wait_for(lambda: server._midi_front._num_requests == 1)
        assert error_of(ask(server)) == (
            503, "the port must have at most 1 requests under way, got one more; ask again later")
        assert ask(server, method="GET")[0] == 200
        slow.sendall(chord()[9:])
        assert read_all(slow).startswith(b"HTTP/1.1 200 ")
        assert ask(server, "?num_steps=1")[0] == 200


def test_a_file_that_does_not_come_or_is_not_read_in_time_is_given_up(tiny_model) -> None:
    with midi_server_of(tiny_model, rest_api_timeout_in_ms=300) as server:
        answer = read_all(open_request(server, "content-length: 900", data=b"MThd"))
        assert answer.startswith(b"HTTP/1.1 504 ")
        assert (b"a file must come in 0.3 seconds, got no end of it; ask for fewer num_steps, or "
                b"again later") in answer
        with stopped_processes(server):
            status, error = error_of(ask(server))
        assert status == 504
        # The reader or the front, whoever gives up first.
        assert re.match("a (MIDI file must be done within|file must be continued in) ", error)


def test_stopping_ends_what_takes_longer_than_its_grace(tiny_model) -> None:
    server = midi_server_of(tiny_model)
    server.start()
    with stopped_processes(server):
        asking = Asking(server)
        wait_for(lambda: num_busy(server) == 1)
        server.stop()
        assert error_of(asking.answer()) == (
            503, "the server must run to continue a file, got a stop; ask another server")


def test_stopping_lets_a_file_under_way_be_continued(tiny_model) -> None:
    server = midi_server_of(tiny_model, stop_grace_seconds=20)
    server.start()
    with stopped_processes(server) as pids:
        asking = Asking(server, "?num_steps=3")
        wait_for(lambda: num_busy(server) == 1)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        wait_for(lambda: server._listener._stopping.is_set())
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        assert asking.answer()[0] == 200
    stopping.join()


def test_an_error_of_ours_is_a_line_too(midi_server, monkeypatch, caplog) -> None:
    def fail(*_):
        raise KeyError("a flaw")

    monkeypatch.setattr(_midi_front, "continue_file", fail)
    assert error_of(ask(midi_server)) == (
        500, "the server must answer, got an error of its own; see its log")
    assert "KeyError: 'a flaw'" in caplog.text


def test_a_file_of_an_impossible_tempo_is_continued_at_another(midi_server) -> None:
    data = file_of(b"\x00\xff\x51\x03\x00\x00\x01" + NOTE + END)
    status, error = error_of(ask(midi_server, data=data))
    assert status == 400 and "qpm must lie between 4 and 1000" in error
    status, _, body = ask(midi_server, "?qpm=90", data)
    assert status == 200 and midi_to_pianoroll(body).qpm == pytest.approx(90, rel=1e-5)


def long_piece() -> PianoRoll:
    frames = np.random.default_rng(0).integers(0, 2, (100, 88))
    frames[-1, 0] = 1
    return PianoRoll(frames, onsets_of(frames), 2)


def test_what_the_export_says_bounds_the_request(tiny_model, tmp_path) -> None:
    shutil.copytree(tiny_model, tmp_path / "chorales")
    extra = tmp_path / "chorales" / "1" / "assets.extra"
    extra.mkdir()
    (extra / "rnnpt.json").write_text(
        '{"max_steps": 64, "max_num_steps": 10, "steps_per_quarter": 2}')
    piece = long_piece()
    with midi_server_of(tmp_path / "chorales") as server:
        assert error_of(ask(server, "?num_steps=11")) == (
            400, "num_steps must be at most 10, got 11; send the answer back for more")
        # Of 100 steps the model hears the last 64; all of them stand in the answer.
        roll = midi_to_pianoroll(ask(server, "?num_steps=10", pianoroll_to_midi(piece))[2], 2)
        with Client(f"127.0.0.1:{server.port}") as client:
            heard = client.generate(piece.frames[np.newaxis, -64:], num_steps=10).frames[0]
    np.testing.assert_array_equal(roll.frames[:100], piece.frames)
    np.testing.assert_array_equal(roll.frames[100:], heard)


def test_without_what_the_export_says_the_models_own_words_come(midi_server) -> None:
    status, error = error_of(ask(midi_server, data=chord(65)))
    assert status == 400 and "frames must have at most 64 steps" in error


def test_music_and_continuation_fit_into_a_roll(midi_server, monkeypatch) -> None:
    monkeypatch.setattr(_midi_continuation, "MAX_STEPS", 10)
    assert ask(midi_server, "?num_steps=6")[0] == 200
    assert error_of(ask(midi_server, "?num_steps=7")) == (
        400, "num_steps must be at most 10 with the file's 4 steps, got 7; cut the piece")


def test_a_port_in_use_names_its_flag(tiny_model) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(StartError, match="--midi_port$"):
            midi_server_of(tiny_model, midi_port=taken.getsockname()[1]).start()


def test_without_its_flag_the_port_is_closed(server) -> None:
    assert server.midi_port is None and server._midi_front is None


def test_the_command_tells_where_it_listens(tiny_model, monkeypatch, capsys) -> None:
    monkeypatch.setattr(ModelManager, "wait_for_interrupt", lambda *_: True)
    serve("chorales", tiny_model, port=0, rest_api_port=0, options=OPTIONS)
    assert re.search("; MIDI at http://127.0.0.1:[0-9]+/v1/continue; stop with Ctrl-C.",
                     capsys.readouterr().out)
