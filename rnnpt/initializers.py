"""How kernels start: sparse, and recurrent ones with a given spectral radius.

Those of Sutskever 2013, chapter 7:

- sigmoid autoencoders: `Sparse()`; with tanh units `Sparse(scale=0.25)` and biases of -0.5,
  `keras.initializers.Constant(-0.5)` (section 7.3.1);
- variance preserving: `keras.initializers.GlorotUniform` is it as it stands (section 7.3.1);
- tanh recurrences with long memories: `SpectralRadius(1.2)`, and from the input `Sparse` with scale
  0.02 for adding and multiplying, which have but two inputs, and 0.3 for memorizing, both with
  `or_all=True` (section 7.4.1).
"""

import math
import numbers
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

#: Incoming connections of a unit in sparse kernels (Sutskever 2013, sections 4.4 and 7.4.1).
NUM_CONNECTIONS = 15


@keras.saving.register_keras_serializable(package="rnnpt")
class Sparse(keras.initializers.Initializer):
    """A few Gaussian connections into each unit, the rest zero.

    Use it where the input of a unit should not grow with the size of the layer below.

    Args:
        num_connections: inputs that each unit is connected to.
        scale: standard deviation of the connections.
        seed: of the draw; the same kernel at each call.
        or_all: connect a unit that has fewer inputs to all of them, which is refused otherwise.

    Raises:
        ValueError: if a number is not positive, or the seed is negative.

    Example:
        >>> kernel = Sparse(num_connections=2)((6, 3))
        >>> np.count_nonzero(kernel, axis=0).tolist()
        [2, 2, 2]

    Source: Martens 2010; Sutskever 2013, sections 7.3.1 and 7.4.1.
    """

    def __init__(
        self,
        num_connections: int = NUM_CONNECTIONS,
        scale: float = 1.0,
        seed: int = 0,
        or_all: bool = False,
    ) -> None:
        _check_draw(type(self).__name__, num_connections, seed)
        if not 0 < scale < math.inf:
            raise ValueError(
                f"Sparse: scale must be a positive number, got {scale}; 1 is a unit Gaussian")
        self.num_connections = num_connections
        self.scale = scale
        self.seed = seed
        self.or_all = or_all

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> tf.Tensor:
        """Draw a kernel.

        Args:
            shape: inputs and units, (I, H).
            dtype: of the kernel; Keras' own where None.

        Returns:
            The kernel (I, H).

        Raises:
            ValueError: if there are fewer inputs than connections, without `or_all`.
        """
        kernel = self.scale * _connect(self, shape)
        return tf.constant(kernel, dtype or keras.config.floatx())

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            "num_connections": self.num_connections, "scale": self.scale, "seed": self.seed,
            "or_all": self.or_all}


@keras.saving.register_keras_serializable(package="rnnpt")
class SpectralRadius(keras.initializers.Initializer):
    """A sparse recurrent kernel, scaled so that its largest eigenvalue has a given size.

    Use it for a reservoir, with a radius a little below 1, so that its memory is long and yet
    fades; or for a tanh network that is to learn long memories, with the thesis' 1.2.

    Equation: kernel = radius draw / max |eigenvalue(draw)|, the draw as of `Sparse`. The
    eigenvalues cost about 10 H^3 operations, in float64.

    Args:
        radius: of the kernel, the absolute value of its largest eigenvalue; 0 for no recurrence.
        num_connections: units that each unit hears, itself perhaps among them.
        seed: of the draw; the same kernel at each call.
        or_all: connect a unit that has fewer inputs to all of them, which is refused otherwise.

    Raises:
        ValueError: if the radius or the seed is negative, or the number is not positive.

    Example:
        >>> kernel = SpectralRadius(0.9, num_connections=2)((6, 6))
        >>> round(float(abs(np.linalg.eigvals(kernel)).max()), 5)
        0.9

    Source: Jaeger and Haas 2004; Sutskever 2013, sections 2.8.4 and 7.4.1.
    """

    def __init__(
        self,
        radius: float,
        num_connections: int = NUM_CONNECTIONS,
        seed: int = 0,
        or_all: bool = False,
    ) -> None:
        _check_draw(type(self).__name__, num_connections, seed)
        if not 0 <= radius < math.inf:
            raise ValueError(
                f"SpectralRadius: radius must be a number from 0 on, got {radius}; a little below "
                "1 remembers longest without chaos")
        self.radius = radius
        self.num_connections = num_connections
        self.seed = seed
        self.or_all = or_all

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> tf.Tensor:
        """Draw a kernel.

        Args:
            shape: units and units again, (H, H).
            dtype: of the kernel; Keras' own where None.

        Returns:
            The kernel (H, H).

        Raises:
            ValueError: if the shape is not square, or there are fewer units than connections,
                without `or_all`.
        """
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(
                f"SpectralRadius: shape must be square, got {tuple(shape)}; only a recurrent "
                "kernel has eigenvalues")
        kernel = _connect(self, shape)
        # Never zero: where each unit hears one at least, there is a loop.
        kernel = scale_to_radius(kernel, self.radius)
        return tf.constant(kernel, dtype or keras.config.floatx())

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            "radius": self.radius, "num_connections": self.num_connections, "seed": self.seed,
            "or_all": self.or_all}


def scale_to_radius(kernel: np.ndarray, radius: float) -> np.ndarray:
    """Scale a recurrent kernel of one's own so that its largest eigenvalue has a given size.

    Args:
        kernel: (H, H).
        radius: of the result, the absolute value of its largest eigenvalue.

    Returns:
        The scaled kernel (H, H), float64.

    Raises:
        ValueError: if all eigenvalues of the kernel are 0, or it holds what is no number.

    Example:
        >>> scale_to_radius(np.array([[0.0, 2.0], [2.0, 0.0]]), 1.2).round(6).tolist()
        [[0.0, 1.2], [1.2, 0.0]]
    """
    kernel = np.asarray(kernel, np.float64)
    # Also an eigenvalue of a matrix of infinities cannot be found.
    largest = np.abs(np.linalg.eigvals(kernel)).max() if np.isfinite(kernel).all() else np.nan
    if not largest > 0:
        raise ValueError(
            f"scale_to_radius: kernel must have an eigenvalue that is a number other than 0, got "
            f"{largest} as the largest of a kernel {kernel.shape}; zeros stay zeros at any scale, "
            "so connect units in a loop")
    return kernel * (radius / largest)


def _connect(initializer: Sparse | SpectralRadius, shape: Sequence[int]) -> np.ndarray:
    """A kernel of unit Gaussians, `num_connections` a column."""
    num_inputs, units = shape
    number = initializer.num_connections
    if number > num_inputs and not initializer.or_all:
        raise ValueError(
            f"{type(initializer).__name__}: num_connections must be at most the number of inputs, "
            f"got {number} for {num_inputs} inputs; or_all=True connects each unit to all of them")
    number = min(number, num_inputs)
    random = np.random.default_rng(initializer.seed)
    kernel = np.zeros([num_inputs, units])
    for unit in range(units):
        inputs = random.choice(num_inputs, number, replace=False)
        kernel[inputs, unit] = random.normal(size=number)
    return kernel


def _check_draw(name: str, num_connections: int, seed: int) -> None:
    if not isinstance(num_connections, numbers.Integral) or num_connections < 1:
        raise ValueError(
            f"{name}: num_connections must be a positive integer, got {num_connections!r}; "
            f"{NUM_CONNECTIONS} are usual")
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise ValueError(
            f"{name}: seed must be an integer from 0 on, got {seed!r}; an initializer without a "
            "seed could not be drawn again")
