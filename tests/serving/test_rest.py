"""REST, row by row of the recorded behaviour of TensorFlow Serving (numbers in the test names)."""

import gzip
import http.client
import json

import pytest

NOT_FOUND_PAGE = (b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n"
                  b"<H1>Not Found</H1>\n</BODY></HTML>\n")
PREDICT = "/v1/models/chorales:predict"


@pytest.fixture
def call(server):
    """Sends a request with a path that nobody touches; returns (status, headers, body)."""
    connections = []

    def send(verb, path, body=None, headers={}, port=server.rest_api_port):  # noqa: B006
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connections.append(connection)
        connection.request(verb, path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()

    yield send
    for connection in connections:
        connection.close()


def error(text: str) -> bytes:
    return json.dumps({"error": text}, indent=4).encode()


@pytest.mark.parametrize("path", [
    PREDICT, "/V1/MODELS/chorales:PREDICT", "/v1/models/chorales/versions/1:predict",
    "/v1/models/%63horales:predict"])
def test_rows_1_3_4_predict_routes(call, path) -> None:
    body = b'{"signature_name": "start", "instances": [0, 0]}'
    status, headers, answer = call("POST", path, body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert answer == (b'{\n    "predictions": [[0.5, 0.25, -0.5], [0.5, 0.25, -0.5]\n    ]\n}')


@pytest.mark.parametrize("path", [
    "/v1/models/chorales", "/v1/models/chorales/versions/1", "/v1/models/chorales/labels/any"])
def test_rows_2_53_55_status(call, path) -> None:
    status, _, answer = call("GET", path)
    assert status == 200
    assert answer == (
        b'{\n "model_version_status": [\n  {\n   "version": "1",\n   "state": "AVAILABLE",\n'
        b'   "status": {\n    "error_code": "OK",\n    "error_message": ""\n   }\n  }\n ]\n}\n')


def test_rows_2_57_metadata(call) -> None:
    status, _, answer = call("GET", "/v1/models/chorales/metadata")
    metadata = json.loads(answer)
    assert status == 200
    assert metadata["model_spec"] == {
        "name": "chorales", "version": "1", "signature_name": ""}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert "__saved_model_init_op" in signatures
    assert signatures["start"]["method_name"] == "tensorflow/serving/predict"
    assert signatures["start"]["defaults"] == {}
    session = signatures["start"]["inputs"]["session"]
    assert session["dtype"] == "DT_INT32"
    assert session["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}], "unknown_rank": False}


@pytest.mark.parametrize(("verb", "path", "status", "text"), [
    ("GET", "/v1/models/chorales?x=1", 404, "Could not find any versions of model chorales?x=1"),
    ("POST", PREDICT + "?x=1", 400, f"Malformed request: POST {PREDICT}?x=1"),
    ("GET", "/v1/models", 400, "Missing model name in request."),
    ("GET", "/v1/models/", 400, "Malformed request: GET /v1/models/"),
    ("GET", "/v1/", 400, "Malformed request: GET /v1/"),
    ("GET", PREDICT, 400, f"Malformed request: GET {PREDICT}"),
    ("PUT", PREDICT, 400, f"Malformed request: PUT {PREDICT}"),
    ("DELETE", "/v1/models/chorales", 400, "Malformed request: DELETE /v1/models/chorales"),
    ("PATCH", PREDICT, 400, f"Malformed request: PATCH {PREDICT}"),
    ("POST", "/v1/models/chorales:foo", 400, "Malformed request: POST /v1/models/chorales:foo"),
    ("GET", "/v1/models/chorales/versions/x", 400,
     "Malformed request: GET /v1/models/chorales/versions/x"),
    ("GET", "/v1/models/chorales/versions/1/labels/a", 400,
     "Malformed request: GET /v1/models/chorales/versions/1/labels/a"),
    ("GET", "/v1/models/Chorales", 404, "Could not find any versions of model Chorales"),
    ("GET", "/v1/models/chorales/versions/3", 404, "Could not find version 3 of model chorales"),
    ("GET", "/v1/models/nope/metadata", 404, "Servable not found for request: Latest(nope)"),
    ("GET", "/v1/models/chorales/labels/zzz/metadata", 400,
     "Unrecognized servable version label: zzz"),
])
def test_rows_3_5_6_7_8_54_55_routes_that_lead_nowhere(call, verb, path, status, text) -> None:
    assert call(verb, path)[::2] == (status, error(text))


def test_row_7_head_is_malformed_without_a_body(call) -> None:
    assert call("HEAD", "/v1/models/chorales")[::2] == (400, b"")


def test_row_9_a_version_beyond_64_bits_gets_an_empty_answer(call) -> None:
    assert call("GET", "/v1/models/chorales/versions/9223372036854775808")[::2] == (400, b"")


@pytest.mark.parametrize("path", ["/", "/healthz", "/v2/models"])
def test_row_10_outside_v1_is_a_page(call, path) -> None:
    status, headers, body = call("GET", path)
    assert (status, body) == (404, NOT_FOUND_PAGE)
    assert (headers["content-type"], headers["connection"]) == ("text/html", "close")


@pytest.mark.parametrize(("headers", "status"), [
    ({"Origin": "http://a.example"}, 200), ({"Origin": "https://a.example"}, 200),
    ({"Origin": "file://a"}, 400), ({}, 400)])
def test_row_11_options_asks_for_an_origin(call, headers, status) -> None:
    answer = call("OPTIONS", PREDICT, headers=headers)
    assert answer[::2] == (status, b"")
    assert answer[1]["content-type"] == "text/html; charset=ISO-8859-1"


def test_row_12_cors_headers_are_off_by_default(call) -> None:
    headers = call("GET", "/v1/models/chorales", headers={"Origin": "http://a.example"})[1]
    assert headers["access-control-allow-origin"] is None


def test_row_13_content_type_is_ignored_and_chunks_are_accepted(call) -> None:
    body = (part for part in (b'{"signature_name":"start",', b'"instances":[7]}'))
    status, _, answer = call("POST", PREDICT, body, {"Content-Type": "text/plain"})
    assert (status, json.loads(answer)) == (200, {"predictions": [[0.5, 0.25, -0.5]]})


def test_row_14_gzip_is_unpacked_and_a_broken_one_counts_as_empty(call) -> None:
    packed = gzip.compress(b'{"signature_name":"start","instances":[7]}')
    assert call("POST", PREDICT, packed, {"Content-Encoding": "gzip"})[0] == 200
    status, _, answer = call("POST", PREDICT, packed[:-12], {"Content-Encoding": "gzip"})
    assert (status, answer) == (400, error("JSON Parse error: The document is empty"))


def test_row_14_a_bomb_counts_as_empty(call) -> None:
    bomb = gzip.compress(b" " * (101 * 1024 * 1024), compresslevel=1)
    status, _, answer = call("POST", PREDICT, bomb, {"Content-Encoding": "gzip"})
    assert (status, answer) == (400, error("JSON Parse error: The document is empty"))


@pytest.mark.parametrize(("body", "text"), [
    (b"", "JSON Parse error: The document is empty"),
    (b'{"instances":[1,2}',
     "JSON Parse error: Missing a comma or ']' after an array element. at offset: 17"),
    (b'{"signature_name":"nosuch","instances":[1]}',
     'Serving signature name: "nosuch" not found in signature def'),
    (b'{"signature_name":"start","instances":[1.5]}',
     "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 1.5 "
     "Type: Number is not of expected type: int32"),
    (b'{"instances":[1]}',
     "instances is a plain list, but expecting list of objects as multiple input tensors required "
     "as per tensorinfo_map"),
    (b'{"signature_name":"step","inputs":{"frame":[]}}', None),
])
def test_rows_30_31_33_bad_bodies(call, body, text) -> None:
    status, headers, answer = call("POST", PREDICT, body)
    assert (status, headers["content-type"]) == (400, "application/json")
    if text is None:
        text = json.loads(answer)["error"]
        assert text.startswith("Missing named input: ")
    assert answer == error(text)


@pytest.mark.parametrize(("frame", "text"), [
    ("[NaN" + ",0" * 87 + "]", "frame must be finite"), ("[0,0]", "frame must be 88 wide")])
def test_row_34_nan_and_wrong_width_are_400_with_the_graphs_words(call, frame, text) -> None:
    body = ('{"signature_name":"step","instances":[{"frame":' + frame
            + ',"state":[0,0,0],"seed":[0,1],"temperature":1}]}')
    status, _, answer = call("POST", PREDICT, body.encode())
    assert status == 400
    assert text in json.loads(answer)["error"]


def test_rows_19_20_the_two_formats_give_the_same_numbers(call) -> None:
    row = ('{"signature_name":"score","instances":[{"frames":[[1' + ",0" * 87 + ']],"length":1}]}')
    columns = row.replace('"instances":[{', '"inputs":{').replace("1}]}", "[1]}}").replace(
        '"frames":[[1', '"frames":[[[1').replace('0]],"l', '0]]],"l')
    by_row = json.loads(call("POST", PREDICT, row.encode())[2])["predictions"]
    by_column = json.loads(call("POST", PREDICT, columns.encode())[2])["outputs"]
    assert by_row == [{name: values[0] for name, values in by_column.items()}]
    assert by_row[0]["log_likelihood"] == -1.0


@pytest.mark.parametrize(("method", "kind"), [("classify", "classification"),
                                              ("regress", "regression")])
def test_row_38_classify_and_regress_refuse(call, method, kind) -> None:
    status, _, answer = call("POST", f"/v1/models/chorales:{method}", b'{"examples":[{"x":1}]}')
    assert status == 400
    assert json.loads(answer)["error"].startswith(f"No {kind} inputs found in SignatureDef: ")
