"""JSON out, laid out as TensorFlow Serving's writer (RapidJSON's PrettyWriter) does."""

import decimal
import functools
import math
import struct
from typing import Any

from rnnpt.serving._json_parser import JsonObject

_INDENT = "    "
# Debug texts show this much of a value.
_MAX_DEBUG_BYTES = 256
_FLOAT32 = struct.Struct("f")
# RapidJSON's own bound of what it calls a float.
_MAX_FLOAT32 = 3.4028234e38
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r",
            "\t": "\\t"}
_ESCAPES |= {chr(code): f"\\u{code:04X}" for code in range(32) if chr(code) not in _ESCAPES}
_ESCAPE_TABLE = str.maketrans(_ESCAPES)


class Writer:
    """Gathers a document's text from a walk over it.

    `single_line` may change during the walk: it holds for the arrays that are written, opened or
    closed while it is set.
    """

    def __init__(self) -> None:
        self.single_line = False
        self._parts: list[str] = []
        # For each open container: whether it is an array, and how many values it has.
        self._levels: list[tuple[bool, int]] = []

    def raw(self, text: str) -> None:
        """Writes a value that is JSON already.

        Args:
            text: The value's text.
        """
        self._prefix()
        self._parts.append(text)

    def key(self, name: str) -> None:
        """Writes a member's name.

        Args:
            name: The name.
        """
        self.raw(quote(name))

    def open(self, bracket: str) -> None:
        """Opens a container.

        Args:
            bracket: "[" or "{".
        """
        self.raw(bracket)
        self._levels.append((bracket == "[", 0))

    def close(self, bracket: str) -> None:
        """Closes the innermost container.

        Args:
            bracket: "]" or "}".
        """
        in_array, count = self._levels.pop()
        if count and not (in_array and self.single_line):
            self._new_line()
        self._parts.append(bracket)

    @property
    def num_parts(self) -> int:
        """How many pieces of text were written, each at least a character."""
        return len(self._parts)

    def text(self) -> str:
        """Returns what was written.

        Returns:
            The document.
        """
        return "".join(self._parts)

    def _prefix(self) -> None:
        if not self._levels:
            return
        in_array, count = self._levels[-1]
        self._levels[-1] = (in_array, count + 1)
        if in_array:
            if count:
                self._parts.append(", " if self.single_line else ",")
            if not self.single_line:
                self._new_line()
        elif count % 2:
            self._parts.append(": ")
        else:
            if count:
                self._parts.append(",")
            self._new_line()

    def _new_line(self) -> None:
        self._parts.append("\n" + _INDENT * len(self._levels))


def quote(text: str) -> str:
    """Writes a string.

    Args:
        text: Its characters.

    Returns:
        Its JSON, in quotation marks.
    """
    return f'"{text.translate(_ESCAPE_TABLE)}"'


def format_float(value: float) -> str:
    """Writes a number of 32 bits, in 6 digits if they are enough and else in 9.

    Args:
        value: The number.

    Returns:
        Its text, with a point or an exponent; "NaN", "Infinity" or "-Infinity".
    """
    if not value:  # equal keys of a cache, but two texts
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    return _format_float(value)


@functools.lru_cache(maxsize=4096)
def _format_float(value: float) -> str:
    if not math.isfinite(value):
        return _special(value)
    text = f"{value:.6g}"
    if _FLOAT32.unpack(_FLOAT32.pack(float(text)))[0] != value:
        text = f"{value:.9g}"
    return _with_point(text)


def format_double(value: float) -> str:
    """Writes a number of 64 bits, in 6 digits if they are enough and else in 17.

    Args:
        value: The number.

    Returns:
        Its text, with a point or an exponent; "NaN", "Infinity" or "-Infinity".
    """
    if not math.isfinite(value):
        return _special(value)
    text = f"{value:.6g}"
    return _with_point(text if float(text) == value else f"{value:.17g}")


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _with_point(text: str) -> str:
    return text if "." in text or "e" in text else text + ".0"


def debug_text(value: Any) -> str:
    """Writes a parsed value for an error's text.

    Args:
        value: A value from `parse_json`.

    Returns:
        Its JSON, cut where it is long.
    """
    if isinstance(value, float):
        as_float = math.isfinite(value) and abs(value) <= _MAX_FLOAT32
        text = (format_float(_FLOAT32.unpack(_FLOAT32.pack(value))[0]) if as_float
                else format_double(value))
    else:
        writer = Writer()
        writer.single_line = True
        _walk(writer, value)
        text = writer.text()
    data = text.encode("utf-8", "surrogateescape")
    return data[:_MAX_DEBUG_BYTES].decode("utf-8", "replace")


def type_name(value: Any) -> str:
    """Names a value's type for an error's text.

    Args:
        value: A value from `parse_json`.

    Returns:
        RapidJSON's name; true and false are types of their own.
    """
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, JsonObject):
        return "Object"
    return {type(None): "Null", str: "String", list: "Array"}.get(type(value), "Number")


def _walk(writer: Writer, value: Any) -> None:
    """Writes a value of any depth; stops when the text is longer than errors show."""
    pending: list[Any] = [value]
    while pending and writer.num_parts < 4 * _MAX_DEBUG_BYTES:
        item = pending.pop()
        if isinstance(item, _Close):
            writer.close(item)
        elif isinstance(item, JsonObject):
            writer.open("{")
            pending.append(_Close("}"))
            for name, member in reversed(item):
                pending += [member, _Key(name)]
        elif isinstance(item, list):
            writer.open("[")
            pending.append(_Close("]"))
            pending += reversed(item)
        elif isinstance(item, _Key):
            writer.key(item)
        elif isinstance(item, float) and not math.isfinite(item):
            writer.raw("")  # RapidJSON's writer stops at what strict JSON does not have
            return
        else:
            writer.raw(_scalar(item))


class _Close(str):
    """A bracket that waits until its container's values are written."""


class _Key(str):
    """A name that waits for its turn."""


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quote(value)
    return _shortest(value) if isinstance(value, float) else str(value)


def _shortest(value: float) -> str:
    """RapidJSON's own text of a double, unlike that of tensors: the shortest that reads back."""
    sign, digits, exponent = decimal.Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    point = len(text) + int(exponent)  # 10^(point - 1) <= value < 10^point
    if text == "0":
        text = "0.0"
    elif len(text) <= point <= 21:
        text = text.ljust(point, "0") + ".0"
    elif 0 < point <= 21:
        text = f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        text = "0." + "0" * -point + text
    else:
        text = f"{text[0]}.{text[1:]}".rstrip(".") + f"e{point - 1}"
    return "-" + text if sign else text
