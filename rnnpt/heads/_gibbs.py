"""Gibbs chains of RBMs that share their weights, and how long they are."""

from typing import Any, NamedTuple, TypeAlias

import keras
import tensorflow as tf

from rnnpt import numerics
from rnnpt.heads._visible_unit import VisibleUnits

Schedule: TypeAlias = keras.optimizers.schedules.LearningRateSchedule

#: Updates at which a schedule is looked at before any training: the first, and powers of two.
_PROBES = (0, *(2 ** i for i in range(21)))


class Chain(NamedTuple):
    """The end of a Gibbs chain.

    Attributes:
        visible: the last frame (..., V).
        mean: the mean of v given the last h (..., V).
        average: that mean, averaged over the chain's second half (..., V); None where it was not
            asked for.
    """

    visible: tf.Tensor
    mean: tf.Tensor
    average: tf.Tensor | None


def run_chain(
    kernel: tf.Tensor,
    biases: tuple[tf.Tensor, tf.Tensor],
    start: tf.Tensor | None,
    seed: tf.Tensor,
    num_steps: int | tf.Tensor,
    units: VisibleUnits,
    factor: tf.Tensor | None = None,
    average: bool = False,
    coarse: bool = False,
) -> Chain:
    """A chain for each row: h given v, then v given h, so many times.

    Args:
        kernel: W (V, K).
        biases: of the visible (..., V) and of the hidden units (..., K).
        start: v that the chains start from (..., V); drawn from the visible biases alone where
            None.
        seed: int32 (2,), or one a row (see `numerics.fold_later`).
        num_steps: length of the chains.
        units: the visible units.
        factor: multiplies the energy: an inverse temperature; 1 where None.
        average: whether the average over the second half is wanted, the middle step of an odd
            number among it.
        coarse: whether draws of one stream have 16 random bits, which are a third of a chain's
            time less: for chains whose mean over many frames is all that counts.

    Returns:
        The ends of the chains.
    """
    visible_bias, hidden_bias = biases
    dtype, transposed = kernel.dtype, tf.transpose(kernel)
    # What the start is drawn by comes before the steps' own draws.
    first = int(start is None)
    draws = numerics.uniform_steps(
        seed, num_steps + first, tf.shape(visible_bias)[:-1],
        [kernel.shape[1], units.num_uniforms(kernel.shape[0])], coarse)
    if start is None:
        uniforms = tf.cast(draws(tf.constant(0))[1], dtype)
        start = units.draw(units.mean(visible_bias, factor), uniforms, factor)

    def move(step: tf.Tensor, visible: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        hidden_draws, visible_draws = (tf.cast(each, dtype) for each in draws(step + first))
        fields = hidden_bias + _product(visible, kernel)
        hidden = numerics.bernoulli_sample(
            fields if factor is None else factor * fields, hidden_draws)
        mean = units.mean(visible_bias + _product(hidden, transposed), factor)
        return units.draw(mean, visible_draws, factor), mean

    def walk(start: tf.Tensor, begin: int | tf.Tensor, end: int | tf.Tensor) -> list[tf.Tensor]:
        """The last frame, its mean, and the sum of the means on the way if it is wanted."""
        def body(step: tf.Tensor, visible: tf.Tensor, *means: tf.Tensor) -> tuple:
            visible, mean = move(step, visible)
            return step + 1, visible, mean, *(total + mean for total in means[1:])

        totals = [tf.zeros_like(start)] if average else []
        return tf.while_loop(
            lambda step, *_: step < end, body, (tf.constant(begin), start, start, *totals),
            maximum_iterations=end - begin, parallel_iterations=1)[1:]

    if not average:
        visible, mean = walk(start, 0, num_steps)
        return Chain(visible, mean, None)
    middle = num_steps // 2
    visible, mean, total = walk(walk(start, 0, middle)[0], middle, num_steps)
    return Chain(visible, mean, total / tf.cast(num_steps - middle, dtype))


def _product(rows: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    # `tf.tensordot` puts ten small operations for the shapes around each product, which are a
    # quarter of a draw for a single row.
    return tf.matmul(rows, kernel) if rows.shape.rank == 2 else tf.tensordot(rows, kernel, axes=1)


def as_num_steps(value: object, owner: str) -> int | Schedule:
    """A checked number of steps, or a checked schedule of it over the updates.

    Args:
        value: a number, a schedule, or the config of one.
        owner: the class to name in a message.

    Returns:
        The number or the schedule.

    Raises:
        ValueError: if a number, or what the schedule gives at an update that is looked at, is not
            whole and positive.
    """
    if isinstance(value, dict):
        value = keras.saving.deserialize_keras_object(value)
    if not isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        if not isinstance(value, int) or value < 1:
            raise ValueError(
                f"{owner}: num_gibbs_steps must be a positive integer or a Keras schedule of it, "
                f"got {value!r}; 2012's music models use 15 steps of contrastive divergence")
        return value
    # A piecewise schedule changes right after its boundaries.
    changes = [int(boundary) + 1 for boundary in getattr(value, "boundaries", ())]
    for step in (*_PROBES, *changes):
        number = float(value(step))
        if number < 1 or not number.is_integer():
            raise ValueError(
                f"{owner}: num_gibbs_steps must give whole positive numbers, got {number} at "
                f"update {step}; PiecewiseConstantDecay([999], [10, 25]) does")
    return value


def num_steps_at(num_steps: int | Schedule, step: tf.Tensor | None) -> int | tf.Tensor:
    """The number of steps at an update.

    Args:
        num_steps: a number or a schedule of it.
        step: number of updates so far; None for that of the first update.

    Returns:
        The number, a tensor where a schedule gives it.
    """
    if isinstance(num_steps, int):
        return num_steps
    number = num_steps(0 if step is None else step)
    whole = tf.cast(number, tf.int32)
    check = tf.debugging.Assert(
        tf.logical_and(whole >= 1, tf.cast(whole, number.dtype) == number),
        ["num_gibbs_steps must give whole positive numbers, got", number])
    with tf.control_dependencies([check]):
        return tf.identity(whole)


def num_steps_config(num_steps: int | Schedule) -> Any:
    """What `as_num_steps` takes, ready for JSON.

    Args:
        num_steps: a number or a schedule of it.

    Returns:
        The number, or the schedule's config.
    """
    if isinstance(num_steps, int):
        return num_steps
    return keras.saving.serialize_keras_object(num_steps)
