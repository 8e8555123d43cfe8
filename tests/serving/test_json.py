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

from rnnpt.serving._json_parser import JsonError, JsonObject, _Reader, parse_json
from rnnpt.serving._json_request import fill_request
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
    ("[-1e309]", "Number too big to be stored in double. at offset: 1"),
    (f"[{'9' * 400}]", "Number too big to be stored in double. at offset: 1"),
    ('["a', "Missing a closing quotation mark in string. at offset: 3"),
    ('["a\x00"]', "Missing a closing quotation mark in string. at offset: 3"),
    ('["\t"]', "Invalid escape character in string. at offset: 2"),
    ('["a\x1f"]', "Invalid escape character in string. at offset: 3"),
    (r'["\x"]', "Invalid escape character in string. at offset: 2"),
    ('["\\', "Invalid escape character in string. at offset: 2"),
    (r'["\u12g4"]', "Incorrect hex digit after \\u escape in string. at offset: 2"),
    (r'["\u12', "Incorrect hex digit after \\u escape in string. at offset: 2"),
    (r'["\ud800"]', "The surrogate pair in string is invalid. at offset: 2"),
    (r'["\ud800\u0041"]', "The surrogate pair in string is invalid. at offset: 2"),
    (r'["é\ud800x"]', "The surrogate pair in string is invalid. at offset: 4"),
    # What is JSON elsewhere, or nearly.
    ("", "The document is empty"),
    ("\ufeff", "The document is empty. at offset: 3"),
    ("\x00{}", "The document is empty. at offset: 0"),
    (":", "The document is empty. at offset: 0"),
    ("// a\n{}", "Invalid value. at offset: 0"),
    ("{} // a", None),
    ("[1, /* a */ 2]", "Invalid value. at offset: 4"),
    ("['a']", "Invalid value. at offset: 1"),
    ("{a:1}", "Missing a name for object member. at offset: 1"),
    ('{"a":}', "Invalid value. at offset: 5"),
    ('{"a"', "Missing a colon after a name of object member. at offset: 4"),
    ('{"a":1', "Missing a comma or '}' after an object member. at offset: 6"),
    ("{", "Missing a name for object member. at offset: 1"),
    ("[1", "Missing a comma or ']' after an array element. at offset: 2"),
    ("[1,", "Invalid value. at offset: 3"),
    ("[1\x00]", "Missing a comma or ']' after an array element. at offset: 2"),
    ("[+1]", "Invalid value. at offset: 1"),
    ("[.5]", "Invalid value. at offset: 1"),
    ("[01]", "Missing a comma or ']' after an array element. at offset: 2"),
    ("[0x1]", "Missing a comma or ']' after an array element. at offset: 2"),
    ("[1_0]", "Missing a comma or ']' after an array element. at offset: 2"),
    ("[--1]", "Invalid value. at offset: 2"),
    ("[True]", "Invalid value. at offset: 1"),
    ("[nan]", "Invalid value. at offset: 2"),
    ("[Nan]", "Invalid value. at offset: 3"),
    ("[inf]", "Invalid value. at offset: 1"),
    ("1.", "Miss fraction part in number. at offset: 2"),
    ("[1.e5]", "Miss fraction part in number. at offset: 3"),
    ("[1e]", "Miss exponent in number. at offset: 3"),
    ("[" * 100_000, "Invalid value. at offset: 100000"),  # row 24
])
def test_parse_errors_are_rapidjsons(text: str, message: str | None) -> None:
    if message is None:
        parse_json(text.encode())
        return
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


@pytest.mark.parametrize(("body", "text"), [
    (rb'["\ud83d\ude00"]', "\U0001f600"), (rb'["\udc00"]', "\udced\udcb0\udc80"),
    (b'["\xff"]', "\udcff"), (rb'["\u0000\/"]', "\x00/")])
def test_strings_keep_their_bytes_and_a_surrogate_pair_is_one_character(body, text) -> None:
    assert parse_json(body) == [text]


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xef", b"\xbb\xbf"])
def test_a_byte_order_mark_is_passed_over(mark: bytes) -> None:
    assert parse_json(mark + b'{"a":1}') == JsonObject([("a", 1)])


@pytest.mark.parametrize(("token", "value"), [
    ("NaN", math.nan), ("-NaN", math.nan), ("Infinity", math.inf), ("-Infinity", -math.inf),
    ("Inf", math.inf), ("-Inf", -math.inf), ("NaInf", math.inf), ("1.8e308", math.inf),
    ("-0", 0), ("-0.0", -0.0), ("1e-400", 0.0), ("1E+2", 100.0), ("1e0000000000000308", 1e308),
    ("-9223372036854775808", -2**63), ("18446744073709551615", 2**64 - 1)])
def test_row_21_numbers_that_json_does_not_have_or_that_are_at_the_edge(token, value) -> None:
    found, = parse_json(f"[{token}]".encode())
    assert repr(found) == repr(value)
    assert repr(_Reader(token).read()) == repr(value)


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


@pytest.mark.parametrize(("body", "text"), [
    # A number alone is written as tensors are, one in a container as RapidJSON writes it.
    ("1e-7", "1e-07"), ("[1e-7]", "[1e-7]"), ("1e20", "1e+20"), ("[1e20]", "[" + "1" + "0" * 20
                                                                 + ".0]"),
    ("[1e21]", "[1e21]"), ("[1.25e30]", "[1.25e30]"), ("[-0.0]", "[-0.0]"),
    ("[0.000001]", "[0.000001]"), ("[1234567.25]", "[1234567.25]"), ("1e39", "1e+39"),
    ("0.3333333333", "0.333333343"), ("NaN", "NaN"), ("-Inf", "-Infinity"),
    ("[null, true, -1]", "[null, true, -1]"), (r'["\u001f\u0000/é"]', r'["\u001F\u0000/é"]'),
    # Where RapidJSON's writer stops.
    ("[1, NaN, 2]", "[1, "), ('{"a": [Inf]}', '{\n    "a": ['),
])
def test_debug_texts_are_rapidjsons(body: str, text: str) -> None:
    assert debug_text(parse_json(body.encode())) == text
