"""What the bodies of all REST's calls share: an object, the signature's name, strings in base64."""

import base64
import re
from typing import Any

from rnnpt.serving._json_parser import JsonError, JsonObject, parse_json
from rnnpt.serving._json_writer import debug_text
from rnnpt.serving.error import InvalidArgument

# Digits, then padding, white space anywhere. Source: Abseil's Base64Unescape, which also takes a
# point for padding, and none at all.
_BASE64 = re.compile(r"([A-Za-z0-9+/ \t\n\v\f\r]*)([=. \t\n\v\f\r\0]*)")
_BASE64_DIGITS = re.compile("[A-Za-z0-9+/]")
_PADDING = {0: 0, 2: 2, 3: 1}


def read_document(body: bytes) -> tuple[JsonObject, str]:
    """Reads the body of a call.

    Args:
        body: The JSON text.

    Returns:
        The object, and the signature's name, "" if there is none.

    Raises:
        InvalidArgument: If the text is no JSON object or the name no string.
    """
    try:
        document = parse_json(body)
    except JsonError as error:
        raise InvalidArgument(f"JSON Parse error: {error}") from None
    if not isinstance(document, JsonObject):
        raise misformatted(document, "Is not object")
    name = document.find("signature_name")
    if name is not None and not isinstance(name[1], str):
        raise misformatted(
            document, "not formatted correctly. 'signature_name' key must be a string value.")
    # A message's string holds no bytes that are not UTF-8; no signature has such a name.
    return document, printable(name[1]) if name else ""


def printable(text: str) -> str:
    """Makes a text that messages can hold.

    Args:
        text: Characters, those of bytes that are no UTF-8 among them.

    Returns:
        The text, with U+FFFD for these.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def misformatted(value: Any, text: str) -> InvalidArgument:
    """Makes the error of a body of the wrong form.

    Args:
        value: The body, or the part of it that is wrong.
        text: What is wrong.

    Returns:
        The error, to be raised.
    """
    return InvalidArgument(f"JSON Value: {debug_text(value)} {text}")


def is_list(value: Any) -> bool:
    """Tells an array from all else.

    Args:
        value: A value from `parse_json`.

    Returns:
        Whether it is an array.
    """
    return isinstance(value, list) and not isinstance(value, JsonObject)


def is_base64(value: Any) -> bool:
    """Tells an object of base64, which stands for a string, from all else.

    Args:
        value: A value from `parse_json`.

    Returns:
        Whether it has the one member "b64", a string.
    """
    return (isinstance(value, JsonObject) and len(value) == 1 and value[0][0] == "b64"
            and isinstance(value[0][1], str))


def decode_base64(text: str) -> bytes:
    """Reads base64.

    Args:
        text: The digits; padding may be missing, but not be too long or too short.

    Returns:
        The bytes.

    Raises:
        InvalidArgument: If it is no base64.
    """
    match = _BASE64.fullmatch(text)
    digits = "".join(_BASE64_DIGITS.findall(match[1])) if match else ""
    num_left = len(digits) % 4
    num_padding = match[2].count("=") + match[2].count(".") if match else 0
    if match is None or num_left == 1 or num_padding not in (0, _PADDING[num_left]):
        raise InvalidArgument("Unable to base64 decode")
    return base64.b64decode(digits + "=" * _PADDING[num_left])
