"""Pre-training on sequences that a hidden Markov model dreams up.

A hidden Markov model fitted to the training data is a smoothed version of them; the network learns
that version first and is fine-tuned on the data themselves afterwards.

Source: Pasa, Testolin, Sperduti, A HMM-based pre-training approach for sequential data (2014),
section 3.
"""
import contextlib
import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from hmmlearn.base import ConvergenceMonitor
from hmmlearn.hmm import CategoricalHMM
from tqdm import tqdm

from rnnpt.datasets import Sequences
from rnnpt.pretraining.error import PlanError, check_count
from rnnpt.pretraining.phase import Phase
from rnnpt.pretraining.schedule import Schedule
from rnnpt.whole_file import written_beside

_ARRAYS = ("alphabet", "start", "transition", "emission", "log_likelihoods")


@dataclasses.dataclass(frozen=True)
class FittedHMM:
    """A hidden Markov model whose symbols are the distinct frames it was fitted to.

    Args:
        alphabet: The frames (M, V) that it can emit.
        start: Probabilities of the first state (K,).
        transition: Probabilities of the next state given this one (K, K), rows sum to 1.
        emission: Probabilities of a symbol given a state (K, M), rows sum to 1.
        log_likelihoods: Of the data before each iteration (I,), nats a frame.
        converged: Whether the last iteration gained less than the tolerance.
        seconds: Wall time of the fit.
    """

    alphabet: np.ndarray
    start: np.ndarray
    transition: np.ndarray
    emission: np.ndarray
    log_likelihoods: np.ndarray
    converged: bool
    seconds: float

    def __str__(self) -> str:
        end = ("converged" if self.converged else
               "not converged: raise max_iterations or tolerance, or go on with it as it is")
        return (f"{len(self.start)} states, {len(self.alphabet)} symbols, "
                f"{len(self.log_likelihoods)} iterations in {self.seconds:.1f} s, "
                f"log-likelihood {self.log_likelihoods[-1]:.4f} nats a frame, {end}")

    def sample(self, lengths: Sequence[int] | np.ndarray, seed: int) -> Sequences:
        """Draw sequences.

        Args:
            lengths: Frames of each sequence (N,), at least 1.
            seed: At least 0; same seed, same sequences.

        Returns:
            N sequences whose frames are all in the alphabet.
        """
        rng = np.random.default_rng(seed)
        steps = np.asarray(lengths)
        states = np.empty((max(steps), len(steps)), int)
        states[0] = _draw(_ladder(self.start[None]), np.zeros(len(steps), int), rng)
        ladder = _ladder(self.transition)
        for t in range(1, len(states)):
            states[t] = _draw(ladder, states[t - 1], rng)
        visited = states.T[np.arange(len(states)) < steps[:, None]]
        frames = self.alphabet[_draw(_ladder(self.emission), visited, rng)]
        return Sequences(np.split(frames, np.cumsum(steps)[:-1]),
                         [f"hmm_{i}" for i in range(len(steps))])


def fit_hmm(sequences: Sequences, num_states: int, tolerance: float = 1e-4,
            max_iterations: int = 200, seed: int = 0) -> FittedHMM:
    """Fit a hidden Markov model by expectation maximisation (EM).

    Not converging is no error: the result says so, and most of the gain comes early.

    Args:
        sequences: The training data.
        num_states: K.
        tolerance: EM ends when an iteration gains less, nats a frame.
        max_iterations: Most iterations of EM.
        seed: From 0 to 2**32 - 1; of the first guess.

    Returns:
        The model, its log-likelihoods and whether it converged.

    Raises:
        PlanError: If a count is less than 1, or `tolerance` is not positive.
    """
    check_count("num_states", num_states)
    check_count("max_iterations", max_iterations)
    if not tolerance > 0:
        raise PlanError(f"`tolerance` must be positive. Received: tolerance={tolerance}. "
                        "Pass nats a frame, such as 1e-4.")
    began, num_frames = time.perf_counter(), sequences.num_frames
    alphabet, symbols = np.unique(
        np.concatenate(sequences.sequences), axis=0, return_inverse=True)
    model = CategoricalHMM(num_states, n_features=len(alphabet), implementation="scaling",
                           random_state=seed)
    model.monitor_ = _Monitor(tolerance * num_frames, max_iterations, verbose=False)
    model.n_iter = max_iterations
    with _quiet_logger():
        model.fit(symbols.reshape(-1, 1), [len(sequence) for sequence in sequences.sequences])
    # A state that was met at the ends of pieces only has no successor: a new piece begins there.
    is_end = model.transmat_.sum(axis=1, keepdims=True) == 0
    trace = np.array(model.monitor_.history)
    return FittedHMM(
        alphabet, model.startprob_, np.where(is_end, model.startprob_, model.transmat_),
        model.emissionprob_, trace / num_frames, seconds=time.perf_counter() - began,
        converged=len(trace) > 1 and bool(trace[-1] - trace[-2] < tolerance * num_frames))


def load_hmm(path: Path) -> FittedHMM:
    """Read the fit that a run folder keeps.

    Args:
        path: Its "hmm.npz".

    Returns:
        The model.
    """
    with np.load(path) as file:
        return FittedHMM(**{name: file[name] for name in _ARRAYS},
                         converged=bool(file["converged"]), seconds=float(file["seconds"]))


@dataclasses.dataclass(frozen=True)
class HMM(Schedule):
    """Pre-training on sequences drawn from a hidden Markov model of the training data.

    Use `run` for the pre-training alone, or `phase` and `source` as the first part of a plan.

    Args:
        num_states: States of the hidden Markov model; up to 25 serve well, more fit slowly [1].
        num_sequences: Sequences to draw, 500 in [1]; their lengths are drawn from the data's.
        epochs: Passes over them, 100 in [1] for an RNN-RBM.
        optimizer: Keras optimizer of the pre-training, or its config.
        batch_size: Rows of a batch.
        segment_length: Most steps of truncated back-propagation.
        tolerance: See `fit_hmm`.
        max_iterations: See `fit_hmm`.
        seed: Of the fit, the draws and the order of pieces.

    Raises:
        PlanError: If a count is not an integer of at least 1.

    Example:
        >>> HMM(num_states=10, epochs=50).phase().epochs
        50

    Source: [1] Pasa, Testolin, Sperduti (2014), sections 3 and 4.
    """

    num_states: int = 25
    num_sequences: int = 500
    epochs: int = 100
    optimizer: Any = dataclasses.field(
        default_factory=lambda: keras.optimizers.Adam(0.001, global_clipnorm=15.0))
    batch_size: int = 16
    segment_length: int = 100
    tolerance: float = 1e-4
    max_iterations: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_states", "num_sequences", "max_iterations"):
            check_count(name, getattr(self, name))

    def phase(self) -> Phase:
        """Describe the pre-training as a phase of a plan.

        Returns:
            A phase named "hmm" on the data "hmm".
        """
        return Phase("hmm", "hmm", self.epochs, self.optimizer, self.batch_size,
                     self.segment_length, recipe=self._recipe())

    def source(self, sequences: Sequences, cache: Path | None = None) -> Callable[[], Sequences]:
        """Say how the phase's data are made.

        Args:
            sequences: The training data.
            cache: An .npz file that keeps the fit for the next call, or None.

        Returns:
            A function that fits the model (or reads it from `cache`, where it is the same) and
            draws the sequences.
        """
        def make() -> Sequences:
            fitted = self._fit(sequences, cache)
            tqdm.write(f"hmm: {fitted}")
            lengths = [len(sequence) for sequence in sequences.sequences]
            rng = np.random.default_rng([self.seed, 1])
            return fitted.sample(rng.choice(lengths, self.num_sequences), self.seed)
        return make

    def phases(self) -> list[Phase]:
        """Describe the pre-training as the phases of a plan.

        Returns:
            `phase` alone.
        """
        return [self.phase()]

    def sources(
        self, sequences: Sequences, directory: Path | None = None
    ) -> dict[str, Callable[[], Sequences]]:
        """Say how the data of the phase are made.

        Args:
            sequences: The training data.
            directory: The run folder, where "hmm.npz" keeps the fit; None keeps nothing.

        Returns:
            What makes "hmm".
        """
        cache = None if directory is None else directory / "hmm.npz"
        return {"hmm": self.source(sequences, cache)}

    def _recipe(self) -> dict[str, Any]:
        names = ("num_states", "num_sequences", "tolerance", "max_iterations", "seed")
        return {name: getattr(self, name) for name in names}

    def _fit(self, sequences: Sequences, cache: Path | None) -> FittedHMM:
        digest = hashlib.sha256(json.dumps(self._recipe()).encode())
        for sequence in sequences.sequences:
            digest.update(f"{sequence.shape}".encode() + sequence.tobytes())
        if cache is not None and cache.exists():
            with np.load(cache) as file:
                is_same = str(file["digest"]) == digest.hexdigest()
            if is_same:
                return load_hmm(cache)
        tqdm.write(f"hmm: fitting {self.num_states} states to {sequences.num_frames} frames")
        fitted = fit_hmm(sequences, self.num_states, self.tolerance, self.max_iterations, self.seed)
        if cache is not None:
            with written_beside(cache) as path:
                np.savez(path, digest=digest.hexdigest(), **dataclasses.asdict(fitted))
        return fitted


class _Monitor(ConvergenceMonitor):
    """Keeps the log-likelihoods without a word."""

    def report(self, log_prob: float) -> None:
        self.history.append(log_prob)
        self.iter += 1


@contextlib.contextmanager
def _quiet_logger() -> Iterator[None]:
    # hmmlearn warns of more parameters than frames, which a whole frame as a symbol always has.
    logger = logging.getLogger("hmmlearn")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _ladder(probabilities: np.ndarray) -> np.ndarray:
    """Lay the cumulative distributions (R, C) end to end: row r climbs from r to r + 1."""
    cumulative = np.cumsum(probabilities, axis=1)
    return cumulative / cumulative[:, -1:] + np.arange(len(probabilities))[:, None]


def _draw(ladder: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a column from the distribution of each of `rows` (N,)."""
    # Rounding must not lift a draw onto the next row.
    heights = np.minimum(rows + rng.random(len(rows)), np.nextafter(rows + 1.0, 0))
    return np.searchsorted(ladder.ravel(), heights, side="right") - rows * ladder.shape[1]
