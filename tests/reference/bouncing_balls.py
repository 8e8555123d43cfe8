"""Balls in a box by small steps, one ball and one pixel at a time (thesis section 3.11.1)."""
import math

BOX, RADIUS = 10.0, 1.2


def bounce(
    positions: list[list[float]], velocities: list[list[float]], num_steps: int, substeps: int
) -> list[list[list[float]]]:
    """Returns the centres at each frame; what touches is turned after the substep it touches in."""
    positions = [list(row) for row in positions]
    velocities = [list(row) for row in velocities]
    paths = [[list(row) for row in positions]]
    for _ in range(num_steps - 1):
        for _ in range(substeps):
            for position, velocity in zip(positions, velocities):
                for axis in range(2):
                    position[axis] += velocity[axis] / substeps
                    if position[axis] < RADIUS:
                        velocity[axis] = abs(velocity[axis])
                    if position[axis] > BOX - RADIUS:
                        velocity[axis] = -abs(velocity[axis])
            for one in range(len(positions)):
                for other in range(one):
                    _exchange(positions[one], positions[other], velocities[one], velocities[other])
        paths.append([list(row) for row in positions])
    return paths


def _exchange(
    one: list[float], other: list[float], speed: list[float], other_speed: list[float]
) -> None:
    """Two balls that touch and come nearer leave with each other's part along their line."""
    distance = math.dist(one, other)
    if distance > 2 * RADIUS:
        return
    line = [(a - b) / distance for a, b in zip(one, other)]
    before = sum(s * part for s, part in zip(speed, line))
    other_before = sum(s * part for s, part in zip(other_speed, line))
    if before - other_before >= 0:
        return
    for axis in range(2):
        speed[axis] += (other_before - before) * line[axis]
        other_speed[axis] += (before - other_before) * line[axis]


def pixel(centres: list[list[float]], side: int, row: int, column: int) -> float:
    """Returns the light of a pixel."""
    x, y = ((place + 0.5) * BOX / side for place in (column, row))
    return min(1.0, sum(
        math.exp(-(math.dist((x, y), centre) / RADIUS) ** 8) for centre in centres))
