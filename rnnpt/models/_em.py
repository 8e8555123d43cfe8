"""Expectation maximisation of a hidden Markov model with binary frames, by hmmlearn."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from hmmlearn.base import BaseHMM
from scipy.special import softmax


@dataclasses.dataclass(frozen=True)
class Logits:
    """The parameters of a hidden Markov model, as log-probabilities up to constants.

    Args:
        start: Of the first state (S,).
        transition: Of the next state, given that of the row (S, S).
        emission: Log-odds of the units in each state (S, V).
    """

    start: np.ndarray
    transition: np.ndarray
    emission: np.ndarray


def count(pieces: Sequence[np.ndarray], states: np.ndarray, num_states: int,
          smoothing: float) -> Logits:
    """Estimate the parameters where the state of every frame is known.

    Args:
        pieces: Frames (T_i, V) of each piece, 0 or 1.
        states: The state of each frame of all pieces, in order (N,), from 0 to S - 1.
        num_states: S.
        smoothing: Pseudo-count of each outcome.

    Returns:
        The relative frequencies, smoothed.
    """
    ends = np.cumsum([len(piece) for piece in pieces])
    before = np.delete(np.arange(len(states)), ends - 1)
    start, transition = np.zeros(num_states), np.zeros((num_states, num_states))
    np.add.at(start, states[np.r_[0, ends[:-1]]], 1)
    np.add.at(transition, (states[before], states[before + 1]), 1)
    occupancy = np.eye(num_states)[states]
    return Logits(
        np.log(start + smoothing), np.log(transition + smoothing),
        _log_odds(occupancy.T @ np.concatenate(pieces), occupancy.sum(axis=0), smoothing))


def improve(
    pieces: Sequence[np.ndarray], logits: Logits, smoothing: float
) -> tuple[Logits, float]:
    """One pass of expectation maximisation, on parameters kept by hmmlearn in float64.

    It never lowers the likelihood times the prior that the pseudo-counts are: a Dirichlet (beta
    for the units) distribution with the parameter 1 + smoothing of each outcome.

    Args:
        pieces: Frames (T_i, V) of each piece, 0 or 1.
        logits: The parameters.
        smoothing: Pseudo-count added to the expected count of each outcome.

    Returns:
        The new parameters, and the log-likelihood of all pieces under the old ones, in nats.
    """
    model = _BernoulliHMM(len(logits.start), smoothing)
    model.startprob_ = softmax(np.asarray(logits.start, np.float64))
    model.transmat_ = softmax(np.asarray(logits.transition, np.float64), axis=1)
    model.log_odds_ = np.asarray(logits.emission, np.float64)
    model.fit(np.concatenate(pieces), [len(piece) for piece in pieces])
    improved = Logits(np.log(model.startprob_), np.log(model.transmat_), model.log_odds_)
    return improved, float(model.monitor_.history[-1])


class _BernoulliHMM(BaseHMM):
    """hmmlearn's algorithm with emissions that it does not have: independent binary units.

    Its priors count from 1, where they change nothing. It works on probabilities, several times
    faster than on logarithms; so that those of a frame do not underflow, they are taken relative to
    the state that explains it best, which changes the likelihood alone, by a known amount.
    """

    def __init__(self, n_components: int, smoothing: float) -> None:
        super().__init__(n_components, startprob_prior=1 + smoothing,
                         transmat_prior=1 + smoothing, n_iter=1, init_params="",
                         implementation="scaling")
        self.smoothing = smoothing

    def _get_n_fit_scalars_per_param(self) -> dict[str, int]:
        # hmmlearn would warn where there are more of them than frames, which the prior allows.
        return dict.fromkeys(self.params, 0)

    def _estep_begin(self) -> None:
        self._best = 0.0

    def _compute_likelihood(self, frames: np.ndarray) -> np.ndarray:
        log_probs = frames @ self.log_odds_.T - np.logaddexp(0, self.log_odds_).sum(axis=1)
        best = log_probs.max(axis=1, keepdims=True)
        self._best += float(best.sum())
        return np.exp(log_probs - best)

    def _compute_lower_bound(self, log_prob: float) -> float:
        return log_prob + self._best

    def _initialize_sufficient_statistics(self) -> dict[str, Any]:
        return {**super()._initialize_sufficient_statistics(),
                "on": np.zeros_like(self.log_odds_), "occupancy": np.zeros(self.n_components)}

    def _accumulate_sufficient_statistics(
        self, stats: dict[str, Any], frames: np.ndarray, lattice: np.ndarray,
        posteriors: np.ndarray, forward: np.ndarray, backward: np.ndarray,
    ) -> None:
        super()._accumulate_sufficient_statistics(
            stats, frames, lattice, posteriors, forward, backward)
        stats["on"] += posteriors.T @ frames
        stats["occupancy"] += posteriors.sum(axis=0)

    def _do_mstep(self, stats: dict[str, Any]) -> None:
        super()._do_mstep(stats)
        self.log_odds_ = _log_odds(stats["on"], stats["occupancy"], self.smoothing)


def _log_odds(on: np.ndarray, occupancy: np.ndarray, smoothing: float) -> np.ndarray:
    """The log-odds (S, V) of units that were on so often in so many frames (S,)."""
    # The expected counts of a unit that is always on may differ by their rounding.
    off = np.maximum(occupancy[:, np.newaxis] - on, 0)
    return np.log(on + smoothing) - np.log(off + smoothing)
