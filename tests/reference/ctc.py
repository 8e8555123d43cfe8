"""Twins of connectionist temporal classification: every alignment, and the dynamic programme."""

import itertools

import numpy as np


def all_alignments(probabilities: np.ndarray, labels: list[int], merge: bool) -> float:
    """Returns P(labels) by summing over all (K + 1)^T ways to choose a symbol at each step.

    The blank is the last symbol. A way counts if dropping its blanks leaves the labels; with
    `merge`, runs of one symbol are first made one symbol, as Graves et al. 2006 have it. Without
    it this is the sum of Sutskever 2013, eq. 2.46.
    """
    num_steps, num_symbols = probabilities.shape
    total = 0.0
    for way in itertools.product(range(num_symbols), repeat=num_steps):
        kept = [symbol for symbol, _ in itertools.groupby(way)] if merge else way
        if [symbol for symbol in kept if symbol != num_symbols - 1] == list(labels):
            total += np.prod(probabilities[np.arange(num_steps), way])
    return total


def dynamic_programme(probabilities: np.ndarray, labels: list[int]) -> float:
    """Returns P(labels) as the last entry of the matrix S: Sutskever 2013, eqs. 2.48 to 2.51."""
    num_steps, num_labels = len(probabilities), len(labels)
    table = np.zeros([num_labels + 1, num_steps + 1])
    table[0, 0] = 1.0
    for t in range(1, num_steps + 1):
        blank = probabilities[t - 1, -1]
        table[0, t] = blank * table[0, t - 1]
        for m in range(1, num_labels + 1):
            label = probabilities[t - 1, labels[m - 1]]
            table[m, t] = blank * table[m, t - 1] + label * table[m - 1, t - 1]
    return float(table[-1, -1])
