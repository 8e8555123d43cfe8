"""How the words of a large vocabulary are shared out among classes."""

import numpy as np
from numpy.typing import ArrayLike


def frequency_classes(counts: ArrayLike, num_classes: int) -> np.ndarray:
    """Classes of words that hold about the same part of a text each.

    The words are taken from the most to the least frequent. Each class gets the words that bring
    it nearest to an equal share of what is left, and at least one: a word that is more than a
    share is a class alone, and the rest is shared anew.

    Args:
        counts: how often each word occurs (V,).
        num_classes: C, from 1 to V.

    Returns:
        The class of each word, from 0 for the most frequent to C - 1, int64 (V,).

    Raises:
        ValueError: if the counts are not one list of numbers from 0 on with a positive sum, or the
            number of classes is not from 1 to V.

    Example:
        >>> frequency_classes([1, 5, 1, 3], num_classes=2)
        array([1, 0, 1, 1])

    Source: Bengio et al. 2012, section 4.2: 10,000 words in 30 classes.
    """
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 1 or not (counts >= 0).all() or not 0 < counts.sum() < np.inf:
        raise ValueError(
            "frequency_classes: counts must be one list of numbers from 0 on with a positive sum, "
            f"got {np.array2string(counts, threshold=6)}; count the words of the training text")
    num_words = len(counts)
    if not isinstance(num_classes, (int, np.integer)) or not 1 <= num_classes <= num_words:
        raise ValueError(
            f"frequency_classes: num_classes must be an integer from 1 to the {num_words} words, "
            f"got {num_classes!r}; about the square root of the number of words is fastest")
    ranked = np.argsort(-counts, kind="stable")
    ends = np.cumsum(counts[ranked])
    middles = ends - counts[ranked] / 2
    class_of = np.full(num_words, num_classes - 1)
    start, taken = 0, 0.0
    for which in range(num_classes - 1):
        share = (ends[-1] - taken) / (num_classes - which)
        end = np.searchsorted(middles, taken + share, side="right")
        end = int(np.clip(end, start + 1, num_words - (num_classes - which - 1)))
        class_of[ranked[start:end]] = which
        start, taken = end, ends[end - 1]
    return class_of
