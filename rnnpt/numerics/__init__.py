"""Stateless tensor maths: log-probabilities of logits, masked sums, packed states, seeded draws."""

from rnnpt.numerics.draw import (
    RANDOM_ALGORITHM,
    as_seed,
    bernoulli_sample,
    categorical_sample,
    coarse_uniform,
    fold_in,
    fold_later,
    normal,
    uniform,
    uniform_steps,
)
from rnnpt.numerics.likelihood import (
    bernoulli_curvature,
    bernoulli_log_prob,
    bernoulli_log_probs,
    categorical_curvature,
    masked_sum,
)
from rnnpt.numerics.state import pack, unpack

__all__ = [
    "RANDOM_ALGORITHM", "as_seed", "bernoulli_curvature", "bernoulli_log_prob",
    "bernoulli_log_probs", "bernoulli_sample", "categorical_curvature", "categorical_sample",
    "coarse_uniform", "fold_in", "fold_later", "masked_sum", "normal", "pack", "uniform",
    "uniform_steps", "unpack"]
