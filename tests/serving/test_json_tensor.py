"""JSON to tensors and back: TensorFlow Serving's converter, beyond the recorded cases."""

import json
import math

import numpy as np
import pytest
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from rnnpt.serving import _tensor
from rnnpt.serving._json_example import check_examples
from rnnpt.serving._json_parser import parse_json
from rnnpt.serving._json_request import fill_request
from rnnpt.serving._json_response import format_response
from rnnpt.serving._json_writer import debug_text
from rnnpt.serving.error import InvalidArgument, Unimplemented

BY_NAME = {name: number for number, name in _tensor.NAMES.items()}


def filled(body: str, **dtypes: str) -> predict_pb2.PredictRequest:
    infos = {name: meta_graph_pb2.TensorInfo(dtype=BY_NAME[dtype])
             for name, dtype in dtypes.items()}
    request = predict_pb2.PredictRequest()
    fill_request(body.encode("utf-8", "surrogateescape"), request, lambda name: infos)
    return request


@pytest.mark.parametrize(("dtype", "values", "field"), [
    ("float", [1, 1.5, -0.0], "float_val"), ("double", [1, 0.1], "double_val"),
    ("int8", [300, -1], "int_val"), ("uint8", [300, -1], "int_val"), ("int16", [7], "int_val"),
    ("int32", [-2**31, 2**31 - 1], "int_val"), ("int64", [-2**63, 2**63 - 1], "int64_val"),
    ("uint32", [0, 2**32 - 1], "uint32_val"), ("uint64", [2**64 - 1], "uint64_val"),
    ("bool", [True, False], "bool_val")])
@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_rows_22_23_types_that_json_carries(dtype, values, field, key) -> None:
    tensor = filled(json.dumps({key: values}), x=dtype).inputs["x"]
    assert (tensor.dtype, list(getattr(tensor, field))) == (BY_NAME[dtype], values)
    assert [dim.size for dim in tensor.tensor_shape.dim] == [len(values)]


@pytest.mark.parametrize(("dtype", "value", "kind"), [
    ("float", "[[true]]", "True"), ("double", '[["1"]]', "String"), ("int32", "[[1.0]]", "Number"),
    ("int32", "[[2147483648]]", "Number"), ("int64", "[[9223372036854775808]]", "Number"),
    ("uint32", "[[-1]]", "Number"), ("uint64", "[[1e3]]", "Number"), ("bool", "[[1]]", "Number"),
    ("string", "[[1]]", "Number"), ("float", "[[null]]", "Null"), ("bool", '[[{"b64":"aGk="}]]',
                                                                   "Object"),
    ("int8", "[[false]]", "False")])
def test_row_22_other_values_are_refused_with_their_type(dtype, value, kind) -> None:
    shown = debug_text(parse_json(value.encode())[0][0])
    text = f"JSON Value: {shown} Type: {kind} is not of expected type: {dtype}"
    with pytest.raises(InvalidArgument) as caught:
        filled('{"inputs":' + value + "}", x=dtype)
    assert str(caught.value) == text
    with pytest.raises(InvalidArgument) as caught:
        filled('{"instances":' + value + "}", x=dtype)
    assert str(caught.value) == (
        f"Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: {text}")


@pytest.mark.parametrize("dtype", ["half", "bfloat16", "uint16"])
def test_row_23_other_types_are_not_implemented(dtype) -> None:
    text = f"Conversion of JSON Value: 1 to type: {dtype}"
    with pytest.raises(Unimplemented) as refused:
        filled('{"inputs":[1]}', x=dtype)
    assert str(refused.value) == text
    with pytest.raises(InvalidArgument) as caught:
        filled('{"instances":[{"x":1}]}', x=dtype)
    assert str(caught.value) == (
        f"Failed to process element: 0 key: x of 'instances' list. Error: UNIMPLEMENTED: {text}")


def test_a_number_beyond_floats_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=(
            r"^Cannot convert JSON value: 3.5e\+38 to float without loss of precision.$")):
        filled('{"inputs":[3.5e38]}', x="float")
    request = filled('{"inputs":[3.5e38,Inf]}', x="double")
    assert list(request.inputs["x"].double_val) == [3.5e38, math.inf]


@pytest.mark.parametrize(("text", "value"), [
    ("aGk=", b"hi"), ("aGk", b"hi"), (" aG k\\n= ", b"hi"), ("aGk.", b"hi"), ("", b""),
    ("AAE=", b"\0\1"), ("////", b"\xff\xff\xff")])
def test_base64_is_read_as_abseil_reads_it(text, value) -> None:
    tensor = filled('{"inputs":{"b64":"' + text + '"}}', x="string").inputs["x"]
    assert list(tensor.string_val) == [value]


@pytest.mark.parametrize("text", ["!!", "a", "aGk==", "aG=k", "aGki=", "aGk-", "é"])
def test_what_is_no_base64_is_refused(text) -> None:
    with pytest.raises(InvalidArgument, match="^Unable to base64 decode$"):
        filled('{"inputs":{"b64":"' + text + '"}}', x="string")


def test_row_22_strings_keep_bytes_that_are_no_utf8() -> None:
    tensor = filled('{"inputs":["\udcff","é"]}', x="string").inputs["x"]
    assert list(tensor.string_val) == [b"\xff", "é".encode()]


@pytest.mark.parametrize(("body", "text"), [
    ('{"instances":[1,{"x":2}]}', "Expecting value/list but got object at item 1 of input list"),
    ('{"instances":[{"x":1},[2]]}', "Expecting object but got list at item 1 of input list"),
    ('{"instances":[[[1]],[1]]}', "Failed to process element: 1 of 'instances' list. Error: "
     "INVALID_ARGUMENT: Expecting shape [1,1] but got: [1]"),
    ('{"inputs":[[1],[[2]]]}', "Encountered list at unexpected level: 2 expected < 2"),
    ('{"inputs":[[[1,2],[3]]]}',
     "Encountered list at unexpected size: 1 at level: 2 expected size: 2"),
    ('{"inputs":[1,[2]]}', "Encountered list at unexpected level: 1 expected < 1"),
    ('{"inputs":{"y":1}}', "Missing named input: x in 'inputs' object."),
    ('{"instances":[{}]}', "Failed to process element: 0 of 'instances' list. JSON object: {} keys "
     "must be equal to: x"),
    ('{"signature_name":null,"inputs":1}', 'JSON Value: {\n    "signature_name": null,\n    '
     '"inputs": 1\n} not formatted correctly. \'signature_name\' key must be a string value.'),
    ('"x"', 'JSON Value: "x" Is not object'), ("null", "JSON Value: null Is not object"),
])
def test_rows_18_19_20_what_is_wrong_is_told(body, text) -> None:
    with pytest.raises(InvalidArgument) as caught:
        filled(body, x="float")
    assert str(caught.value) == text


@pytest.mark.parametrize(("body", "shape"), [
    ('{"inputs":7}', []), ('{"inputs":[]}', [0]), ('{"inputs":[[],[]]}', [2, 0]),
    ('{"inputs":[[[1],[2]]]}', [1, 2, 1]), ('{"instances":[7]}', [1]),
    ('{"instances":[[],[]]}', [2, 0]), ('{"instances":[[[1,2]]]}', [1, 1, 2]),
    ('{"instances":[{"x":[1]},{"x":[2]}]}', [2, 1]), ('{"inputs":{"x":[[1]]}}', [1, 1])])
def test_rows_19_20_shapes(body, shape) -> None:
    tensor = filled(body, x="float").inputs["x"]
    assert [dim.size for dim in tensor.tensor_shape.dim] == shape
    assert len(tensor.float_val) == math.prod(shape)


def shown(arrays: dict, is_row: bool) -> str:
    outputs = {name: tensor_pb2.TensorProto() for name in arrays}  # in order, unlike a message's
    for name, array in arrays.items():
        _tensor.fill_proto(outputs[name], np.asarray(array), as_content=False)
    return format_response(outputs, is_row)


STRINGS = np.array([b"hi", b"\xc3\xa9", b'"\\/\x01\n\x7f'], object)


@pytest.mark.parametrize(("array", "row", "column"), [
    (np.array([1, 1.5, -0.0, 1e20, 1 / 3, np.nan, np.inf, -np.inf], np.float32),
     "1.0, 1.5, -0.0, 1e+20, 0.333333343, NaN, Infinity, -Infinity", None),
    (np.array([1, 0.1, 1e-300, 123456789.125, 1e11, 1 / 3, 5e-324]),
     "1.0, 0.1, 1e-300, 123456789.125, 1e+11, 0.33333333333333331, 4.94066e-324", None),
    (np.array([-2**63, 2**63 - 1]), "-9223372036854775808, 9223372036854775807", None),
    (np.array([0, 2**64 - 1], np.uint64), "0, 18446744073709551615", None),
    (np.array([0, 255], np.uint8), "0, 255", None), (np.array([-128], np.int8), "-128", None),
    (np.array([True, False]), "true, false", None),
    (STRINGS, r'"hi", "é", "\"\\/\u0001\n' + "\x7f" + '"', None),
    (np.ones((2, 1, 2), np.float32), "[[1.0, 1.0]], [[1.0, 1.0]]", (
        "[\n        [\n            [\n                1.0,\n                1.0\n            ]\n"
        "        ],\n        [\n            [\n                1.0,\n                1.0\n"
        "            ]\n        ]\n    ]")),
    (np.zeros((1, 0), np.int32), "[]", "[\n        []\n    ]"),
])
def test_section_3_3_numbers_and_layouts(array, row, column) -> None:
    assert shown({"y": array}, True) == '{\n    "predictions": [' + row + "\n    ]\n}"
    if column is None:
        column = "[\n        " + row.replace(", ", ",\n        ") + "\n    ]"
    assert shown({"y": array}, False) == '{\n    "outputs": ' + column + "\n}"


@pytest.mark.parametrize(("array", "text"), [
    (np.float32(0.2), "0.2"), (np.int32(7), "7"), (np.zeros(0, np.float32), "[]"),
    (np.array(b"x", object), '"x"')])
def test_section_3_3_columns_without_or_with_an_empty_dimension(array, text) -> None:
    assert shown({"y": array}, False) == '{\n    "outputs": ' + text + "\n}"


def test_section_3_3_bytes_are_base64() -> None:
    text = shown({"y_bytes": np.array([[b"hi"], [b"\0\1"]], object)}, True)
    assert text == ('{\n    "predictions": [[{\n                "b64": "aGk="\n            }], [{\n'
                    '                "b64": "AAE="\n            }]\n    ]\n}')
    assert shown({"y_bytes": np.array(b"hi", object)}, False) == (
        '{\n    "outputs": {\n        "b64": "aGk="\n    }\n}')


@pytest.mark.parametrize(("body", "text"), [
    ("", "JSON Parse error: The document is empty"), ("[]", "JSON Value: [] Is not object"),
    ("{}", "JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
    ('{"examples":1}', 'JSON Value: {\n    "examples": 1\n} Expecting \'examples\' value to be an '
     "list/array"),
    ('{"examples":[]}',
     'JSON Value: {\n    "examples": []\n} \'examples\' value is an empty array'),
    ('{"examples":[1]}', "Example must be JSON object but got JSON Number"),
    ('{"context":true,"examples":[{}]}', "Example must be JSON object but got JSON True"),
    ('{"examples":[{"a":null}]}', "Feature: a has element with unexpected JSON type: Null"),
    ('{"examples":[{"a":[[1]]}]}', "Feature: a has element with unexpected JSON type: Array"),
    ('{"examples":[{"a":{"b":1}}]}', "Feature: a has element with unexpected JSON type: Object"),
    ('{"examples":[{"a":[1,0.5]}]}', "Unexpected element type in feature: a expecting type: int64"),
    ('{"examples":[{"a":["x",true]}]}',
     "Unexpected element type in feature: a expecting type: bytes"),
    ('{"examples":[{"a":[0.5,"x"]}]}',
     "Unexpected element type in feature: a expecting type: float"),
    ('{"examples":[{"a":[18446744073709551615]}]}',
     "Feature: a has uint64 element. Only int64 is supported."),
    ('{"examples":[{"a":1e39}]}',
     "Cannot convert JSON value: 1e+39 to float without loss of precision."),
    ('{"examples":[{"a":{"b64":"!"}}]}', "Unable to base64 decode"),
])
def test_bodies_of_classify_and_regress_are_checked(body, text) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_examples(body.encode())
    assert str(caught.value) == text


def test_examples_of_every_type_pass() -> None:
    assert check_examples(
        b'{"signature_name":"s","context":{"c":["x",{"b64":"aGk="}]},'
        b'"examples":[{"a":[1,true],"b":0.5,"d":[],"e":NaN},{}]}') == "s"


@pytest.mark.parametrize(("arrays", "text"), [
    ({}, "Cannot convert empty tensor map to JSON"),
    ({"total": np.float32(1)}, "Tensor name: total has no shape information "),
    ({"a": np.zeros(3, np.float32), "b": np.zeros(1, np.float32)},
     "Tensor name: b has inconsistent batch size: 1 expecting: 3"),
    ({"a": np.zeros((0, 2), np.float32)}, "Tensor name: a has invalid batch size: 0"),
    ({"a": np.zeros(1, np.float16)}, "Failed to write JSON value for tensor type: half"),
    ({"a": np.zeros(1, np.uint16)}, "Failed to write JSON value for tensor type: uint16"),
])
def test_outputs_without_a_row_format_say_so(arrays, text) -> None:
    with pytest.raises(InvalidArgument) as caught:
        shown(arrays, is_row=True)
    assert str(caught.value) == text
