"""The table of a trained model: likelihood and both accuracies, beside the baselines."""

import csv
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from rnnpt import datasets, metrics, numerics
from rnnpt.experiments import run_folder
from rnnpt.experiments.accuracy import FIRST_DRAW, Chunks, compiled, draw_functions, total_score
from rnnpt.experiments.config import EvaluationConfig
from rnnpt.experiments.likelihood import Likelihood
from rnnpt.models import baselines, n_gram
from rnnpt.whole_file import write_bytes


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        model: What predicts.
        sampling: How its frames are drawn for `accuracy`.
        log_likelihood: Nats a frame, pooled over all frames; None where there is none.
        standard_error: Of `log_likelihood`, from the sampling of log Z; 0 where it is exact.
        accuracy: By the 2012 rule, in percent.
        micro_accuracy: TP / (TP + FP + FN) in percent; None where there are no probabilities.
    """

    model: str
    sampling: str
    log_likelihood: float | None
    standard_error: float | None
    accuracy: float
    micro_accuracy: float | None


HEADER = (
    "Model",
    "Frames drawn",
    "LL (nats a frame)",
    "its standard error",
    "ACC, 2012 rule (%)",
    "ACC, micro (%)",
)


def evaluate(
    model: keras.Model,
    splits: datasets.Splits,
    config: EvaluationConfig,
    seed: int = 0,
    progress: bool = False,
) -> list[Row]:
    """Measures a model and the baselines on the test pieces.

    The likelihood of a head without an exact one is estimated by full annealed importance
    sampling. Such a head draws its frames by a Gibbs chain, once from the previous frame and once
    from an independent sample, because the first keeps old notes.

    Args:
        model: A trained `SequenceModel`.
        splits: The music; the baselines count in `train`, everything is measured on `test`.
        config: Number of samples, length of the chains, amount of work at a time.
        seed: Of every draw.
        progress: Whether to show a bar.

    Returns:
        The rows: the model (once a kind of chain), an N-gram of frames, one of notes, Note
        1-gram, copy the previous frame.
    """
    return [*evaluate_model(model, splits.test, config, seed, progress),
            *evaluate_baselines(splits, config, seed)]


def evaluate_baselines(
    splits: datasets.Splits, config: EvaluationConfig, seed: int = 0
) -> list[Row]:
    """Measures what counts, or copies, on the test pieces.

    Args:
        splits: As of `evaluate`.
        config: As of `evaluate`.
        seed: Of every draw.

    Returns:
        The rows: an N-gram of frames, one of notes, Note 1-gram, copy the previous frame.
    """
    return [*_measure_n_grams(splits, config.num_samples, seed), _measure_copy(splits.test)]


def save_table(run_dir: Path, rows: list[Row]) -> str:
    """Writes the table as CSV and Markdown into a run folder.

    Args:
        run_dir: The run folder.
        rows: The rows of the table.

    Returns:
        The Markdown.
    """
    markdown = to_markdown(rows)
    write_bytes(run_dir / run_folder.TABLE_MARKDOWN, markdown.encode())
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([field.name for field in dataclasses.fields(Row)])
    writer.writerows(dataclasses.astuple(row) for row in rows)
    write_bytes(run_dir / run_folder.TABLE_CSV, text.getvalue().encode())
    return markdown


def to_markdown(rows: list[Row]) -> str:
    """Formats the table.

    Args:
        rows: Its rows.

    Returns:
        A Markdown table whose columns also line up on a terminal.
    """
    cells = [HEADER] + [
        (
            row.model,
            row.sampling,
            _format(row.log_likelihood, 3),
            _format(row.standard_error, 4),
            _format(row.accuracy, 2),
            _format(row.micro_accuracy, 2),
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEADER))]
    lines = [
        "| " + " | ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths))
        ) + " |"
        for line in cells
    ]
    rule = "|" + "|".join(
        "-" * (width + 2) if i < 2 else "-" * (width + 1) + ":" for i, width in enumerate(widths)
    ) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def evaluate_model(
    model: keras.Model,
    sequences: datasets.Sequences,
    config: EvaluationConfig,
    seed: int = 0,
    progress: bool = False,
) -> list[Row]:
    """Measures a model.

    Args:
        model: As of `evaluate`.
        sequences: What it is measured on.
        config: As of `evaluate`.
        seed: Of every draw.
        progress: Whether to show a bar.

    Returns:
        A row for each way to draw the model's frames.
    """
    draws = draw_functions(model, config)
    likelihood = Likelihood(model, config, sequences.num_frames, seed)
    mean = compiled(model, lambda chunk, seed: model.head.mean(chunk.parameters, seed))
    counts, scores = np.zeros(3, np.int64), dict.fromkeys(draws, 0.0)
    bar = tqdm(total=sequences.num_frames, desc="evaluate", unit="frame", disable=not progress)
    for index, chunk in enumerate(Chunks(model, sequences, config)):
        # A stream for each chunk and purpose, which no other one shifts.
        stream = numerics.fold_in(numerics.as_seed(seed), index)
        likelihood.add(chunk, numerics.fold_in(stream, 0))
        means = mean(chunk, numerics.fold_in(stream, 1))
        counts += metrics.note_counts(means, chunk.frames)
        for i, (name, draw) in enumerate(draws.items()):
            first = FIRST_DRAW + i * config.num_samples
            scores[name] += total_score(draw, chunk, stream, first, config.num_samples)
        bar.update(len(chunk.frames))
    bar.close()
    log_likelihood, error = likelihood.result()
    num_draws = sequences.num_frames * config.num_samples
    micro = 100 * metrics.micro_accuracy(counts)
    return [
        Row(type(model).__name__, name, log_likelihood, error, 100 * total / num_draws, micro)
        for name, total in scores.items()
    ]


def _measure_n_grams(splits: datasets.Splits, num_samples: int, seed: int) -> Iterator[Row]:
    """Yields the rows of the counting baselines, with the orders and strengths they come with."""
    train = splits.train.sequences
    frame, note = n_gram.FrameNgram(train), n_gram.NoteNgram(train)
    yield _measure_n_gram(f"Frame {frame.order}-gram", frame, splits.test, num_samples, seed)
    yield _measure_n_gram(f"Note {note.order}-gram", note, splits.test, num_samples, seed)
    note = n_gram.NoteNgram(train, order=1)
    yield _measure_n_gram("Note 1-gram", note, splits.test, num_samples, seed)


def _measure_n_gram(
    name: str,
    model: n_gram.FrameNgram | n_gram.NoteNgram,
    sequences: datasets.Sequences,
    num_samples: int,
    seed: int,
) -> Row:
    """Returns the row of one of them."""
    log_prob, score, counts = 0.0, 0.0, np.zeros(3, np.int64)
    for index, piece in enumerate(sequences.sequences):
        log_prob += model.log_prob(piece).sum()
        counts += metrics.note_counts(model.probabilities(piece), piece)
        for drawn in model.samples(piece, num_samples, (seed, index)):
            score += float(metrics.frame_scores(drawn, piece).sum())
    return Row(
        name,
        "exactly",
        metrics.log_likelihood(log_prob, sequences.num_frames),
        0.0,
        100 * score / (sequences.num_frames * num_samples),
        100 * metrics.micro_accuracy(counts),
    )


def _measure_copy(sequences: datasets.Sequences) -> Row:
    """Returns the row of copying the previous frame."""
    copies = [baselines.copy_previous(piece) for piece in sequences.sequences]
    pairs = list(zip(copies, sequences.sequences))
    score = sum(float(metrics.frame_scores(copy, piece).sum()) for copy, piece in pairs)
    micro = metrics.micro_accuracy([metrics.note_counts(copy, piece) for copy, piece in pairs])
    return Row(
        "copy the previous frame", "-", None, None, 100 * score / sequences.num_frames, 100 * micro
    )


def _format(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
