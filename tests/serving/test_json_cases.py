"""The recorded requests and answers of TensorFlow Serving's own converter."""

import json
import pathlib
import re

import pytest
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from rnnpt.serving._json_request import fill_request
from rnnpt.serving._json_response import format_error, format_response
from rnnpt.serving.error import ServingError

CASES_FILE = pathlib.Path(__file__).parents[3] / "shared" / "serving_cases" / "json.txt"
CODES = {"INVALID_ARGUMENT": 3, "UNIMPLEMENTED": 12}


def read_cases() -> list[tuple[str, str, str]]:
    """Returns (body, inputs, recorded answer) of each case."""
    if not CASES_FILE.exists():
        return []
    parts = re.split(r"^### (.*?)  \[(.*)\]\n", CASES_FILE.read_text(), flags=re.MULTILINE)[1:]
    return list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))


def convert(body: str, inputs: str) -> tuple[str, predict_pb2.PredictRequest]:
    """Answers with the request's own tensors, as the recording did."""
    infos = {}
    for item in inputs.split(","):
        name, dtype = item.split(":")
        infos[name] = meta_graph_pb2.TensorInfo(dtype=types_pb2.DataType.Value(dtype))
    request = predict_pb2.PredictRequest()
    try:
        is_row = fill_request(body.encode(), request, lambda signature: infos)
        return format_response(request.inputs, is_row) + "\n", request
    except ServingError as error:
        return f"code={CODES[error.code]} {format_error(str(error))}\n", request


@pytest.mark.skipif(not CASES_FILE.exists(), reason=f"needs the recorded cases in {CASES_FILE}")
def test_there_are_52_recorded_cases() -> None:
    assert len(read_cases()) == 52


@pytest.mark.parametrize(("body", "inputs", "recorded"), read_cases())
def test_converter_gives_the_recorded_answer(body: str, inputs: str, recorded: str) -> None:
    answer, request = convert(body, inputs)
    if recorded.startswith("{"):
        # Numbers are compared as text; the order of names in an object is protobuf's own affair.
        assert (json.loads(answer, parse_float=str, parse_int=str, parse_constant=str)
                == json.loads(recorded, parse_float=str, parse_int=str, parse_constant=str))
        assert sorted(re.split(r",?\n", answer)) == sorted(re.split(r",?\n", recorded))
    elif recorded.startswith("code="):
        assert answer == recorded
    else:
        assert dict(request.inputs) == read_tensors(recorded)


def read_tensors(text: str) -> dict:
    """Reads a recorded "name: dtype: ... " line a tensor."""
    expected = predict_pb2.PredictRequest()
    for line in text.splitlines():
        name, tensor = line.split(": ", 1)
        text_format.Parse(tensor, expected.inputs[name])
    return dict(expected.inputs)
