"""JSON's numbers, rounded as RapidJSON rounds them where it is not told to be exact."""

import re

# Sign, whole part, fraction, exponent.
NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_MAX_UINT64 = 2**64 - 1
_MIN_INT64 = -(2**63)
# Doubles hold the integers up to here.
_MAX_EXACT = 2**53 - 1


def read_integer(token: str) -> int | float:
    """Reads a number without fraction and exponent.

    Args:
        token: The number's text.

    Returns:
        An int if 64 bits hold it, signed or not, else the double.
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
        The double, infinite if the number is beyond any.
    """
    if len(token) <= 15 and "e" not in token and "E" not in token:
        return float(token)
    match = NUMBER.fullmatch(token)
    assert match is not None  # both readers found it by this rule
    sign, whole, fraction, exponent = match.groups("")
    significand, power = _gather(whole, fraction)
    # No exponent of more digits matters; it also keeps the powers below small.
    value = _scale(significand, power + int(exponent[:7] or 0))
    return -value if sign else value


def _gather(whole: str, fraction: str) -> tuple[float, int]:
    """Returns the digits that count, as a number, and the power of ten that goes with it."""
    exact, used = 0, 0
    for digit in whole:
        if exact * 10 + int(digit) > _MAX_UINT64:
            break
        exact, used = exact * 10 + int(digit), used + 1
    value = float(exact)
    for digit in whole[used:]:
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
    if power > 308:
        return float("inf")
    if power >= 0:
        return significand * float(f"1e{power}")
    if power < -616:
        return 0.0
    if power < -308:
        return significand / 1e308 / float(f"1e{-308 - power}")
    return significand / float(f"1e{-power}")
