"""Losses of `tests.reference.curved`, and plain quadratics, as problems of the updates."""

import dataclasses

import numpy as np
import tensorflow as tf

from rnnpt.optimizers._hessian_free_update import HessianFreeProblem
from tests.reference.curved import CurvedLoss


def quadratic_problem(
    matrix: np.ndarray, gradient: np.ndarray, loss: float = 3.0
) -> HessianFreeProblem:
    """Returns a quadratic around the present parameters; both batches are one."""
    curved, slopes = tf.constant(matrix), tf.constant(gradient)

    def loss_at(step: tf.Tensor) -> tf.Tensor:
        return loss + tf.tensordot(
            slopes + 0.5 * tf.linalg.matvec(curved, step), step, 1)

    return _problem(loss, gradient, matrix, loss_at)


def curved_problem(loss: CurvedLoss, weights: np.ndarray) -> HessianFreeProblem:
    """Returns a loss around weights; both batches are one."""
    return _problem(loss.loss(weights), loss.gradient(weights), loss.matrix(weights), (
        lambda step: loss_at(loss, weights + step)))


def loss_at(loss: CurvedLoss, weights: tf.Tensor) -> tf.Tensor:
    """Returns f in the graph."""
    sums = tf.linalg.matvec(tf.constant(loss.inputs), weights)
    losses = (tf.math.softplus(sums) - loss.targets * sums if loss.is_logistic
              else 0.5 * (tf.tanh(sums) - loss.targets) ** 2)
    return tf.reduce_mean(losses) + 0.5 * loss.penalty * tf.reduce_sum(weights ** 2)


def value_and_gradient_at(loss: CurvedLoss, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns f and its gradient in the graph."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        value = loss_at(loss, weights)
    return value, tape.gradient(value, weights)


def where_nothing_is_a_number(problem: HessianFreeProblem) -> HessianFreeProblem:
    """Returns a problem whose loss is no number anywhere but at the present parameters."""
    def loss_at(step: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.reduce_any(step != 0), tf.constant(np.nan, tf.float64), problem.loss)

    return dataclasses.replace(problem, loss_at=loss_at, curvature_loss_at=loss_at)


def _problem(loss, gradient, matrix, loss_at) -> HessianFreeProblem:
    loss, gradient, matrix = (tf.constant(each, tf.float64) for each in (loss, gradient, matrix))
    return HessianFreeProblem(
        loss, gradient, loss_at, loss, gradient, loss_at,
        lambda vector, _: tf.linalg.matvec(matrix, vector))
