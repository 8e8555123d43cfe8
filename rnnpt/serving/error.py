"""One tree of errors for both ends of the wire.

The client raises these; the server raises them too and each front turns `code` into its own form.
The codes are gRPC's, which TensorFlow's status codes share.
"""


class ServingError(Exception):
    """A request that the server, or the way to it, did not answer; catch it to catch them all."""

    code = "UNKNOWN"


class InvalidArgument(ServingError, ValueError):
    """The request is wrong and will stay wrong, for example a NaN in a frame."""

    code = "INVALID_ARGUMENT"


class FailedPrecondition(ServingError):
    """This cannot be done as things are, for example by a model without such a signature."""

    code = "FAILED_PRECONDITION"


class OutOfRange(ServingError):
    """The request goes past the end of something."""

    code = "OUT_OF_RANGE"


class Unauthenticated(ServingError):
    """The server does not know who asks."""

    code = "UNAUTHENTICATED"


class PermissionDenied(ServingError):
    """The server knows who asks and refuses."""

    code = "PERMISSION_DENIED"


class NotFound(ServingError):
    """No such model, or no such version of it."""

    code = "NOT_FOUND"


class AlreadyExists(ServingError):
    """The thing to be made is there."""

    code = "ALREADY_EXISTS"


class Aborted(ServingError):
    """Another request came in between."""

    code = "ABORTED"


class ResourceExhausted(ServingError):
    """The request or its answer is larger than a limit."""

    code = "RESOURCE_EXHAUSTED"


class Cancelled(ServingError):
    """The caller gave up."""

    code = "CANCELLED"


class Internal(ServingError):
    """The server broke."""

    code = "INTERNAL"


class DataLoss(ServingError):
    """Stored data are broken."""

    code = "DATA_LOSS"


class Unimplemented(ServingError):
    """The server does not do this."""

    code = "UNIMPLEMENTED"


class Unavailable(ServingError):
    """Nobody answers at that address; the one error that is worth another try."""

    code = "UNAVAILABLE"


class DeadlineExceeded(ServingError):
    """The answer did not come in time."""

    code = "DEADLINE_EXCEEDED"


_BY_CODE = {cls.code: cls for cls in ServingError.__subclasses__()}


def error_class(code: str) -> type[ServingError]:
    """Finds the error of a status code.

    Args:
        code: The code's name, for example "NOT_FOUND".

    Returns:
        Its class, `ServingError` itself for "UNKNOWN" and for a name that is none.
    """
    return _BY_CODE.get(code, ServingError)
