"""The reservoir against its twin; what is fixed, and what its spectral radius is for."""

import numpy as np
import pytest

from rnnpt import cells
from tests.reference import reservoir

LENGTHS = [6, 2, 0]


def make_frames() -> tuple[np.ndarray, np.ndarray]:
    """Returns frames (3, 6, 4) and a mask of the lengths 6, 2 and 0."""
    mask = np.arange(6) < np.array(LENGTHS)[:, None]
    return np.random.default_rng(2).normal(size=[3, 6, 4]) * mask[..., None], mask


@pytest.mark.parametrize("integration, share, kept", [
    (0.0, 1.0, np.zeros(5)),
    (0.7, 1.0, np.full(5, 0.7)),
    (0.7, 0.4, np.array([0.7, 0.7, 0, 0, 0]))])
def test_unroll_equals_the_twin_and_stands_still_where_masked(integration, share, kept):
    cell = cells.ReservoirCell(
        5, num_connections=3, integration=integration, integrating_share=share, dtype="float64")
    cell.build((None, 4))
    cell.initial_state[0].assign(np.linspace(-0.5, 0.5, 5))
    frames, mask = make_frames()
    outputs, (state,) = cells.unroll(cell, frames, cell.get_initial_state(3), mask)
    weights = [weight.numpy() for weight in (cell.kernel, cell.recurrent_kernel)]
    for row, length in enumerate(LENGTHS):
        expected = reservoir.states(
            *weights, kept, cell.initial_state[0].numpy(), frames[row, :length])
        np.testing.assert_allclose(outputs[row, :length], expected[:-1], rtol=0, atol=1e-10)
        np.testing.assert_allclose(state[row], expected[-1], rtol=0, atol=1e-10)


def test_the_kernels_are_sparse_scaled_and_not_trained():
    cell = cells.ReservoirCell(
        30, spectral_radius=0.6, num_connections=4, input_scale=0.01, dtype="float64")
    cell.build((None, 20))
    kernel, recurrent_kernel = (w.numpy() for w in (cell.kernel, cell.recurrent_kernel))
    for one in (kernel, recurrent_kernel):
        np.testing.assert_array_equal(np.count_nonzero(one, axis=0), 4)
    np.testing.assert_allclose(abs(np.linalg.eigvals(recurrent_kernel)).max(), 0.6, atol=1e-9)
    # 120 Gaussian draws: five standard errors of their standard deviation.
    assert abs(kernel[kernel != 0].std() / 0.01 - 1) < 5 / np.sqrt(240)
    assert [weight.name for weight in cell.trainable_weights] == ["initial_state_0"]


def memory(spectral_radius: float, delay: int) -> float:
    """Returns the share of a random signal's variance that states of `delay` steps later tell."""
    cell = cells.ReservoirCell(
        100, spectral_radius, num_connections=10, input_scale=0.1, seed=4, dtype="float64")
    cell.build((None, 1))
    signal = np.random.default_rng(5).normal(size=[1, 4_000, 1])
    outputs, _ = cells.unroll(cell, signal, cell.get_initial_state(1))
    states, past = outputs.numpy()[0, 200:], signal[0, 200 - delay - 1:-delay - 1]
    kernel, bias = reservoir.ridge_regression(states[:2_000], past[:2_000], 1e-6)
    error = past[2_000:] - states[2_000:] @ kernel - bias
    return 1 - error.var() / past[2_000:].var()


def test_a_spectral_radius_just_below_one_remembers_longer():
    assert memory(0.9, delay=0) > 0.99 and memory(0.3, delay=0) > 0.99
    assert memory(0.9, delay=15) > 0.8
    # 0.3^15 of the signal is left, which the nonlinearity's own traces cover.
    assert memory(0.3, delay=15) < 0.2


@pytest.mark.parametrize("arguments, message", [
    ({"units": 0}, "ReservoirCell: every number of units must be .*got 0"),
    ({"integration": 1.0}, "integration must be from 0 on and below 1, got 1.0"),
    ({"integration": -0.1}, "integration must be from 0 on and below 1, got -0.1"),
    ({"integrating_share": 1.5}, "integrating_share must be from 0 to 1, got 1.5"),
    ({"spectral_radius": -1.0}, "radius must be a number from 0 on, got -1.0"),
    ({"input_scale": 0.0}, "scale must be a positive number, got 0.0"),
    ({"num_connections": 0}, "num_connections must be a positive integer, got 0")])
def test_bad_input_is_refused_by_name_and_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        cells.ReservoirCell(**{"units": 4, **arguments})
