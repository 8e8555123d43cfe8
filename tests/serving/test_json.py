"""RapidJSON's reading and TensorFlow Serving's writing, beyond the recorded cases."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from rnnpt.serving import _tensor
from rnnpt.serving._json_parser import JsonError, JsonObject, _Reader, parse_json
from rnnpt.serving._json_request import fill_request
from rnnpt.serving._json_response import format_response
from rnnpt.serving._json_writer import debug_text, format_double, format_float
from rnnpt.serving.error import InvalidArgument

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(VALUES)
def test_both_readers_agree_and_read_what_python_wrote(value) -> None:
    text = json.dumps(value)
    slow = _Reader(text).read()
    assert parse_json(text.encode()) == slow
    assert_same(slow, value)


def assert_same(parsed, value) -> None:
    if isinstance(value, dict):
        assert [name for name, _ in parsed] == list(value)
        for (_, found), wanted in zip(parsed, value.values(), strict=True):
            assert_same(found, wanted)
    elif isinstance(value, list):
        assert len(parsed) == len(value)
        for found, wanted in zip(parsed, value, strict=True):
            assert_same(found, wanted)
    elif isinstance(value, float):
        # RapidJSON is at most a unit in the last place off.
        assert math.isclose(parsed, value, rel_tol=3e-16, abs_tol=1e-323)
    else:
        assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(("text", "message"), [
    ("", "The document is empty"),
    (" \n", "The document is empty. at offset: 2"),
    ("]", "The document is empty. at offset: 0"),
    ("{,}", "Missing a name for object member. at offset: 1"),
    ('{"a":1,}', "Missing a name for object member. at offset: 7"),
    ('{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
    ('{"a":1 2}', "Missing a comma or '}' after an object member. at offset: 7"),
    ('{"a":01}', "Missing a comma or '}' after an object member. at offset: 6"),
    ("[1 2]", "Missing a comma or ']' after an array element. at offset: 3"),
    ("[1,]", "Invalid value. at offset: 3"),
    ("[", "Invalid value. at offset: 1"),
    ("[nul]", "Invalid value. at offset: 4"),
    ("[-]", "Invalid value. at offset: 2"),
    ("[Infinit]", "Invalid value. at offset: 8"),
    ("[1.]", "Miss fraction part in number. at offset: 3"),
    ("[1e+]", "Miss exponent in number. at offset: 4"),
    ("[1e400]", "Number too big to be stored in double. at offset: 1"),
    (f"[{'9' * 400}]", "Number too big to be stored in double. at offset: 1"),
    ('["a', "Missing a closing quotation mark in string. at offset: 3"),
    ('["\t"]', "Invalid encoding in string. at offset: 2"),
    (r'["\x"]', "Invalid escape character in string. at offset: 2"),
    (r'["\u12g4"]', "Incorrect hex digit after \\u escape in string. at offset: 2"),
    (r'["\ud800"]', "The surrogate pair in string is invalid. at offset: 2"),
    ("[" * 100_000, "Invalid value. at offset: 100000"),  # row 24
])
def test_parse_errors_are_rapidjsons(text: str, message: str) -> None:
    with pytest.raises(JsonError) as caught:
        parse_json(text.encode())
    assert str(caught.value) == message


def test_row_24_deep_nesting_is_survived() -> None:
    body = ('{"inputs":' + "[" * 100_000 + "]" * 100_000 + "}").encode()
    infos = {"x": meta_graph_pb2.TensorInfo(dtype=types_pb2.DT_FLOAT)}
    request = predict_pb2.PredictRequest()
    fill_request(body, request, lambda name: infos)
    assert len(request.inputs["x"].tensor_shape.dim) == 100_000
    document = '{"instances":' + "[" * 100_000 + "1" + "]" * 100_000 + ',"inputs":1}'
    with pytest.raises(InvalidArgument, match="expecting only one of"):
        fill_request(document.encode(), request, lambda name: infos)


def test_row_18_the_first_of_equal_keys_wins_and_the_rest_is_ignored() -> None:
    document = parse_json(b'{"a":1,"a":2,"b":"\\u00e9\xc3\xa9"}, and more')
    assert document == JsonObject([("a", 1), ("a", 2), ("b", "\u00e9\u00e9")])
    assert document.find("a") == ("a", 1)


def test_a_surrogate_pair_is_one_character() -> None:
    assert parse_json(rb'["\ud83d\ude00"]') == ["\U0001f600"]


@pytest.mark.parametrize(("text", "value"), [
    # As MySQL, whose parser is the same, reads it; and the recorded case.
    ("123456789012345678901234567890", 1.2345678901234566e29),
    ("123456789.123456789", 123456789.12345681), ("4e-320", 4e-320), ("0.1", 0.1),
    ("18446744073709551616", 18446744073709551616.0)])
def test_long_numbers_are_rounded_as_rapidjson_does(text: str, value: float) -> None:
    assert parse_json(text.encode()) == value
    assert _Reader(text).read() == value


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.floats(width=32))
def test_floats_of_32_bits_read_back(value: float) -> None:
    text = format_float(value)
    if math.isnan(value):
        assert text == "NaN"
    else:
        assert np.float32(text).tobytes() == np.float32(value).tobytes()
    assert len(text) <= 15


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_of_64_bits_read_back(value: float) -> None:
    assert float(format_double(value)) == value


def test_debug_texts_are_cut() -> None:
    assert debug_text([1.5] * 1000) == "[" + "1.5, " * 51
    assert debug_text(parse_json(b'{"a": [], "b": {}}')) == (
        '{\n    "a": [],\n    "b": {}\n}')


@pytest.mark.parametrize(("arrays", "text"), [
    ({}, "Cannot convert empty tensor map to JSON"),
    ({"total": np.float32(1)}, "Tensor name: total has no shape information "),
    ({"a": np.zeros(3, np.float32), "b": np.zeros(1, np.float32)},
     "Tensor name: b has inconsistent batch size: 1 expecting: 3"),
    ({"a": np.zeros((0, 2), np.float32)}, "Tensor name: a has invalid batch size: 0"),
    ({"a": np.zeros(1, np.float16)}, "Failed to write JSON value for tensor type: half"),
])
def test_outputs_without_a_row_format_say_so(arrays, text) -> None:
    outputs = {}
    for name, array in arrays.items():
        outputs[name] = predict_pb2.PredictRequest().inputs[name]
        _tensor.fill_proto(outputs[name], np.asarray(array), as_content=False)
    with pytest.raises(InvalidArgument) as caught:
        format_response(outputs, is_row=True)
    assert str(caught.value) == text
