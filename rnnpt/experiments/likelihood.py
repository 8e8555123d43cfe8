"""The log-likelihood of frames that come chunk by chunk, with what its estimate may be off by."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rnnpt import heads, metrics, numerics
from rnnpt.experiments.accuracy import Chunk, compiled
from rnnpt.experiments.config import EvaluationConfig
from rnnpt.experiments.setting import ConfigError


class Likelihood:
    """Adds up the log-likelihoods of all frames.

    A head with an exact likelihood gives each. Of another one all frames are estimated by annealed
    importance sampling; or, with `config.num_ais_frames`, so many of them, drawn at random, by the
    whole schedule and all by the cheap one, whose mean difference to the whole on the drawn frames
    is added to its mean on all. That estimates the same figure: what the frames differ by is in
    the cheap estimates, and only the error of these is guessed from a sample.

    Args:
        model: A built `SequenceModel`.
        config: The schedule, and of how many frames.
        num_frames: That will come.
        seed: Of the choice of frames.

    Raises:
        ConfigError: If a single frame is to be drawn, whose spread nobody knows.
    """

    def __init__(
        self, model: keras.Model, config: EvaluationConfig, num_frames: int, seed: int
    ) -> None:
        num_drawn = config.num_ais_frames
        if num_drawn is not None and num_drawn < 2:
            raise ConfigError(f"evaluation.num_ais_frames must be at least 2, got {num_drawn}: "
                              "leave it out for all frames.")
        self._whole = _estimate_of(
            model, heads.AISSchedule(config.num_ais_runs, config.num_ais_temperatures))
        self._cheap = _estimate_of(model, heads.CHEAP_SCHEDULE)
        self._num_frames, self._num_seen = num_frames, 0
        self._drawn: np.ndarray | None = None
        if num_drawn is not None and num_drawn < num_frames and not model.head.exact:
            drawn = np.random.default_rng(seed).choice(num_frames, num_drawn, replace=False)
            self._drawn = np.isin(np.arange(num_frames), drawn)
        self._total, self._variance = 0.0, 0.0
        self._differences: list[np.ndarray] = []

    def add(self, chunk: Chunk, seed: tf.Tensor) -> None:
        """Takes the next frames.

        Args:
            chunk: Of them.
            seed: Of their estimates.
        """
        estimate = self._whole if self._drawn is None else self._cheap
        log_probs, errors = (x.numpy() for x in estimate(chunk, numerics.fold_in(seed, 0)))
        self._total += np.sum(log_probs, dtype=np.float64)
        self._variance += np.sum(np.square(errors, dtype=np.float64))
        if self._drawn is not None:
            rows = np.flatnonzero(self._drawn[self._num_seen:self._num_seen + len(log_probs)])
            drawn = Chunk(*(tf.gather(x, rows) for x in chunk))
            whole, _ = self._whole(drawn, numerics.fold_in(seed, 1))
            self._differences.append(whole.numpy().astype(np.float64) - log_probs[rows])
        self._num_seen += len(log_probs)

    def result(self) -> tuple[float, float]:
        """Says what it came to.

        Returns:
            Nats a frame, pooled over all; and the standard error, 0 where it is exact.
        """
        log_likelihood = metrics.log_likelihood(self._total, self._num_frames)
        variance = self._variance / self._num_frames**2
        if self._drawn is not None:
            differences = np.concatenate(self._differences)
            log_likelihood += float(np.mean(differences))
            # The differences spread by what both estimates of a frame are off by, too.
            variance += np.var(differences, ddof=1) / len(differences)
        return log_likelihood, math.sqrt(variance)


def _estimate_of(model: keras.Model, schedule: heads.AISSchedule) -> Callable[..., Any]:
    """Makes a function of a chunk: log-likelihoods, and their standard errors."""
    return compiled(model, lambda chunk, seed: model.head.estimate_log_prob(
        chunk.parameters, chunk.frames, seed, schedule))
