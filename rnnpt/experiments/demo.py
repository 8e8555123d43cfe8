"""The whole way once: train, measure, export, serve, and continue a chorale that nobody trained on.

Every stage but the last is a command of `rnnpt`, called with the flags that are printed.
"""

import time
from pathlib import Path

from rnnpt import datasets
from rnnpt.experiments import command, generation, picture
from rnnpt.experiments.setting import ConfigError
from rnnpt.music.piano_roll import PianoRoll, onsets_of
from rnnpt.music.pianoroll_midi import midi_to_pianoroll, pianoroll_to_midi
from rnnpt.pretraining import RunFolderError
from rnnpt.serving.client import Client
from rnnpt.serving.server import ModelServer
from rnnpt.whole_file import write_bytes

CONFIG = "rnn_rbm_chorales"
MODEL_NAME = "chorales"
PRIMER_STEPS = 16
NUM_STEPS = 48
TEMPERATURE = 1.0
QPM = 72.0
SEED = 0
#: Settings of `--smoke`: every stage in seconds, and no music to speak of.
SMOKE = [
    "model.num_hidden=20",
    "model.num_recurrent=20",
    "model.num_gibbs_steps=2",
    "hmm.num_states=4",
    "hmm.num_sequences=20",
    "hmm.max_iterations=3",
    "pretrain.epochs=1",
    "fit.epochs=2",
    "evaluation.num_samples=1",
    "evaluation.num_gibbs_steps=5",
    "evaluation.num_ais_runs=5",
    "evaluation.num_ais_temperatures=10",
]


def run(output_dir: Path, smoke: bool) -> None:
    """Goes the whole way, and says at every stage what it does.

    Args:
        output_dir: Folder of everything that is made.
        smoke: Whether to do it in a toy size.
    """
    began = time.monotonic()

    def say(stage: int, text: str) -> None:
        print(f"\n[{stage}/7] {text} ({time.monotonic() - began:.0f} s so far)", flush=True)

    run_dir, export_dir = output_dir / "run", output_dir / "models" / MODEL_NAME
    say(1, "Reading Bach's chorales: rnnpt data build chorales")
    command.build_data("chorales", None)
    settings = SMOKE if smoke else []
    say(2, f"Pre-training and training: rnnpt train --config {CONFIG} --run_dir {run_dir}"
           + "".join(f" --set {setting}" for setting in settings))
    _train(run_dir, settings)
    say(3, f"Measuring on the test pieces: rnnpt evaluate --run_dir {run_dir}")
    command.evaluate(run_dir, [], SEED, None)
    say(4, f"Drawing the learning curve: rnnpt plot --run_dir {run_dir} --output_dir {output_dir}")
    command.plot(run_dir, None, None, 1, output_dir)
    say(5, f"Exporting: rnnpt export --run_dir {run_dir} --export_dir {export_dir}")
    command.export(run_dir, export_dir)
    say(6, f"Cutting off the opening of a chorale of the test set: {PRIMER_STEPS} quarter notes")
    primer = _write_primer(output_dir / "primer.mid")
    say(7, f"Serving it: rnnpt serve --model_base_path {export_dir}, and continuing: rnnpt "
           f"continue --server HOST:PORT --primer_midi {primer} --num_steps {NUM_STEPS} "
           f"--output_dir {output_dir}")
    _continue(primer, export_dir, output_dir)
    print(f"\nDone in {time.monotonic() - began:.0f} s.", flush=True)


def _train(run_dir: Path, settings: list[str]) -> None:
    """Goes on with a demo that was interrupted, and begins anew where another one stands."""
    try:
        command.train(run_dir, CONFIG, settings, False, None, None)
    except (ConfigError, RunFolderError) as error:
        print(f"{error} Beginning anew.", flush=True)
        command.train(run_dir, CONFIG, settings, True, None, None)


def _write_primer(path: Path) -> Path:
    """Writes the opening of the first test piece that is long enough to be one."""
    test = datasets.chorales().test
    index = next(i for i, piece in enumerate(test.sequences) if len(piece) >= 2 * PRIMER_STEPS)
    frames = test.sequences[index][:PRIMER_STEPS]
    write_bytes(path, pianoroll_to_midi(PianoRoll(frames, onsets_of(frames), 1, QPM)))
    print(f"{path}: the opening of {test.names[index]}")
    return path


def _continue(primer_midi: Path, export_dir: Path, output_dir: Path) -> None:
    """Sends the opening to the embedded server, and writes and draws what comes back."""
    primer = generation.read_primer(primer_midi)
    with ModelServer(MODEL_NAME, export_dir, port=0, rest_api_port=0) as server:
        with Client(f"127.0.0.1:{server.port}", MODEL_NAME) as client:
            path = generation.continue_file(
                generation.from_client(client), primer, output_dir, NUM_STEPS, TEMPERATURE, SEED
            )
    print(path)
    roll = midi_to_pianoroll(path)
    print(picture.draw_roll(roll, output_dir / "continuation.png", len(primer.frames)))
