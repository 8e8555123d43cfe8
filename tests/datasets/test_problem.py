import re
from collections import Counter
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from rnnpt import datasets
from rnnpt.datasets import ProblemBatch
from tests.reference import problem as reference

NAMES = ["Addition", "Multiplication", "Xor", "TemporalOrder", "ThreeBitTemporalOrder",
         "RandomPermutation", "Memorization5Bit", "Memorization20Bit"]
ONE_ANSWER = NAMES[:5]
LEAST = dict(zip(NAMES, [10, 10, 10, 10, 10, 2, 1, 1]))
# A right draw falls below it in one test of a thousand; the seeds are fixed.
LEAST_P_VALUE = 1e-3


def make(name: str, num_steps: int = 10) -> datasets.Problem:
    return getattr(datasets, name)(num_steps)


def rows(batch: ProblemBatch) -> Iterator[reference.Sequence]:
    for one in zip(*batch):
        yield reference.Sequence(*(part.tolist() for part in one))


def assert_drawn_from(found: Counter, expected: dict) -> None:
    """Fails unless every outcome occurs, and about as often as expected (chi-square)."""
    assert set(found) == set(expected)
    num_draws = sum(found.values())
    counts = [found[key] for key in expected]
    means = [float(chance) * num_draws for chance in expected.values()]
    assert min(means) > 20
    assert stats.chisquare(counts, means).pvalue > LEAST_P_VALUE


def assert_equal(first: ProblemBatch, second: ProblemBatch) -> None:
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def answers(batch: ProblemBatch) -> np.ndarray:
    """Returns outputs that are right wherever a target counts: values, or logits."""
    return batch.targets if batch.targets.shape[-1] > 1 else np.where(
        batch.weights[..., None] > 0, batch.targets, -7)


@pytest.mark.parametrize("name", NAMES)
def test_sequences_of_any_length_are_as_the_text_says(name):
    for num_steps in (LEAST[name], 11, 19, 30, 50, 77, 100, 200):
        problem = make(name, num_steps)
        for one in rows(problem.draw(10, seed=1, step=num_steps)):
            reference.READERS[name](one, num_steps)
        for one in rows(problem.test_set(10)):
            reference.READERS[name](one, num_steps)


@pytest.mark.parametrize("name, num_steps", [
    *((name, num_steps) for name in ONE_ANSWER for num_steps in (20, 23)),
    ("RandomPermutation", 6), ("Memorization5Bit", 2)])
def test_outcomes_are_drawn_evenly_and_each_of_them_occurs(name, num_steps):
    # 10,000 sequences, their joint outcomes by chi-square: at least 20 of each are expected.
    batch = make(name, num_steps).draw(10_000, seed=3)
    found = Counter(reference.READERS[name](one, num_steps).outcome for one in rows(batch))
    assert_drawn_from(found, reference.chances(name, num_steps))


def test_each_of_twenty_bits_of_symbols_is_drawn_evenly():
    # 10,000 sequences: each position by itself, and the first, fifth and last together.
    batch = datasets.Memorization20Bit(1).draw(10_000, seed=3)
    told = [reference.READERS["Memorization20Bit"](one, 1).outcome for one in rows(batch)]
    for i in range(10):
        assert_drawn_from(Counter(one[i] for one in told), dict.fromkeys(range(1, 6), 1 / 5))
    triples = dict.fromkeys(np.ndindex(5, 5, 5), 1 / 125)
    assert_drawn_from(Counter((one[0] - 1, one[4] - 1, one[9] - 1) for one in told), triples)


@pytest.mark.parametrize("name, num_steps, alphabet", [
    ("Xor", 20, [0, 1]), ("TemporalOrder", 20, range(3, 7)),
    ("ThreeBitTemporalOrder", 20, range(3, 7)), ("RandomPermutation", 6, range(3, 101))])
def test_what_distracts_is_drawn_evenly_from_its_alphabet(name, num_steps, alphabet):
    # 2,000 sequences of at least 4 distracting symbols: 8,000 draws or more, by chi-square.
    batch = make(name, num_steps).draw(2_000, seed=4)
    found = Counter(n for one in rows(batch)
                    for n in reference.READERS[name](one, num_steps).rest)
    assert_drawn_from(found, dict.fromkeys(alphabet, 1 / len(alphabet)))


@pytest.mark.parametrize("name", ["Addition", "Multiplication"])
def test_numbers_are_drawn_evenly_between_0_and_1(name):
    # 1,000 sequences of at least 20 numbers, in 50 intervals of one width, by chi-square.
    batch = make(name, 20).draw(1_000, seed=4)
    found = Counter(int(50 * value) for one in rows(batch)
                    for value in reference.READERS[name](one, 20).rest)
    assert_drawn_from(found, dict.fromkeys(range(50), 1 / 50))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", ["inputs", "targets", "weights"])
def test_the_checker_sees_a_wrong_number_anywhere(name, part):
    (one,) = rows(make(name).draw(1, seed=0))
    for t in range(len(one.weights)):
        damaged = reference.Sequence([*map(list, one.inputs)], [*map(list, one.targets)],
                                     list(one.weights))
        if part == "weights":
            damaged.weights[t] = 1 - damaged.weights[t]
        else:
            row = getattr(damaged, part)[t]
            row[-1] += 2
        with pytest.raises((AssertionError, ValueError)):
            reference.READERS[name](damaged, 10)


def test_the_two_marks_never_meet():
    # T' = 10 in half the sequences, where I = 1 is J's lowest too.
    inputs = datasets.Addition(10).draw(1_000, seed=0).inputs
    assert (inputs[..., 1].sum(axis=1) == 2).all()


def test_the_five_bits_are_all_there_once():
    problem = datasets.Memorization5Bit(3)
    told = [reference.READERS["Memorization5Bit"](one, 3).outcome
            for one in rows(problem.all_sequences())]
    assert told == sorted(reference.chances("Memorization5Bit", 3))
    assert_equal(problem.test_set(), problem.all_sequences())
    assert len(problem.test_set(40).inputs) == 40


@pytest.mark.parametrize("name", NAMES)
def test_a_draw_depends_on_seed_and_step_alone(name):
    problem = make(name, 20)
    expected = problem.draw(30, seed=2, step=5)
    for step in range(3):
        problem.draw(7, seed=2, step=step)
    assert_equal(problem.draw(30, seed=2, step=5), expected)
    assert_equal(make(name, 20).draw(30, seed=2, step=5), expected)
    for seed, step in ((2, 4), (2, 6), (5, 2), (3, 5)):
        assert (problem.draw(30, seed, step).inputs != expected.inputs).any()


@pytest.mark.parametrize("axis", ["seed", "step"])
def test_neighbouring_draws_are_independent(axis):
    # One sequence from each of 3,000 steps or seeds: its 5 bits by chi-square, and the pair of
    # first bits of one draw and the next.
    problem = datasets.Memorization5Bit(1)
    draws = [problem.draw(1, **{"seed": 0, axis: i}).inputs[0, :5, 1] for i in range(3_000)]
    told = [tuple(bits.astype(int) + 1) for bits in draws]
    assert_drawn_from(Counter(told), reference.chances("Memorization5Bit", 1))
    pairs = Counter((one[0], other[0]) for one, other in zip(told[::2], told[1::2]))
    assert_drawn_from(pairs, dict.fromkeys([(1, 1), (1, 2), (2, 1), (2, 2)], 1 / 4))


def test_neighbouring_draws_share_no_numbers():
    # Of two draws of 2,000 numbers of 24 bits, 0.24 are expected to be the same.
    problem = datasets.Addition(20)
    one, other = (problem.draw(100, seed=0, step=step).inputs[:, :20, 0] for step in (0, 1))
    assert np.intersect1d(one, other).size < 10


@pytest.mark.parametrize("name", NAMES)
def test_the_test_set_is_fixed_and_apart_from_the_draws(name):
    problem = make(name, 30)
    assert_equal(problem.test_set(50), make(name, 30).test_set(50))
    assert (problem.test_set(50).inputs != problem.draw(50, seed=0).inputs).any()


def test_the_test_set_has_ten_thousand_sequences():
    assert len(datasets.Xor(10).test_set().inputs) == 10_000


@pytest.mark.parametrize("name", NAMES)
def test_batches_are_the_draws_from_any_step_on(name):
    problem = make(name, 12)
    dataset = problem.batches(3, seed=4, start=6)
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    for _ in range(2):
        for step, batch in zip((6, 7, 8), dataset):
            expected = problem.draw(3, seed=4, step=step)
            assert_equal(batch, expected)
            for spec, part in zip(dataset.element_spec, expected):
                assert (tuple(spec.shape), spec.dtype) == (part.shape, part.dtype)


def test_fit_trains_on_batches_and_weighs_their_targets():
    problem = datasets.Addition(10)
    model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
    history = model.fit(problem.batches(8, seed=0), steps_per_epoch=1, shuffle=False, verbose=0)
    batch = problem.draw(8, seed=0)
    expected = (batch.weights * batch.targets[..., 0] ** 2).mean()
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_predictor_solves_every_problem(name):
    problem = make(name, 20)
    batch = problem.test_set(200)
    assert problem.zero_one_loss(answers(batch), batch) == 0
    assert not problem.wrong_sequences(answers(batch), batch).any()
    assert problem.is_solved(answers(batch), batch)


@pytest.mark.parametrize("name, constant, loss, wrong", [
    # |(u + v) / 2 - 1 / 2| > 0.04, the tails of a triangle
    ("Addition", [0.5], 0.92 ** 2, 0.92 ** 2),
    # |u v - 1 / 4| > 0.04, where P(u v < x) = x - x log x
    ("Multiplication", [0.25], 1 - (0.29 - 0.29 * np.log(0.29)) + (0.21 - 0.21 * np.log(0.21)),
     1 - (0.29 - 0.29 * np.log(0.29)) + (0.21 - 0.21 * np.log(0.21))),
    ("Xor", [3.0], 1 / 2, 1 / 2),
    ("TemporalOrder", [0, 0, 1, 0], 3 / 4, 3 / 4),
    ("ThreeBitTemporalOrder", [-1] * 7 + [0], 7 / 8, 7 / 8),
    ("RandomPermutation", [0, 1] + [0] * 98, 1 / 2, 1 / 2),
    ("Memorization5Bit", [0, 1, 0], 1 / 2, 31 / 32),
    ("Memorization20Bit", [0, 0, 0, 0, 5, 0], 4 / 5, 1 - 5.0 ** -10),
])
def test_a_constant_predictor_is_wrong_as_often_as_chance_says(name, constant, loss, wrong):
    # 10,000 sequences; the bound is four standard deviations of a share of sequences.
    problem = make(name, 10)
    batch = problem.test_set(10_000)
    outputs = np.broadcast_to(np.float32(constant), batch.targets.shape)
    assert abs(problem.zero_one_loss(outputs, batch) - loss) < 4 * np.sqrt(
        loss * (1 - loss) / 10_000)
    assert abs(problem.wrong_sequences(outputs, batch).mean() - wrong) <= 4 * np.sqrt(
        wrong * (1 - wrong) / 10_000)
    assert not problem.is_solved(outputs, batch)


def test_every_blank_remembers_nothing():
    problem = datasets.Memorization5Bit(200)
    batch = problem.all_sequences()
    outputs = np.broadcast_to([0, 0, 1], batch.targets.shape)
    assert problem.zero_one_loss(outputs, batch) == 1


@pytest.mark.parametrize("name", ["Addition", "Multiplication"])
def test_a_number_may_be_off_by_four_hundredths_either_way(name):
    problem = make(name)
    batch = problem.draw(6, seed=0)
    offsets = np.array([0, 0.0399, -0.0399, 0.0401, -0.0401, np.nan])
    outputs = np.where(batch.weights > 0, batch.targets[..., 0] + offsets[:, None], 100)[..., None]
    wrong = [False, False, False, True, True, True]
    assert problem.wrong_sequences(outputs, batch).tolist() == wrong
    assert problem.zero_one_loss(outputs, batch) == 1 / 2


def test_a_logit_above_zero_says_that_the_bits_differ():
    problem = datasets.Xor(10)
    targets = np.zeros([4, 11, 1])
    weights = np.zeros([4, 11])
    outputs = np.full([4, 11, 1], 9.0)
    for i, (length, target, logit) in enumerate([(10, 1, 0.2), (11, 1, -0.2), (10, 0, 0.2),
                                                 (11, 0, -0.2)]):
        weights[i, length - 1] = 1
        targets[i, length - 1] = target
        outputs[i, length - 1] = logit
    batch = ProblemBatch(np.zeros([4, 11, 2]), targets, weights)
    assert problem.wrong_sequences(outputs, batch).tolist() == [False, True, True, False]
    assert problem.zero_one_loss(outputs, batch) == 1 / 2


@pytest.mark.parametrize("name", ["TemporalOrder", "ThreeBitTemporalOrder"])
def test_only_the_last_step_tells_the_order(name):
    problem = make(name)
    batch = problem.draw(4, seed=0)
    outputs = np.zeros_like(batch.targets)
    outputs[:, -1] = batch.targets[:, -1]
    assert problem.zero_one_loss(outputs, batch) == 0
    outputs[2, -1] = 1 - batch.targets[2, -1]
    assert problem.wrong_sequences(outputs, batch).tolist() == [False, False, True, False]
    assert problem.zero_one_loss(outputs, batch) == 1 / 4


def test_random_permutation_is_judged_by_the_step_before_the_last():
    problem = datasets.RandomPermutation(10)
    batch = problem.draw(4, seed=0)
    outputs = np.zeros_like(batch.targets)
    outputs[:, 8] = batch.targets[:, 8]
    assert problem.zero_one_loss(outputs, batch) == 0
    outputs[1, 8] = -outputs[1, 8]
    assert problem.wrong_sequences(outputs, batch).tolist() == [False, True, False, False]
    assert problem.zero_one_loss(outputs, batch) == 1 / 4


@pytest.mark.parametrize("name, num_remembered", [("Memorization5Bit", 5),
                                                  ("Memorization20Bit", 10)])
def test_memorization_counts_remembered_symbols_and_no_blank(name, num_remembered):
    problem = make(name, 30)
    batch = problem.draw(4, seed=0)
    outputs = -batch.targets  # a wrong answer everywhere
    outputs[:, -num_remembered:] *= -1
    assert problem.zero_one_loss(outputs, batch) == 0
    outputs[1, -1] *= -1
    outputs[3, -num_remembered:-num_remembered + 2] *= -1
    assert problem.wrong_sequences(outputs, batch).tolist() == [False, True, False, True]
    assert problem.zero_one_loss(outputs, batch) == 3 / (4 * num_remembered)


@pytest.mark.parametrize("name", NAMES)
def test_an_output_that_is_not_a_number_is_wrong(name):
    problem = make(name)
    batch = problem.draw(50, seed=0)
    assert problem.zero_one_loss(np.full_like(batch.targets, np.nan), batch) == 1


@pytest.mark.parametrize("num_wrong, solved", [(0, True), (9, True), (10, False), (11, False)])
def test_a_problem_is_solved_when_less_than_one_percent_is_wrong(num_wrong, solved):
    problem = datasets.Memorization5Bit(1)
    batch = problem.draw(1_000, seed=0)
    outputs = batch.targets.copy()
    outputs[:num_wrong, -2:] *= -1
    assert problem.is_solved(outputs, batch) is solved


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [-1, 0, 2.5, True])
def test_a_problem_that_is_too_short_is_refused(name, wrong):
    least = LEAST[name]
    for num_steps in (wrong, least - 1):
        with pytest.raises(ValueError, match=re.escape(
                f"`num_steps` must be an integer of at least {least}. Received: "
                f"num_steps={num_steps!r}. Take a longer problem: ")):
            make(name, num_steps)


@pytest.mark.parametrize("method, name, value", [
    ("draw", "num_sequences", 0), ("draw", "seed", -1), ("draw", "step", -2),
    ("draw", "seed", 2**63), ("batches", "batch_size", 0), ("batches", "seed", 0.5),
    ("batches", "start", -1), ("test_set", "num_sequences", -3)])
def test_bad_counts_and_seeds_are_refused(method, name, value):
    arguments = {"draw": {"num_sequences": 1, "seed": 0}, "batches": {"batch_size": 1, "seed": 0},
                 "test_set": {}}[method]
    with pytest.raises(ValueError, match=re.escape(f"`{name}` must be an integer") +
                       f".*Received: {name}={value}"):
        getattr(datasets.Addition(10), method)(**{**arguments, name: value})


@pytest.mark.parametrize("method", ["wrong_sequences", "zero_one_loss", "is_solved"])
def test_outputs_of_another_shape_are_refused(method):
    problem = datasets.Addition(10)
    with pytest.raises(ValueError, match=re.escape(
            "`outputs` must have the shape of the batch's targets. Received: shape (2, 11) for "
            "(2, 11, 1)")):
        getattr(problem, method)(np.zeros([2, 11]), problem.draw(2, seed=0))
