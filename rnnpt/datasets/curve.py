"""Images of random smooth curves: a look-alike of the CURVES set."""

import numpy as np

from rnnpt.datasets.image import Images

#: Pixels along a side of an image.
SIDE = 28

# Nearest that a control point comes to an image's edge, in pixels, so that no ink is cut off.
_MARGIN = 3.0
# Standard deviation of the pen across its stroke, in pixels.
_PEN = 0.6
# Points a curve is summed over: half a pixel apart at most, less than the pen is wide.
_NUM_POINTS = 128
_IMAGES_AT_ONCE = 1_000


def curves(num_train: int = 20_000, num_test: int = 10_000, seed: int = 0) -> Images:
    """Draw random curves, 28 x 28 gray pixels from 0 to 1.

    This is a look-alike of CURVES and not the set itself, which is a file of its authors: figures
    measured on one are not figures of the other. As there, an image shows one smooth curve that
    three random points of the plane tell whole, so that six numbers describe it.

    Args:
        num_train: Training images, as many as the original has by default.
        num_test: Test images.
        seed: Of the points; training images do not depend on the number of test images.

    Returns:
        Training and test images (N, 784).

    Raises:
        ValueError: If a number of images is not positive.

    Example:
        >>> images = curves(num_train=5, num_test=2)
        >>> images.train.shape, float(images.train.min()), float(images.train.max())
        ((5, 784), 0.0, 1.0)

    Source: Hinton and Salakhutdinov 2006 (curves from three random points); Sutskever 2013,
    table 7.1 (the sizes).
    """
    parts = []
    for part, (name, number) in enumerate((("num_train", num_train), ("num_test", num_test))):
        if number < 1:
            raise ValueError(
                f"`{name}` must be a positive integer. Received: {name}={number}. 20,000 and "
                "10,000 are the sizes of the original.")
        random = np.random.default_rng([seed, part])
        points = random.uniform(_MARGIN, SIDE - _MARGIN, size=(number, 3, 2))
        parts.append(np.concatenate([
            draw_curves(points[first:first + _IMAGES_AT_ONCE])
            for first in range(0, number, _IMAGES_AT_ONCE)]))
    return Images(parts[0], parts[1], "curves")


def draw_curves(points: np.ndarray) -> np.ndarray:
    """Draw one quadratic Bezier curve an image with a pen that is Gaussian across its stroke.

    Equation: a pixel at p holds min(1, ink(p)), where ink(p) is the integral of
    exp(-|p - c(t)|^2 / (2 pen^2)) |c'(t)| over t from 0 to 1, divided by sqrt(2 pi) pen: 1 in the
    middle of a long straight line. Less than 1/255 of ink is none.

    Args:
        points: Start, control point and end (N, 3, 2) in pixels, x before y; pixel (0, 0) reaches
            from 0 to 1 along both axes.

    Returns:
        Images (N, 784) float32, row by row.
    """
    first, control, last = np.moveaxis(np.asarray(points, np.float32), 1, 0)[:, :, np.newaxis]
    # Midpoints of equal stretches of t (P, 1).
    t = ((np.arange(_NUM_POINTS, dtype=np.float32) + 0.5) / _NUM_POINTS)[:, np.newaxis]
    curve = (1 - t) ** 2 * first + 2 * t * (1 - t) * control + t ** 2 * last
    slope = 2 * (1 - t) * (control - first) + 2 * t * (last - control)
    length = np.linalg.norm(slope, axis=-1) / _NUM_POINTS
    # The Gaussian of two coordinates is a product of two, so that an image is a matrix product.
    across = np.arange(SIDE, dtype=np.float32) + 0.5 - curve[..., np.newaxis]
    pen = np.exp(across ** 2 * np.float32(-0.5 / _PEN ** 2))
    ink = np.swapaxes(pen[:, :, 1] * length[..., np.newaxis], 1, 2) @ pen[:, :, 0]
    ink *= np.float32(1 / (np.sqrt(2 * np.pi) * _PEN))
    ink = np.where(ink < 1 / 255, 0, np.minimum(ink, 1))
    return ink.reshape(len(ink), -1)
