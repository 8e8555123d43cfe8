"""Bouncing balls: their physics, their pixels, and what a seed decides."""
import itertools
import re

import numpy as np
import pytest
from scipy.special import gamma

from rnnpt.datasets import BouncingBalls, bouncing_balls
from rnnpt.datasets.bouncing_balls import BOX, RADIUS, SPEED, bounce, draw_balls
from tests.reference import bouncing_balls as reference

# What balls may overlap each other and the walls by.
ROUNDING = 1e-9


def random_start(num_boxes: int, num_balls: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns balls on a grid, shaken a little, with random velocities."""
    random = np.random.default_rng(seed)
    grid = np.array(list(itertools.product([1.5, 5.0, 8.5], repeat=2)))[:num_balls]
    positions = grid + random.uniform(-0.2, 0.2, size=(num_boxes, num_balls, 2))
    velocities = random.normal(size=positions.shape)
    return positions, velocities / np.linalg.norm(velocities, axis=(1, 2), keepdims=True)


def distances(paths: np.ndarray) -> np.ndarray:
    """Returns the distance of each two balls (..., n, n), infinite of one to itself."""
    apart = np.linalg.norm(paths[..., :, np.newaxis, :] - paths[..., np.newaxis, :, :], axis=-1)
    return apart + np.where(np.eye(paths.shape[-2]), np.inf, 0)


@pytest.mark.parametrize("num_balls", [1, 2, 3, 6])
def test_balls_stay_in_the_box_and_out_of_each_other_with_the_energy_they_had(num_balls):
    # 500 boxes and 100 frames, which are hundreds of collisions a box.
    paths, velocities = bounce(*random_start(500, num_balls), num_steps=100)
    assert paths.min() > RADIUS - ROUNDING and paths.max() < BOX - RADIUS + ROUNDING
    assert distances(paths).min() > 2 * RADIUS - ROUNDING
    np.testing.assert_allclose((velocities ** 2).sum(axis=(2, 3)), 1, rtol=1e-12)
    assert np.ptp(paths, axis=1).min() > 0


def test_balls_that_meet_no_wall_keep_their_momentum_through_collisions():
    random = np.random.default_rng(1)
    angles = random.uniform(0, 2 * np.pi, 200)
    away = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    positions = np.stack([5 + 1.5 * away, 5 - 1.5 * away], axis=1)
    # Towards each other, not quite centrally, and slow enough to be far from the walls.
    velocities = np.stack([-0.3 * away, 0.3 * away], axis=1)
    velocities += random.normal(scale=0.02, size=(200, 2, 2))
    paths, after = bounce(positions, velocities, num_steps=6)
    assert 2 < paths.min() and paths.max() < 8
    collided = np.abs(after[:, -1] - velocities).max(axis=(1, 2)) > 0.1
    assert collided.all()
    np.testing.assert_allclose(after.sum(axis=2), np.broadcast_to(
        velocities.sum(axis=1)[:, np.newaxis], (200, 6, 2)), rtol=0, atol=1e-12)


def test_a_central_collision_exchanges_the_velocities():
    # The gap of 0.6 closes at a speed of 0.4 in 1.5 frames.
    positions, velocities = [[[3.0, 5.0], [6.0, 5.0]]], [[[0.3, 0.0], [-0.1, 0.0]]]
    paths, after = bounce(positions, velocities, num_steps=4)
    np.testing.assert_allclose(after[0, 1], velocities[0], atol=1e-12)
    np.testing.assert_allclose(after[0, 2], [[-0.1, 0], [0.3, 0]], atol=1e-12)
    np.testing.assert_allclose(
        paths[0, 2], [[3.45 - 0.05, 5], [5.85 + 0.15, 5]], rtol=0, atol=1e-12)


def test_one_ball_is_a_light_ray_in_a_room_of_mirrors():
    positions, velocities = random_start(300, 1, seed=3)
    paths, _ = bounce(positions, velocities, num_steps=60)
    free = BOX - 2 * RADIUS
    straight = positions[:, np.newaxis] + velocities[:, np.newaxis] * np.arange(60)[:, None, None]
    folded = np.abs((straight - RADIUS + free) % (2 * free) - free)
    np.testing.assert_allclose(paths, RADIUS + folded, rtol=0, atol=1e-10)


def test_paths_are_those_of_small_steps():
    # Errors of a substep of 1/1000 grow with every collision; 12 frames have few.
    positions, velocities = random_start(8, 3, seed=5)
    paths, _ = bounce(positions, velocities, num_steps=12)
    for box in range(8):
        expected = reference.bounce(
            positions[box].tolist(), velocities[box].tolist(), num_steps=12, substeps=1000)
        np.testing.assert_allclose(paths[box], expected, rtol=0, atol=0.02)


def test_backwards_in_time_balls_return_to_where_they_were():
    # Rounding errors grow with every collision, by some decades in 12 frames.
    positions, velocities = random_start(300, 4, seed=2)
    paths, after = bounce(positions, velocities, num_steps=12)
    back, _ = bounce(paths[:, -1], -after[:, -1], num_steps=12)
    np.testing.assert_allclose(back[:, ::-1], paths, rtol=0, atol=1e-6)


def test_a_ball_that_stands_still_is_struck():
    positions, velocities = [[[2.0, 5.0], [6.0, 5.0]]], [[[0.5, 0.0], [0.0, 0.0]]]
    paths, after = bounce(positions, velocities, num_steps=5)
    np.testing.assert_allclose(after[0, -1], [[0, 0], [0.5, 0]], atol=1e-12)
    np.testing.assert_allclose(paths[0, -1, :, 0], [3.6, 6 + 0.4], rtol=0, atol=1e-12)


@pytest.mark.parametrize("side", [15, 18])
def test_pixels_are_the_formula_and_x_runs_along_columns(side):
    paths = np.random.default_rng(4).uniform(RADIUS, BOX - RADIUS, size=(2, 2, 3, 2))
    frames = draw_balls(paths, side).reshape(2, 2, side, side)
    for box, step in itertools.product(range(2), repeat=2):
        expected = [[reference.pixel(paths[box, step].tolist(), side, row, column)
                     for column in range(side)] for row in range(side)]
        np.testing.assert_allclose(frames[box, step], expected, rtol=0, atol=1e-5)
    frame = draw_balls(np.array([[[[8.0, 2.0]]]]), side).reshape(side, side)
    row, column = np.unravel_index(frame.argmax(), frame.shape)
    assert row < side / 2 < column


def test_a_ball_is_as_large_and_where_it_is_said_to_be():
    # Many small pixels integrate its light: pi r^2 Gamma(5/4), around its centre.
    side = 100
    centres = np.random.default_rng(6).uniform(2, 8, size=(5, 1, 1, 2))
    frames = draw_balls(centres, side).reshape(5, side, side)
    np.testing.assert_allclose(
        frames.sum(axis=(1, 2)) * (BOX / side) ** 2, np.pi * RADIUS ** 2 * gamma(1.25), rtol=1e-4)
    places = (np.arange(side) + 0.5) * BOX / side
    for axis, others in ((0, 1), (1, 2)):
        middle = (frames.sum(axis=others) * places).sum(axis=1) / frames.sum(axis=(1, 2))
        np.testing.assert_allclose(middle, centres[:, 0, 0, axis], rtol=0, atol=1e-3)


def test_balls_of_a_draw_begin_free_and_with_one_energy(monkeypatch):
    starts = []

    def spy(*start: object) -> tuple[np.ndarray, np.ndarray]:
        starts.append(start)
        return bounce(*start)

    monkeypatch.setattr(bouncing_balls, "bounce", spy)
    BouncingBalls(side=4, num_balls=6, num_steps=2).draw(200, seed=0)
    [(positions, velocities, _)] = starts
    assert distances(positions).min() > 2 * RADIUS
    np.testing.assert_allclose(np.linalg.norm(velocities, axis=(1, 2)), SPEED, rtol=1e-12)
    # 1,200 velocities, each part of which has a variance of SPEED^2 / 12: five standard errors.
    assert np.abs(velocities.mean(axis=(0, 1))).max() < 5 * SPEED / np.sqrt(12 * 1_200)


def test_every_frame_is_as_full_as_the_first():
    # Balls that are drawn evenly stay so: 2,000 boxes, five standard errors of the difference.
    frames = BouncingBalls(side=15).draw(2_000, seed=0)["frames"].mean(axis=2)
    differences = frames[:, [9, 29]] - frames[:, :1]
    errors = differences.std(axis=0) / np.sqrt(2_000)
    assert (np.abs(differences.mean(axis=0)) < 5 * errors).all()


def test_a_draw_depends_on_seed_and_step_alone_and_differs_from_the_test_set():
    balls = BouncingBalls(side=5, num_steps=4)
    expected = balls.draw(20, seed=2, step=5)["frames"]
    assert expected.min() >= 0 and expected.max() <= 1
    balls.draw(7, seed=2, step=4)
    np.testing.assert_array_equal(
        BouncingBalls(side=5, num_steps=4).draw(20, seed=2, step=5)["frames"], expected)
    others = [balls.draw(20, seed, step)["frames"] for seed, step in ((2, 4), (5, 2), (0, 0))]
    test = balls.test_set(20)
    others += [test["frames"], balls.draw(20, seed=0)["frames"][::-1]]
    assert all((other != expected).any() for other in others)
    assert (test["frames"] != balls.draw(20, seed=0)["frames"]).any()
    np.testing.assert_array_equal(test["frames"], balls.test_set(20)["frames"])
    assert len({row.tobytes() for row in test["frames"]}) == 20
    assert test["mask"].all() and test["starts"].all()


def test_batches_go_on_where_they_were_stopped():
    balls = BouncingBalls(side=5, num_balls=2, num_steps=4)
    first = list(balls.batches(3, seed=1).take(3).as_numpy_iterator())
    [later] = balls.batches(3, seed=1, start=2).take(1).as_numpy_iterator()
    for name in ("frames", "mask", "starts"):
        np.testing.assert_array_equal(later[name], first[2][name])
        np.testing.assert_array_equal(later[name], balls.draw(3, 1, 2)[name])


@pytest.mark.parametrize("name", ["side", "num_balls", "num_steps"])
@pytest.mark.parametrize("wrong", [0, 1.5])
def test_counts_that_are_none_are_refused(name, wrong):
    with pytest.raises(ValueError, match=re.escape(
            f"`{name}` must be an integer of at least 1. Received: {name}={wrong}")):
        BouncingBalls(**{name: wrong})


def test_more_balls_than_fit_are_refused():
    with pytest.raises(ValueError, match="`num_balls` must be at most 6. Received: num_balls=7"):
        BouncingBalls(num_balls=7)


@pytest.mark.parametrize("method, name, value", [
    ("draw", "num_sequences", 0), ("draw", "seed", -1), ("draw", "step", -2),
    ("batches", "batch_size", 0), ("batches", "seed", 0.5), ("batches", "start", -1),
    ("test_set", "num_sequences", 0)])
def test_bad_counts_and_seeds_are_refused(method, name, value):
    arguments = {"draw": {"num_sequences": 1, "seed": 0}, "batches": {"batch_size": 1, "seed": 0},
                 "test_set": {}}[method]
    with pytest.raises(ValueError, match=re.escape(f"`{name}` must be an integer") +
                       f".*Received: {name}={value}"):
        getattr(BouncingBalls(side=3), method)(**{**arguments, name: value})
