"""What the examples of long memory share: the problems, validation sets, and means of them."""

import numpy as np

from rnnpt import datasets
from rnnpt.datasets.problem import Problem, ProblemBatch

PROBLEMS: dict[str, type[Problem]] = {
    "add": datasets.Addition, "mul": datasets.Multiplication, "xor": datasets.Xor,
    "order": datasets.TemporalOrder, "order3": datasets.ThreeBitTemporalOrder,
    "permutation": datasets.RandomPermutation, "mem5": datasets.Memorization5Bit,
    "mem20": datasets.Memorization20Bit}
#: Far from the seeds of training.
VALIDATION_SEED = 1_000_000
#: Of an answer that is never right, such as a trigger.
LEAST_CHANCE = 1e-4


def validation_set(problem: Problem, num_sequences: int) -> ProblemBatch:
    """Sequences that no network is trained on; of the 5-bit problem all 32 that there are.

    Args:
        problem: any.
        num_sequences: of the others.

    Returns:
        The sequences.
    """
    if isinstance(problem, datasets.Memorization5Bit):
        return problem.all_sequences()
    return problem.draw(num_sequences, VALIDATION_SEED)


def input_means(problem: Problem, sequences: ProblemBatch) -> np.ndarray:
    """The mean of each input.

    Args:
        problem: any.
        sequences: of it.

    Returns:
        (I,).
    """
    # No sequence is shorter than T.
    return sequences.inputs[:, :problem.num_steps].mean(axis=(0, 1))


def mean_answer(problem: Problem, sequences: ProblemBatch) -> np.ndarray:
    """What a network answers best that does not look at its inputs.

    Without it the first gradients, which are the largest, are about the mean of the targets, and
    they ruin the states with which the network starts.

    Args:
        problem: any.
        sequences: of it.

    Returns:
        The mean of the counted targets, or the logits of it (O,).
    """
    mean = sequences.targets[sequences.weights > 0].mean(axis=0)
    if problem.output == "real":
        return mean
    odds = np.maximum(mean, LEAST_CHANCE)
    return np.log(odds / (1 - odds) if problem.output == "binary" else odds)
