"""JSON in, as TensorFlow Serving's parser (RapidJSON) reads it.

It differs from Python's `json` in what a client can see: NaN and the infinities in five spellings,
text after the document and a byte order mark before it ignored, the first of two equal keys wins,
any depth of nesting, numbers too big for a double refused, doubles of many digits rounded its way,
and its words for what is wrong, with the byte where. Python's scanner reads the ordinary document;
whatever it refuses, or might read otherwise, is read again by `_Reader`.
"""

import json
import re
from typing import Any, NoReturn

from rnnpt.serving._json_number import NUMBER, NumberTooBig, read_double, read_integer

# All the parser's complaints; the keys are RapidJSON's names without "kParseError". Source:
# error/en.h of RapidJSON 1.1.0, which TensorFlow Serving builds with; the iterative parser that
# stops at the document's end, as TensorFlow Serving calls it, has no use for the last four.
MESSAGES = {
    "DocumentEmpty": "The document is empty.",
    "ObjectMissName": "Missing a name for object member.",
    "ObjectMissColon": "Missing a colon after a name of object member.",
    "ObjectMissCommaOrCurlyBracket": "Missing a comma or '}' after an object member.",
    "ArrayMissCommaOrSquareBracket": "Missing a comma or ']' after an array element.",
    "ValueInvalid": "Invalid value.",
    "StringUnicodeEscapeInvalidHex": "Incorrect hex digit after \\u escape in string.",
    "StringUnicodeSurrogateInvalid": "The surrogate pair in string is invalid.",
    "StringEscapeInvalid": "Invalid escape character in string.",
    "StringMissQuotationMark": "Missing a closing quotation mark in string.",
    "NumberTooBig": "Number too big to be stored in double.",
    "NumberMissFraction": "Miss fraction part in number.",
    "NumberMissExponent": "Miss exponent in number.",
    "StringInvalidEncoding": "Invalid encoding in string.",
    "DocumentRootNotSingular": "The document root must not be followed by other values.",
    "Termination": "Terminate parsing due to Handler error.",
    "UnspecificSyntaxError": "Unspecific syntax error.",
}
_SPACE = re.compile("[ \t\n\r]*")
_PLAIN = re.compile('[^"\\\\\x00-\x1f]*')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
# Python's scanner is for containers, since it stops in the middle of some broken numbers; and it
# reads halves of surrogate pairs in another way.
_CONTAINER = re.compile(rb"[ \t\n\r]*[\[{]")
_RARE = re.compile(rb"\\u[dD]")
# RapidJSON passes over each byte of the mark that is there, not only over a whole one.
_BYTE_ORDER_MARK = re.compile("\xef?\xbb?\xbf?")


class JsonError(ValueError):
    """The text is no JSON."""


class JsonObject(list):
    """An object's members as (name, value) pairs, in order, equal names too."""

    def find(self, name: str) -> tuple[str, Any] | None:
        """Finds a member.

        Args:
            name: The member's name.

        Returns:
            The first (name, value) pair of that name, or None.
        """
        return next((pair for pair in self if pair[0] == name), None)


def parse_json(body: bytes) -> Any:
    """Reads the first JSON value of a text.

    Args:
        body: The text in UTF-8.

    Returns:
        None, a bool, an int that 64 bits hold, a float, a str, a list or a `JsonObject`.

    Raises:
        JsonError: If the text is no JSON, in RapidJSON's words.
    """
    if not body:
        raise JsonError("The document is empty")
    if _CONTAINER.match(body) and not _RARE.search(body):
        text = body.decode("utf-8", "surrogateescape")
        try:
            return _DECODER.raw_decode(text, _match_end(_SPACE, text, 0))[0]
        except (ValueError, RecursionError):
            pass
    # One character a byte, so that positions are the offsets that RapidJSON tells.
    return _Reader(body.decode("latin-1")).read()


def _match_end(pattern: re.Pattern, text: str, at: int) -> int:
    """Where a pattern that matches anything, or nothing, ends."""
    match = pattern.match(text, at)
    return at if match is None else match.end()


# `strict` refuses control characters, as RapidJSON does.
_DECODER = json.JSONDecoder(
    object_pairs_hook=JsonObject, parse_float=read_double, parse_int=read_integer, strict=True
)


class _Reader:
    """The exact way, without recursion, for any depth."""

    def __init__(self, text: str):
        self.text = text
        self.at = _match_end(_BYTE_ORDER_MARK, text, 0)

    def read(self) -> Any:
        """Reads one value; open containers wait on a stack, each with the name of its member."""
        stack: list[tuple[list, str | None]] = []
        self.skip()
        if self.at == len(self.text) or self.peek() in "]},:\x00":
            self.fail("DocumentEmpty")
        while True:
            value = self.start_value()
            if isinstance(value, list) and not self.close(value):
                stack.append((value, self.name() if isinstance(value, JsonObject) else None))
                continue
            while stack:
                container, name = stack.pop()
                container.append(value if name is None else (name, value))
                if not self.close(container, first=False):
                    name = self.name() if isinstance(container, JsonObject) else None
                    stack.append((container, name))
                    break
                value = container
            else:
                return value

    def start_value(self) -> Any:
        """Reads a whole scalar, or only the bracket that opens a container."""
        self.skip()
        character = self.peek()
        if character in "[{":
            self.at += 1
            return [] if character == "[" else JsonObject()
        if character == '"':
            return self.string()
        if character in "tfn":
            return self.literal({"t": "true", "f": "false", "n": "null"}[character])
        return self.number()

    def close(self, container: list, first: bool = True) -> bool:
        """Takes the bracket that ends a container, or the comma before its next element."""
        is_object = isinstance(container, JsonObject)
        self.skip()
        if self.peek() == ("}" if is_object else "]"):
            self.at += 1
            return True
        if not first:
            if self.peek() != ",":
                self.fail("ObjectMissCommaOrCurlyBracket" if is_object
                          else "ArrayMissCommaOrSquareBracket")
            self.at += 1
        return False

    def name(self) -> str:
        self.skip()
        if self.peek() != '"':
            self.fail("ObjectMissName")
        name = self.string()
        self.skip()
        if self.peek() != ":":
            self.fail("ObjectMissColon")
        self.at += 1
        return name

    def literal(self, word: str) -> bool | None:
        if not self.takes(word):
            self.fail("ValueInvalid")
        return {"true": True, "false": False, "null": None}[word]

    def number(self) -> int | float:
        start = self.at
        match = NUMBER.match(self.text, start)
        if match is None:
            return self.special()
        self.at = match.end()
        if match[3] is None and match[4] is None and self.peek() == ".":
            self.fail("NumberMissFraction", self.at + 1)
        if match[4] is None and self.peek() in "eE":
            signed = self.text[self.at + 1:self.at + 2] in ("+", "-")
            self.fail("NumberMissExponent", self.at + 1 + signed)
        read = read_integer if match[3] is None and match[4] is None else read_double
        try:
            return read(match[0])
        except NumberTooBig:
            self.fail("NumberTooBig", start)

    def special(self) -> float:
        sign = -1.0 if self.takes("-") else 1.0
        if self.peek() not in "NI":
            self.fail("ValueInvalid")
        if self.takes("NaN"):
            return float("nan")
        # Where "NaN" broke off, RapidJSON goes on to look for this.
        if not self.takes("Inf") or (self.peek() == "i" and not self.takes("inity")):
            self.fail("ValueInvalid")
        return sign * float("inf")

    def string(self) -> str:
        self.at += 1
        parts = []
        while True:
            start, self.at = self.at, _match_end(_PLAIN, self.text, self.at)
            parts.append(self.text[start:self.at].encode("latin-1"))
            character = self.peek()
            if character == "\\":
                parts.append(self.escape().encode("utf-8", "surrogatepass"))
            elif character == '"':
                self.at += 1
                return b"".join(parts).decode("utf-8", "surrogateescape")
            else:
                ended = character == "\x00"
                self.fail("StringMissQuotationMark" if ended else "StringEscapeInvalid")

    def escape(self) -> str:
        start = self.at
        letter = self.text[start + 1:start + 2]
        self.at += 2
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter != "u":
            self.fail("StringEscapeInvalid", start)
        code = self.hexadecimal(start)
        if 0xD800 <= code <= 0xDBFF:  # a second half alone passes
            if self.text[self.at:self.at + 2] != "\\u":
                self.fail("StringUnicodeSurrogateInvalid", start)
            self.at += 2
            low = self.hexadecimal(start)
            if not 0xDC00 <= low <= 0xDFFF:
                self.fail("StringUnicodeSurrogateInvalid", start)
            code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00)
        return chr(code)

    def hexadecimal(self, start: int) -> int:
        digits = self.text[self.at:self.at + 4]
        if not re.fullmatch("[0-9a-fA-F]{4}", digits):
            self.fail("StringUnicodeEscapeInvalidHex", start)
        self.at += 4
        return int(digits, 16)

    def skip(self) -> None:
        self.at = _match_end(_SPACE, self.text, self.at)

    def peek(self) -> str:
        """Returns the next character, NUL at the end as in RapidJSON's streams."""
        return self.text[self.at] if self.at < len(self.text) else "\x00"

    def takes(self, word: str) -> bool:
        """Takes as much of a word as is there; tells whether that was all."""
        for character in word:
            if self.peek() != character:
                return False
            self.at += 1
        return True

    def fail(self, kind: str, offset: int | None = None) -> NoReturn:
        where = self.at if offset is None else offset
        raise JsonError(f"{MESSAGES[kind]} at offset: {where}")
