"""The bodies of classify and regress, checked though no signature of this project takes them.

TensorFlow Serving reads the body before it looks for the model, so what is wrong with it is told
first.
"""

import math
from typing import Any

from rnnpt.serving._json_document import (
    decode_base64,
    is_base64,
    is_list,
    misformatted,
    read_document,
)
from rnnpt.serving._json_parser import JsonObject
from rnnpt.serving._json_writer import debug_text, type_name
from rnnpt.serving.error import InvalidArgument

_MAX_FLOAT = 3.4028234663852886e38
_MAX_INT64 = 2**63 - 1


def check_examples(body: bytes) -> str:
    """Checks the body of a classify or regress call.

    Args:
        body: The JSON text.

    Returns:
        The signature's name, "" for the default.

    Raises:
        InvalidArgument: If the body holds no examples.
    """
    document, signature_name = read_document(body)
    context = document.find("context")
    if context is not None:
        _check_example(context[1])
    examples = document.find("examples")
    if examples is None:
        raise misformatted(
            document, "When method is classify, key 'examples' is expected and was not found")
    if not is_list(examples[1]):
        raise misformatted(document, "Expecting 'examples' value to be an list/array")
    if not examples[1]:
        raise misformatted(document, "'examples' value is an empty array")
    for example in examples[1]:
        _check_example(example)
    return signature_name


def _check_example(example: Any) -> None:
    if not isinstance(example, JsonObject):
        raise InvalidArgument(
            f"Example must be JSON object but got JSON {type_name(example)}")
    for name, content in example:
        kind = ""
        for value in content if is_list(content) else [content]:
            kind = _check_value(value, name, kind)


def _check_value(value: Any, name: str, kind: str) -> str:
    """Returns the kind of list that the feature is now: bytes, float or int64."""
    found = _kind(value)
    if not found:
        raise InvalidArgument(f"Feature: {name} has element with unexpected JSON type: "
                              f"{type_name(value)}")
    if kind not in ("", found):
        raise InvalidArgument(
            f"Unexpected element type in feature: {name} expecting type: {kind}")
    if is_base64(value):
        decode_base64(value[0][1])
    elif found == "float" and math.isfinite(value) and abs(value) > _MAX_FLOAT:
        raise InvalidArgument(f"Cannot convert JSON value: {debug_text(value)} to float "
                              "without loss of precision.")
    elif found == "int64" and value > _MAX_INT64:
        raise InvalidArgument(
            f"Feature: {name} has uint64 element. Only int64 is supported.")
    return found


def _kind(value: Any) -> str:
    if isinstance(value, str) or is_base64(value):
        return "bytes"
    if isinstance(value, (bool, int)):
        return "int64"
    return "float" if isinstance(value, float) else ""
