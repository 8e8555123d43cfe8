"""The REST calls, without a network: (verb, path, body) to (status, body).

Paths are the raw ones of the request line: TensorFlow Serving matches them before it decodes
anything, and the query string is a part of them.
"""

import re
import urllib.parse
from typing import NamedTuple

from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

from rnnpt.serving import _predict
from rnnpt.serving._json_request import fill_request
from rnnpt.serving._json_response import format_error, format_response
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._servable import DEFAULT_SIGNATURE
from rnnpt.serving.error import InvalidArgument, ServingError

# The route is matched in any case, the model's name as it stands.
_VERSION = "(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(
    f"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(
    f"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<metadata>metadata))?", re.IGNORECASE)
_PREFIX = re.compile("/v1/.*", re.IGNORECASE | re.DOTALL)
_MAX_INT64 = 2**63 - 1

STATUS_OF = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ALREADY_EXISTS": 409,
    "ABORTED": 409, "RESOURCE_EXHAUSTED": 429, "CANCELLED": 499, "UNKNOWN": 500, "INTERNAL": 500,
    "DATA_LOSS": 500, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}
_JSON = "application/json"
_NOT_FOUND_PAGE = (
    "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n"
    "</BODY></HTML>\n"
)


class Answer(NamedTuple):
    """An answer to a REST call.

    Args:
        status: HTTP's status.
        body: The text.
        content_type: Its type.
        closes: Whether the connection ends with it.
    """

    status: int
    body: str
    content_type: str = _JSON
    closes: bool = False


def answer_call(
    manager: ModelManager, verb: str, path: str, body: bytes, origin: str = ""
) -> Answer:
    """Answers a REST call.

    Args:
        manager: The models.
        verb: HTTP's method.
        path: The request line's path with its query, as it came.
        body: The request's body.
        origin: The request's Origin header.

    Returns:
        The answer; errors are answers too.
    """
    if not _PREFIX.fullmatch(path) and path.lower() != "/v1/models":
        return Answer(404, _NOT_FOUND_PAGE, "text/html", closes=True)
    if verb == "OPTIONS":
        allowed = origin.startswith(("http://", "https://"))
        return Answer(200 if allowed else 400, "", "text/html; charset=ISO-8859-1")
    pattern = {"POST": _POST, "GET": _GET}.get(verb)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        return answer_error(InvalidArgument(f"Malformed request: {verb} {path}"))
    if match["version"] and int(match["version"]) > _MAX_INT64:
        return Answer(400, "")
    if not match["name"]:
        return answer_error(InvalidArgument("Missing model name in request."))
    try:
        spec = _model_spec(match)
        if verb == "POST":
            return Answer(200, _post(manager, spec, match["method"].lower(), body))
        if match["metadata"]:
            return Answer(200, _metadata(manager, spec))
        return Answer(200, _status(manager, spec))
    except ServingError as error:
        return answer_error(error)


def answer_error(error: ServingError) -> Answer:
    """Turns an error into an answer.

    Args:
        error: The error.

    Returns:
        The answer.
    """
    return Answer(STATUS_OF[error.code], format_error(str(error)))


def _model_spec(match: re.Match) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=urllib.parse.unquote(match["name"]))
    if match["version"]:
        spec.version.value = int(match["version"])
    if match["label"]:
        spec.version_label = urllib.parse.unquote(match["label"])
    return spec


def _post(manager: ModelManager, spec: model_pb2.ModelSpec, method: str, body: bytes) -> str:
    if method != "predict":
        kind = {"classify": "classification", "regress": "regression"}[method]
        _predict.refuse_examples(manager, spec, kind)
    request = predict_pb2.PredictRequest(model_spec=spec)

    def find_inputs(signature_name: str) -> dict:
        name = signature_name or DEFAULT_SIGNATURE
        with manager.borrow(spec) as servable:
            signature = servable.signatures.get(name)
        if signature is None:
            raise InvalidArgument(
                f'Serving signature name: "{name}" not found in signature def')
        return dict(signature.inputs)

    is_row = fill_request(body, request, find_inputs)
    return format_response(_predict.predict(manager, request).outputs, is_row)


def _to_json(message: Message) -> str:
    return json_format.MessageToJson(
        message, indent=1, preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True)


def _status(manager: ModelManager, spec: model_pb2.ModelSpec) -> str:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
    return _to_json(_predict.get_status(manager, request)) + "\n"


def _metadata(manager: ModelManager, spec: model_pb2.ModelSpec) -> str:
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=spec, metadata_field=["signature_def"])
    response = _predict.get_metadata(manager, request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return (f'{{\n"model_spec":{_to_json(response.model_spec)}\n,\n'
            f'"metadata": {{"signature_def": {_to_json(signatures)}\n}}\n}}\n')
