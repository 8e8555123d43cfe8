"""The RBM head: a restricted Boltzmann machine whose biases the past sets."""

from typing import Any

import keras
import tensorflow as tf

from rnnpt.heads import _ais, _gibbs
from rnnpt.heads._ais import AISSchedule
from rnnpt.heads._visible_unit import BinaryUnits, VisibleUnits
from rnnpt.heads.head import Head, inverse_temperature


@keras.saving.register_keras_serializable(package="rnnpt")
class RBMHead(Head):
    """A conditional RBM: binary units that hold to each other through hidden ones.

    Use it where a frame is a chord: which notes sound together matters more than each alone. The
    parameters are the dynamic biases [visible_bias (V), hidden_bias (K)]; the weights are shared
    by all steps.

    Equation: P(v, h) = exp(v'visible_bias + h'hidden_bias + v'W h) / Z.

    Training is by contrastive divergence (CD), whose chains start at the data, or by persistent CD,
    whose chains go on from one update to the next: frame n, counted over all leading axes, goes on
    from chain n mod num_chains under its own biases. The chains stand in a queue, the weight
    `chains`, all units 0 at first; the first min(N, num_chains) of them, which N frames use, go to
    its end with their new states. An evaluation leaves them as they are. Replicas of a strategy
    share them, and keep those of the first.

    Args:
        num_hidden: K, the number of hidden units.
        num_gibbs_steps: k in training, or a Keras schedule of it over the updates so far:
            `PiecewiseConstantDecay([999], [10, 25])` is CD-10 in 1,000 updates, then CD-25.
        num_sampling_steps: length of a chain that draws a frame, over whose second half `mean` is
            averaged.
        kernel_initializer: how W (V, K) starts.
        negatives: what stands against the data at the end of a training chain: "sampled", the
            drawn frame, or "mean_field", its mean given the last hidden vector.
        num_chains: the number of persistent chains; None for chains that start at the data.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if a count, or what its schedule gives, is no positive integer, or `negatives`
            is neither kind.

    Source: Boulanger-Lewandowski et al. 2012, sections 2 and 4; Sutskever 2013, sections 2.7 and
    3.11.3; Tieleman 2008 for persistent chains; Hinton 2010, section 3, for negatives.
    """

    exact = False
    support = "unit"

    def __init__(
        self,
        num_hidden: int,
        num_gibbs_steps: int | _gibbs.Schedule = 15,
        num_sampling_steps: int = 50,
        kernel_initializer: object = "glorot_normal",
        negatives: str = "sampled",
        num_chains: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        for name, value in (("num_hidden", num_hidden), ("num_sampling_steps", num_sampling_steps),
                            ("num_chains", 1 if num_chains is None else num_chains)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"{owner}: {name} must be a positive integer, got {value!r}; 2012's music "
                    "models use 150 hidden units and 50 steps of sampling")
        if negatives not in ("sampled", "mean_field"):
            raise ValueError(
                f"{owner}: negatives must be 'sampled' or 'mean_field', got {negatives!r}; choose "
                "'sampled', the drawn frames")
        self.num_hidden = num_hidden
        self.num_gibbs_steps = _gibbs.as_num_steps(num_gibbs_steps, owner)
        self.num_sampling_steps = num_sampling_steps
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.negatives = negatives
        self.num_chains = num_chains
        self._units: VisibleUnits = BinaryUnits()

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights, and the persistent chains.

        Args:
            input_shape: shape of the frames (..., V).
        """
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.num_hidden),
            initializer=self.kernel_initializer)
        if self.num_chains is not None:
            self.chains = self.add_weight(
                name="chains", shape=(self.num_chains, input_shape[-1]), initializer="zeros",
                trainable=False, aggregation="only_first_replica")
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
        return self._units.energy(frames) - (
            tf.reduce_sum(frames * visible_bias, axis=-1)
            + self._log_hidden_sum(hidden_bias, frames))

    def hidden_mean(self, parameters: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """The chance of each hidden unit to be on, given a frame.

        Args:
            parameters: (..., V + K).
            frames: (..., V).

        Returns:
            P(h = 1 | v) (..., K).
        """
        _, hidden_bias = self._biases(parameters)
        return tf.sigmoid(hidden_bias + tf.tensordot(frames, self.kernel, axes=1))

    def visible_mean(self, parameters: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
        """The mean frame given the hidden units.

        Args:
            parameters: (..., V + K).
            hidden: (..., K), 0 or 1, or their means.

        Returns:
            The mean of v given h (..., V): of binary units the chance of each to be on.
        """
        visible_bias, _ = self._biases(parameters)
        kernel = tf.convert_to_tensor(self.kernel)
        return self._units.mean(
            visible_bias + tf.tensordot(hidden, tf.transpose(kernel), axes=1))

    def loss(
        self,
        parameters: tf.Tensor,
        frames: tf.Tensor,
        seed: tf.Tensor,
        step: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """A surrogate whose gradient is that of contrastive divergence.

        Equation: F(v) - F(v*), v* the end of a Gibbs chain of k steps that starts at v, or where a
        persistent chain stood, held constant under the gradient. Its value is no likelihood.

        Args:
            parameters: (..., V + K).
            frames: (..., V).
            seed: of the chains.
            step: number of updates so far, in training; None elsewhere.

        Returns:
            One number a frame (...).
        """
        start = frames if self.num_chains is None else self._persistent(tf.shape(frames))
        chain = self._run(
            tf.stop_gradient(parameters), tf.ensure_shape(start, frames.shape), seed,
            _gibbs.num_steps_at(self.num_gibbs_steps, step), coarse=True)
        if self.num_chains is not None and step is not None:
            self._keep(chain.visible)
        negative = tf.stop_gradient(
            chain.mean if self.negatives == "mean_field" else chain.visible)
        # Cut once: each cut's gradient is as large as the parameters.
        visible_bias, hidden_bias = self._biases(parameters)
        return self._units.energy(frames) - self._units.energy(negative) - (
            tf.reduce_sum((frames - negative) * visible_bias, axis=-1)
            + self._log_hidden_sum(hidden_bias, frames)
            - self._log_hidden_sum(hidden_bias, negative))

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
            schedule or _ais.FULL, self._units)
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
        factor = tf.cast(inverse_temperature(temperature), self.kernel.dtype)
        if num_steps is None:
            num_steps = self.num_sampling_steps
        return self._run(parameters, start, seed, num_steps, factor=factor).visible

    def mean(self, parameters: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """An estimate of the expected frame: the mean of p(v|h) over a chain's second half.

        Args:
            parameters: (..., V + K).
            seed: of the chain.

        Returns:
            Means of the units (..., V).
        """
        return self._run(parameters, None, seed, self.num_sampling_steps, average=True).average

    def sample_and_mean(
        self, parameters: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What `sample` and `mean` give, by one chain where the temperature is 1.

        Args:
            parameters: (B, V + K).
            seed: int32 (B, 2 + N).
            temperature: of the sample (B,).

        Returns:
            Frames (B, V), and means of the units (B, V).
        """
        factor = tf.cast(inverse_temperature(temperature), self.kernel.dtype)
        chain = self._run(
            parameters, None, seed, self.num_sampling_steps, factor=factor, average=True)
        # Not by the factor: in a graph 1 / 1 may come out as 1 - 2^-24.
        others = tf.where(temperature != 1)
        average = tf.cond(
            tf.shape(others)[0] > 0,
            lambda: tf.tensor_scatter_nd_update(chain.average, others, self.mean(
                tf.gather_nd(parameters, others), tf.gather_nd(seed, others))),
            lambda: chain.average)
        return chain.visible, average

    def get_config(self) -> dict[str, object]:
        """Everything the constructor takes.

        Returns:
            A JSON-ready dictionary.
        """
        return {
            **super().get_config(),
            "num_hidden": self.num_hidden,
            "num_gibbs_steps": _gibbs.num_steps_config(self.num_gibbs_steps),
            "num_sampling_steps": self.num_sampling_steps,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "negatives": self.negatives,
            "num_chains": self.num_chains,
        }

    def _biases(self, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Those of the visible units (..., V) and of the hidden ones (..., K)."""
        visible_bias, hidden_bias = tf.split(parameters, list(self.kernel.shape), axis=-1)
        return visible_bias, hidden_bias

    def _log_hidden_sum(self, hidden_bias: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        """The log of the sum over all h of exp(h'hidden_bias + v'W h) (...)."""
        fields = hidden_bias + tf.tensordot(frames, self.kernel, axes=1)
        return tf.reduce_sum(tf.nn.softplus(fields), axis=-1)

    def _run(
        self,
        parameters: tf.Tensor,
        start: tf.Tensor | None,
        seed: tf.Tensor,
        num_steps: int | tf.Tensor,
        **options: Any,
    ) -> _gibbs.Chain:
        return _gibbs.run_chain(
            tf.convert_to_tensor(self.kernel), self._biases(parameters), start, seed, num_steps,
            self._units, **options)

    def _persistent(self, shape: tf.Tensor) -> tf.Tensor:
        """The chain that each frame of a batch of this shape goes on from."""
        places = tf.range(tf.reduce_prod(shape[:-1])) % self.num_chains
        return tf.reshape(tf.gather(tf.convert_to_tensor(self.chains), places), shape)

    def _keep(self, frames: tf.Tensor) -> None:
        """Put the chains that were used at the end of the queue, with their new states."""
        used = tf.reshape(frames, [-1, self.kernel.shape[0]])[:self.num_chains]
        left = tf.convert_to_tensor(self.chains)[tf.shape(used)[0]:]
        self.chains.assign(tf.concat([left, used], axis=0))
