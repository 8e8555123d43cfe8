"""Frames drawn from a model, and their accuracy by the rule of 2012."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from rnnpt import datasets, heads, metrics, numerics
from rnnpt.experiments.config import EvaluationConfig

#: Number of the first frame that is drawn, among the streams of a chunk; 0 is the likelihood's, 1
#: that of the expected frames.
FIRST_DRAW = 2


class Chunk(NamedTuple):
    """Frames that are scored together, tensors with a row a frame.

    Args:
        parameters: Of the head (N, P).
        frames: The real frames (N, V).
        previous: The frame before each (N, V), zeros before a piece's first.
    """

    parameters: tf.Tensor
    frames: tf.Tensor
    previous: tf.Tensor


Draw = Callable[[Chunk, tf.Tensor], tf.Tensor]


class Chunks:
    """The real frames of all pieces, so many at a time that the samples stay small.

    Each iteration goes over all of them, with the weights that the model has then.

    Args:
        model: A built `SequenceModel`.
        sequences: The pieces.
        config: Pieces and frames at a time.
    """

    def __init__(
        self, model: keras.Model, sequences: datasets.Sequences, config: EvaluationConfig
    ) -> None:
        self._batches = sequences.pieces(config.batch_size)
        self._predict = tf.function(model.call, input_signature=[self._batches.element_spec])
        self._num_frames = config.num_frames

    def __iter__(self) -> Iterator[Chunk]:
        for batch in self._batches:
            frames, mask = batch["frames"], batch["mask"]
            previous = tf.pad(frames[:, :-1], [[0, 0], [1, 0], [0, 0]])
            whole = [
                tf.boolean_mask(x, mask) for x in (self._predict(batch), frames, previous)]
            for start in range(0, len(whole[0]), self._num_frames):
                rows = slice(start, start + self._num_frames)
                yield Chunk(*(x[rows] for x in whole))


def compiled(model: keras.Model, function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a graph of a function of a chunk and a seed that serves chunks of any length.

    Args:
        model: The model of the chunks.
        function: Of a `Chunk` and a seed.

    Returns:
        The same function, faster.
    """
    widths = (model.head.num_parameters(model.num_visible), model.num_visible, model.num_visible)
    chunk = Chunk(*(tf.TensorSpec((None, width)) for width in widths))
    return tf.function(function, input_signature=[chunk, tf.TensorSpec((2,), tf.int32)])


def draw_functions(model: keras.Model, config: EvaluationConfig) -> dict[str, Draw]:
    """Says in which ways the frames of a model are drawn.

    Args:
        model: A built `SequenceModel`.
        config: The length of Gibbs chains.

    Returns:
        What draws a frame for each row of a chunk, by what the table calls it; the way of 2012
        first.
    """
    head, steps = model.head, config.num_gibbs_steps
    draws: dict[str, Draw] = {"exactly": lambda chunk, seed: head.sample(chunk.parameters, seed)}
    if isinstance(head, heads.RBMHead):
        draws = {
            f"{steps} Gibbs steps from the frame before": lambda chunk, seed: head.sample(
                chunk.parameters, seed, start=chunk.previous, num_steps=steps
            ),
            f"{steps} Gibbs steps from an independent frame": lambda chunk, seed: head.sample(
                chunk.parameters, seed, num_steps=steps
            ),
        }
    return {name: compiled(model, draw) for name, draw in draws.items()}


def total_score(
    draw: Draw, chunk: Chunk, stream: tf.Tensor, first: int, num_samples: int
) -> float:
    """Scores several draws of a chunk.

    Args:
        draw: One of `draw_functions`.
        chunk: The frames.
        stream: The chunk's seed.
        first: Number of the first draw, within the stream.
        num_samples: How many.

    Returns:
        The sum of the scores of all frames and draws.
    """
    return sum(
        float(metrics.frame_scores(
            draw(chunk, numerics.fold_in(stream, first + i)), chunk.frames).sum())
        for i in range(num_samples))


def accuracy_function(
    model: keras.Model, sequences: datasets.Sequences, config: EvaluationConfig, seed: int = 0
) -> Callable[[], float]:
    """Prepares an accuracy that is measured again and again while a model is trained.

    Args:
        model: A built `SequenceModel`.
        sequences: What it is measured on.
        config: Samples a frame, the length of Gibbs chains, the amount of work at a time.
        seed: Of every draw; the same in each call.

    Returns:
        A function that gives, for the weights that the model has then, the accuracy in percent that
        `evaluation.evaluate_model` has in its first row.
    """
    draw, chunks = next(iter(draw_functions(model, config).values())), Chunks(
        model, sequences, config)

    def measure() -> float:
        total = sum(
            total_score(draw, chunk, numerics.fold_in(numerics.as_seed(seed), index), FIRST_DRAW,
                        config.num_samples)
            for index, chunk in enumerate(chunks))
        return 100 * total / (sequences.num_frames * config.num_samples)

    return measure
