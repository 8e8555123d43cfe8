"""The line search and the walk back over iterates, against their definitions."""

import math

import numpy as np
import pytest
import tensorflow as tf

from rnnpt.optimizers._line_search import backtracking, walk_back


def search(function, slope: float, **options) -> tuple[float, float]:
    """Returns length and loss of a search along a function of the length."""
    length, loss = tf.function(lambda: backtracking(
        function, function(tf.constant(0.0)), tf.constant(slope), **options))()
    return float(length), float(loss)


def test_a_whole_step_that_lowers_the_loss_is_taken():
    length, loss = search(lambda length: (length - 1) ** 2, -2.0)
    assert (length, loss) == (1, 0)


@pytest.mark.parametrize("width", [0.3, 0.01])
def test_it_shortens_until_the_decrease_is_enough(width):
    length, loss = search(lambda length: (length / width - 1) ** 2, -2 / width)
    tried = 0.8 ** np.arange(60)
    enough = (tried / width - 1) ** 2 <= 1 - 0.01 * 2 / width * tried
    assert length == pytest.approx(tried[enough].max(), rel=1e-5)
    assert loss == pytest.approx((length / width - 1) ** 2, rel=1e-4, abs=1e-6)


def test_a_direction_that_only_rises_gets_no_step():
    assert search(lambda length: 3 + length, 1.0) == (0, 3)
    assert search(lambda length: 3 + length, -1.0, max_steps=5) == (0, 3)


def test_what_is_no_number_is_too_far():
    length, _ = search(lambda length: tf.where(length > 0.5, math.nan, -length), -1.0)
    assert length == pytest.approx(0.8 ** 4)


def walk(losses: list[float], start: float) -> int:
    """Returns the chosen iterate, computed in a graph."""
    return int(tf.function(lambda: walk_back(tf.constant(losses), tf.constant(start)))())


def test_it_walks_back_while_the_loss_falls_and_no_further():
    assert walk([1.0, 5.0, 2.0, 3.0, 4.0], start=9.0) == 2
    assert walk([3.0, 2.0, 1.0], start=9.0) == 2
    assert walk([1.0], start=9.0) == 0


def test_of_equal_losses_the_shorter_step_is_taken():
    assert walk([3.0, 2.0, 2.0, 2.0], start=9.0) == 1


def test_where_the_walk_finds_nothing_better_than_no_step_the_best_of_all_is_taken():
    assert walk([1.0, 8.0, 6.0, 7.0], start=5.0) == 0
    # The least of the bad ones, so that the line search has the best direction.
    assert walk([8.0, 6.0, 7.0, 6.5, 9.0], start=5.0) == 1


def test_what_is_no_number_is_the_worst():
    assert walk([2.0, 3.0, math.nan], start=5.0) == 0
    assert walk([math.nan, 3.0, 4.0], start=5.0) == 1
    assert walk([math.nan, math.inf], start=5.0) == 0
