"""The sequences of the hidden Markov model follow what was fitted."""
import keras
import numpy as np
import pytest

from rnnpt import models
from rnnpt.datasets import Sequences
from rnnpt.pretraining import HMM, FittedHMM, PlanError, fit_hmm
from tests.pretraining.small_plan import draw_pieces


def known_hmm() -> FittedHMM:
    """Three states; each emits frames of its own, two of them, one of which may be impossible."""
    return FittedHMM(
        alphabet=np.eye(6, dtype=np.uint8), start=np.array([0.5, 0.5, 0.0]),
        transition=np.array([[0.1, 0.9, 0.0], [0.0, 0.5, 0.5], [0.3, 0.3, 0.4]]),
        emission=np.array([[0.25, 0.75, 0, 0, 0, 0], [0, 0, 1.0, 0, 0, 0],
                           [0, 0, 0, 0, 0.5, 0.5]]),
        log_likelihoods=np.array([-2.0, -1.0]), converged=True, seconds=0.0)


def log_likelihood(hmm: FittedHMM, symbols: np.ndarray) -> float:
    """The forward recursion, written from its definition."""
    alpha, total = hmm.start * hmm.emission[:, symbols[0]], 0.0
    for symbol in symbols[1:]:
        total += np.log(alpha.sum())
        alpha = alpha / alpha.sum() @ hmm.transition * hmm.emission[:, symbol]
    return total + np.log(alpha.sum())


def to_symbols(hmm: FittedHMM, sequence: np.ndarray) -> np.ndarray:
    return (sequence[:, None] == hmm.alphabet).all(axis=2).argmax(axis=1)


def test_alphabet_is_the_distinct_training_frames():
    pieces = draw_pieces(0)
    alphabet = fit_hmm(pieces, num_states=2).alphabet
    rows = [tuple(frame) for frame in alphabet]
    assert len(set(rows)) == len(rows)
    assert set(rows) == {tuple(frame) for piece in pieces.sequences for frame in piece}


def test_em_climbs_to_the_likelihood_of_its_matrices():
    pieces = draw_pieces(0)
    hmm = fit_hmm(pieces, num_states=3, tolerance=1e-7, max_iterations=500)
    # EM never goes down but by rounding.
    assert np.diff(hmm.log_likelihoods).min() > -1e-12
    total = sum(log_likelihood(hmm, to_symbols(hmm, piece)) for piece in pieces.sequences)
    # The trace stops before the last iteration, whose gain is below the tolerance.
    assert total / pieces.num_frames == pytest.approx(hmm.log_likelihoods[-1], abs=1e-7)
    assert hmm.converged


def test_fit_that_does_not_converge_says_so_without_a_warning(caplog):
    hmm = fit_hmm(draw_pieces(0), num_states=3, tolerance=1e-9, max_iterations=2)
    assert not hmm.converged and len(hmm.log_likelihoods) == 2
    assert "not converged: raise max_iterations" in str(hmm)
    assert not caplog.records


def test_state_without_successor_begins_a_new_piece():
    # Each piece ends with a frame of its own, so one of two states has no successor.
    pieces = Sequences([np.eye(2, dtype=np.uint8)] * 5)
    hmm = fit_hmm(pieces, num_states=2, seed=1)
    np.testing.assert_allclose(hmm.transition.sum(axis=1), 1)
    assert len(hmm.sample([50], seed=0).sequences[0]) == 50


def test_samples_follow_the_matrices():
    # 20,000 frames, about 5,000 in each state and more; a frequency p of n draws lies within five
    # standard deviations sqrt(p (1 - p) / n) of its probability but once in a million times.
    hmm = known_hmm()
    sequences = hmm.sample([20] * 1000, seed=3).sequences
    state_of = np.array([0, 0, 1, 1, 2, 2])
    symbols = np.array([to_symbols(hmm, sequence) for sequence in sequences])
    states = state_of[symbols]

    def assert_frequencies(drawn: np.ndarray, probabilities: np.ndarray) -> None:
        frequencies = np.bincount(drawn, minlength=len(probabilities)) / len(drawn)
        bound = 5 * np.sqrt(probabilities * (1 - probabilities) / len(drawn))
        assert (np.abs(frequencies - probabilities) <= bound).all()

    assert_frequencies(states[:, 0], hmm.start)
    for state in range(3):
        assert_frequencies(states[:, 1:][states[:, :-1] == state], hmm.transition[state])
        assert_frequencies(symbols[states == state], hmm.emission[state])


def test_samples_have_the_lengths_asked_for_and_only_known_frames():
    pieces = draw_pieces(0)
    drawn = fit_hmm(pieces, num_states=3).sample([3, 1, 7], seed=0)
    assert [len(sequence) for sequence in drawn.sequences] == [3, 1, 7]
    known = {tuple(frame) for piece in pieces.sequences for frame in piece}
    assert {tuple(frame) for piece in drawn.sequences for frame in piece} <= known


def test_lengths_follow_the_training_data():
    # 2,000 lengths drawn from two in the ratio 3 to 1, within five standard deviations.
    pieces = Sequences([np.eye(2, dtype=np.uint8)] * 3 + [np.ones((5, 2), np.uint8)])
    drawn = HMM(num_states=2, num_sequences=2000).source(pieces)()
    lengths = np.array([len(sequence) for sequence in drawn.sequences])
    assert set(lengths) == {2, 5}
    assert abs((lengths == 2).mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 2000)


def test_same_seed_gives_the_same_sequences_and_another_seed_others():
    pieces = draw_pieces(0)
    first, again, other = (
        HMM(num_states=3, num_sequences=5, seed=seed).source(pieces)().frames()
        for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


def test_cache_gives_the_same_sequences_without_a_fit(tmp_path, capsys):
    pieces, cache = draw_pieces(0), tmp_path / "hmm.npz"
    hmm = HMM(num_states=3, num_sequences=5)
    first = hmm.source(pieces, cache)()
    assert "fitting 3 states" in capsys.readouterr().out
    again = hmm.source(pieces, cache)()
    assert "fitting" not in capsys.readouterr().out
    np.testing.assert_array_equal(first.frames(), again.frames())


@pytest.mark.parametrize("hmm, seed", [(HMM(num_states=2), 0), (HMM(num_states=3), 1)])
def test_cache_of_another_fit_is_not_used(tmp_path, capsys, hmm, seed):
    cache = tmp_path / "hmm.npz"
    HMM(num_states=3).source(draw_pieces(0), cache)()
    capsys.readouterr()
    hmm.source(draw_pieces(seed), cache)()
    assert "fitting" in capsys.readouterr().out


def test_pre_training_improves_the_likelihood_of_the_data():
    model, train = models.RNN(num_hidden=8), draw_pieces(0, num_pieces=30)
    model.build_for(6)
    before = float(np.sum([model.log_prob(piece[None]) for piece in train.sequences]))
    HMM(num_states=5, num_sequences=100, epochs=10, optimizer=keras.optimizers.Adam(0.02)).run(
        model, train, progress=False)
    after = float(np.sum([model.log_prob(piece[None]) for piece in train.sequences]))
    # It begins near 6 log 2 = 4.2 nats a frame.
    assert (after - before) / train.num_frames > 0.3


@pytest.mark.parametrize("name", ["num_states", "max_iterations"])
def test_fit_refuses_a_count_below_one(name):
    with pytest.raises(PlanError, match=f"`{name}`.*{name}=0"):
        fit_hmm(draw_pieces(0), **({"num_states": 2} | {name: 0}))


@pytest.mark.parametrize("name", ["num_states", "num_sequences", "max_iterations"])
@pytest.mark.parametrize("value", [0, 2.5])
def test_hmm_refuses_a_count_below_one(name, value):
    with pytest.raises(PlanError, match=f"`{name}`.*{name}={value}"):
        HMM(**{name: value})


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan")])
def test_fit_refuses_a_tolerance_that_is_not_positive(tolerance):
    with pytest.raises(PlanError, match=f"`tolerance`.*tolerance={tolerance}"):
        fit_hmm(draw_pieces(0), num_states=2, tolerance=tolerance)
