"""What every head shares, and what it refuses."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import heads
from rnnpt.heads.head import inverse_temperature


@pytest.mark.parametrize("temperature", [0, 0.0, -1.5, float("inf"), float("nan"), np.float32(0)])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match=f"temperature must be a positive number, .*{temperature}"):
        inverse_temperature(temperature)


def test_a_temperature_a_row_divides_that_row():
    np.testing.assert_array_equal(inverse_temperature(tf.constant([0.5, 4.0])), [[2.0], [0.25]])


@pytest.mark.parametrize(
    "method, arguments", [("num_parameters", 1), ("sample", 2), ("mean", 2)])
def test_a_head_without_a_distribution_says_so(method, arguments):
    with pytest.raises(NotImplementedError, match=f"Head has no {method}"):
        getattr(heads.Head(), method)(*[None] * arguments)
