"""Videos of balls that bounce in a box, off its walls and off each other."""
import itertools
from collections.abc import Iterator

import numpy as np

from rnnpt.datasets._draw import TEST, check_integer, generator
from rnnpt.datasets.sequence import Batch
from rnnpt.datasets.stream import Stream, as_batch

#: Side of the box, in units of length; a frame shows all of it.
BOX = 10.0
#: Radius of every ball, in units of length.
RADIUS = 1.2
#: Root of the sum of the balls' squared speeds, in units of length a frame.
SPEED = 0.5
#: Most balls, a quarter of the box: more are hardly ever drawn free of each other.
MOST_BALLS = 6
#: Sequences of a test set.
NUM_TEST_SEQUENCES = 1_000

# Frames that are drawn at once, so that they stay in the processor's cache.
_FRAMES_AT_ONCE = 500


class BouncingBalls(Stream):
    """Balls of one size and mass in a square box, seen as gray pixels from 0 to 1.

    Use it as a hard set of many pixels where, but for the first frames, all can be foretold. The
    positions are drawn evenly from all those where no ball touches another or a wall, the
    velocities from the sphere of one kinetic energy; then nothing is left to chance. Pixels are no
    bits: a model needs `BernoulliHead(support="unit")`; `metrics.kl_divergence` tells its error.

    The thesis names the balls, the length and 18 x 18 pixels (section 4.5.1; 15 x 15 in 4.3.4),
    and nothing of sizes and speeds: those here are the ones of the videos of its chapter 3, as the
    program has them that its author gave away. That program moves balls in steps of half a frame,
    in which they may overlap; here each collision happens at its time.

    Args:
        side: Pixels N along a side of a frame.
        num_balls: Balls in the box, at most 6.
        num_steps: Frames T of a sequence.

    Raises:
        ValueError: If a number is not a positive integer, or there are too many balls.

    Example:
        >>> balls = BouncingBalls(side=15)
        >>> batch = balls.draw(num_sequences=2, seed=0)
        >>> batch["frames"].shape
        (2, 30, 225)

    Source: Sutskever 2013, sections 3.11.1, 4.3.4 and 4.5.1.
    """

    def __init__(self, side: int = 18, num_balls: int = 3, num_steps: int = 30) -> None:
        check_integer("side", side, 1, "The thesis has 15 and 18.")
        check_integer("num_balls", num_balls, 1, "The thesis has 3.")
        check_integer("num_steps", num_steps, 1, "The thesis has 30.")
        if num_balls > MOST_BALLS:
            raise ValueError(
                f"`num_balls` must be at most {MOST_BALLS}. Received: num_balls={num_balls}. Take "
                "fewer: so many hardly fit into the box.")
        self.side = side
        self.num_balls = num_balls
        self.num_steps = num_steps
        self.num_visible = side ** 2

    def __repr__(self) -> str:
        return (f"BouncingBalls(side={self.side}, num_balls={self.num_balls}, "
                f"num_steps={self.num_steps})")

    def test_set(self, num_sequences: int = NUM_TEST_SEQUENCES) -> Batch:
        """Draw the fixed test set, which no training seed draws.

        Args:
            num_sequences: Sequences N of the set.

        Returns:
            A batch of N sequences, the same at every call with this N.

        Raises:
            ValueError: If `num_sequences` is not a positive integer.
        """
        check_integer("num_sequences", num_sequences, 1, "Leave it out for the usual test set.")
        return as_batch(self._frames(generator(0, TEST, 0), num_sequences))

    def _frames(self, rng: np.random.Generator, num_sequences: int) -> np.ndarray:
        positions = _place(rng, num_sequences, self.num_balls)
        velocities = rng.normal(size=positions.shape)
        velocities *= SPEED / np.linalg.norm(velocities, axis=(1, 2), keepdims=True)
        paths, _ = bounce(positions, velocities, self.num_steps)
        return draw_balls(paths, self.side)


def bounce(
    positions: np.ndarray, velocities: np.ndarray, num_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Move balls without friction, each collision at its very time.

    Between collisions a ball moves evenly. A wall turns the part of its velocity that points into
    the wall; two balls exchange the parts along the line of their centres. So their kinetic energy
    stays what it is, and where no wall is met their momentum does; balls overlap each other or a
    wall by rounding errors alone, less than 1e-9.

    Args:
        positions: Centres at the first frame (B, n, 2), x before y, from `RADIUS` to
            `BOX - RADIUS`, each two at least 2 `RADIUS` apart.
        velocities: In units of length a frame (B, n, 2).
        num_steps: Frames T.

    Returns:
        Centres and velocities at each frame (B, T, n, 2), float64.
    """
    states = []
    positions, velocities = np.array(positions, np.float64), np.array(velocities, np.float64)
    for step in range(num_steps):
        if step:
            _move_one_frame(positions, velocities)
        states.append((positions.copy(), velocities.copy()))
    paths, speeds = (np.stack(parts, axis=1) for parts in zip(*states))
    return paths, speeds


def draw_balls(paths: np.ndarray, side: int) -> np.ndarray:
    """Draw each ball as a bright disk with a soft edge.

    Equation: a pixel at p holds min(1, sum over balls of exp(-(|p - centre| / radius)^8)).

    Args:
        paths: Centres (B, T, n, 2), x before y, x along the columns of a frame.
        side: Pixels N along a side; p is a pixel's middle.

    Returns:
        Frames (B, T, N^2) float32, row by row.
    """
    places = ((np.arange(side) + 0.5) * (BOX / side / RADIUS)).astype(np.float32)
    centres = (paths / RADIUS).astype(np.float32).reshape(-1, *paths.shape[2:])
    frames = np.empty((len(centres), side, side), np.float32)
    for rows in _slices(len(centres), _FRAMES_AT_ONCE):
        squares = (centres[rows, :, :, np.newaxis] - places) ** 2
        x, y = squares[:, :, 0], squares[:, :, 1]
        light = y[..., np.newaxis] + x[:, :, np.newaxis]
        # The fourth power of the squared distance.
        np.square(light, out=light)
        np.square(light, out=light)
        np.exp(np.negative(light, out=light), out=light)
        np.minimum(light.sum(axis=1), 1, out=frames[rows])
    # TensorFlow takes smaller numbers now for what they are, now for 0.
    frames[frames < np.finfo(np.float32).tiny] = 0
    return frames.reshape(*paths.shape[:2], side ** 2)


def _slices(size: int, length: int) -> Iterator[slice]:
    return (slice(start, start + length) for start in range(0, size, length))


def _place(rng: np.random.Generator, num_sequences: int, num_balls: int) -> np.ndarray:
    """Draw all balls of a box anew until none touches another: (B, n, 2)."""
    positions = np.empty((num_sequences, num_balls, 2))
    missing = np.arange(num_sequences)
    while len(missing):
        drawn = rng.uniform(RADIUS, BOX - RADIUS, size=(len(missing), num_balls, 2))
        first, second = _pairs(num_balls)
        distances = np.linalg.norm(drawn[:, first] - drawn[:, second], axis=-1)
        free = (distances > 2 * RADIUS).all(axis=1)
        positions[missing[free]] = drawn[free]
        missing = missing[~free]
    return positions


def _pairs(num_balls: int) -> np.ndarray:
    """The first and the second ball of each pair (2, P)."""
    pairs = list(itertools.combinations(range(num_balls), 2))
    return np.array(pairs, int).reshape(-1, 2).T


def _move_one_frame(positions: np.ndarray, velocities: np.ndarray) -> None:
    """Move the balls of all boxes, in place: from collision to collision, those that have one."""
    rows, left = np.arange(len(positions)), np.ones(len(positions))
    while len(rows):
        where, speed = positions[rows], velocities[rows]
        waits = np.concatenate(
            [_waits_for_walls(where, speed), _waits_for_balls(where, speed)], axis=1)
        event = waits.argmin(axis=1)
        wait = waits[np.arange(len(rows)), event]
        positions[rows] = where + speed * np.minimum(wait, left)[:, np.newaxis, np.newaxis]
        collides = wait < left
        rows, left = rows[collides], (left - wait)[collides]
        _collide(positions, velocities, rows, event[collides])


def _waits_for_walls(where: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Frames until each ball meets each pair of opposite walls (B, 2 n)."""
    wall = np.where(speed > 0, BOX - RADIUS, RADIUS)
    still = speed == 0
    waits = np.where(still, np.inf, (wall - where) / np.where(still, 1, speed))
    # A ball that stands in a wall by a rounding error is at it.
    return np.maximum(waits, 0).reshape(len(where), -1)


def _waits_for_balls(where: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Frames until each two balls meet (B, P): the earlier root of a quadratic equation."""
    first, second = _pairs(where.shape[1])
    apart, speed = where[:, first] - where[:, second], speed[:, first] - speed[:, second]
    nearing = -(apart * speed).sum(axis=-1)
    gap = np.maximum((apart ** 2).sum(axis=-1) - (2 * RADIUS) ** 2, 0)
    square = nearing ** 2 - (speed ** 2).sum(axis=-1) * gap
    meets = (nearing > 0) & (square >= 0)
    root = np.sqrt(np.where(meets, square, 0))
    # In this form nothing cancels.
    return np.where(meets, gap / np.where(meets, nearing + root, 1), np.inf)


def _collide(
    positions: np.ndarray, velocities: np.ndarray, rows: np.ndarray, event: np.ndarray
) -> None:
    """Turn the velocities of one collision in each of some boxes, in place."""
    num_balls = positions.shape[1]
    at_wall = event < 2 * num_balls
    ball, axis = np.divmod(event[at_wall], 2)
    velocities[rows[at_wall], ball, axis] *= -1
    rows, pair = rows[~at_wall], event[~at_wall] - 2 * num_balls
    first, second = _pairs(num_balls)[:, pair]
    line = positions[rows, first] - positions[rows, second]
    line /= np.linalg.norm(line, axis=-1, keepdims=True)
    exchanged = ((velocities[rows, first] - velocities[rows, second]) * line).sum(
        axis=-1, keepdims=True) * line
    velocities[rows, first] -= exchanged
    velocities[rows, second] += exchanged
