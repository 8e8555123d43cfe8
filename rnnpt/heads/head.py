"""What every head shares: the conditional distribution of one frame, given its parameters."""

import numbers

import keras
import tensorflow as tf

from rnnpt.heads._ais import AISSchedule

#: Name of a kind of frames -> what their values are, for messages.
SUPPORTS = {
    "binary": "0 or 1",
    "unit": "from 0 to 1",
    "real": "finite",
    "one_hot": "0 but for a single 1 in each",
}


class Head(keras.layers.Layer):
    """How likely the next frame is, given parameters that the recurrence computes.

    A subclass gives `num_parameters`, `log_prob`, `loss`, `sample` and `mean`. A head whose
    likelihood is not exact sets `exact = False` and gives `estimate_log_prob`, with its error; an
    exact one gives `curvature`, and `logits` where the loss is not convex in the parameters.
    A seed is int32 (2,), one stream for all rows, or (B, 2 + N), one a row: `numerics` draws from
    either (see `numerics.fold_later`).
    """

    #: Whether `log_prob` is the likelihood itself and not an estimate.
    exact = True
    #: Which frames have a likelihood: a name of `SUPPORTS`.
    support = "binary"

    def num_parameters(self, num_visible: int) -> int:
        """How many numbers the recurrence must give for each frame.

        Args:
            num_visible: V.

        Returns:
            P, the size of `parameters`.

        Raises:
            NotImplementedError: in the base class.
        """
        raise NotImplementedError(f"{type(self).__name__} has no num_parameters")

    def log_prob(self, parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """Log-likelihood of frames.

        Args:
            parameters: (..., P).
            frames: (..., V).

        Returns:
            Nats a frame (...).
        """
        return self.estimate_log_prob(parameters, frames, seed=(0, 0))[0]

    def estimate_log_prob(
        self,
        parameters: tf.Tensor,
        frames: tf.Tensor,
        seed: tf.Tensor,
        schedule: AISSchedule | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Log-likelihood of frames, with its standard error, whether it is exact or not.

        Args:
            parameters: (..., P).
            frames: (..., V).
            seed: of the estimate; an exact head draws nothing.
            schedule: how much work the estimate is; an exact head ignores it.

        Returns:
            Nats a frame (...), and their standard error (...), 0 where exact.
        """
        log_prob = self.log_prob(parameters, frames)
        return log_prob, tf.zeros_like(log_prob)

    def loss(
        self,
        parameters: tf.Tensor,
        frames: tf.Tensor,
        seed: tf.Tensor,
        step: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """What training minimises.

        Args:
            parameters: (..., P).
            frames: (..., V).
            seed: of the draws that the loss needs, if any.
            step: number of updates so far, in training; None elsewhere.

        Returns:
            One number a frame (...): the negative log-likelihood, or a surrogate of its gradient.
        """
        return -self.log_prob(parameters, frames)

    def logits(self, parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """What the loss is a convex function of: where a Gauss-Newton matrix is linearised up to.

        Args:
            parameters: (..., P).
            frames: (..., V).

        Returns:
            (..., A); in the base class the parameters themselves.
        """
        return parameters

    def curvature(self, logits: tf.Tensor, tangents: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """The curvature of the loss of each frame at its logits, times a direction.

        Args:
            logits: (..., A).
            tangents: the direction (..., A).
            frames: (..., V).

        Returns:
            H tangents (..., A), H positive semidefinite: the Hessian of the loss, or the Fisher
            information where a head says so.

        Raises:
            NotImplementedError: in the base class.

        Source: Sutskever 2013, eq. 4.4.
        """
        raise NotImplementedError(f"{type(self).__name__} has no curvature")

    def sample(
        self, parameters: tf.Tensor, seed: tf.Tensor, temperature: float | tf.Tensor = 1.0
    ) -> tf.Tensor:
        """Draw one frame for each row of parameters.

        Args:
            parameters: (..., P).
            seed: of the draw.
            temperature: positive, a scalar or one a row; above 1 flatter, below 1 sharper.

        Returns:
            Frames (..., V).

        Raises:
            NotImplementedError: in the base class.
        """
        raise NotImplementedError(f"{type(self).__name__} has no sample")

    def mean(self, parameters: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The expected frame.

        Args:
            parameters: (..., P).
            seed: of the estimate, where the mean is intractable.

        Returns:
            Probabilities of the units (..., V).

        Raises:
            NotImplementedError: in the base class.
        """
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    def sample_and_mean(
        self, parameters: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What `sample` and `mean` give for the same seed; a head that can does both at once.

        Args:
            parameters: (B, P).
            seed: one a row, int32 (B, 2 + N).
            temperature: of the sample, one a row (B,).

        Returns:
            Frames (B, V), and probabilities of the units (B, V).
        """
        return self.sample(parameters, seed, temperature), self.mean(parameters, seed)


def inverse_temperature(temperature: float | tf.Tensor) -> tf.Tensor:
    """The factor that a temperature puts on an energy or on logits.

    Args:
        temperature: positive, a scalar or one a row (B,).

    Returns:
        1 / temperature, with a last axis to broadcast over units.

    Raises:
        ValueError: if a Python number is not positive and finite.
    """
    if isinstance(temperature, numbers.Real) and not 0 < float(temperature) < float("inf"):
        raise ValueError(
            f"temperature must be a positive number, got {temperature}; 1 samples the model as it "
            "was trained, less is more cautious")
    return 1.0 / tf.convert_to_tensor(temperature, tf.float32)[..., tf.newaxis]
