"""Annealed importance sampling of the partition functions of many small RBMs at once."""

import dataclasses
import itertools
import math

import tensorflow as tf

from rnnpt import numerics
from rnnpt.heads._visible_unit import BinaryUnits, VisibleUnits


@dataclasses.dataclass(frozen=True)
class AISSchedule:
    """How much work an estimate of log Z is.

    Attributes:
        num_runs: independent chains for each RBM; the published figures use 100.
        num_temperatures: steps of each chain from the base distribution to the RBM, evenly spaced.
        frames_at_once: RBMs annealed together: bounds the memory, and 800 chains or so at a time
            (here with 100 runs) stay in a core's cache.
        inverse_temperatures: the steps themselves, from 0 to 1, in place of `num_temperatures`
            even ones.
    """

    num_runs: int = 100
    num_temperatures: int = 100
    frames_at_once: int = 8
    inverse_temperatures: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self)[:3]:
            value = getattr(self, field.name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"AISSchedule: {field.name} must be a positive integer, got {value!r}; "
                    f"the default is {field.default}")
        if self.inverse_temperatures is not None:
            ladder = tuple(self.inverse_temperatures)
            if not _climbs(ladder):
                raise ValueError(
                    f"AISSchedule: inverse_temperatures must start at 0, end at 1 and increase, "
                    f"got {ladder}; leave them out for num_temperatures even steps")
            object.__setattr__(self, "inverse_temperatures", ladder)

    @property
    def ladder(self) -> tuple[float, ...]:
        """The inverse temperatures of a chain, from 0 to 1."""
        if self.inverse_temperatures is not None:
            return self.inverse_temperatures
        return tuple(step / self.num_temperatures for step in range(self.num_temperatures + 1))


def _climbs(ladder: tuple[float, ...]) -> bool:
    return (len(ladder) > 1 and ladder[0] == 0 and ladder[-1] == 1
            and all(low < high for low, high in itertools.pairwise(ladder)))


#: For tables: 100 runs, as in Boulanger-Lewandowski et al. 2012.
FULL = AISSchedule()

#: For a look while training goes on. Fewer temperatures would overrate strong couplings by nats: of
#: two estimates of equal work take that of fewer frames.
CHEAP_SCHEDULE = AISSchedule(num_runs=10, num_temperatures=300, frames_at_once=80)

_MEAN_FIELD_STEPS = 10


def log_partition(
    kernel: tf.Tensor,
    visible_bias: tf.Tensor,
    hidden_bias: tf.Tensor,
    seed: tf.Tensor,
    schedule: AISSchedule = FULL,
    units: VisibleUnits = BinaryUnits(),
) -> tuple[tf.Tensor, tf.Tensor]:
    """Estimate log Z of N RBMs that share their weights and differ in their biases.

    Chain number r starts at v of the visible units under base_fields and passes the distributions

        p_b(v) = exp(-energy(v) + (1 - b) v'a + b v'visible_bias)
                 prod_k (1 + exp(b (hidden_bias + v'W)_k))

    for b from 0 to 1 (a the base fields, near the RBM's own mean; W the kernel; energy the visible
    units' own, 0 of binary ones), with one Gibbs sweep at each b. Its weight
    is the product of the ratios of neighbouring p_b, and the mean of the weights estimates Z / Z_0
    without bias, so that log Z is underestimated on average. Z_0 is 2^K times the sum, or of real
    units the integral, of exp(v'a - energy(v)).

    Args:
        kernel: W (V, K).
        visible_bias: (N, V).
        hidden_bias: (N, K).
        seed: int32 (2,), or (N, 2) for one seed an RBM.
        schedule: how much work to do.
        units: the visible units.

    Returns:
        Estimates of log Z (N,) and their standard errors (N,), by the delta method on the weights.

    Source: Salakhutdinov and Murray 2008; Boulanger-Lewandowski et al. 2012, section 5.
    """
    seed = tf.convert_to_tensor(seed, tf.int32)
    num_rbms, at_once = tf.shape(visible_bias)[0], schedule.frames_at_once
    base_fields = mean_field_base(kernel, visible_bias, hidden_bias, units)
    # At least one block: TensorFlow cannot join blocks of which there are none.
    num_blocks = tf.maximum(1, (num_rbms + at_once - 1) // at_once)
    blocks = tf.TensorArray(
        base_fields.dtype, num_blocks, infer_shape=False, element_shape=[None, 2])

    def body(block: tf.Tensor, blocks: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        rows = slice(block * at_once, tf.minimum((block + 1) * at_once, num_rbms))
        block_seed = numerics.fold_in(seed, block) if seed.shape.rank == 1 else seed[rows]
        biases = (visible_bias[rows], hidden_bias[rows], base_fields[rows])
        log_weights = _anneal(kernel, biases, block_seed, schedule, units)
        return block + 1, blocks.write(block, log_mean_exp(log_weights))

    _, blocks = tf.while_loop(
        lambda block, _: block < num_blocks, body, (tf.constant(0), blocks), parallel_iterations=1)
    log_ratio, standard_error = tf.unstack(blocks.concat(), axis=-1)
    num_hidden = tf.cast(tf.shape(kernel)[1], log_ratio.dtype)
    log_base = num_hidden * math.log(2.0) + units.log_partition(base_fields)
    return log_base + log_ratio, standard_error


def mean_field_base(
    kernel: tf.Tensor,
    visible_bias: tf.Tensor,
    hidden_bias: tf.Tensor,
    units: VisibleUnits = BinaryUnits(),
) -> tf.Tensor:
    """Fields of factorised visible units near each RBM, from which few steps lead far.

    Any base gives an unbiased mean weight, but one that leaves out a mode gives a standard error
    that does not know of it. So two mean fields, started from all hidden units off and all on, are
    averaged, and the average of binary units is flattened.

    Args:
        kernel: W (V, K).
        visible_bias: (N, V).
        hidden_bias: (N, K).
        units: the visible units.

    Returns:
        (N, V); of binary units log-odds.
    """
    def settle(hidden: tf.Tensor) -> tf.Tensor:
        for _ in range(_MEAN_FIELD_STEPS):
            visible = visible_of(hidden)
            hidden = tf.sigmoid(hidden_bias + tf.tensordot(visible, kernel, axes=1))
        return visible_of(hidden)

    def visible_of(hidden: tf.Tensor) -> tf.Tensor:
        return units.mean(visible_bias + tf.tensordot(hidden, tf.transpose(kernel), axes=1))

    means = (settle(tf.zeros_like(hidden_bias)) + settle(tf.ones_like(hidden_bias))) / 2
    return units.base_fields(means)


def _anneal(
    kernel: tf.Tensor,
    biases: tuple[tf.Tensor, ...],
    seed: tf.Tensor,
    schedule: AISSchedule,
    units: VisibleUnits,
) -> tf.Tensor:
    """Log-weights (n, num_runs) of the chains of n RBMs."""
    visible_bias, hidden_bias, base_fields = (each[:, tf.newaxis] for each in biases)
    num_rbms, num_runs, dtype = tf.shape(visible_bias)[0], schedule.num_runs, base_fields.dtype
    num_uniforms, num_hidden = units.num_uniforms(kernel.shape[0]), kernel.shape[1]
    ladder = tf.constant(schedule.ladder, dtype)
    num_steps = len(schedule.ladder) - 1
    draws = numerics.uniform_steps(
        seed, num_steps + 1, [num_rbms, num_runs], [num_uniforms + num_hidden])

    def body(
        step: tf.Tensor, visible: tf.Tensor, log_weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        hotter, inverse = ladder[step], ladder[step + 1]
        fields = hidden_bias + tf.tensordot(visible, kernel, axes=1)
        log_weights += (inverse - hotter) * tf.reduce_sum(
            visible * (visible_bias - base_fields), axis=-1)
        log_weights += tf.reduce_sum(_softplus_step(fields, hotter, inverse), axis=-1)
        uniforms = tf.cast(draws(step + 1)[0], dtype)
        hidden = numerics.bernoulli_sample(inverse * fields, uniforms[..., num_uniforms:])
        mean = units.mean((1 - inverse) * base_fields + inverse * (
            visible_bias + tf.tensordot(hidden, kernel, axes=[[2], [1]])))
        visible = units.draw(mean, uniforms[..., :num_uniforms])
        return step + 1, visible, log_weights

    first = tf.cast(draws(tf.constant(0))[0], dtype)[..., :num_uniforms]
    mean = tf.repeat(units.mean(base_fields), num_runs, axis=1)
    _, _, log_weights = tf.while_loop(
        lambda step, *_: step < num_steps, body,
        (tf.constant(0), units.draw(mean, first), tf.zeros([num_rbms, num_runs], dtype)),
        maximum_iterations=num_steps, parallel_iterations=1)
    return log_weights


def _softplus_step(fields: tf.Tensor, hotter: tf.Tensor, inverse: tf.Tensor) -> tf.Tensor:
    """softplus(inverse fields) - softplus(hotter fields), with one logarithm in place of two.

    A chain spends most of its time here. With m = max(x, 0), it is
    softplus(b x) = b m + log(1 + exp(-b |x|)), so that nothing overflows.
    """
    size = tf.abs(fields)
    ratio = (1 + tf.exp(-inverse * size)) / (1 + tf.exp(-hotter * size))
    return (inverse - hotter) * tf.nn.relu(fields) + tf.math.log(ratio)


def log_mean_exp(log_weights: tf.Tensor) -> tf.Tensor:
    """The logarithm of a mean weight, and its standard error by the delta method.

    Args:
        log_weights: (n, num_runs).

    Returns:
        Both, side by side (n, 2); the error of a single run is NaN.
    """
    num_runs = tf.cast(tf.shape(log_weights)[-1], log_weights.dtype)
    log_mean = tf.reduce_logsumexp(log_weights, axis=-1) - tf.math.log(num_runs)
    relative = tf.exp(log_weights - log_mean[..., tf.newaxis])
    # The spread of a mean of n weights, relative to that mean: the delta method for its logarithm.
    # Of a single one it is not known: 0 / 0.
    spread = tf.math.reduce_std(relative, axis=-1) / tf.sqrt(num_runs - 1.0)
    return tf.stack([log_mean, spread], axis=-1)
