"""Log-likelihood, bits, perplexity and divergence, and the piano rolls' frame accuracies.

Every metric is a pure NumPy function. The two accuracies are different rules that give different
figures for one model, so a table shows both and never mixes them.

Each rule comes in two steps, so that a large set is scored a batch at a time: a function of one
batch (`frame_scores`, `note_counts`) and a function of all of it (`frame_accuracy`,
`micro_accuracy`).
"""

import math

import numpy as np
from numpy.typing import ArrayLike


def log_likelihood(log_probs: ArrayLike, num_frames: int) -> float:
    """Returns the log-likelihood a time step, pooled over all frames of a set.

    The first frame of each piece counts: it is predicted from the empty history. A long piece
    weighs more than a short one; the mean of per-piece means is another figure.

    Args:
        log_probs: Log-probabilities in nats, any shape: of frames, or in total of pieces.
        num_frames: Number of frames that they cover together.

    Returns:
        Nats a time step.

    Raises:
        ValueError: If `num_frames` is not positive.

    Example:
        >>> log_likelihood([-30.0, -10.0], num_frames=4)
        -10.0
    """
    if num_frames < 1:
        raise ValueError(
            f"num_frames must be at least 1, got {num_frames}: pass the number of frames that "
            "log_probs cover."
        )
    return float(np.sum(np.asarray(log_probs, np.float64)) / num_frames)


def kl_divergence(log_probs: ArrayLike, frames: ArrayLike) -> np.ndarray:
    """Returns how far predictions are from real-valued frames, as the thesis measures videos.

        sum over v of q_v log(q_v / p_v) + (1 - q_v) log((1 - q_v) / (1 - p_v))

    with q the frame and p the prediction: the cross-entropy less the frame's own entropy, which no
    prediction takes away. Of frames of 0 and 1 it is minus the log-likelihood. It is summed over
    the units of a frame; the thesis' error a sequence is the sum over the frames of a sequence.

    Args:
        log_probs: Minus the cross-entropy of each frame in nats (...), as `BernoulliHead.log_prob`.
        frames: The real frames (..., V), from 0 to 1.

    Returns:
        Nats a frame (...), 0 where the prediction is the frame.

    Raises:
        ValueError: If the shapes do not go together, or a frame is not from 0 to 1.

    Example:
        >>> frames = [[0.5, 1.0], [0.0, 0.25]]
        >>> kl_divergence(np.log([0.5, 0.25]), frames).round(4).tolist()
        [0.0, 0.824]

    Source: Sutskever 2013, section 4.5.1.
    """
    log_probs, frames = np.asarray(log_probs, np.float64), np.asarray(frames, np.float64)
    if log_probs.shape != frames.shape[:-1]:
        raise ValueError(
            f"log_probs must be one number a frame, {frames.shape[:-1]}, got {log_probs.shape}: "
            "pass those of each frame before they are summed."
        )
    if not np.all((frames >= 0) & (frames <= 1)):
        raise ValueError(
            f"frames must be from 0 to 1, got values from {np.min(frames):g} to "
            f"{np.max(frames):g}: scale them, as the model's were."
        )
    return -log_probs - np.sum(_entropy_part(frames) + _entropy_part(1 - frames), axis=-1)


def frame_scores(samples: ArrayLike, frames: ArrayLike) -> np.ndarray:
    """Scores each sampled frame against the real one by the 2012 rule.

        score = (notes in both) / max(notes in the sample, notes in the frame)

    and 1 where both are empty.

    Args:
        samples: Frames drawn from the model's conditionals (..., N, V), 0 or 1.
        frames: The real frames (N, V), 0 or 1.

    Returns:
        Scores from 0 to 1 (..., N).

    Raises:
        ValueError: If the last two dimensions differ.

    Source: Boulanger-Lewandowski et al. 2012, Table 1; the rule is the one that reproduces its
        rows Random and Note 1-gram.
    """
    samples, frames = np.asarray(samples, bool), np.asarray(frames, bool)
    if samples.shape[-2:] != frames.shape:
        raise ValueError(_mismatch("samples", samples, frames))
    shared = np.sum(samples & frames, axis=-1)
    larger = np.maximum(samples.sum(axis=-1), frames.sum(axis=-1))
    return np.where(larger > 0, shared / np.maximum(larger, 1), 1.0)


def frame_accuracy(samples: ArrayLike, frames: ArrayLike) -> float:
    """Returns the accuracy by the 2012 rule: the mean of `frame_scores` over samples and frames.

    Args:
        samples: Frames drawn from the model's conditionals (..., N, V), 0 or 1.
        frames: The real frames (N, V), 0 or 1.

    Returns:
        Accuracy from 0 to 1.

    Example:
        >>> frame_accuracy([[[1, 1, 0], [0, 0, 0]]], [[1, 0, 0], [0, 0, 0]])
        0.75
    """
    return float(frame_scores(samples, frames).mean())


def note_counts(
    probabilities: ArrayLike, frames: ArrayLike, threshold: float = 0.5
) -> np.ndarray:
    """Counts notes predicted rightly, predicted wrongly and missed.

    Args:
        probabilities: Probability of each note (N, V), not its logit.
        frames: The real frames (N, V), 0 or 1.
        threshold: A note is predicted where its probability is above it.

    Returns:
        True positives, false positives and false negatives (3,) int64. Counts of batches add up.

    Raises:
        ValueError: If the shapes differ, or a probability is not from 0 to 1.
    """
    probabilities = np.asarray(probabilities)
    if not np.all((probabilities >= 0) & (probabilities <= 1)):
        raise ValueError(
            "probabilities must be from 0 to 1, got values from "
            f"{np.min(probabilities):g} to {np.max(probabilities):g}: pass the sigmoid of logits."
        )
    predicted, frames = probabilities > threshold, np.asarray(frames, bool)
    if predicted.shape != frames.shape:
        raise ValueError(_mismatch("probabilities", probabilities, frames))
    right = np.sum(predicted & frames)
    return np.array([right, predicted.sum() - right, frames.sum() - right], np.int64)


def micro_accuracy(counts: ArrayLike) -> float:
    """Returns the micro accuracy TP / (TP + FP + FN) of summed note counts.

    Args:
        counts: True positives, false positives, false negatives (..., 3) from `note_counts`;
            leading dimensions (batches) are summed.

    Returns:
        Accuracy from 0 to 1; 1 where there was no note to predict and none was predicted.

    Example:
        >>> micro_accuracy(note_counts([[0.9, 0.8, 0.1]], [[1, 0, 0]]))
        0.5
    """
    totals = np.asarray(counts).reshape(-1, 3).sum(axis=0)
    return float(totals[0] / totals.sum()) if totals.sum() else 1.0


def bits_per_character(nats: float) -> float:
    """Returns the bits that a model needs for a character: -nats / log 2.

    Args:
        nats: Log-likelihood a character in nats, from `log_likelihood`: not positive.

    Returns:
        Bits a character; 0 for a model that is always sure and right.

    Raises:
        ValueError: If `nats` is positive.

    Example:
        >>> round(bits_per_character(log_likelihood([-3.0], num_frames=2)), 3)
        2.164

    Source: Bengio et al. 2012, section 4.2; Sutskever 2013, section 5.4.
    """
    return -_not_positive(nats) / math.log(2)


def perplexity(nats: float) -> float:
    """Returns the perplexity of a text: exp(-nats), the number of equally likely next words.

    Args:
        nats: Log-likelihood a word in nats, from `log_likelihood`: not positive.

    Returns:
        Perplexity, at least 1; infinite where it is no float64 number.

    Raises:
        ValueError: If `nats` is positive.

    Example:
        >>> round(perplexity(math.log(1 / 200)), 6)
        200.0

    Source: Bengio et al. 2012, section 4.2.
    """
    with np.errstate(over="ignore"):
        return float(np.exp(-_not_positive(nats)))


def _entropy_part(values: np.ndarray) -> np.ndarray:
    """Returns -values log values, 0 where they are 0."""
    return -values * np.log(np.where(values > 0, values, 1))


def _mismatch(name: str, predicted: np.ndarray, frames: np.ndarray) -> str:
    """Returns the message about predictions that are not those of the frames."""
    return (
        f"{name} must end in the shape of frames {frames.shape}, got {predicted.shape}: score the "
        "frames that were predicted."
    )


def _not_positive(nats: float) -> float:
    """Returns a log-likelihood of symbols, which have probabilities and not densities."""
    if not nats <= 0:
        raise ValueError(
            f"nats must be a log-likelihood, at most 0, got {nats}: pass -loss, not the loss."
        )
    return nats
