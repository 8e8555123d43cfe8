"""An RNN by Hessian-free steps beside an LSTM by gradients, as in table 4.1 of Sutskever 2013.

    python examples/bouncing_balls.py --data balls --side 18 --minutes 60
    python examples/bouncing_balls.py --data midi --minutes 60 [--midi_folder FOLDER]

Each method trains for as many minutes, its evaluations not counted. The RNN has 300 tanh units, the
LSTM as few as give it no fewer parameters. Damping, rates, minibatches and initial kernels are the
thesis' (4.5.1, 4.5.2), biases but the forget gates' start at 0; of its 40,000 and 20,000 sequences
an update, and of those that give the curvature, `--share` is taken. The LSTM's gradient is clipped
on `midi`, which is a folder of the user's files, or chorales played at 120 quarters a minute: the
errors stand beside the thesis' for their order, not for their size.

The error is the KL divergence in nats of a sequence, summed over pixels and frames, as the thesis
says of its own; of notes it is minus the log-likelihood. The thesis predicts each frame from those
before it and so has no error of the first one, which is told apart here.

A row is added to the table as each run ends, and one to the table of learning curves at each point.
The same command goes on where it was stopped, and does nothing once it is done.
"""

import argparse
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from bouncing_balls_run import LSTM_RATE, NUM_UNITS, ROWS_AT_ONCE, SETTINGS, Run

from rnnpt import datasets, metrics, models
from rnnpt.datasets.stream import Stream
from rnnpt.experiments.result_table import ResultTable, this_command, this_machine
from rnnpt.whole_file import written_beside

METHODS = ("hf", "lstm")
#: Far from the seeds of runs.
VALIDATION_SEED = 1_000_000
NUM_VALIDATION = 200
#: Updates between two points of a learning curve.
UPDATES_A_POINT = {"hf": 1, "lstm": 200}
KEY = ("data", "pieces", "side", "method", "minutes", "units", "share", "learning_rate",
       "clip_norm", "seed")


class Recorder(keras.callbacks.Callback):
    """Measures the model at each point, adds it to the learning curve, and minds the clock."""

    def __init__(
        self, run: Run, validation: dict[str, np.ndarray], curve: ResultTable, checkpoint: Path,
    ) -> None:
        super().__init__()
        self.run, self.validation, self.curve = run, validation, curve
        self.checkpoint = checkpoint
        self.start = self.seconds = 0.0

    def resume(self, model: models.SequenceModel) -> int:
        """Take up the clock of a loaded model; gives its number of updates."""
        done = int(model.optimizer.iterations)
        key = dataclasses.asdict(self.run) | {"update": done}
        self.seconds = next(
            (float(row["seconds"]) for row in self.curve.rows
             if all(row[name] == str(value) for name, value in key.items())), 0.0)
        return done

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock, which measures training alone."""
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure, write, save; stop where the time is up or the loss is no number any more."""
        self.seconds += time.perf_counter() - self.start
        figures = measure(self.model, self.validation)
        key = dataclasses.asdict(self.run) | {"update": int(self.model.optimizer.iterations)}
        if not self.curve.has(**key):
            self.curve.add(**key, seconds=round(self.seconds, 2), **figures)
        print(f"{self.run.data}, {self.run.method}: update {key['update']}, {self.seconds:.0f} s, "
              f"error {figures['error']:.5g}", flush=True)
        if not math.isfinite(figures["error"]):
            self.model.stop_training = True
            return
        with written_beside(self.checkpoint) as beside:
            self.model.save(beside)
        self.model.stop_training = self.seconds >= 60 * self.run.minutes


def measure(model: models.SequenceModel, batch: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors in nats: of a sequence from its second frame on, of a frame there, of the first one.

    Args:
        model: any with a Bernoulli head.
        batch: whole sequences of one length.

    Returns:
        The means over sequences.
    """
    parameters = model.predict(batch, batch_size=ROWS_AT_ONCE, verbose=0)
    log_probs = model.head.log_prob(tf.constant(parameters), tf.constant(batch["frames"]))
    first, *rest = metrics.kl_divergence(log_probs, batch["frames"]).mean(axis=0)
    return {name: float(f"{value:.6g}") for name, value in (
        ("error", sum(rest)), ("error_of_a_frame", sum(rest) / len(rest)),
        ("error_of_first_frame", first))}


def train(
    run: Run, stream: Stream, validation: dict[str, np.ndarray], curve: ResultTable,
    checkpoint: Path,
) -> tuple[models.SequenceModel, float]:
    """Train from the start, or from the checkpoint if there is one, until the time is up.

    Args:
        run: to do.
        stream: of training sequences.
        validation: to measure the learning curve on.
        curve: to add to.
        checkpoint: of the run.

    Returns:
        The model, and the seconds that it was trained.
    """
    recorder = Recorder(run, validation, curve, checkpoint)
    done = 0
    if checkpoint.is_file():
        model = keras.models.load_model(checkpoint)
        done = recorder.resume(model)
    else:
        model = run.model(stream.num_visible)
        model.compile(run.optimizer(stream.num_steps))
    if recorder.seconds < 60 * run.minutes:
        steps = UPDATES_A_POINT[run.method]
        model.fit(
            stream.batches(run.batch_size, run.seed, start=done), steps_per_epoch=steps,
            initial_epoch=done // steps, epochs=10 ** 9, verbose=0, callbacks=[recorder])
    return model, recorder.seconds


def read(arguments: argparse.Namespace) -> tuple[Stream, dict[str, np.ndarray], Any]:
    """The training sequences, the validation set, and what gives the test set.

    Args:
        arguments: of the command.

    Returns:
        The three.
    """
    if arguments.data == "balls":
        balls = datasets.BouncingBalls(arguments.side, num_steps=arguments.num_steps)
        return balls, balls.draw(NUM_VALIDATION, VALIDATION_SEED), balls.test_set
    pieces = (datasets.timed_midi_folder(arguments.midi_folder) if arguments.midi_folder
              else datasets.timed_chorales())
    excerpts = datasets.Excerpts(pieces, arguments.num_steps)
    return excerpts, excerpts.valid_set(), excerpts.test_set


def print_table(table: ResultTable) -> None:
    """Print all runs beside the thesis.

    Args:
        table: of them.
    """
    print("| data | method | minutes | updates | seed | error of a sequence | of a frame "
          "| thesis |\n|---|---|---|---|---|---|---|---|")
    for row in table.rows:
        name = row["pieces"] or f"balls {row['side']} x {row['side']}"
        print(f"| {name} | {row['method']} | {row['minutes']} | {row['updates']} | {row['seed']} "
              f"| {float(row['error']):.4g} | {float(row['error_of_a_frame']):.4g} "
              f"| {row['thesis_error']} |")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=list(SETTINGS), default="balls")
    parser.add_argument("--side", type=int, default=18, help="pixels of a frame's side")
    parser.add_argument("--midi_folder", type=Path, help="chorales without it")
    parser.add_argument("--method", choices=METHODS, nargs="+", default=list(METHODS))
    parser.add_argument("--minutes", type=float, default=60, help="of training, for each method")
    parser.add_argument("--units", type=int, default=NUM_UNITS, help="of the RNN")
    parser.add_argument("--share", type=float, default=0.1, help="of the thesis' batches")
    parser.add_argument("--learning_rate", type=float, default=LSTM_RATE, help="of the LSTM")
    parser.add_argument("--clip_norm", type=float, help="of the LSTM's gradient; inf: none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a toy size, in seconds")
    parser.add_argument("--output", type=Path, default=Path("results/table_4_1.csv"))
    parser.add_argument("--checkpoints", type=Path, default=Path("runs/table_4_1"))
    arguments = parser.parse_args()
    if not 0 < arguments.share <= 1:
        parser.error(f"--share must be above 0 and at most 1, got {arguments.share}; 0.1 fits "
                     "into 4 GB")
    if not 0 < arguments.minutes < math.inf:
        parser.error(f"--minutes must be a positive number, got {arguments.minutes}; 60 is a start")
    setting = SETTINGS[arguments.data]
    arguments.num_steps = setting.num_steps
    arguments.clip_norm = arguments.clip_norm or setting.clip_norm
    if arguments.smoke:
        arguments.side, arguments.num_steps, arguments.units = 5, 6, 8
        arguments.share, arguments.minutes = 0.001, 0.05
    arguments.pieces = ""
    if arguments.data == "midi":
        folder = arguments.midi_folder
        arguments.side, arguments.pieces = 0, folder.resolve().name if folder else "chorales"
    return arguments


def main() -> None:
    """Train by each method, add the runs to the tables and print them."""
    arguments = parse()
    table = ResultTable(arguments.output, key=KEY)
    curve = ResultTable(
        arguments.output.with_name(f"{arguments.output.stem}_curves.csv"), key=(*KEY, "update"))
    given = {name: value for name, value in vars(arguments).items() if name in KEY}
    runs = [Run(**given | {"method": method}) for method in arguments.method]
    runs = [run for run in runs if not table.has(**dataclasses.asdict(run))]
    stream, validation, test_set = read(arguments) if runs else (None, None, None)
    for run in runs:
        checkpoint = arguments.checkpoints / f"{run.name}.keras"
        model, seconds = train(run, stream, validation, curve, checkpoint)
        updates = int(model.optimizer.iterations)
        table.add(
            **dataclasses.asdict(run), updates=updates, sequences=updates * run.batch_size,
            seconds=round(seconds), num_parameters=model.count_params(),
            **measure(model, test_set()), thesis_error=run.setting.thesis[run.method],
            command=this_command(), machine=this_machine())
        checkpoint.unlink(missing_ok=True)
    print_table(table)


if __name__ == "__main__":
    main()
