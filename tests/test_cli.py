"""The command line: every word does its work, and every mistake is one line and exit code 2."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from dataclasses import fields

import numpy as np
import pytest

from rnnpt import cli
from rnnpt.experiments import command, generation
from rnnpt.experiments.config import CONFIGS
from rnnpt.music.piano_roll import PianoRoll, onsets_of
from rnnpt.music.pianoroll_midi import midi_to_pianoroll, pianoroll_to_midi
from rnnpt.serving import server

ROOT = pathlib.Path(__file__).parents[1]
SETTINGS = [
    "model.num_hidden=4", "fit.epochs=2", "evaluation.num_samples=2",
]


def make_midi(seed, num_steps=6):
    frames = np.zeros((num_steps, 88), np.uint8)
    frames[np.arange(num_steps), np.random.default_rng(seed).integers(30, 50, num_steps)] = 1
    return pianoroll_to_midi(PianoRoll(frames, onsets_of(frames), 1, 100.0))


def flags_of_training(folder, run_dir):
    settings = [f"data=midi_folder:{folder / 'music'}", *SETTINGS]
    flags = [word for setting in settings for word in ("--set", setting)]
    return ["train", "--config", "rnn_jsb", "--run_dir", str(run_dir), *flags]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with MIDI files and a run that was trained on them."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "music").mkdir()
    for seed in range(6):
        (folder / "music" / f"{seed}.mid").write_bytes(make_midi(seed))
    (folder / "primer.mid").write_bytes(make_midi(9))
    assert cli.main(flags_of_training(folder, folder / "run")) == 0
    return folder


def run(capsys, *words):
    """Returns the exit code and the two outputs of a call."""
    capsys.readouterr()
    try:
        code = cli.main([str(word) for word in words])
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()


def assert_refused(answer, message):
    code, out, err = answer
    assert code == 2 and not out
    assert err.startswith("rnnpt: ") and err.count("\n") == 1 and message in err


def test_help_and_wrong_flags_import_no_tensorflow():
    code = (
        "import sys; from rnnpt.cli import main\n"
        "for words in (['--help'], ['train', '--help'], ['train', '--steps', '3']):\n"
        "    try: main(words)\n"
        "    except SystemExit as stop: print(stop.code)\n"
        "assert main(['train', '--config', 'jsb', '--run_dir', 'nowhere']) == 2\n"
        "assert not {'tensorflow', 'keras', 'scipy', 'matplotlib'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "rnnpt: the following arguments are required: --run_dir: see rnnpt train --help",
        f"rnnpt: config must be one of {', '.join(CONFIGS)}, got 'jsb'.",
    ]


def test_every_command_calls_a_function_with_the_flags_that_it_takes(monkeypatch):
    calls = {
        "list_data": ["data", "list"],
        "get_data": ["data", "get", "jsb"],
        "build_data": ["data", "build", "chorales", "--data_dir", "d"],
        "train": ["train", "--run_dir", "r"],
        "evaluate": ["evaluate", "--run_dir", "r"],
        "generate": ["generate", "--run_dir", "r", "--output_dir", "o"],
        "continue_music": [
            "continue", "--server", "h:1", "--primer_midi", "p", "--output_dir", "o"
        ],
        "plot": ["plot", "--midi", "m"],
        "export": ["export", "--run_dir", "r", "--export_dir", "e"],
        "serve": ["serve", "--model_base_path", "m"],
        "demo": ["demo", "--smoke"],
    }
    called = []

    def recorder(function, names):
        def record(**flags):
            assert flags.keys() == names
            called.append(function)

        return record

    for function in calls:
        names = getattr(command, function).__annotations__.keys() - {"return"}
        if "options" in names:
            names = names - {"options"} | {field.name for field in fields(server.ServerOptions)}
        monkeypatch.setattr(command, function, recorder(function, names))
    for words in calls.values():
        assert cli.main(words) == 0
    assert called == list(calls)


def test_training_leaves_a_run_and_the_same_command_goes_on_with_it(trained, capsys):
    before = (trained / "run" / "log.csv").read_text()
    code, out, err = run(capsys, *flags_of_training(trained, trained / "run"))
    assert code == 0 and "best epoch" in out and not err
    assert (trained / "run" / "log.csv").read_text() == before


def test_evaluate_prints_the_table_that_it_writes(trained, capsys):
    code, out, _ = run(capsys, "evaluate", "--run_dir", trained / "run")
    assert code == 0 and out == (trained / "run" / "evaluation.md").read_text()
    assert "copy the previous frame" in out


def test_the_same_seed_generates_the_same_music(trained, tmp_path, capsys):
    def generate(seed, name):
        code, out, _ = run(
            capsys, "generate", "--run_dir", trained / "run", "--num_steps", 7, "--num_outputs", 2,
            "--seed", seed, "--output_dir", tmp_path / name, "--qpm", 77
        )
        assert code == 0
        return [pathlib.Path(line).read_bytes() for line in out.splitlines()]

    first, again, other = generate(3, "a"), generate(3, "b"), generate(4, "c")
    assert first == again and len(set(first + other)) == 4
    roll = midi_to_pianoroll(first[0])
    assert len(roll.frames) == 7
    assert roll.qpm == pytest.approx(77, rel=1e-5)  # a MIDI tempo is whole microseconds


def test_continue_goes_on_from_the_primer(trained, tmp_path, capsys):
    code, out, _ = run(
        capsys, "continue", "--run_dir", trained / "run", "--primer_midi", trained / "primer.mid",
        "--num_steps", 5, "--output_dir", tmp_path / "new"
    )
    assert code == 0
    primer = midi_to_pianoroll(trained / "primer.mid")
    roll = midi_to_pianoroll(pathlib.Path(out.strip()))
    assert len(roll.frames) == len(primer.frames) + 5
    np.testing.assert_array_equal(roll.frames[:6], primer.frames)


@pytest.fixture(scope="module")
def exported(trained):
    """The folder of versions of the trained run."""
    words = ["export", "--run_dir", trained / "run", "--export_dir", trained / "models" / "toy",
             "--verify"]
    assert cli.main([str(word) for word in words]) == 0
    return trained / "models" / "toy"


@pytest.mark.slow
def test_a_run_its_export_and_its_server_continue_alike(trained, exported, tmp_path, capsys):
    def go_on(name, *source):
        code, out, err = run(
            capsys, "continue", *source, "--primer_midi", trained / "primer.mid", "--seed", 8,
            "--num_steps", 20, "--output_dir", tmp_path / name
        )
        assert code == 0, err
        return pathlib.Path(out.strip()).read_bytes()

    expected = go_on("run", "--run_dir", trained / "run")
    assert go_on("export", "--saved_model", exported) == expected
    assert go_on("version", "--saved_model", exported / "1") == expected
    with server.ModelServer("toy", exported, port=0, rest_api_port=0) as running:
        for i, address in enumerate(
            [f"localhost:{running.port}", f"http://localhost:{running.rest_api_port}"]
        ):
            answer = go_on(f"server{i}", "--server", address, "--model_name", "toy")
            assert answer == expected


@pytest.mark.parametrize("flags, num_steps", [([], 12), (["--steps_per_quarter", 1], 6)])
def test_an_export_is_continued_on_its_own_grid(
    trained, tmp_path, capsys, monkeypatch, flags, num_steps
):
    (tmp_path / "1" / "assets.extra").mkdir(parents=True)
    (tmp_path / "1" / "saved_model.pb").touch()
    (tmp_path / "1" / "assets.extra" / "rnnpt.json").write_text('{"steps_per_quarter": 2}')
    primes = []

    def generator(prime, num_steps, seeds, temperature):
        primes.append(prime)
        return np.zeros((1, num_steps, 88), np.float32)

    monkeypatch.setattr(generation, "from_saved_model", lambda directory: generator)
    code, _, err = run(
        capsys, "continue", "--saved_model", tmp_path, "--primer_midi", trained / "primer.mid",
        "--output_dir", tmp_path / "new", *flags
    )
    assert code == 0, err
    assert primes[0].shape == (1, num_steps, 88)


def test_the_help_of_continue_tells_the_grid_with_a_server(capsys):
    _, out, _ = run(capsys, "continue", "--help")
    assert "but 1 with --server" in " ".join(out.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "steps, primer_steps, message", [(1025, 6, "num_steps"), (5, 1025, "frames")]
)
def test_an_export_refuses_more_than_its_limits(
    exported, tmp_path, capsys, steps, primer_steps, message
):
    (tmp_path / "primer.mid").write_bytes(make_midi(0, primer_steps))
    answer = run(
        capsys, "continue", "--saved_model", exported, "--primer_midi", tmp_path / "primer.mid",
        "--num_steps", steps, "--output_dir", tmp_path / "out"
    )
    assert_refused(answer, message)
    assert "1024" in answer[2] and not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--port", "--rest_api_port"])
def test_serving_at_a_port_in_use_gets_one_line(exported, capsys, flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = {"--port": "--rest_api_port", "--rest_api_port": "--port"}[flag]
        answer = run(capsys, "serve", "--model_base_path", exported, flag, port, other, 0)
    assert_refused(answer, str(port))


def test_plot_draws_the_run_and_the_file(trained, tmp_path, capsys):
    for words in (["--run_dir", trained / "run"], ["--midi", trained / "primer.mid"]):
        code, out, _ = run(capsys, "plot", *words, "--output_dir", tmp_path / "new")
        assert code == 0 and pathlib.Path(out.strip()).read_bytes().startswith(b"\x89PNG")


def test_data_words_tell_names_files_and_counts(trained, capsys):
    assert "chorales" in run(capsys, "data", "list")[1]
    _, out, _ = run(capsys, "data", "build", f"midi_folder:{trained / 'music'}")
    assert "music: 88 keys" in out and out.count("1.000 notes a frame") == 3
    assert_refused(run(capsys, "data", "get", "chorales"), "got 'chorales'")


@pytest.mark.parametrize(
    "words, message",
    [
        (["train", "--config", "rnn_jsb", "--run_dir", "{new}", "--set", "fit.lr=1"],
         "unknown key 'fit.lr'"),
        (["train", "--config", "rnn_jsb", "--run_dir", "{new}", "--set", "data=polka"],
         "name='polka'"),
        (["train", "--config", "rnn_rbm_chorales", "--run_dir", "{new}", "--set",
          "model.num_gibbs_steps=0"], "num_gibbs_steps must be a positive integer"),
        (["train", "--config", "rnn_rbm_chorales", "--run_dir", "{new}", "--set",
          "model.dropout=1"], "dropout must be a share"),
        (["train", "--config", "rnn_rbm_jsb", "--run_dir", "{run}"],
         "with config rnn_jsb and not rnn_rbm_jsb"),
        (["train", "--run_dir", "{run}", "--seed", "5"], "with seed 0 and not 5"),
        (["evaluate", "--run_dir", "{run}", "--seed", "-1"],
         "seed must be from 0 to 2147483647, got -1"),
        (["evaluate", "--run_dir", "{new}"], "run_dir must be a run folder"),
        (["evaluate", "--run_dir", "{run}", "--set", "fit.epochs=3"], "got 'fit.epochs=3'"),
        (["generate", "--run_dir", "{new}", "--output_dir", "{out}"], "run_dir must be a run"),
        (["generate", "--run_dir", "{run}", "--output_dir", "{out}", "--temperature", "0"],
         "temperature must be a positive number, got 0"),
        (["generate", "--run_dir", "{run}", "--output_dir", "{out}", "--temperature", "nan"],
         "temperature must be a positive number, got nan"),
        (["generate", "--run_dir", "{run}", "--output_dir", "{out}", "--qpm", "0"], "got 0"),
        (["generate", "--run_dir", "{run}", "--output_dir", "{out}", "--num_steps", "1000000000"],
         "num_outputs times num_steps must be at most 65536, got"),
        (["continue", "--run_dir", "{run}", "--primer_midi", "{file}", "--output_dir", "{out}",
          "--num_steps", "1000000000"], "num_steps must be at most 65536 with the primer's"),
        (["continue", "--run_dir", "{run}", "--primer_midi", "{text}", "--output_dir", "{out}"],
         "source must be a MIDI file"),
        (["continue", "--run_dir", "{run}", "--primer_midi", "{new}", "--output_dir", "{out}"],
         "source must be a MIDI file"),
        (["continue", "--saved_model", "{run}", "--primer_midi", "{file}", "--output_dir",
          "{out}"], "directory must hold saved_model.pb"),
        (["continue", "--server", "nowhere", "--primer_midi", "{file}", "--output_dir", "{out}"],
         "nowhere"),
        (["continue", "--server", "localhost:1", "--primer_midi", "{file}", "--output_dir",
          "{out}"], "localhost:1"),
        (["plot", "--run_dir", "{new}"], "run_dir must be a run folder"),
        (["plot", "--curves", "{text}", "--output_dir", "{out}"],
         "curves must be a file that rnnpt reproduce wrote"),
        (["plot", "--midi", "{text}", "--output_dir", "{out}"], "source must be a MIDI file"),
        (["export", "--run_dir", "{new}", "--export_dir", "{out}"], "run_dir must be a run"),
        (["export", "--export_dir", "{out}"], "run_dir must name the run to export, got none"),
        (["export", "--verify", "--export_dir", "{new}"], "directory must hold saved_model.pb"),
        (["data", "build", "midi_folder:{new}"], "no folder"),
    ],
)
def test_mistakes_get_one_line_and_leave_no_file(trained, tmp_path, capsys, words, message):
    (tmp_path / "text").write_text("no music")
    places = {
        "new": tmp_path / "new", "out": tmp_path / "out", "run": trained / "run",
        "file": trained / "primer.mid", "text": tmp_path / "text",
    }
    assert_refused(run(capsys, *(word.format(**places) for word in words)), message)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize("word, flag", [
    ("generate", "--run_dir"), ("generate", "--output_dir"), ("export", "--export_dir")])
def test_a_file_in_a_folders_place_is_named(tmp_path, capsys, word, flag):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SystemExit) as stop:
        cli.main([word, flag, str(tmp_path / "file")])
    assert stop.value.code == 2
    assert f"argument {flag}: must be a folder, got" in capsys.readouterr().err


def test_a_truncated_data_file_gets_one_line(tmp_path, capsys):
    (tmp_path / "JSB_Chorales.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(40))
    assert_refused(
        run(capsys, "data", "build", "jsb_chorales", "--data_dir", tmp_path), "JSB_Chorales.mat"
    )


def test_a_fault_of_rnnpt_itself_is_not_hidden(monkeypatch):
    def fail(**flags):
        raise ValueError("a fault")

    monkeypatch.setattr(command, "evaluate", fail)
    with pytest.raises(ValueError, match="a fault"):
        cli.main(["evaluate", "--run_dir", "r"])


@pytest.mark.slow
def test_an_interrupted_training_says_how_to_go_on(trained, tmp_path):
    words = flags_of_training(trained, tmp_path / "run") + ["--set", "fit.epochs=100000"]
    code = "import sys; from rnnpt.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    while not (tmp_path / "run" / "log.csv").is_file():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("rnnpt: ") and err.count("\n") == 1
    assert "goes on from there" in err and str(tmp_path / "run") in err
