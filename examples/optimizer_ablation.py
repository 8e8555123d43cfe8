"""SGD with and without four helps on a plain RNN of music, by random search: a table of 2012.

    python examples/optimizer_ablation.py --data jsb [--method sgd_c] [--data_dir DATA]

C is clipping, L leaky units, R rectifiers with an L1 penalty, M simplified Nesterov momentum. Each
method's settings are drawn by KerasTuner (`pip install keras-tuner`) from the paper's ranges, each
trial stops on the validation pieces, and the best trial of a method reads the test pieces once. A
trial is a row of the table as it ends, and a row is never trained again: a run that was stopped
goes on by the same command, and `--report` writes the Markdown of what there is.

The paper leaves open, and chosen here: the loss is the mean over frames, whose gradient over a
sequence of JSB has a norm of 12 on average at the start and 8 after five passes of SGD (200 units),
so that the paper's threshold of 15 fits it; 4 rows a batch (8 for Nottingham); tanh where there is
no rectifier; a constant momentum; orthogonal recurrent weights times 0.3; a learned state before
each piece instead of 0. How much a leaky unit lets go at a step is drawn for each unit from
(0.02, 0.2), as in section 3.2: the range [0.02, 2] of section 4.1 cannot be that of a leak, which
ends at 1.

Source: Bengio, Boulanger-Lewandowski and Pascanu 2012, section 4.1 and Table 1.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from optimizer_ablation_search import SETTINGS, Budget, Search, search_space
from optimizer_ablation_table import METHODS, report

from rnnpt import datasets, metrics, numerics
from rnnpt.experiments.result_table import ResultTable, this_command, this_machine
from rnnpt.whole_file import write_bytes

#: Frames drawn a time step for the accuracy.
NUM_SAMPLES = 20
BUDGETS = {
    "jsb": Budget(trials=20, epochs=60, patience=10, batch_size=4),
    "nottingham": Budget(trials=8, epochs=30, patience=3, batch_size=8),
    "noise": Budget(trials=2, epochs=2, patience=2, batch_size=4)}


def accuracies(model: keras.Model, pieces: datasets.Sequences, seed: int) -> dict[str, float]:
    """Both accuracies of one-step predictions.

    Args:
        model: A `SequenceModel` with an exact head.
        pieces: What is predicted.
        seed: Of the samples.

    Returns:
        `accuracy` by the 2012 rule, and `micro_accuracy`, in percent.
    """
    batches = pieces.pieces(8)
    predict = tf.function(model.call, input_signature=[batches.element_spec])
    score, counts = 0.0, np.zeros(3, np.int64)
    for index, batch in enumerate(batches):
        parameters = tf.boolean_mask(predict(batch), batch["mask"])
        frames = tf.boolean_mask(batch["frames"], batch["mask"])
        stream = numerics.fold_in(numerics.as_seed(seed), index)
        for number in range(NUM_SAMPLES):
            samples = model.head.sample(parameters, numerics.fold_in(stream, number))
            score += float(metrics.frame_scores(samples, frames).sum())
        counts += metrics.note_counts(model.head.mean(parameters, stream), frames)
    return {"accuracy": round(100 * score / (NUM_SAMPLES * pieces.num_frames), 2),
            "micro_accuracy": round(100 * metrics.micro_accuracy(counts), 2)}


def measure(search: Search, splits: datasets.Splits, seed: int) -> dict[str, Any]:
    """Read the test pieces with the best trial of a search.

    Args:
        search: That has run.
        splits: The music.
        seed: Of the samples.

    Returns:
        The method's row in the table of best trials.
    """
    row, model = search.best()
    likelihood = {
        f"{name}_ll": round(model.evaluate(
            pieces.pieces(32), verbose=0, return_dict=True)["log_likelihood"], 4)
        for name, pieces in (("train", splits.train), ("test", splits.test))}
    kept = ("trial", *SETTINGS, "valid_ll", "outcome", "epochs", "best_epoch", "max_epochs")
    return {name: row[name] for name in kept} | likelihood | accuracies(
        model, splits.test, seed) | {"machine": this_machine(), "command": this_command()}


def music(name: str, data_dir: Path | None) -> datasets.Splits:
    """The pieces.

    Args:
        name: "jsb", "nottingham", or "noise" for a toy set.
        data_dir: Folder of the published files.

    Returns:
        The three splits.
    """
    if name != "noise":
        return datasets.pianorolls(name, data_dir)
    rng = np.random.default_rng(0)
    return datasets.Splits(*(
        datasets.Sequences([rng.random((length, 88)) < 0.04 for length in (20, 30, 25)])
        for _ in range(3)), name="noise")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["jsb", "nottingham"], default="jsb")
    parser.add_argument("--data_dir", type=Path, help="folder of the published files; else "
                        "RNNPT_DATA or the user's cache, where they are downloaded to")
    parser.add_argument("--method", choices=list(METHODS), help="all of them by default")
    parser.add_argument("--trials", type=int, help="settings that are tried; 20 for JSB, 8 for "
                        "Nottingham, ten times the frames")
    parser.add_argument("--epochs", type=int, help="at most; 60 for JSB, 30 for Nottingham")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="random notes, in seconds")
    parser.add_argument("--report", action="store_true", help="write the Markdown alone")
    parser.add_argument("--output", type=Path, default=Path("results"), help="folder of the tables")
    parser.add_argument("--weights", type=Path, default=Path("runs/optimizer_ablation"))
    arguments = parser.parse_args()
    for name, value in (("trials", arguments.trials), ("epochs", arguments.epochs)):
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value}; leave it out for the default")
    return arguments


def main() -> None:
    """Search, read the test pieces for the best trials, and write the table."""
    arguments = parse()
    data = "noise" if arguments.smoke else arguments.data
    budget = dataclasses.replace(BUDGETS[data], seed=arguments.seed, **{
        name: value for name in ("trials", "epochs") if (value := getattr(arguments, name))})
    trials = ResultTable(
        arguments.output / "optimizer_ablation_trials.csv",
        key=("data", "method", "seed", "trial"))
    best = ResultTable(
        arguments.output / "optimizer_ablation.csv", key=("data", "method", "seed", "trials"))
    chosen = [arguments.method] if arguments.method else list(METHODS)
    for method in [] if arguments.report else chosen:
        splits = music(data, arguments.data_dir)
        folder = arguments.weights / f"{data}_{method}_{budget.seed}"
        search = Search(data, method, splits, budget, trials, folder)
        search.search()
        key = {"data": data, "method": method, "seed": budget.seed, "trials": budget.trials}
        if not best.has(**key):
            best.add(**key, **measure(search, splits, budget.seed))
    page = report(best.rows, {name: search_space(name) for name in METHODS})
    write_bytes(arguments.output / "optimizer_ablation.md", page.encode())
    print(page)


if __name__ == "__main__":
    main()
