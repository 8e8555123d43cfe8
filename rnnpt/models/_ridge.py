"""Ridge regression on frames that come batch by batch."""

import numpy as np
import tensorflow as tf

from rnnpt.models._hidden import HiddenVariable


class NormalEquations:
    """What least squares needs to know of the frames so far: x x' and x y', summed in float64.

    x is what is seen with a 1 after it. Under a strategy each replica has its own sums, and they
    are added where they are read.

    Args:
        num_inputs: H.
        num_targets: V.
    """

    def __init__(self, num_inputs: int, num_targets: int) -> None:
        self._gram, self._cross = (
            HiddenVariable(tf.Variable(
                tf.zeros([num_inputs + 1, size], tf.float64), trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM))
            for size in (num_inputs + 1, num_targets))

    def reset(self) -> None:
        """Begin anew."""
        for variable in (self._gram, self._cross):
            variable.assign(tf.zeros_like(variable.value))

    def add(self, inputs: tf.Tensor, targets: tf.Tensor) -> None:
        """Take frames in.

        Args:
            inputs: (N, H).
            targets: (N, V).
        """
        inputs, targets = tf.cast(inputs, tf.float64), tf.cast(targets, tf.float64)
        inputs = tf.pad(inputs, [[0, 0], [0, 1]], constant_values=1)
        for variable, other in ((self._gram, inputs), (self._cross, targets)):
            variable.assign(variable.value + tf.matmul(inputs, other, transpose_a=True))

    @property
    def num_frames(self) -> float:
        """N so far."""
        return float(self._gram.value[-1, -1])

    @property
    def sum_of_targets(self) -> np.ndarray:
        """The sum of y so far (V,)."""
        return self._cross.value[-1].numpy()

    def solve(self, ridge: float) -> tuple[np.ndarray, np.ndarray]:
        """The linear map with the least squared error plus ridge |kernel|^2.

        Args:
            ridge: positive.

        Returns:
            The kernel (H, V) and the bias (V,), float64.
        """
        gram = self._gram.value.numpy()
        free = np.arange(len(gram) - 1)
        gram[free, free] += ridge
        weights = np.linalg.solve(gram, self._cross.value.numpy())
        return weights[:-1], weights[-1]
