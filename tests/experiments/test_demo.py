"""The whole way in a toy size: what it leaves, and that it can be called again."""

import numpy as np
import pytest

from rnnpt import cli, datasets
from rnnpt.experiments import demo
from rnnpt.music.pianoroll_midi import midi_to_pianoroll


@pytest.mark.slow
def test_the_demo_continues_a_held_out_chorale_and_says_what_it_does(tmp_path, capsys):
    assert cli.main(["demo", "--smoke", "--output_dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert [f"[{stage}/7]" in out for stage in range(1, 8)] == [True] * 7
    for name in ("Note 1-gram", "copy the previous frame", "RNNRBM"):
        assert f"| {name}" in out
    roll = midi_to_pianoroll(tmp_path / "continuation.mid")
    assert len(roll.frames) == demo.PRIMER_STEPS + demo.NUM_STEPS
    opening = roll.frames[:demo.PRIMER_STEPS]
    pieces = datasets.chorales().test.sequences
    assert any(np.array_equal(piece[:demo.PRIMER_STEPS], opening) for piece in pieces)
    for name in ("continuation.png", "learning_curve.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "models" / "chorales" / "1" / "saved_model.pb").is_file()


def test_the_demo_begins_anew_where_another_ones_run_stands(tmp_path, monkeypatch, capsys):
    calls = []

    def train(run_dir, config, assignments, overwrite, seed, data_dir):
        calls.append(overwrite)
        if not overwrite:
            raise demo.ConfigError("run_dir must hold the experiment that is asked for.")

    monkeypatch.setattr(demo.command, "train", train)
    demo._train(tmp_path / "run", [])
    assert calls == [False, True]
    assert "run_dir must hold the experiment that is asked for. Beginning anew." in (
        capsys.readouterr().out
    )
