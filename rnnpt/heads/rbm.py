"""The RBM head: a restricted Boltzmann machine whose biases the past sets."""

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.heads import _ais
from rnnpt.heads._ais import AISSchedule
from rnnpt.heads.head import Head, inverse_temperature


@keras.saving.register_keras_serializable(package="rnnpt")
class RBMHead(Head):
    """A conditional RBM: binary units that hold to each other through hidden ones.

    Use it where a frame is a chord: which notes sound together matters more than each alone. The
    parameters are the dynamic biases [visible_bias (V), hidden_bias (K)]; the weights are shared
    by all steps.

    Equation: P(v, h) = exp(v'visible_bias + h'hidden_bias + v'W h) / Z.

    Args:
        num_hidden: K, the number of hidden units.
        num_gibbs_steps: k of contrastive divergence in training.
        num_sampling_steps: length of a chain that draws a frame; half of it for `mean` is
            averaged and half of it left out.
        kernel_initializer: how W (V, K) starts.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if a count is not a positive integer.

    Source: Boulanger-Lewandowski et al. 2012, sections 2 and 4; Sutskever 2013, section 2.7.
    """

    exact = False
    support = "unit"

    def __init__(
        self,
        num_hidden: int,
        num_gibbs_steps: int = 15,
        num_sampling_steps: int = 50,
        kernel_initializer: object = "glorot_normal",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("num_hidden", num_hidden), ("num_gibbs_steps", num_gibbs_steps),
                            ("num_sampling_steps", num_sampling_steps)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"RBMHead: {name} must be a positive integer, got {value!r}; 2012's music "
                    "models use 150 hidden units, 15 steps of CD and 50 of sampling")
        self.num_hidden = num_hidden
        self.num_gibbs_steps = num_gibbs_steps
        self.num_sampling_steps = num_sampling_steps
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights.

        Args:
            input_shape: shape of the frames (..., V).
        """
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.num_hidden),
            initializer=self.kernel_initializer)
        super().build(input_shape)

    def num_parameters(self, num_visible: int) -> int:
        """One bias a visible unit and one a hidden unit.

        Args:
            num_visible: V.

        Returns:
            V + K.
        """
        return num_visible + self.num_hidden

    def free_energy(self, parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """Minus the log of the unnormalised probability of frames.

        Equation: F(v) = -v'visible_bias - sum_k softplus(hidden_bias + v'W)_k.

        Args:
            parameters: (..., V + K).
            frames: (..., V).

        Returns:
            Nats (...).
        """
        visible_bias, hidden_bias = self._biases(parameters)
        fields = hidden_bias + tf.tensordot(frames, self.kernel, axes=1)
        return -(tf.reduce_sum(frames * visible_bias, axis=-1)
                 + tf.reduce_sum(tf.nn.softplus(fields), axis=-1))

    def loss(
        self,
        parameters: tf.Tensor,
        frames: tf.Tensor,
        seed: tf.Tensor,
        step: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """A surrogate whose gradient is that of contrastive divergence.

        Equation: F(v) - F(v*), v* the end of a Gibbs chain of k steps that starts at v, held
        constant under the gradient. Its value is no likelihood.

        Args:
            parameters: (..., V + K).
            frames: (..., V).
            seed: of the chain.
            step: number of updates so far, in training; None elsewhere.

        Returns:
            One number a frame (...).
        """
        negative, _ = self._gibbs(
            tf.stop_gradient(parameters), frames, seed, self.num_gibbs_steps)
        negative = tf.stop_gradient(negative)
        return self.free_energy(parameters, frames) - self.free_energy(parameters, negative)

    def estimate_log_prob(
        self,
        parameters: tf.Tensor,
        frames: tf.Tensor,
        seed: tf.Tensor,
        schedule: AISSchedule | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Log-likelihood of frames, log Z by annealed importance sampling.

        Args:
            parameters: (..., V + K).
            frames: (..., V).
            seed: int32 (2,), or (N, 2) with parameters of (N, V + K).
            schedule: how much work to do; 100 runs by default.

        Returns:
            Nats a frame (...), and the standard errors of log Z (...).
        """
        shape = tf.shape(parameters)[:-1]
        biases = tf.reshape(parameters, [-1, parameters.shape[-1]])
        visible_bias, hidden_bias = self._biases(biases)
        log_z, standard_error = _ais.log_partition(
            tf.convert_to_tensor(self.kernel), visible_bias, hidden_bias, seed,
            schedule or _ais.FULL)
        log_prob = -self.free_energy(parameters, frames) - tf.reshape(log_z, shape)
        return log_prob, tf.reshape(standard_error, shape)

    def sample(
        self,
        parameters: tf.Tensor,
        seed: tf.Tensor,
        temperature: float | tf.Tensor = 1.0,
        start: tf.Tensor | None = None,
        num_steps: int | None = None,
    ) -> tf.Tensor:
        """Draw a frame by a Gibbs chain.

        Args:
            parameters: (..., V + K).
            seed: of the chain.
            temperature: divides the energy.
            start: frames (..., V) that the chains start from, such as the previous ones; drawn
                from the visible biases alone where None.
            num_steps: length of the chain; `num_sampling_steps` where None.

        Returns:
            Frames (..., V), in {0, 1}.
        """
        factor = inverse_temperature(temperature)
        start_seed, chain_seed = numerics.fold_in(seed, 0), numerics.fold_in(seed, 1)
        if start is None:
            visible_bias, _ = self._biases(parameters)
            start = numerics.bernoulli_sample(
                factor * visible_bias, numerics.uniform(start_seed, tf.shape(visible_bias)))
        if num_steps is None:
            num_steps = self.num_sampling_steps
        return self._gibbs(parameters, start, chain_seed, num_steps, factor)[0]

    def mean(self, parameters: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """An estimate of the expected frame: the mean of p(v|h) over a chain's second half.

        Args:
            parameters: (..., V + K).
            seed: of the chain.

        Returns:
            Probabilities (..., V).
        """
        start = self.sample(
            parameters, numerics.fold_in(seed, 0), num_steps=max(1, self.num_sampling_steps // 2))
        return self._gibbs(
            parameters, start, numerics.fold_in(seed, 1), max(1, self.num_sampling_steps // 2))[1]

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "num_hidden": self.num_hidden,
            "num_gibbs_steps": self.num_gibbs_steps,
            "num_sampling_steps": self.num_sampling_steps,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }

    def _biases(self, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        num_visible = self.kernel.shape[0]
        return parameters[..., :num_visible], parameters[..., num_visible:]

    def _gibbs(
        self,
        parameters: tf.Tensor,
        start: tf.Tensor,
        seed: tf.Tensor,
        num_steps: int,
        factor: float | tf.Tensor = 1.0,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The last frame of a chain, and the mean of p(v|h) over its steps."""
        visible_bias, hidden_bias = self._biases(parameters)
        kernel = tf.convert_to_tensor(self.kernel)
        num_visible = kernel.shape[0]
        draws = numerics.uniform_steps(seed, num_steps, tf.shape(parameters))

        def body(
            step: tf.Tensor, visible: tf.Tensor, total: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            uniforms = draws(step)
            hidden = numerics.bernoulli_sample(
                factor * (hidden_bias + tf.tensordot(visible, kernel, axes=1)),
                uniforms[..., num_visible:])
            probabilities = tf.sigmoid(
                factor * (visible_bias + tf.tensordot(hidden, tf.transpose(kernel), axes=1)))
            visible = tf.cast(uniforms[..., :num_visible] < probabilities, tf.float32)
            return step + 1, visible, total + probabilities

        _, visible, total = tf.while_loop(
            lambda step, *_: step < num_steps, body,
            (tf.constant(0), start, tf.zeros_like(start)),
            maximum_iterations=num_steps, parallel_iterations=1)
        return visible, total / tf.cast(num_steps, tf.float32)
