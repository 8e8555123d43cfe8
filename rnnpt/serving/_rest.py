"""The REST calls, without a network: (verb, path, body) to (status, body).

Paths are the raw ones of the request line: TensorFlow Serving matches them before it decodes
anything, and the query string is a part of them.
"""

import logging
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
from rnnpt.serving._html import error_page
from rnnpt.serving._json_example import check_examples
from rnnpt.serving._json_request import fill_request
from rnnpt.serving._json_response import format_error, format_response
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._servable import DEFAULT_SIGNATURE
from rnnpt.serving.error import Internal, InvalidArgument, ServingError

_LOGGER = logging.getLogger("rnnpt.serving")
# What libevent reads as a path with a query and a fragment; the rest is no request for it.
_URI = re.compile(r"(?:[-A-Za-z0-9._~!$&'()*+,;=:@/?#]|%[0-9A-Fa-f]{2})+")
_VERBS = {"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"}
# The route is matched in any case, the model's name as it stands.
_FLAGS = re.IGNORECASE | re.ASCII
_VERSION = "(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(
    f"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)", _FLAGS)
_GET = re.compile(
    f"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<method>metadata))?", _FLAGS)
_PREFIX = re.compile("/v1/.*", _FLAGS)
_ORIGIN = re.compile("https?://")
_MAX_INT64 = 2**63 - 1

STATUS_OF = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ALREADY_EXISTS": 409,
    "ABORTED": 409, "RESOURCE_EXHAUSTED": 429, "CANCELLED": 499, "UNKNOWN": 500, "INTERNAL": 500,
    "DATA_LOSS": 500, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}
_JSON = "application/json"
# protobuf's JSON of TensorFlow Serving guards against pages that show it as HTML.
_HTML_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "\x7f": "\\u007f"})


class Call(NamedTuple):
    """What a request asks for.

    Args:
        spec: The official `ModelSpec`: the model's name, a version or a label or neither.
        method: "predict", "classify", "regress", "metadata", or "" for the status page.
    """

    spec: model_pb2.ModelSpec
    method: str

    @property
    def api(self) -> str:
        """The method's name in the metrics, which tell only those that run a model apart."""
        return "" if self.method == "metadata" else self.method


class Answer(NamedTuple):
    """An answer to a REST call.

    Args:
        status: HTTP's status.
        body: The text.
        content_type: Its type.
        closes: Whether the connection ends with it.
        code: The status code's name.
        is_api: Whether it is TensorFlow Serving's, and not HTTP's own or the metrics.
    """

    status: int
    body: str
    content_type: str = _JSON
    closes: bool = False
    code: str = "OK"
    is_api: bool = True


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
    call = route(verb, path, origin)
    return call if isinstance(call, Answer) else run_call(manager, call, body)


def route(verb: str, path: str, origin: str = "") -> Call | Answer:
    """Finds out what a request asks for; takes no time.

    Args:
        verb: HTTP's method.
        path: The request line's path with its query, as it came.
        origin: The request's Origin header.

    Returns:
        The call, or the answer if there is nothing to call.
    """
    if verb not in _VERBS:
        return answer_page(501)
    if not _URI.fullmatch(path):
        return answer_page(400)
    if not _PREFIX.fullmatch(path):
        return answer_page(404)
    if verb == "OPTIONS":
        status, code = (200, "OK") if _ORIGIN.search(origin) else (400, "FAILED_PRECONDITION")
        return Answer(status, "", "text/html; charset=ISO-8859-1", code=code)
    pattern = {"POST": _POST, "GET": _GET}.get(verb)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        return answer_error(InvalidArgument(f"Malformed request: {verb} {path}"))
    spec = model_pb2.ModelSpec(name=urllib.parse.unquote(match["name"] or ""))
    if match["version"]:
        digits = match["version"].lstrip("0")
        # Python refuses to read numbers of thousands of digits.
        if len(digits) > 19 or int(digits or 0) > _MAX_INT64:
            return Answer(400, "", code="INVALID_ARGUMENT")
        spec.version.value = int(digits or 0)
    if match["label"]:
        spec.version_label = urllib.parse.unquote(match["label"])
    if not spec.name:
        return answer_error(InvalidArgument("Missing model name in request."))
    return Call(spec, (match["method"] or "").lower())


def run_call(
    manager: ModelManager, call: Call, body: bytes, ends_at: float | None = None
) -> Answer:
    """Does what a request asks for.

    Args:
        manager: The models.
        call: What it asks for.
        body: The request's body.
        ends_at: When its time is over, on the monotonic clock; None for never.

    Returns:
        The answer; errors are answers too.
    """
    try:
        if call.method == "predict":
            return Answer(200, _predict_json(manager, call.spec, body, ends_at))
        if call.method in ("classify", "regress"):
            call.spec.signature_name = check_examples(body)
            kind = {"classify": "classification", "regress": "regression"}[call.method]
            _predict.refuse_examples(manager, call.spec, kind)
        if call.method == "metadata":
            return Answer(200, _metadata(manager, call.spec))
        return Answer(200, _status(manager, call.spec))
    except ServingError as error:
        return answer_error(error)
    except Exception as error:  # a fault of ours still owes its client an answer
        _LOGGER.exception("a REST request failed")
        return answer_error(Internal(repr(error)))


def answer_error(error: ServingError) -> Answer:
    """Turns an error into an answer.

    Args:
        error: The error.

    Returns:
        The answer.
    """
    return Answer(STATUS_OF[error.code], format_error(str(error)), code=error.code)


def answer_page(status: int) -> Answer:
    """Refuses a request by HTTP's own rules.

    Args:
        status: HTTP's status.

    Returns:
        The answer, which ends the connection.
    """
    return Answer(status, error_page(status), "text/html", closes=True, is_api=False)


def _predict_json(
    manager: ModelManager, spec: model_pb2.ModelSpec, body: bytes, ends_at: float | None
) -> str:
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
    return format_response(_predict.predict(manager, request, ends_at).outputs, is_row)


def _to_json(message: Message) -> str:
    text = json_format.MessageToJson(
        message, indent=1, preserving_proto_field_name=True, ensure_ascii=False,
        always_print_fields_with_no_presence=True)
    return text.translate(_HTML_ESCAPES)


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
