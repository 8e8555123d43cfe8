"""The smoke test tells a server that serves from one that does not."""

import pathlib
import re
import runpy

import numpy as np
import pytest

from rnnpt.serving import smoke
from rnnpt.serving.client import Client, Generated, Scored, Stepped
from rnnpt.serving.server import ModelServer

START = pathlib.Path(__file__).parents[2] / "serving" / "smoke_test"


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_a_server_that_serves_passes(
    server: ModelServer, wire: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = {"grpc": f"127.0.0.1:{server.port}",
               "rest": f"http://127.0.0.1:{server.rest_api_port}"}[wire]
    monkeypatch.setattr("sys.argv", [str(START), "--server", address, "--num_calls", "5"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(START), run_name="__main__")
    out, err = capsys.readouterr()
    assert stop.value.code == 0 and not err
    assert re.fullmatch(
        r"chorales version 1\n"
        r"answered: draw, generate, score, serving_default, start, step\n"
        r"step, 5 calls: p50 [\d.]+ ms, p90 [\d.]+ ms, p99 [\d.]+ ms\n", out)


def test_a_start_is_at_most_twenty_lines() -> None:
    assert len(START.read_text().splitlines()) <= 20 and START.stat().st_mode & 0o111


@pytest.mark.parametrize(("words", "message"), [
    (["--model_name", "other", "--timeout_s", "0.2"],
     "smoke_test: model other must be served at .* within timeout_s=0.2, got: .*\n"),
    (["--num_calls", "2", "--max_p99_ms", "0.0001"],
     "smoke_test: step must take at most 0.0001 ms at p99, got .*; look into the server's log\n"),
])
def test_a_server_that_does_not_serve_or_is_late_fails(
    server: ModelServer, capsys: pytest.CaptureFixture, words: list[str], message: str
) -> None:
    assert smoke.main(["--server", f"127.0.0.1:{server.port}", *words]) == 1
    assert re.fullmatch(message, capsys.readouterr().err)


def test_nobody_at_the_address_fails(capsys: pytest.CaptureFixture) -> None:
    assert smoke.main(["--server", "127.0.0.1:1", "--timeout_s", "0.1"]) == 1
    assert capsys.readouterr().err.startswith("smoke_test: model chorales must be served at")


NAN = np.full((1, 88), np.nan, np.float32)
ONES = np.ones((1, 4, 88), np.float32)


@pytest.mark.parametrize(("method", "answer", "message"), [
    ("start", NAN[:, :3], "start must answer a finite state, got"),
    ("step", Stepped(NAN, NAN, NAN), "step must answer finite probabilities, got"),
    ("predict", {"sample": NAN, "state": NAN}, "draw must answer finite sample, got"),
    ("generate", Generated(ONES[:, :2], np.int32([2]), NAN), r"generate must answer .*\(1, 2, 88"),
    ("score", Scored(*np.zeros((3, 1))), "score must score 4 frames, got 0"),
    ("predict", {"probabilities": ONES, "sample": ONES, "state": ONES},
     "serving_default must answer"),
])
def test_an_answer_that_cannot_be_right_is_told(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, method: str, answer: object, message: str
) -> None:
    with Client(f"127.0.0.1:{server.port}") as client:
        if method == "predict":
            monkeypatch.setattr(client, "start", lambda _: np.zeros((1, 3), np.float32))
            monkeypatch.setattr(client, "step", lambda *_, **__: Stepped(*np.zeros((3, 1))))
            monkeypatch.setattr(client, "generate", lambda *_, **__: Generated(ONES, [4], NAN))
            monkeypatch.setattr(client, "score", lambda *_: Scored([0], [0], [4]))
        monkeypatch.setattr(client, method, lambda *_, **__: answer)
        with pytest.raises(smoke.SmokeTestError, match=message):
            smoke.call_each_signature(client)


def test_draws_that_do_not_come_again_are_told(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter([Generated(ONES, [4], NAN), Generated(1 - ONES, [4], NAN)])
    with Client(f"127.0.0.1:{server.port}") as client:
        monkeypatch.setattr(client, "generate", lambda *_, **__: next(drawn))
        with pytest.raises(smoke.SmokeTestError, match="generate must draw the same from the same"):
            smoke.call_each_signature(client)


def test_a_missing_signature_is_named(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(f"127.0.0.1:{server.port}") as client:
        metadata = client.metadata()
        left = {name: metadata.signatures[name] for name in ("serving_default", "start", "step")}
        monkeypatch.setattr(
            client, "metadata", lambda: type(metadata)("chorales", 1, left))
        with pytest.raises(smoke.SmokeTestError, match="signatures must .* no draw, generate, sco"):
            smoke.call_each_signature(client)
