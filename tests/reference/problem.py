"""The artificial problems read back, one sequence and one step at a time (thesis section 4.4).

Each reader takes what was drawn for one sequence as plain lists, checks every sentence of the
text, and returns what chance decided. `chances` says how likely each outcome is, by counting.
Positions and symbols count from 1, as in the text. An interval from a to b of integers holds each
n with a <= n <= b, whether or not its ends are integers.
"""
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

Outcome = tuple[int, ...]


class Sequence(NamedTuple):
    """One sequence of a problem."""

    inputs: list[list[float]]
    targets: list[list[float]]
    weights: list[float]


class Reading(NamedTuple):
    """What chance decided in a sequence."""

    outcome: Outcome  # what the answer depends on
    rest: list[float]  # the other numbers or symbols; all numbers where they are real


def integers(low: Fraction, high: Fraction) -> list[int]:
    """Returns the integers of an interval with these ends."""
    return [n for n in range(int(high) + 1) if low <= n <= high]


def symbol(row: list[float]) -> int:
    """Returns the symbol that a row is the 1-of-N encoding of; 0 if the row is empty."""
    if row.count(0.0) == len(row):
        return 0
    assert row.count(1.0) == 1 and row.count(0.0) == len(row) - 1
    return row.index(1.0) + 1


def read_two_marks(
    sequence: Sequence, num_steps: int, answer: Callable[[float, float], float], bits: bool
) -> Reading:
    """Reads a sequence of the addition, multiplication or XOR problem (4.4.1)."""
    assert len(sequence.inputs) == len(sequence.targets) == len(sequence.weights)
    assert len(sequence.inputs) == max(integers(Fraction(num_steps), Fraction(11 * num_steps, 10)))
    length = sequence.weights.index(1.0) + 1
    assert num_steps <= length and 10 * length <= 11 * num_steps
    for t, (row, target, weight) in enumerate(zip(*sequence), start=1):
        assert len(row) == 2 and len(target) == 1
        assert weight == (1 if t == length else 0)
        if t != length:
            assert target == [0]
        if t > length:
            assert row == [0, 0]

    values = {t: sequence.inputs[t - 1][0] for t in range(1, length + 1)}
    for value in values.values():
        assert value in (0, 1) if bits else 0 <= value <= 1
    marked = []
    for t in range(1, length + 1):
        mark = sequence.inputs[t - 1][1]
        assert mark in (0, 1)
        if mark == 1:
            marked.append(t)
    first, second = marked
    assert 1 <= first and 10 * first <= length
    assert length <= 10 * second and 2 * second <= length
    expected = answer(values[first], values[second])
    assert abs(sequence.targets[length - 1][0] - expected) < 1e-6  # float32
    if not bits:
        return Reading((length, first, second), list(values.values()))
    return Reading((length, first, second, int(values[first]), int(values[second])),
                   [values[t] for t in values if t not in marked])


def read_order(sequence: Sequence, tenths: list[tuple[int, int]], num_steps: int) -> Reading:
    """Reads a sequence of either temporal order problem (4.4.2 and 4.4.3)."""
    assert len(sequence.inputs) == len(sequence.targets) == len(sequence.weights) == num_steps
    symbols = {t: symbol(row) for t, row in enumerate(sequence.inputs, start=1)}
    assert all(len(row) == 6 for row in sequence.inputs)
    special = [t for t in symbols if symbols[t] in (1, 2)]
    others = [t for t in symbols if symbols[t] in (3, 4, 5, 6)]
    assert len(special) + len(others) == num_steps
    assert len(special) == len(tenths)
    for t, (low, high) in zip(special, tenths):
        assert low * num_steps <= 10 * t <= high * num_steps
    for t in range(1, num_steps):
        assert symbol(sequence.targets[t - 1]) == 0 and sequence.weights[t - 1] == 0
    assert sequence.weights[-1] == 1
    assert len(sequence.targets[-1]) == 2 ** len(tenths)

    answers = [()]
    for _ in tenths:
        answers = [(*start, end) for start in answers for end in (1, 2)]
    told = tuple(symbols[t] for t in special)
    assert symbol(sequence.targets[-1]) == answers.index(told) + 1
    return Reading((*special, *told), [symbols[t] for t in others])


def read_permutation(sequence: Sequence, num_steps: int) -> Reading:
    """Reads a sequence of the random permutation problem (4.4.4)."""
    assert len(sequence.inputs) == len(sequence.targets) == len(sequence.weights) == num_steps
    assert all(len(row) == 100 for row in sequence.inputs + sequence.targets)
    symbols = [symbol(row) for row in sequence.inputs]
    assert symbols[0] in (1, 2)
    assert symbols[-1] == symbols[0]
    for other in symbols[1:-1]:
        assert 3 <= other <= 100
    for t in range(1, num_steps):
        assert symbol(sequence.targets[t - 1]) == symbols[t]
        assert sequence.weights[t - 1] == 1
    assert symbol(sequence.targets[-1]) == 0
    assert sequence.weights[-1] == 0
    return Reading((symbols[0],), symbols[1:-1])


def read_memorization(
    sequence: Sequence, num_steps: int, num_remembered: int, num_symbols: int
) -> Reading:
    """Reads a sequence of either memorization problem (4.4.5)."""
    blank, trigger = num_symbols + 1, num_symbols + 2
    length = num_steps + 2 * num_remembered
    assert len(sequence.inputs) == len(sequence.targets) == len(sequence.weights) == length
    assert all(len(row) == trigger for row in sequence.inputs)
    assert all(len(row) == blank for row in sequence.targets)
    given = {t: symbol(row) for t, row in enumerate(sequence.inputs, start=1)}
    asked = {t: symbol(row) for t, row in enumerate(sequence.targets, start=1)}
    for t in range(1, length + 1):
        assert sequence.weights[t - 1] == 1
        if t <= num_remembered:
            assert 1 <= given[t] <= num_symbols
        elif t == num_steps + num_remembered:
            assert given[t] == trigger
        else:
            assert given[t] == blank
        if t <= num_steps + num_remembered:
            assert asked[t] == blank
        else:
            assert asked[t] == given[t - num_steps - num_remembered]
    return Reading(tuple(given[t] for t in range(1, num_remembered + 1)), [])


ORDER = [(1, 2), (5, 6)]
THREE_BIT_ORDER = [(1, 2), (3, 4), (6, 7)]
READERS: dict[str, Callable[[Sequence, int], Reading]] = {
    "Addition": lambda one, t: read_two_marks(one, t, lambda a, b: (a + b) / 2, False),
    "Multiplication": lambda one, t: read_two_marks(one, t, lambda a, b: a * b, False),
    "Xor": lambda one, t: read_two_marks(one, t, lambda a, b: int(a) ^ int(b), True),
    "TemporalOrder": lambda one, t: read_order(one, ORDER, t),
    "ThreeBitTemporalOrder": lambda one, t: read_order(one, THREE_BIT_ORDER, t),
    "RandomPermutation": read_permutation,
    "Memorization5Bit": lambda one, t: read_memorization(one, t, 5, 2),
    "Memorization20Bit": lambda one, t: read_memorization(one, t, 10, 5),
}


def chances(name: str, num_steps: int) -> dict[Outcome, Fraction]:
    """Returns how likely each outcome of a problem is, for all but the 5^10 of the largest."""
    if name in ("Addition", "Multiplication", "Xor"):
        return _mark_chances(num_steps, bits=name == "Xor")
    if name == "RandomPermutation":
        return {(1,): Fraction(1, 2), (2,): Fraction(1, 2)}
    found: dict[Outcome, Fraction] = {(): Fraction(1)}
    if name == "Memorization5Bit":
        return _extend(found, [[1, 2]] * 5)
    tenths = ORDER if name == "TemporalOrder" else THREE_BIT_ORDER
    places = [integers(Fraction(low * num_steps, 10), Fraction(high * num_steps, 10))
              for low, high in tenths]
    return _extend(found, [*places, *[[1, 2]] * len(tenths)])


def _mark_chances(num_steps: int, bits: bool) -> dict[Outcome, Fraction]:
    found: dict[Outcome, Fraction] = {}
    lengths = integers(Fraction(num_steps), Fraction(11 * num_steps, 10))
    for length in lengths:
        firsts = integers(Fraction(1), Fraction(length, 10))
        for first in firsts:
            # Two values are marked, so the second mark is not on the first.
            seconds = [n for n in integers(Fraction(length, 10), Fraction(length, 2))
                       if n != first]
            for second in seconds:
                found[length, first, second] = Fraction(
                    1, len(lengths) * len(firsts) * len(seconds))
    return _extend(found, [[0, 1]] * 2) if bits else found


def _extend(start: dict[Outcome, Fraction], choices: list[list[int]]) -> dict[Outcome, Fraction]:
    """Follows each outcome by an even choice from each list."""
    for choice in choices:
        start = {(*outcome, n): chance / len(choice)
                 for outcome, chance in start.items() for n in choice}
    return start
