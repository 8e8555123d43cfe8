"""The client's ways to a server over gRPC: with plain calls, and with awaited ones."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from rnnpt.serving import _grpc_message
from rnnpt.serving._address import Address, Credentials
from rnnpt.serving._grpc_message import METADATA, METHODS, PREDICT, STATUS, Method
from rnnpt.serving._transport import CONNECT_S, Metadata, Signature, Target, VersionStatus
from rnnpt.serving.error import Cancelled, DeadlineExceeded, ServingError, Unavailable, error_class

_OPTIONS = (
    # State and long rolls pass gRPC's default of 4 MB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A name may stand for several servers, as that of a headless service does.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    # gRPC would refuse calls for a second and more after a connection that failed, and so make
    # short waits before another try pointless.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Not a wait between two connections, whatever its name says, but how long one may take.
    ("grpc.min_reconnect_backoff_ms", round(1000 * CONNECT_S)),
)


class GrpcTransport:
    """One long-lived channel.

    Args:
        address: The server.
        credentials: What TLS needs; None for none.
    """

    def __init__(self, address: Address, credentials: Credentials | None = None):
        self._address = address
        self._channel = _open(grpc, address, credentials)
        self._calls = _calls(self._channel)
        self._is_closed = False

    def _call(self, method: Method, request: Any, timeout_s: float) -> Any:
        try:
            response = self._calls[method.path](request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise _error(self._address, error, self._is_closed) from None
        except ValueError:  # another thread has closed the channel
            raise _closed(self._address) from None
        return method.read(response)

    def predict(
        self, target: Target, signature_name: str, signature: Signature,
        inputs: Mapping[str, np.ndarray], timeout_s: float,
    ) -> dict[str, np.ndarray]:
        """As `Transport.predict`."""
        request = _grpc_message.predict_request(target, signature_name, inputs)
        return self._call(PREDICT, request, timeout_s)

    def metadata(self, target: Target, timeout_s: float) -> Metadata:
        """As `Transport.metadata`."""
        return self._call(METADATA, _grpc_message.metadata_request(target), timeout_s)

    def status(self, target: Target, timeout_s: float) -> list[VersionStatus]:
        """As `Transport.status`."""
        return self._call(STATUS, _grpc_message.status_request(target), timeout_s)

    def close(self) -> None:
        """Hangs up."""
        self._is_closed = True
        self._channel.close()


class AsyncGrpcTransport:
    """One long-lived channel, opened by the first call in that call's event loop.

    Args:
        address: The server.
        credentials: What TLS needs; None for none.
    """

    def __init__(self, address: Address, credentials: Credentials | None = None):
        self._address = address
        self._credentials = credentials
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[str, Any] = {}
        self._is_closed = False

    async def _call(self, method: Method, request: Any, timeout_s: float) -> Any:
        if self._channel is None:
            self._channel = _open(grpc.aio, self._address, self._credentials)
            self._calls = _calls(self._channel)
        try:
            response = await self._calls[method.path](request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _error(self._address, error, self._is_closed) from None
        except grpc.aio.UsageError:
            raise _closed(self._address) from None
        except asyncio.CancelledError:
            # gRPC cancels the calls of a channel that is closed; nobody has cancelled the task.
            task = asyncio.current_task()
            if self._is_closed and task is not None and not task.cancelling():
                raise _closed(self._address) from None
            raise
        return method.read(response)

    async def predict(
        self, target: Target, signature_name: str, signature: Signature,
        inputs: Mapping[str, np.ndarray], timeout_s: float,
    ) -> dict[str, np.ndarray]:
        """As `Transport.predict`."""
        request = _grpc_message.predict_request(target, signature_name, inputs)
        return await self._call(PREDICT, request, timeout_s)

    async def metadata(self, target: Target, timeout_s: float) -> Metadata:
        """As `Transport.metadata`."""
        return await self._call(METADATA, _grpc_message.metadata_request(target), timeout_s)

    async def status(self, target: Target, timeout_s: float) -> list[VersionStatus]:
        """As `Transport.status`."""
        return await self._call(STATUS, _grpc_message.status_request(target), timeout_s)

    async def close(self) -> None:
        """Hangs up."""
        self._is_closed = True
        if self._channel is not None:
            await self._channel.close()


def _open(library: Any, address: Address, credentials: Credentials | None) -> Any:
    """Opens a channel of gRPC or of its asyncio half, which have the same functions."""
    place = f"unix:{address.place}" if address.scheme == "unix" else address.place
    if credentials is None:
        return library.insecure_channel(place, options=_OPTIONS)
    return library.secure_channel(place, credentials.for_grpc(), options=_OPTIONS)


def _calls(channel: Any) -> dict[str, Any]:
    return {
        method.path: channel.unary_unary(
            method.path, request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString)
        for method in METHODS}


def _error(address: Address, error: Any, is_closed: bool) -> ServingError:
    code, text = error.code().name, error.details()
    if code == Cancelled.code:
        if is_closed:
            return _closed(address)
        # Nobody here gave up: gRPC cancels a call that meets a server in the moment of its stop.
        code = Unavailable.code
    if code in (Unavailable.code, DeadlineExceeded.code):
        text = f"a server must answer at {address}, got: {text}"
    return error_class(code)(text)


def _closed(address: Address) -> Cancelled:
    return Cancelled(f"the client of {address} must stay open during a call, got closed: close it "
                     "after its last call")
