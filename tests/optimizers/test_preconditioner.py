"""The preconditioner against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt.optimizers._preconditioner import gradient_preconditioner

SQUARES, VECTOR = np.array([0.0, 0.3, 2.0, 5e4]), np.array([1.0, -2.0, 3.0, 4.0])


@pytest.mark.parametrize(("damping", "exponent"), [(0.1, 0.75), (1e-6, 0.75), (2.0, 1.0)])
def test_it_divides_by_the_damped_squares(damping, exponent):
    precondition = gradient_preconditioner(
        tf.constant(SQUARES), tf.constant(damping, tf.float64), exponent)
    np.testing.assert_allclose(
        precondition(tf.constant(VECTOR)), VECTOR / (SQUARES + damping) ** exponent, rtol=1e-12)


def test_without_damping_what_has_no_gradient_stays():
    precondition = gradient_preconditioner(tf.constant(SQUARES), tf.constant(0.0, tf.float64))
    found = precondition(tf.constant(VECTOR))
    np.testing.assert_allclose(found[1:], VECTOR[1:] / SQUARES[1:] ** 0.75, rtol=1e-12)
    assert float(found[0]) == 0
