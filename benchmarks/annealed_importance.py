"""Annealed importance sampling: rnnpt's batched chains beside TensorFlow Probability's.

Both estimate log Z of the same conditional RBMs (88 visible, 150 hidden units, biases of their
own) with 100 runs, the same temperatures and one Gibbs sweep at each, from the same base. TFP
anneals the joint log-probability of visible and hidden units, which is linear in the temperature
as its interface asks; rnnpt sums the hidden units out. Time and standard error are both printed:
at equal error, time goes as the error squared. `tests/heads` has the exact values in small.

    python benchmarks/annealed_importance.py [--rounds 3] [--frames 32] [--temperatures 100]
"""

import argparse
import os
from collections.abc import Callable
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_probability as tfp  # noqa: E402
from timing import print_ratios, take_turns  # noqa: E402

from rnnpt.heads import AISSchedule  # noqa: E402
from rnnpt.heads._ais import log_mean_exp, log_partition, mean_field_base  # noqa: E402

VISIBLE, HIDDEN, RUNS = 88, 150, 100


class RBMs(NamedTuple):
    """Conditional RBMs of one kernel: kernel (V, K), biases (N, V) and (N, K), base (N, V)."""

    kernel: tf.Tensor
    visible_bias: tf.Tensor
    hidden_bias: tf.Tensor
    base_logits: tf.Tensor


class _Target(NamedTuple):
    target_log_prob: tf.Tensor


class _Results(NamedTuple):
    """What TFP looks for in a kernel; a Gibbs sweep accepts all that it proposes."""

    accepted_results: _Target
    proposed_results: _Target


class _GibbsKernel(tfp.mcmc.TransitionKernel):
    """One Gibbs sweep on [v, h] at the inverse temperature of the target function.

    TFP hands over log p_b alone. The target has a constant 1 more than the proposal, so its value
    at v = h = 0 is b.
    """

    def __init__(self, rbms: RBMs, target: Callable[..., tf.Tensor]) -> None:
        self._rbms, self._target = rbms, target

    @property
    def is_calibrated(self) -> bool:
        return True

    def one_step(
        self, state: list[tf.Tensor], results: _Results, seed: tf.Tensor | None = None
    ) -> tuple[list[tf.Tensor], _Results]:
        rbms = self._rbms
        visible, hidden = state
        inverse = self._target(tf.zeros_like(visible), tf.zeros_like(hidden))[..., tf.newaxis]
        first, second = tf.unstack(tfp.random.split_seed(seed, 2))
        hidden = _draw(inverse * (rbms.hidden_bias + tf.tensordot(visible, rbms.kernel, 1)), first)
        visible = _draw((1 - inverse) * rbms.base_logits + inverse * (
            rbms.visible_bias + tf.tensordot(hidden, tf.transpose(rbms.kernel), 1)), second)
        return [visible, hidden], self.bootstrap_results([visible, hidden])

    def bootstrap_results(self, state: list[tf.Tensor]) -> _Results:
        target = _Target(self._target(*state))
        return _Results(target, target)


def _draw(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    uniforms = tf.random.stateless_uniform(tf.shape(logits), seed)
    return tf.cast(uniforms < tf.sigmoid(logits), tf.float32)


def random_rbms(num: int) -> RBMs:
    """RBMs as coupled as trained ones.

    Args:
        num: N.

    Returns:
        Their weights.
    """
    rng = np.random.default_rng(0)

    def draw(scale: float, *shape: int) -> tf.Tensor:
        return tf.constant(rng.normal(scale=scale, size=shape), tf.float32)

    kernel, visible_bias = draw(0.15, VISIBLE, HIDDEN), draw(1.0, num, VISIBLE) - 3.0
    hidden_bias = draw(1.0, num, HIDDEN)
    return RBMs(kernel, visible_bias, hidden_bias,
                mean_field_base(kernel, visible_bias, hidden_bias))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--temperatures", type=int, default=100)
    arguments = parser.parse_args()
    rbms = random_rbms(arguments.frames)
    schedule = AISSchedule(RUNS, arguments.temperatures)

    @tf.function
    def ours() -> tuple[tf.Tensor, tf.Tensor]:
        return log_partition(*rbms[:3], tf.constant([1, 2]), schedule)

    @tf.function
    def theirs() -> tf.Tensor:
        return _tfp_log_weights(rbms, arguments.temperatures)

    seconds = take_turns({"rnnpt": ours, "tfp.mcmc": theirs}, arguments.rounds)
    print_ratios(seconds, "rnnpt", arguments.frames, "frames")
    log_ratio, error = tf.unstack(log_mean_exp(tf.transpose(theirs())), axis=-1)
    log_base = HIDDEN * np.log(2.0) + tf.reduce_sum(tf.nn.softplus(rbms.base_logits), axis=-1)
    log_z, our_error = ours()
    print(f"\nmean standard error: rnnpt {tf.reduce_mean(our_error):.3f}, "
          f"tfp.mcmc {tf.reduce_mean(error):.3f}; mean difference of log Z "
          f"{tf.reduce_mean(log_z - log_base - log_ratio):.3f}")
    # An error halves where the time is four times as long.
    at_equal_error = (seconds["rnnpt"] / seconds["tfp.mcmc"]
                      * float(tf.reduce_mean(our_error) / tf.reduce_mean(error)) ** 2)
    print(f"time at equal standard error, rnnpt over tfp.mcmc: {at_equal_error:.2f}")


def _tfp_log_weights(rbms: RBMs, num_temperatures: int) -> tf.Tensor:
    """Log-weights (runs, N) by `sample_annealed_importance_chain`."""

    def proposal(visible: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(visible * rbms.base_logits, axis=-1)

    def target(visible: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
        fields = rbms.hidden_bias + tf.tensordot(visible, rbms.kernel, 1)
        return 1.0 + (tf.reduce_sum(visible * rbms.visible_bias, axis=-1)
                      + tf.reduce_sum(hidden * fields, axis=-1))

    shape = [RUNS, *rbms.visible_bias.shape]
    start = [_draw(tf.broadcast_to(rbms.base_logits, shape), tf.constant([3, 4])),
             _draw(tf.zeros([*shape[:-1], HIDDEN]), tf.constant([5, 6]))]
    _, log_weights, _ = tfp.mcmc.sample_annealed_importance_chain(
        num_temperatures, proposal, target, start,
        make_kernel_fn=lambda log_prob: _GibbsKernel(rbms, log_prob), seed=tf.constant([7, 8]))
    return log_weights - 1.0


if __name__ == "__main__":
    main()
