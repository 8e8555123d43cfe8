"""Random numbers as functions of a seed: of one stream, or of one a row."""

import numbers
from collections.abc import Callable, Sequence

import tensorflow as tf

#: The counter-based generator named in every draw: TensorFlow's default may differ by device.
RANDOM_ALGORITHM = "philox"


def fold_in(seed: tf.Tensor, data: int | tf.Tensor) -> tf.Tensor:
    """A new seed that is a function of a seed and a number (a step, a purpose).

    Args:
        seed: int32 (2,), or one a row (see `fold_later`).
        data: a scalar integer.

    Returns:
        The seed (2,), or one a row (B, 2).
    """
    data = tf.cast(data, tf.int32)
    seed = tf.convert_to_tensor(seed, tf.int32)
    if seed.shape.rank == 1:
        return tf.random.experimental.stateless_fold_in(seed, data, alg=RANDOM_ALGORITHM)
    return tf.map_fn(lambda row: fold_in(_resolved(row), data), seed,
                     fn_output_signature=tf.TensorSpec([2], tf.int32))


def fold_later(seed: tf.Tensor, data: int | tf.Tensor) -> tf.Tensor:
    """What `fold_in` gives, but for one seed a row in a form that only this module reads.

    TensorFlow's stateless operations take one seed for all rows. Whoever draws walks the rows
    anyway and folds in there what stands beside a seed: one walk in place of two.

    Args:
        seed: int32 (2,), or (B, 2 + N) for one a row with N numbers to fold in beside it.
        data: a scalar integer.

    Returns:
        The seed (2,), or one a row (B, 2 + N + 1).
    """
    seed = tf.convert_to_tensor(seed, tf.int32)
    if seed.shape.rank == 1:
        return fold_in(seed, data)
    column = tf.fill([tf.shape(seed)[0], 1], tf.cast(data, tf.int32))
    return tf.concat([seed, column], axis=1)


def _resolved(row: tf.Tensor) -> tf.Tensor:
    """The seed (2,) of a row (2 + N,)."""
    seed = row[:2]
    for place in range(2, row.shape[0]):
        seed = fold_in(seed, row[place])
    return seed


def uniform(seed: tf.Tensor, shape: Sequence[int | tf.Tensor] | tf.Tensor) -> tf.Tensor:
    """Uniform numbers in [0, 1) as a function of the seed alone.

    With one seed a row, a row's numbers do not depend on its neighbours nor on its place:
    TensorFlow's stateless operations take one seed for all rows, so they are drawn row by row.

    Args:
        seed: int32 (2,) for one stream over the whole shape, or one a row (see `fold_later`).
        shape: the shape to draw; with one seed a row its first size is B.

    Returns:
        float32 numbers of that shape.
    """
    return _draw(_uniform_of_stream, seed, shape)


def normal(seed: tf.Tensor, shape: Sequence[int | tf.Tensor] | tf.Tensor) -> tf.Tensor:
    """Standard normal numbers as a function of the seed alone.

    Args:
        seed: int32 (2,) for one stream over the whole shape, or one a row (see `fold_later`).
        shape: the shape to draw; with one seed a row its first size is B.

    Returns:
        float32 numbers of that shape.
    """
    return _draw(_normal_of_stream, seed, shape)


def coarse_uniform(seed: tf.Tensor, shape: Sequence[int | tf.Tensor] | tf.Tensor) -> tf.Tensor:
    """Uniform numbers of 16 random bits, at half the price of `uniform`.

    They are the middles of 2^16 equal parts of [0, 1]: one of them is below a probability p with a
    chance that differs from p by 2^-17 at most.

    Args:
        seed: int32 (2,).
        shape: the shape to draw.

    Returns:
        float32 numbers of that shape.
    """
    size = tf.reduce_prod(shape)
    words = tf.random.stateless_uniform(
        [(size + 1) // 2], seed, minval=None, maxval=None, dtype=tf.uint32, alg=RANDOM_ALGORITHM)
    halves = tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:size]
    return tf.reshape((tf.cast(halves, tf.float32) + 0.5) * 2.0 ** -16, shape)


def uniform_steps(
    seed: tf.Tensor,
    num_steps: int | tf.Tensor,
    rows: Sequence[int | tf.Tensor] | tf.Tensor,
    sizes: Sequence[int],
    coarse: bool = False,
) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """Uniform numbers for each step of a chain that draws several things a step.

    One stream is drawn step by step, so that a long chain over many frames stays small; with one
    seed a row all steps and things are drawn at once, so that the rows are walked once in all:
    that walk costs a served model more than its draws.

    Args:
        seed: int32 (2,), or one a row (see `fold_later`).
        num_steps: length of the chain.
        rows: the leading sizes of each thing; with one seed a row the first is B.
        sizes: the last size of each thing.
        coarse: whether those of one stream are of `coarse_uniform`.

    Returns:
        A function from the step to the numbers of each thing (..., size).
    """
    seed = tf.convert_to_tensor(seed, tf.int32)
    rows = tf.convert_to_tensor(rows, tf.int32)
    if seed.shape.rank == 2:
        drawn = uniform(seed, tf.concat([rows[:1], [num_steps], rows[1:], [sum(sizes)]], axis=0))
        return lambda step: tf.split(tf.gather(drawn, step, axis=1), list(sizes), axis=-1)
    # A stream each, as cutting one of all would copy it; a single one is the seed's own.
    seeds = [seed] if len(sizes) == 1 else [fold_in(seed, place) for place in range(len(sizes))]
    streams = [_steps_of_stream(one, num_steps, tf.concat([rows, [size]], axis=0), coarse)
               for one, size in zip(seeds, sizes)]
    return lambda step: [stream(step) for stream in streams]


def _steps_of_stream(
    seed: tf.Tensor, num_steps: int | tf.Tensor, shape: tf.Tensor, coarse: bool
) -> Callable[[tf.Tensor], tf.Tensor]:
    if not coarse:
        return lambda step: uniform(fold_in(seed, step), shape)
    # Where the draws are cheap, folding each step in would tell.
    seeds = tf.random.stateless_uniform(
        [num_steps, 2], seed, minval=None, maxval=None, dtype=tf.int32, alg=RANDOM_ALGORITHM)
    return lambda step: coarse_uniform(seeds[step], shape)


def bernoulli_sample(logits: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """Binary draws with the given log-odds.

    Args:
        logits: log-odds (...).
        uniforms: numbers in [0, 1) of the same shape.

    Returns:
        Draws in {0, 1}, of the dtype of `logits`.
    """
    return tf.cast(uniforms < tf.sigmoid(logits), logits.dtype)


def categorical_sample(logits: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """Draws of one of several, by inverting the cumulative distribution.

    Args:
        logits: log-probabilities of the S choices (..., S), up to a constant.
        uniforms: numbers in [0, 1), one a draw (...).

    Returns:
        Choices from 0 to S - 1, int32 (...); never one of probability zero.
    """
    ladder = tf.cumsum(tf.nn.softmax(logits), axis=-1)
    heights = tf.cast(uniforms, ladder.dtype)[..., tf.newaxis]
    # Relative to the last rung: rounding must not lift a draw above it.
    return tf.reduce_sum(tf.cast(ladder <= heights * ladder[..., -1:], tf.int32), axis=-1)


def as_seed(seed: int | Sequence[int] | tf.Tensor) -> tf.Tensor:
    """A seed in the form that every draw takes.

    Args:
        seed: an integer, or int32 (2,) for one stream, or (B, 2) for one a row.

    Returns:
        int32 (2,) or (B, 2).

    Raises:
        ValueError: if the seed has another shape, or the integer is negative or has over 62 bits.
    """
    if isinstance(seed, numbers.Integral):
        seed = int(seed)
        # Two words of 31 bits.
        if not 0 <= seed < 2 ** 62:
            raise ValueError(f"seed must be from 0 on and below 2 ** 62, got {seed}")
        return tf.constant([seed & 0x7FFFFFFF, (seed >> 31) & 0x7FFFFFFF], tf.int32)
    seed = tf.convert_to_tensor(seed, tf.int32)
    if seed.shape.rank not in (1, 2) or seed.shape[-1] != 2:
        raise ValueError(
            f"seed must be an integer, or of shape (2,) or (batch, 2), got {tuple(seed.shape)}")
    return seed


def _uniform_of_stream(seed: tf.Tensor, shape: Sequence[int | tf.Tensor] | tf.Tensor) -> tf.Tensor:
    # What `tf.random.stateless_uniform` does, without its product with 1 and sum with 0, which stay
    # in a graph: a served RBM draws some ten thousand numbers a frame.
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    return tf.raw_ops.StatelessRandomUniformV2(
        shape=shape, key=key, counter=counter, alg=tf.random.Algorithm.PHILOX.value)


def _normal_of_stream(seed: tf.Tensor, shape: Sequence[int | tf.Tensor] | tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_normal(shape, seed, alg=RANDOM_ALGORITHM)


def _draw(
    rule: Callable[..., tf.Tensor],
    seed: tf.Tensor,
    shape: Sequence[int | tf.Tensor] | tf.Tensor,
) -> tf.Tensor:
    """Numbers of a rule, from one stream or from one a row."""
    seed = tf.convert_to_tensor(seed, tf.int32)
    if seed.shape.rank == 1:
        # What TensorFlow knows of the shape, it knows of the draws.
        return tf.reshape(rule(seed, shape), shape)
    row_shape = tf.convert_to_tensor(shape)[1:]

    def draw_row(row: tf.Tensor) -> tf.Tensor:
        return rule(_resolved(row), row_shape)

    # TensorFlow cannot stack the draws of no row, whose shape it does not know.
    drawn = tf.cond(
        tf.shape(seed)[0] > 0,
        lambda: tf.map_fn(draw_row, seed, fn_output_signature=tf.float32),
        lambda: tf.zeros(shape))
    return tf.reshape(drawn, shape)
