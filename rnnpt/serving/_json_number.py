"""JSON's numbers, rounded as RapidJSON rounds them where it is not told to be exact."""

import re

# Sign, whole part, fraction, exponent.
NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_MAX_UINT64 = 2**64 - 1
_MIN_INT64 = -(2**63)
# Doubles hold the integers up to here.
_MAX_EXACT = 2**53 - 1
# A tenth of the largest double, past which no digit may follow before the point.
_MAX_GROWING = 1.7976931348623157e307
_MAX_EXPONENT = 308


class NumberTooBig(ValueError):
    """The number is beyond the doubles, as RapidJSON sees it; some that are beyond it lets pass."""


def read_integer(token: str) -> int | float:
    """Reads a number without fraction and exponent.

    Args:
        token: The number's text.

    Returns:
        An int if 64 bits hold it, signed or not, else the double.

    Raises:
        NumberTooBig: If it is beyond the doubles.
    """
    if len(token) > 20:
        return read_double(token)
    value = int(token)
    return value if _MIN_INT64 <= value <= _MAX_UINT64 else read_double(token)


def read_double(token: str) -> float:
    """Reads a number: 17 digits gathered in a double, then one product or quotient.

    It is the nearest double for at most 15 digits and an exponent within 22, else at times the
    one beside it.

    Args:
        token: The number's text.

    Returns:
        The double; infinite where only that last product is beyond the doubles, such as 1.8e308.

    Raises:
        NumberTooBig: If the digits or the exponent alone are beyond them, such as 1e309.
    """
    if len(token) <= 15 and "e" not in token and "E" not in token:
        return float(token)
    match = NUMBER.fullmatch(token)
    assert match is not None  # both readers found it by this rule
    sign, whole, fraction, exponent = match.groups("")
    significand, power = _gather(whole, fraction, -_MIN_INT64 if sign else _MAX_UINT64)
    # Python refuses to read numbers of thousands of digits; ten say that it is out of any range.
    digits = exponent.lstrip("+-").lstrip("0")[:10]
    exponent_value = int(digits or 0) * (-1 if exponent.startswith("-") else 1)
    if exponent_value > _MAX_EXPONENT - power:
        raise NumberTooBig(token)
    value = _scale(significand, power + exponent_value)
    return -value if sign else value


def _gather(whole: str, fraction: str, max_exact: int) -> tuple[float, int]:
    """Returns the digits that count, as a number, and the power of ten that goes with it."""
    exact, used = 0, 0
    for digit in whole:
        if exact * 10 + int(digit) > max_exact:
            break
        exact, used = exact * 10 + int(digit), used + 1
    value = float(exact)
    for digit in whole[used:]:
        if value >= _MAX_GROWING:
            raise NumberTooBig(whole)
        value = value * 10.0 + int(digit)
    # RapidJSON does not count the first digit before the point.
    digits = len(whole) - 1 if exact else 0
    power, is_exact = 0, used == len(whole)
    for digit in fraction:
        is_exact = is_exact and exact <= _MAX_EXACT
        if not is_exact and digits >= 17:
            break
        exact = exact * 10 + int(digit)
        value = float(exact) if is_exact else value * 10.0 + int(digit)
        digits += value > 0.0
        power -= 1
    return value, power


def _scale(significand: float, power: int) -> float:
    if power >= 0:
        return significand * float(f"1e{power}")
    if power < -2 * _MAX_EXPONENT:
        return 0.0
    if power < -_MAX_EXPONENT:
        return significand / 1e308 / float(f"1e{-_MAX_EXPONENT - power}")
    return significand / float(f"1e{-power}")
