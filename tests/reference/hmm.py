"""The hidden Markov model's float64 twin: a sum over every path of states."""

import itertools
from typing import NamedTuple

import numpy as np

from tests import reference


class HMM(NamedTuple):
    """A hidden Markov model with a few states and binary frames."""

    start: np.ndarray  # (S,)
    transition: np.ndarray  # (S, S), from the row to the column
    emission: np.ndarray  # log-odds (S, V)

    def path_log_probs(self, frames: np.ndarray) -> dict[tuple[int, ...], float]:
        """Returns log P(frames, path) of each path of T + 1 states, the last one past the end."""
        found = {}
        for path in itertools.product(range(len(self.start)), repeat=len(frames) + 1):
            total = np.log(self.start[path[0]])
            for frame, state, following in zip(frames, path, path[1:]):
                total += reference.bernoulli_log_prob(self.emission[state], frame)
                total += np.log(self.transition[state, following])
            found[path] = total
        return found

    def log_prob(self, frames: np.ndarray) -> float:
        """Returns log P(frames) of one sequence (T, V)."""
        return reference.log_sum_exp(np.array(list(self.path_log_probs(frames).values())))

    def belief(self, frames: np.ndarray) -> np.ndarray:
        """Returns the probabilities of the state after the frames (T, V), T may be 0; (S,)."""
        weights = np.zeros(len(self.start))
        for path, log_prob in self.path_log_probs(frames).items():
            weights[path[-1]] += np.exp(log_prob)
        return weights / weights.sum()


def random_hmm(num_states: int, num_visible: int, seed: int = 0) -> HMM:
    """Returns a hidden Markov model that draws its parameters."""
    rng = np.random.default_rng(seed)
    return HMM(
        rng.dirichlet(np.ones(num_states)), rng.dirichlet(np.ones(num_states), num_states),
        rng.normal(size=(num_states, num_visible)))
