"""Curves: the drawing against its integral, and what a seed decides."""

import numpy as np
import pytest

from rnnpt.datasets import curves
from rnnpt.datasets.curve import SIDE, draw_curves

PEN = 0.6


def ink_at(points: np.ndarray, x: float, y: float) -> float:
    """Returns the integral of the docstring at a place, in float64 over 4,000 stretches."""
    first, control, last = points
    t = (np.arange(4_000)[:, None] + 0.5) / 4_000
    curve = (1 - t) ** 2 * first + 2 * t * (1 - t) * control + t ** 2 * last
    speed = np.linalg.norm(2 * (1 - t) * (control - first) + 2 * t * (last - control), axis=1)
    squares = ((curve - [x, y]) ** 2).sum(axis=1)
    ink = (np.exp(-squares / (2 * PEN ** 2)) * speed).mean() / (np.sqrt(2 * np.pi) * PEN)
    return min(ink, 1) if ink >= 1 / 255 else 0


def test_a_pixel_holds_the_integral_of_the_pen_along_the_curve():
    points = np.random.default_rng(0).uniform(3, 25, size=[3, 3, 2])
    images = draw_curves(points).reshape(3, SIDE, SIDE)
    for curve, image in zip(points, images):
        exact = [[ink_at(curve, column + 0.5, row + 0.5) for column in range(SIDE)]
                 for row in range(SIDE)]
        # A sum over 128 stretches; and 1/255 at the edge of what is no ink.
        np.testing.assert_allclose(image, exact, rtol=0, atol=5e-3)
        assert image.max() > 0.5


def test_a_straight_line_is_full_in_its_middle_and_empty_far_away():
    [image] = draw_curves(np.array([[[4.0, 14.5], [14.0, 14.5], [24.0, 14.5]]]))
    image = image.reshape(SIDE, SIDE)
    # Row 14 has its middle at 14.5; the x of points run along columns.
    np.testing.assert_allclose(image[14, 8:20], 1, atol=1e-5)
    np.testing.assert_array_equal(image[[10, 19]], 0)
    np.testing.assert_array_equal(image[:, [0, 27]], 0)


def test_pixels_are_from_0_to_1_and_no_ink_is_cut_off_at_the_edges():
    images = curves(500, 10, seed=4).train.reshape(500, SIDE, SIDE)
    assert images.min() == 0 and images.max() == 1
    for edge in (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]):
        assert edge.max() < 0.01


def test_a_seed_tells_the_training_images_however_many_others_there_are():
    one, other = curves(1_200, 3, seed=2), curves(1_200, 9, seed=2)
    np.testing.assert_array_equal(one.train, other.train)
    np.testing.assert_array_equal(one.test, other.test[:3])
    assert len({image.tobytes() for image in (*one.train, *one.test)}) == 1_203
    assert (curves(5, 5, seed=3).train != one.train[:5]).any()


@pytest.mark.parametrize("name", ["num_train", "num_test"])
def test_a_number_of_images_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer.*{name}=0"):
        curves(**{name: 0})
