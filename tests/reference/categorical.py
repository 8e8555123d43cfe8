"""Twins of the categorical heads: probabilities of symbols, each from its definition."""

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns exp(o_j) / sum_k exp(o_k), Sutskever 2013, section 5.3."""
    weights = np.exp(logits)
    return weights / weights.sum()


def factored_probabilities(
    kernel: np.ndarray, bias: np.ndarray, class_of: list[int], features: np.ndarray
) -> np.ndarray:
    """Returns P(class of v) P(v | class of v) of each symbol v, word by word, (V,).

    The kernel (C + V, F) has the classes' rows first, then the words' in order of their classes,
    words of one class in their own order.
    """
    num_classes = max(class_of) + 1
    logits = kernel @ features + bias
    of_class = softmax(logits[:num_classes])
    probabilities, row = np.zeros(len(class_of)), num_classes
    for which in range(num_classes):
        words = [word for word, its_class in enumerate(class_of) if its_class == which]
        probabilities[words] = of_class[which] * softmax(logits[row:row + len(words)])
        row += len(words)
    return probabilities
