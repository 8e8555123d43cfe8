"""A REST front around models that are none: no TensorFlow, and requests that wait for a test."""

import asyncio
import contextlib
import http.client
import pathlib
import socket
import threading
from collections.abc import Iterator

import uvicorn

from rnnpt.serving._bounded_executor import BoundedExecutor
from rnnpt.serving._metrics import Metrics
from rnnpt.serving._model import Version
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._rest_front import make_application, make_http_server
from rnnpt.serving.error import NotFound


class StubManager:
    """Knows the status of "m"; that of "slow" comes when `release` is set."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.asked: list[str] = []
        self.arrived = threading.Semaphore(0)
        self.release = threading.Event()

    @contextlib.contextmanager
    def borrow(self, spec) -> Iterator[None]:
        raise NotFound(f"Servable not found for request: Latest({spec.name})")
        yield

    def status(self, name: str, number: int | None) -> list[Version]:
        self.asked.append(name)
        self.arrived.release()
        if name.startswith("slow"):
            assert self.release.wait(30)
        elif name != "m":
            raise NotFound(f"Could not find any versions of model {name}")
        folder = pathlib.Path("unused")
        return [Version(2, folder, "END", NotFound('gone <"b">')),
                Version(1, folder, "AVAILABLE")]


class RestStub:
    """A front with its address and its models."""

    def __init__(
        self, port: int, manager: StubManager, executor: BoundedExecutor, server: uvicorn.Server
    ):
        self.port = port
        self.server = server
        self.manager = manager
        self.executor = executor

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def call(self, verb: str, path: str, body: bytes | None = None, **headers: str):
        """Sends a request; returns (status, headers, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(verb, path, body, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        """Sends bytes; returns all that comes back until the server ends the connection."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


@contextlib.contextmanager
def rest_stub(num_threads: int = 2, **settings) -> Iterator[RestStub]:
    """Serves until the `with` statement ends."""
    options = ServerOptions(stop_grace_seconds=1, **settings)
    manager = StubManager()
    executor = BoundedExecutor(num_threads, options.max_waiting_requests)
    bound = socket.create_server(("127.0.0.1", 0), backlog=500)
    server = make_http_server(make_application(manager, executor, options), options)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])))
    thread.start()
    try:
        yield RestStub(bound.getsockname()[1], manager, executor, server)
    finally:
        manager.release.set()
        server.should_exit = True
        thread.join(20)
        executor.shutdown()
        assert not thread.is_alive()
