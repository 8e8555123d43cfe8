"""The client's ways to a server over REST: with plain calls, and with awaited ones."""

import asyncio
import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from rnnpt.serving._address import Address, Credentials
from rnnpt.serving._rest_connection import Connection, Pool
from rnnpt.serving._rest_message import RestMessages
from rnnpt.serving._transport import Metadata, Signature, Target, VersionStatus
from rnnpt.serving.error import DeadlineExceeded

# Calls of one asyncio client at a time; the others wait, within their own time.
_MAX_THREADS = 64


class RestTransport:
    """Connections that are kept open; each of the threads that share it has its own.

    Args:
        address: The server.
        credentials: What TLS needs; None for none.
    """

    def __init__(self, address: Address, credentials: Credentials | None = None):
        self._pool, self._messages = _open(address, credentials)

    def _call(self, function: Callable, timeout_s: float, *arguments: Any) -> Any:
        connection = self._pool.take()
        try:
            return function(_exchange(connection, timeout_s), *arguments)
        finally:
            self._pool.give_back(connection)

    def predict(
        self, target: Target, signature_name: str, signature: Signature,
        inputs: Mapping[str, np.ndarray], timeout_s: float,
    ) -> dict[str, np.ndarray]:
        """As `Transport.predict`."""
        return self._call(
            self._messages.predict, timeout_s, target, signature_name, signature, inputs)

    def metadata(self, target: Target, timeout_s: float) -> Metadata:
        """As `Transport.metadata`."""
        return self._call(self._messages.metadata, timeout_s, target)

    def status(self, target: Target, timeout_s: float) -> list[VersionStatus]:
        """As `Transport.status`."""
        return self._call(self._messages.status, timeout_s, target)

    def close(self) -> None:
        """Hangs up."""
        self._pool.close()


class AsyncRestTransport:
    """The same in threads of its own, one for each call at a time.

    A call that is cancelled, or whose time is over, ends its thread's wait too.

    Args:
        address: The server.
        credentials: What TLS needs; None for none.
    """

    def __init__(self, address: Address, credentials: Credentials | None = None):
        self._url = str(address)
        self._pool, self._messages = _open(address, credentials)
        self._executor = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="rnnpt-client")

    async def _call(self, function: Callable, timeout_s: float, *arguments: Any) -> Any:
        connection = self._pool.take()
        call = functools.partial(function, _exchange(connection, timeout_s), *arguments)
        waiting = self._executor.submit(call)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await asyncio.wrap_future(waiting)
        except (asyncio.CancelledError, TimeoutError) as error:
            waiting.cancel()
            connection.abort()
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(f"{self._url} must answer in timeout_s, got nothing in "
                                       f"{timeout_s:.3g} s: wait longer or ask for less") from None
            raise
        except BaseException:
            self._pool.give_back(connection)
            raise
        self._pool.give_back(connection)
        return answer

    async def predict(
        self, target: Target, signature_name: str, signature: Signature,
        inputs: Mapping[str, np.ndarray], timeout_s: float,
    ) -> dict[str, np.ndarray]:
        """As `Transport.predict`."""
        return await self._call(
            self._messages.predict, timeout_s, target, signature_name, signature, inputs)

    async def metadata(self, target: Target, timeout_s: float) -> Metadata:
        """As `Transport.metadata`."""
        return await self._call(self._messages.metadata, timeout_s, target)

    async def status(self, target: Target, timeout_s: float) -> list[VersionStatus]:
        """As `Transport.status`."""
        return await self._call(self._messages.status, timeout_s, target)

    async def close(self) -> None:
        """Hangs up."""
        self._pool.close()
        self._executor.shutdown(wait=False)


def _open(address: Address, credentials: Credentials | None) -> tuple[Pool, RestMessages]:
    context = None if credentials is None else credentials.for_rest()
    return Pool(address, context), RestMessages(str(address), address.path)


def _exchange(connection: Connection, timeout_s: float) -> Callable:
    return functools.partial(connection.exchange, timeout_s=timeout_s)
