"""The parameters of `POST /v1/continue`, which stand in its query."""

import dataclasses
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from rnnpt.music.piano_roll import MAX_QPM, MIN_QPM
from rnnpt.serving.error import InvalidArgument


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What the query may say.

    Args:
        model: The model's name; none needed where one alone is served.
        version: One version of it, None for the newest.
        num_steps: How many steps to add.
        temperature: Below 1 for safer music, above for wilder.
        seed: The continuation's seed.
        qpm: Tempo of the answer in quarter notes a minute; None for the file's own.
        steps_per_quarter: The grid; None for the one that the model was trained on.
    """

    model: str = ""
    version: int | None = None
    num_steps: int = 64
    temperature: float = 1.0
    seed: int = 0
    qpm: float | None = None
    steps_per_quarter: int | None = None


#: Name -> form, least and largest value.
_NUMBERS: Mapping[str, tuple[type, float, float]] = {
    "version": (int, 0, 2**63 - 1),
    "num_steps": (int, 1, 2**31 - 1),
    "temperature": (float, 1e-3, 1e3),
    "seed": (int, 0, 2**31 - 1),
    "qpm": (float, MIN_QPM, MAX_QPM),
    "steps_per_quarter": (int, 1, 96),
}
# Python reads more than these as numbers: other alphabets, underscores, blanks.
_FORMS = {int: re.compile("[0-9]{1,19}"), float: re.compile("[0-9.eE-]{1,32}")}


def parse_query(query: str) -> Parameters:
    """Reads the query.

    Args:
        query: What stands behind the question mark.

    Returns:
        The parameters.

    Raises:
        InvalidArgument: If one is unknown, stands there twice or is out of its range.
    """
    known = [field.name for field in dataclasses.fields(Parameters)]
    found: dict[str, Any] = {}
    for name, text in urllib.parse.parse_qsl(query, keep_blank_values=True):
        if name not in known or name in found:
            raise InvalidArgument(
                f"the query must hold each of {', '.join(known)} at most once, got "
                f"{name!r:.60}{' again' if name in found else ''}; leave it out")
        found[name] = text if name == "model" else _number(name, text)
    return Parameters(**found)


def _number(name: str, text: str) -> float:
    kind, least, most = _NUMBERS[name]
    try:
        value = kind(text) if _FORMS[kind].fullmatch(text) else None
    except ValueError:
        value = None
    if value is None or not least <= value <= most:
        what = "a whole number" if kind is int else "a number"
        bounds = [f"{bound:g}" if kind is float else str(bound) for bound in (least, most)]
        raise InvalidArgument(
            f"{name} must be {what} from {' to '.join(bounds)}, got {text!r:.60}; choose one")
    return value
