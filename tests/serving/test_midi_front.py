"""MIDI over HTTP: a file in, a file out, and one line for whatever is wrong."""

import http.client
import json
import socket
import threading

import numpy as np
import pytest

from rnnpt.music.pianoroll_midi import MAX_BYTES, midi_to_pianoroll
from rnnpt.serving import _midi_front
from rnnpt.serving._midi_front import Parameters, parse_query
from rnnpt.serving.client import Client
from rnnpt.serving.error import InvalidArgument
from rnnpt.serving.server import ModelServer, ServerOptions, StartError
from tests.music.midi_fuzz import chord

OPTIONS = ServerOptions(midi_port=0, stop_grace_seconds=1)


@pytest.fixture(scope="module")
def midi_server(tiny_model):
    with ModelServer(
            "chorales", tiny_model, port=0, rest_api_port=0, options=OPTIONS) as server:
        yield server


@pytest.fixture
def call(midi_server):
    def call(query: str = "", data: bytes | None = None, method: str = "POST",
             path: str = "/v1/continue", **headers: str):
        connection = http.client.HTTPConnection("127.0.0.1", midi_server.midi_port, timeout=30)
        connection.request(method, path + query, chord() if data is None else data, headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body

    return call


def error_of(answer) -> tuple[int, str]:
    response, body = answer
    assert response.headers["content-type"] == "application/json"
    assert body.count(b"\n") == 1
    return response.status, json.loads(body)["error"]


def test_a_file_comes_back_continued_as_the_client_continues_it(call, midi_server) -> None:
    response, body = call("?num_steps=9&seed=3&temperature=0.8&qpm=90&steps_per_quarter=2")
    assert (response.status, response.headers["content-type"]) == (200, "audio/midi"), body
    roll = midi_to_pianoroll(body, 2)
    # A tempo of MIDI is a whole number of microseconds.
    assert len(roll.frames) == 8 + 9 and roll.qpm == pytest.approx(90, abs=1e-3)
    np.testing.assert_array_equal(roll.frames[:8], midi_to_pianoroll(chord(), 2).frames)
    with Client(f"127.0.0.1:{midi_server.port}") as client:
        again = client.continue_midi(
            chord(), num_steps=9, seed=3, temperature=0.8, steps_per_quarter=2, qpm=90)
    assert body == again
    assert call("?num_steps=9&seed=3&temperature=0.8&qpm=90&steps_per_quarter=2")[1] == body
    assert call("?num_steps=9&seed=4&temperature=0.8&qpm=90&steps_per_quarter=2")[1] != body


@pytest.mark.parametrize(("query", "text"), [
    ("?num_steps=0", "num_steps must be a whole number from 1 to .*, got '0'; choose one"),
    ("?num_steps=x", "num_steps must be a whole number from 1 to .*, got 'x'; choose one"),
    ("?num_steps=2000", "num_steps must be at most 1024, got 2000; send the answer back for more"),
    ("?temperature=0", "temperature must be a number from 1e-06 to 1e.06, got '0'; choose one"),
    ("?temperature=nan", "temperature must be a number from .*, got 'nan'; choose one"),
    ("?qpm=1", "qpm must be a number from 4 to 1000, got '1'; choose one"),
    ("?steps_per_quarter=97", "steps_per_quarter must be .* from 1 to 96, got '97'; choose one"),
    ("?seed=-1", "seed must be a whole number from 0 to .*, got '-1'; choose one"),
    ("?steps=3", "the query must hold each of model, .* at most once, got 'steps'; leave it out"),
    ("?seed=1&seed=2", "the query must hold each of .*, got 'seed' again; leave it out"),
])
def test_wrong_parameters_are_told(call, query, text) -> None:
    status, error = error_of(call(query))
    assert status == 400
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(error)


def test_a_wrong_file_is_told(call) -> None:
    assert error_of(call(data=b"RIFF")) == (
        400, "source must be a MIDI file, got 4 bytes that begin with b'RIFF': pass a .mid file, "
             "which begins with b'MThd'")


def test_unknown_models_and_versions_are_told(call) -> None:
    assert error_of(call("?model=nope")) == (404, "Servable not found for request: Latest(nope)")
    assert error_of(call("?version=9")) == (
        404, "Servable not found for request: Specific(chorales, 9)")
    assert call("?model=chorales&version=1&num_steps=1")[0].status == 200


def test_addresses_and_methods(call) -> None:
    for path in ("/", "/v1/continue"):
        response, body = call(method="GET", path=path)
        assert response.status == 200 and b"curl --data-binary" in body
    assert error_of(call(path="/v1/models"))[0] == 404
    response, body = call(method="PUT")
    assert response.status == 405 and response.headers["allow"] == "GET, HEAD, POST"
    assert "got PUT /v1/continue" in json.loads(body)["error"]


def test_a_file_that_is_too_large_is_refused_before_it_has_come(midi_server) -> None:
    with socket.create_connection(("127.0.0.1", midi_server.midi_port), timeout=30) as connection:
        connection.sendall(b"POST /v1/continue HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n"
                           b"\r\n" + bytes(MAX_BYTES + 1))
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert f"at most {MAX_BYTES} bytes, got more".encode() in answer


def test_several_requests_at_once_and_one_that_leaves(call, midi_server) -> None:
    with socket.create_connection(("127.0.0.1", midi_server.midi_port), timeout=30) as connection:
        connection.sendall(
            b"POST /v1/continue HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\nMT")
    bodies: list[bytes] = []
    threads = [threading.Thread(target=lambda: bodies.append(call("?num_steps=5")[1]))
               for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bodies) == 6 and len(set(bodies)) == 1


def test_what_takes_too_long_is_told(tiny_model) -> None:
    options = ServerOptions(midi_port=0, rest_api_timeout_in_ms=1, stop_grace_seconds=1)
    with ModelServer(
            "chorales", tiny_model, port=0, rest_api_port=0, options=options) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.midi_port, timeout=30)
        connection.request("POST", "/v1/continue", chord())
        response = connection.getresponse()
        assert response.status == 504
        assert "must be made in 0.001 seconds, got no end of it" in response.read().decode()
        connection.close()


def test_long_music_is_heard_from_its_last_steps(call) -> None:
    # The tiny model hears 64 steps; its export says nothing of that, so its own words come.
    status, error = error_of(call("?num_steps=1", chord(65)))
    assert status == 400 and "frames must have at most 64 steps" in error


def test_limits_stand_in_the_export(tiny_model, tmp_path, call) -> None:
    class Export:
        path = tmp_path

    assert _midi_front._limits(Export) == _midi_front._DEFAULTS
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "rnnpt.json").write_text(
        '{"max_steps": 12, "max_num_steps": 10, "steps_per_quarter": null}')
    assert _midi_front._limits(Export) == {
        "max_steps": 12, "max_num_steps": 10, "steps_per_quarter": 1}


def test_several_models_must_be_named() -> None:
    class Manager:
        def names(self):
            return ["a", "b"]

    with pytest.raises(InvalidArgument, match="model must be one of a, b, got none; add "):
        _midi_front._only_model(Manager())


def test_the_query_is_read_whole() -> None:
    assert parse_query("") == Parameters()
    assert parse_query("model=a%20b&num_steps=3&temperature=1e-1") == Parameters(
        model="a b", num_steps=3, temperature=0.1)


def test_a_port_in_use_names_its_flag(tiny_model) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = ServerOptions(midi_port=taken.getsockname()[1])
        with pytest.raises(StartError, match="--midi_port$"):
            ModelServer("chorales", tiny_model, port=0, rest_api_port=0, options=options).start()
