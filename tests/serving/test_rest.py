"""REST, row by row of the recorded behaviour of TensorFlow Serving (numbers in the test names)."""

import gzip
import http.client
import json
import shutil
import subprocess

import pytest

from rnnpt.serving import _rest
from rnnpt.serving._html import error_page
from rnnpt.serving.error import error_class
from tests.serving import fuzz
from tests.serving.rest_stub import StubManager, rest_stub

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
    return json.dumps({"error": text}, indent=4, ensure_ascii=False).encode()


@pytest.mark.parametrize("path", [
    PREDICT, "/V1/MODELS/chorales:PREDICT", "/v1/models/chorales/versions/1:predict",
    "/v1/models/%63horales:predict"])
def test_rows_1_3_4_predict_routes(call, path) -> None:
    body = b'{"signature_name": "start", "instances": [0, 0]}'
    status, headers, answer = call("POST", path, body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert answer == (b'{\n    "predictions": [[0.5, 0.25, -0.5], [0.5, 0.25, -0.5]\n    ]\n}')


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
@pytest.mark.parametrize("body", fuzz.valid_bodies())
def test_rows_1_18_19_20_curl_gets_every_signature_in_both_formats(server, body) -> None:
    url = f"http://127.0.0.1:{server.rest_api_port}{PREDICT}"
    done = subprocess.run(["curl", "-sS", "--fail-with-body", "-d", "@-", url], input=body,
                          capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    answer = json.loads(done.stdout)
    if b'"instances"' in body:
        rows = answer["predictions"]
        assert len(rows) == 2 and rows[0] == rows[1]
    else:
        assert list(answer) == ["outputs"]


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
    assert answer.startswith(
        b'{\n"model_spec":{\n "name": "chorales",\n "version": "1",\n "signature_name": ""\n}\n,\n'
        b'"metadata": {"signature_def": {\n "signature_def": {\n  "')
    assert answer.endswith(b"\n }\n}\n}\n}\n")
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
    ("GET", "/v1/models/chorales/labels/a%20%C3%A9/metadata", 400,
     "Unrecognized servable version label: a \u00e9"),
])
def test_rows_3_4_5_6_7_8_54_55_routes_that_lead_nowhere(call, verb, path, status, text) -> None:
    assert call(verb, path)[::2] == (status, error(text))


def test_row_7_head_is_malformed_without_a_body(call) -> None:
    assert call("HEAD", "/v1/models/chorales")[::2] == (400, b"")


@pytest.mark.parametrize("version", ["9223372036854775808", "1" * 5000])
def test_row_9_a_version_beyond_64_bits_gets_an_empty_answer(call, version) -> None:
    status, headers, body = call("GET", f"/v1/models/chorales/versions/{version}")
    assert (status, headers["content-type"], body) == (400, "application/json", b"")


def test_row_9_leading_zeros_do_not_count(call) -> None:
    assert call("GET", "/v1/models/chorales/versions/" + "0" * 5000 + "1")[0] == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/v2/models"])
def test_row_10_outside_v1_is_a_page(call, path) -> None:
    status, headers, body = call("GET", path)
    assert (status, body) == (404, NOT_FOUND_PAGE)
    assert (headers["content-type"], headers["connection"]) == ("text/html", "close")


@pytest.mark.parametrize("verb", ["TRACE", "CONNECT", "BREW", "get"])
def test_row_7_verbs_that_libevent_does_not_know_are_a_page(call, verb) -> None:
    status, headers, body = call(verb, "/v1/models/chorales")
    assert (status, body) == (501, error_page(501).encode())
    assert (headers["content-type"], headers["connection"]) == ("text/html", "close")


@pytest.mark.parametrize("path", [
    "/v1/models/{chorales}", "/v1/models/chorales%zz", "/v1/models/a[1]", '/v1/models/"',
    "/v1/models/chorales?x=<1>"])
def test_what_libevent_does_not_read_as_a_url_is_a_page(call, path) -> None:
    status, headers, body = call("GET", path)
    assert (status, body) == (400, error_page(400).encode())
    assert (headers["content-type"], headers["connection"]) == ("text/html", "close")


def test_a_whole_url_in_the_request_line_is_its_path(call) -> None:
    assert call("GET", "http://a.example:8501/v1/models/chorales")[0] == 200
    assert call("GET", "http://a.example")[::2] == (404, NOT_FOUND_PAGE)


@pytest.mark.parametrize(("headers", "status"), [
    ({"Origin": "http://a.example"}, 200), ({"Origin": "https://a.example"}, 200),
    ({"Origin": "x https://a.example"}, 200),
    ({"Origin": "file://a"}, 400), ({}, 400)])
def test_row_11_options_asks_for_an_origin(call, headers, status) -> None:
    answer = call("OPTIONS", PREDICT, headers=headers)
    assert answer[::2] == (status, b"")
    assert answer[1]["content-type"] == "text/html; charset=ISO-8859-1"


def test_row_12_cors_headers_are_off_by_default(call) -> None:
    headers = call("GET", "/v1/models/chorales", headers={"Origin": "http://a.example"})[1]
    assert headers["access-control-allow-origin"] is None


@pytest.mark.parametrize(("verb", "path", "status"), [
    ("GET", "/v1/models/m", 200), ("GET", "/v1/models/nope", 404), ("GET", "/v1/", 400),
    ("HEAD", "/v1/models/m", 400), ("OPTIONS", "/v1/models/m", 400),
    ("POST", "/v1/models/m:predict", 400), ("GET", "/v1/models/m/versions/" + "9" * 19, 400)])
def test_row_12_cors_headers_by_flag_stand_in_every_answer(cors_stub, verb, path, status) -> None:
    found, headers, _ = cors_stub.call(verb, path)
    assert found == status
    assert {name: value for name, value in headers.items() if "access" in name} == {
        "access-control-allow-origin": "*", "access-control-allow-methods": "POST, GET",
        "access-control-allow-headers": "Content-Type"}


def test_row_12_a_page_that_is_http_s_own_has_no_cors_headers(cors_stub) -> None:
    status, headers, _ = cors_stub.call("GET", "/healthz")
    assert status == 404
    assert not [name for name in headers if "access" in name]


@pytest.fixture(scope="module")
def cors_stub():
    with rest_stub(rest_api_enable_cors_support=True) as stub:
        yield stub


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


@pytest.mark.parametrize("encoding", ["deflate", "br", "GZIP", "identity"])
def test_row_14_another_encoding_is_passed_over(call, encoding) -> None:
    status, headers, _ = call("POST", PREDICT, b'{"signature_name":"start","instances":[7]}',
                              {"Content-Encoding": encoding, "Accept-Encoding": "gzip"})
    assert (status, headers["content-encoding"]) == (200, None)  # no answer is packed


@pytest.mark.parametrize(("code", "status"), [
    ("INVALID_ARGUMENT", 400), ("FAILED_PRECONDITION", 400), ("OUT_OF_RANGE", 400),
    ("UNAUTHENTICATED", 401), ("PERMISSION_DENIED", 403), ("NOT_FOUND", 404),
    ("ALREADY_EXISTS", 409), ("ABORTED", 409), ("RESOURCE_EXHAUSTED", 429), ("CANCELLED", 499),
    ("UNKNOWN", 500), ("INTERNAL", 500), ("DATA_LOSS", 500), ("UNIMPLEMENTED", 501),
    ("UNAVAILABLE", 503), ("DEADLINE_EXCEEDED", 504)])
def test_row_16_each_status_code_has_its_http_status(code, status) -> None:
    answer = _rest.answer_error(error_class(code)('a "b"\n'))
    assert answer[:3] == (status, '{\n    "error": "a \\"b\\"\\n"\n}', "application/json")


@pytest.mark.parametrize(("verb", "path"), [
    ("POST", "/v1/models"), ("POST", "/v1/models/chorales:multiInference"),
    ("POST", "/v1/models/chorales:reload"), ("POST", "/v1/config:reload"),
    ("GET", "/v1/config"), ("POST", "/v1/models/chorales")])
def test_row_17_there_are_no_other_calls(call, verb, path) -> None:
    assert call(verb, path, b"{}")[::2] == (400, error(f"Malformed request: {verb} {path}"))


def test_rows_53_56_the_newest_version_is_first_and_one_that_failed_keeps_its_error() -> None:
    answer = _rest.answer_call(StubManager(), "GET", "/v1/models/m", b"")
    assert answer.status == 200
    assert answer.body == (
        '{\n "model_version_status": [\n  {\n   "version": "2",\n   "state": "END",\n'
        '   "status": {\n    "error_code": "NOT_FOUND",\n'
        '    "error_message": "gone \\u003c\\"b\\"\\u003e"\n   }\n  },\n  {\n'
        '   "version": "1",\n   "state": "AVAILABLE",\n   "status": {\n    "error_code": "OK",\n'
        '    "error_message": ""\n   }\n  }\n ]\n}\n')


def test_row_58_metadata_is_404_when_nothing_is_servable() -> None:
    answer = _rest.answer_call(StubManager(), "GET", "/v1/models/m/metadata", b"")
    assert (answer.status, json.loads(answer.body)) == (
        404, {"error": "Servable not found for request: Latest(m)"})


def test_a_fault_of_the_server_is_told_and_logged(caplog) -> None:
    answer = _rest.answer_call(None, "GET", "/v1/models/m", b"")
    assert (answer.status, answer.code) == (500, "INTERNAL")
    assert "AttributeError" in json.loads(answer.body)["error"]
    assert "a REST request failed" in caplog.text


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
    status, _, answer = call("POST", f"/v1/models/nope:{method}", b"[1]")
    assert (status, answer) == (400, error("JSON Value: [1] Is not object"))
    body = b'{"signature_name":"nosuch","examples":[{"x":1}]}'
    status, _, answer = call("POST", f"/v1/models/chorales:{method}", body)
    assert (status, answer) == (400, error("No signature was found with the name: nosuch"))
