"""The linear autoencoder against a decomposition of the whole matrix."""

import numpy as np
import pytest

from rnnpt.datasets import Sequences
from rnnpt.pretraining import PlanError, _delays, fit_linear_autoencoder
from rnnpt.pretraining._delay_products import delay_products

LENGTHS = (7, 4, 9, 1)


@pytest.fixture
def data() -> Sequences:
    """Pieces of random frames of three columns."""
    rng = np.random.default_rng(0)
    return Sequences([rng.normal(size=[length, 3]) for length in LENGTHS])


def centered(data: Sequences) -> list[np.ndarray]:
    """Returns the pieces less their mean frame, in float64."""
    pieces = [piece.astype(np.float64) for piece in data.sequences]
    mean = np.concatenate(pieces).mean(axis=0)
    return [piece - mean for piece in pieces]


def delays(pieces: list[np.ndarray], discount: float = 1.0) -> np.ndarray:
    """Returns the matrix whose rows are a frame and all before it, written down."""
    width, longest = pieces[0].shape[1], max(len(piece) for piece in pieces)
    rows = []
    for piece in pieces:
        for t in range(len(piece)):
            row = np.zeros(width * longest)
            past = [discount ** delay * piece[t - delay] for delay in range(t + 1)]
            row[:width * len(past)] = np.ravel(past)
            rows.append(row)
    return np.array(rows)


def reference(
    matrix: np.ndarray, width: int, num_units: int, discount: float = 1.0
) -> tuple[np.ndarray, ...]:
    """Returns A', B' = discount (U' R U)', and the coordinates V L, by the definitions."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    vectors = right[:num_units].T
    shift = np.eye(len(vectors), k=-width)
    return (vectors[:width], discount * (vectors.T @ shift @ vectors).T,
            left[:, :num_units] * values[:num_units])


def rank(data: Sequences) -> int:
    """Returns the rank of the data and their delays."""
    return int(np.linalg.matrix_rank(delays(centered(data))))


@pytest.mark.parametrize("discount", [1.0, 0.9])
@pytest.mark.parametrize("delays_at_once", [1, 2, 9, None])
def test_at_full_rank_nothing_is_lost(data, delays_at_once, discount):
    found = fit_linear_autoencoder(data, rank(data), delays_at_once, discount=discount)
    assert found.lost < 1e-25
    for piece in data.sequences:
        np.testing.assert_array_less(np.square(found.reconstruct(piece) - piece), 1e-20)


@pytest.mark.parametrize("discount", [1.0, 0.9])
@pytest.mark.parametrize("delays_at_once", [1, 4])
def test_slices_give_the_weights_of_the_whole_at_full_rank(data, delays_at_once, discount):
    units = rank(data)
    found, whole = (fit_linear_autoencoder(data, units, count, discount=discount)
                    for count in (delays_at_once, 9))
    kernel, recurrent, coordinates = reference(
        delays(centered(data), discount), 3, units, discount)
    for one in (found, whole):
        np.testing.assert_allclose(one.singular_values, np.linalg.norm(coordinates, axis=0))
        states = np.concatenate([one.encode(piece) for piece in data.sequences])
        # The signs of singular vectors are free.
        signs = np.sign(np.sum(states * coordinates, axis=0))
        np.testing.assert_allclose(states * signs, coordinates, atol=1e-9)
        np.testing.assert_allclose(one.input_kernel * signs, kernel, atol=1e-9)
        np.testing.assert_allclose(
            one.recurrent_kernel * np.outer(signs, signs), recurrent, atol=1e-9)


@pytest.mark.parametrize("discount", [1.0, 0.9])
@pytest.mark.parametrize("num_units", [2, 5])
def test_both_forms_of_the_recurrence_agree_below_the_rank(data, num_units, discount):
    found = fit_linear_autoencoder(data, num_units, delays_at_once=9, discount=discount)
    matrix = delays(centered(data), discount)
    kernel, recurrent, coordinates = reference(matrix, 3, num_units, discount)
    signs = np.sign(np.sum(found.input_kernel * kernel, axis=0))
    np.testing.assert_allclose(
        found.recurrent_kernel * np.outer(signs, signs), recurrent, atol=1e-10)
    squares = np.square(matrix).sum()
    np.testing.assert_allclose(found.lost, 1 - np.square(coordinates).sum() / squares)


def test_a_discounted_state_tells_more_of_the_last_frames():
    rng = np.random.default_rng(1)
    data = Sequences([rng.normal(size=[60, 3]) for _ in range(4)])
    errors = []
    for discount in (1.0, 0.6):
        found = fit_linear_autoencoder(data, 6, discount=discount)
        errors.append(np.mean([np.square(found.reconstruct(piece)[-2:] - piece[-2:])
                               for piece in data.sequences]))
    assert errors[1] < 0.5 * errors[0]


def test_delays_below_rounding_are_left_out(monkeypatch):
    long = Sequences([np.random.default_rng(2).normal(size=[400, 3])])
    asked = []
    decompose = _delays._decompose
    monkeypatch.setattr(_delays, "_decompose", lambda rows, states, first, last, units: (
        asked.append(last), decompose(rows, states, first, last, units))[1])
    fit_linear_autoencoder(long, 6, 1, discount=0.5)
    # 2^-52 is the rounding of a double, 2^-43 a little above that of a sum of 400.
    assert max(asked) == 44


def test_what_slices_lose_is_told_and_is_little_more(data):
    whole, sliced = (fit_linear_autoencoder(data, 5, count) for count in (9, 1))
    matrix = delays(centered(data))
    kept = np.square(sliced.singular_values).sum()
    # What the slices project away and what is left are all there was.
    np.testing.assert_allclose(kept / np.square(matrix).sum() + sliced.lost, 1)
    assert whole.lost < sliced.lost < 1.2 * whole.lost


@pytest.mark.parametrize("num_units", [5, 19])
def test_products_of_columns_do_as_well_as_factors_of_rows(data, monkeypatch, num_units):
    products = fit_linear_autoencoder(data, num_units, 2)
    monkeypatch.setattr(_delays, "_SQUARES_ARE_KNOWN", np.inf)
    factors = fit_linear_autoencoder(data, num_units, 2)
    for name in ("input_kernel", "recurrent_kernel", "singular_values"):
        np.testing.assert_allclose(
            np.abs(getattr(products, name)), np.abs(getattr(factors, name)), atol=1e-11)
    assert products.lost == pytest.approx(factors.lost, rel=1e-11)


@pytest.fixture
def long_data() -> Sequences:
    """Pieces with many more frames than delays count at a discount of 0.5; one column rests."""
    rng = np.random.default_rng(4)
    return Sequences([rng.normal(size=[length, 3]) * [1, 1, 0] for length in (400, 2, 380, 1)])


@pytest.mark.parametrize("lengths, num_delays", [(LENGTHS, 9), (LENGTHS, 3), ((1,), 2)])
def test_products_of_delays_are_those_of_the_matrix(lengths, num_delays):
    pieces = [np.random.default_rng(length).normal(size=[length, 3]) for length in lengths]
    factors = 0.8 ** np.arange(num_delays)
    matrix = np.pad(delays(pieces, 0.8), [(0, 0), (0, 3 * num_delays)])[:, :3 * num_delays]
    np.testing.assert_allclose(
        delay_products(pieces, factors), matrix.T @ matrix, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("delays_at_once", [1, 2, 50])
@pytest.mark.parametrize("num_units", [2, 5])
def test_products_of_all_delays_do_as_well_as_rows(
    long_data, monkeypatch, num_units, delays_at_once
):
    with monkeypatch.context() as patch:
        patch.setattr(_delays, "_from_rows", None)
        products = fit_linear_autoencoder(long_data, num_units, delays_at_once, discount=0.5)
    monkeypatch.setattr(_delays, "_from_products", None)
    monkeypatch.setattr(_delays, "_MOST_COLUMNS", 0)
    rows = fit_linear_autoencoder(long_data, num_units, delays_at_once, discount=0.5)
    for name in ("input_kernel", "recurrent_kernel", "singular_values"):
        np.testing.assert_allclose(
            np.abs(getattr(products, name)), np.abs(getattr(rows, name)), atol=1e-11)
    assert products.lost == pytest.approx(rows.lost, rel=1e-9)


def test_rows_are_read_where_products_do_not_tell(long_data, monkeypatch):
    found = fit_linear_autoencoder(long_data, 40, discount=0.5)
    monkeypatch.setattr(_delays, "_from_products", None)
    monkeypatch.setattr(_delays, "_MOST_COLUMNS", 0)
    rows = fit_linear_autoencoder(long_data, 40, discount=0.5)
    np.testing.assert_array_equal(found.recurrent_kernel, rows.recurrent_kernel)
    assert found.singular_values[-1] < 1e-2 * found.singular_values[0]


def test_the_parts_of_rows_change_nothing(data, monkeypatch):
    whole = fit_linear_autoencoder(data, 6, 2)
    monkeypatch.setattr(_delays, "_ROWS_AT_ONCE", 3)
    parts = fit_linear_autoencoder(data, 6, 2)
    np.testing.assert_allclose(
        np.abs(parts.recurrent_kernel), np.abs(whole.recurrent_kernel), atol=1e-10)


def test_without_a_mean_zero_is_nothing(data):
    found = fit_linear_autoencoder(data, 5, center=False)
    assert not found.mean.any()
    np.testing.assert_array_equal(found.encode(np.zeros([2, 3])), 0)


def test_states_are_as_large_as_told(data):
    found = fit_linear_autoencoder(data, rank(data))
    states = np.concatenate([found.encode(piece) for piece in data.sequences])
    assert found.state_size == pytest.approx(np.sqrt(np.square(states).mean(axis=0)).max())


@pytest.mark.parametrize("changes, message", [
    ({"num_units": 50}, "num_units=50, rank 20. Pass num_units=20 or less"),
    ({"num_units": 0}, "num_units=0"),
    ({"delays_at_once": -1}, "delays_at_once=-1"),
    ({"discount": 0}, "discount=0. Pass 1 for none"),
    ({"discount": 1.1}, "discount=1.1")])
def test_bad_counts_are_refused(data, changes, message):
    with pytest.raises(PlanError, match=message):
        fit_linear_autoencoder(data, **{"num_units": 5} | changes)


def test_data_that_never_vary_are_refused():
    with pytest.raises(PlanError, match="must vary. Received: one frame that stays"):
        fit_linear_autoencoder(Sequences([np.ones([3, 2])] * 2), 1)
