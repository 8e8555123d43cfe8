"""Sparse kernels and spectral radii: what was asked for is what is drawn, each time."""

import keras
import numpy as np
import pytest

from rnnpt.initializers import Sparse, SpectralRadius, scale_to_radius


@pytest.mark.parametrize("initializer", [Sparse(3), SpectralRadius(0.8, 3)])
def test_each_unit_has_its_number_of_incoming_connections(initializer):
    kernel = np.array(initializer((20, 20), "float64"))
    np.testing.assert_array_equal(np.count_nonzero(kernel, axis=0), 3)
    # Columns choose on their own: 20 equal choices of 3 out of 20 have no chance.
    assert len({tuple(np.flatnonzero(column)) for column in kernel.T}) > 1


def test_a_unit_with_few_inputs_takes_them_all_where_that_is_asked_for():
    assert np.count_nonzero(Sparse(or_all=True)((2, 30))) == 60
    assert np.count_nonzero(SpectralRadius(1.2, or_all=True)((6, 6))) == 36
    np.testing.assert_array_equal(
        Sparse(4, seed=3, or_all=True)((20, 30)), Sparse(4, seed=3)((20, 30)))


def test_a_kernel_of_ones_own_is_scaled_to_its_radius():
    kernel = np.random.default_rng(0).normal(size=[7, 7])
    scaled = scale_to_radius(kernel, 1.2)
    np.testing.assert_allclose(np.abs(np.linalg.eigvals(scaled)).max(), 1.2, rtol=1e-10)
    np.testing.assert_allclose(scaled / scaled[0, 0], kernel / kernel[0, 0], rtol=1e-10)


def test_the_variance_preserving_initializer_is_that_of_keras():
    # Uniform between -+ sqrt(6 / (inputs + units)): 60,000 draws come within 1 % of the ends.
    kernel = np.array(keras.initializers.GlorotUniform(seed=0)((200, 300)))
    np.testing.assert_allclose([kernel.min(), kernel.max()], [-(6 / 500) ** 0.5, (6 / 500) ** 0.5],
                               rtol=0.01)


def test_sparse_connections_are_gaussian_with_their_scale():
    kernel = np.array(Sparse(10, scale=0.3)((50, 2_000), "float64"))
    drawn = kernel[kernel != 0] / 0.3
    # 20,000 draws: five standard errors of the mean, the variance and the fourth moment.
    assert abs(drawn.mean()) < 5 * 20_000 ** -0.5
    assert abs((drawn ** 2).mean() - 1) < 5 * (2 / 20_000) ** 0.5
    assert abs((drawn ** 4).mean() - 3) < 5 * (96 / 20_000) ** 0.5


@pytest.mark.parametrize("radius", [0.0, 0.5, 1.2])
@pytest.mark.parametrize("num_connections, units", [(1, 5), (4, 30), (15, 60), (15, 15), (1, 1)])
def test_the_largest_eigenvalue_has_the_radius_asked_for(radius, num_connections, units):
    kernel = np.array(SpectralRadius(radius, num_connections, seed=3)((units, units), "float64"))
    # Eigenvalues of a matrix that is not symmetric are less exact than its entries.
    np.testing.assert_allclose(abs(np.linalg.eigvals(kernel)).max(), radius, atol=1e-9)


@pytest.mark.parametrize("initializer", [
    Sparse(3, scale=0.5, seed=7), Sparse(or_all=True),
    SpectralRadius(0.9, num_connections=2, seed=8)])
def test_a_config_draws_the_same_kernel_and_another_seed_another(initializer):
    copy = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    assert copy.get_config() == initializer.get_config()
    kernel = np.array(initializer((6, 6)))
    np.testing.assert_array_equal(copy((6, 6)), kernel)
    np.testing.assert_array_equal(initializer((6, 6)), kernel)
    other = type(initializer)(**{**initializer.get_config(), "seed": 9})
    assert (np.array(other((6, 6))) != kernel).any()


@pytest.mark.parametrize("make, message", [
    (lambda: Sparse(0), "num_connections must be a positive integer, got 0"),
    (lambda: SpectralRadius(1.0, 2.5), "num_connections must be a positive integer, got 2.5"),
    (lambda: Sparse(scale=0.0), "scale must be a positive number, got 0.0"),
    (lambda: Sparse(scale=float("nan")), "scale must be a positive number, got nan"),
    (lambda: Sparse(seed=-1), "seed must be an integer from 0 on, got -1"),
    (lambda: SpectralRadius(1.0, seed=None), "seed must be an integer from 0 on, got None"),
    (lambda: SpectralRadius(-0.5), "radius must be a number from 0 on, got -0.5"),
    (lambda: Sparse()((2, 30)), "num_connections must be at most .* got 15 for 2 inputs"),
    (lambda: SpectralRadius(1.0)((9, 9)), "num_connections must be at most .* got 15 for 9 inputs"),
    (lambda: scale_to_radius(np.zeros([3, 3]), 1.2), "eigenvalue .* other than 0, got 0.0"),
    (lambda: scale_to_radius(np.full([3, 3], np.inf), 1.2), "kernel must .* a number .* got nan"),
    (lambda: SpectralRadius(1.0)((3, 4)), r"shape must be square, got \(3, 4\)")])
def test_bad_input_is_refused_by_name_and_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()
