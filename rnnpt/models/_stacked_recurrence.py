"""Several tanh recurrences at once, with a backward pass of few and large products."""

import tensorflow as tf

#: Rows that a product for the kernel's gradient takes together: enough for a product to run at its
#: best rate, few enough for them to stay in the cache.
_ROWS_AT_ONCE = 512


def unroll_stack(
    kernel: tf.Tensor, initial_state: tf.Tensor, inputs: tf.Tensor, num_kept: int
) -> tf.Tensor:
    """Run S recurrences over T steps, T known when the graph is made, and keep the last states.

    Equation: h_t = tanh([h_{t-1}, x_t] kernel), for each member by itself.

    Backwards, e_t being what a kept state passes on: d_t = (e_t + d_{t+1} W') (1 - h_t^2), where
    W is the first H rows of the kernel, whose gradient is the sum of [h_{t-1}, x_t]' d_t over
    batch and steps. No gradient of the inputs is computed.

    Args:
        kernel: (S, H + I, H), recurrent rows first; a bias is a row, and ones among the inputs.
        initial_state: (S, 1, H), of every sequence.
        inputs: (T, S, B, I).
        num_kept: N, the number of last steps whose states are returned.

    Returns:
        The states at the last N steps (S, N, B, H).
    """
    units = kernel.shape[-1]
    num_sequences = tf.shape(inputs)[2]
    steps = tf.unstack(inputs)

    @tf.custom_gradient
    def run(kernel: tf.Tensor, initial_state: tf.Tensor) -> tuple[tf.Tensor, object]:
        state = tf.repeat(initial_state, num_sequences, axis=1)
        heard, states = [], []
        for step in steps:
            heard.append(tf.concat([state, step], axis=-1))
            state = tf.tanh(tf.matmul(heard[-1], kernel))
            states.append(state)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            passed_on = tf.unstack(upstream, num_kept, axis=1)
            return _backward(kernel[:, :units], heard, states, passed_on)

        return tf.stack(states[-num_kept:], axis=1), gradient

    return run(kernel, initial_state)


def _backward(
    recurrent_kernel: tf.Tensor,
    heard: list[tf.Tensor],
    states: list[tf.Tensor],
    upstream: list[tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Gradients of the kernel (S, H + I, H) and of the initial state (S, 1, H)."""
    transposed = tf.linalg.matrix_transpose(recurrent_kernel)
    steps_at_once = max(1, _ROWS_AT_ONCE // (states[0].shape[1] or _ROWS_AT_ONCE))
    num_steps = len(states)
    products, chunk = [], []
    passed_on = tf.zeros_like(states[0])
    for step in reversed(range(num_steps)):
        later = num_steps - 1 - step
        if later < len(upstream):
            passed_on += upstream[-1 - later]
        delta = tf.raw_ops.TanhGrad(y=states[step], dy=passed_on)
        chunk.append((heard[step], delta))
        if len(chunk) == steps_at_once or step == 0:
            rows, deltas = (tf.concat(part, axis=1) for part in zip(*chunk))
            products.append(tf.matmul(rows, deltas, transpose_a=True))
            chunk = []
        passed_on = tf.matmul(delta, transposed)
    return tf.add_n(products), tf.reduce_sum(passed_on, axis=1, keepdims=True)
