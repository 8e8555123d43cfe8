"""The ports: gRPC and HTTP in one event loop, in a thread of its own."""

import asyncio
import errno
import socket
import sys
import threading
from collections.abc import Sequence

import grpc

from rnnpt.serving._bounded_executor import BoundedExecutor
from rnnpt.serving._grpc_front import make_server
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._rest_front import Application, make_http_server
from rnnpt.serving._tls import read_credentials
from rnnpt.serving.error import ServingError

if sys.platform == "win32":
    _new_event_loop = asyncio.new_event_loop
else:
    # Less of the interpreter's time for each call of gRPC than asyncio's own loop takes.
    from uvloop import new_event_loop as _new_event_loop


class StartError(ValueError):
    """The server cannot start as it was asked to: a port in use, or a model that does not load."""


def bind(host: str, port: int, flag: str) -> socket.socket:
    """Takes a port without listening at it yet.

    Args:
        host: The address.
        port: The port, 0 for a free one.
        flag: The port's name on the command line, for the error.

    Returns:
        The socket.

    Raises:
        StartError: If the port is in use, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named: asyncio sets TCP_NODELAY on no other connection, and an answer whose
    # head and body are written apart would wait 40 ms for the client's delayed acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OverflowError:
        bound.close()
        raise StartError(f"{flag} must be from 0 to 65535, got {port}; pass another") from None
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(f"{flag} must be free, got {port}, which another program uses; stop "
                             f"that program or pass another --{flag}") from None
        raise StartError(f"{flag} and host must be an address to listen at, got "
                         f"{_address(host, port)} ({error.strerror}); pass others") from None
    return bound


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


Site = tuple[socket.socket, Application]


def _add_port(
    server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None
) -> int:
    if credentials is None:
        return server.add_insecure_port(address)
    return server.add_secure_port(address, credentials)


class Listener:
    """The ports, from `start` to `stop`.

    Args:
        manager: The models.
        executor: Where requests run, never in the event loop.
        options: Time limits.
    """

    def __init__(self, manager: ModelManager, executor: BoundedExecutor, options: ServerOptions):
        self._manager = manager
        self._executor = executor
        self._options = options
        self._port = 0
        self._error: BaseException | None = None
        self._started = threading.Event()
        self._loop = _new_event_loop()
        self._stopping = asyncio.Event()
        self._thread: threading.Thread | None = None

    def start(self, host: str, port: int, sites: Sequence[Site]) -> int:
        """Opens the ports.

        Args:
            host: gRPC's address.
            port: gRPC's port, 0 for a free one.
            sites: Each port of HTTP, bound, and what answers there.

        Returns:
            gRPC's port.

        Raises:
            StartError: If gRPC's port cannot be had.
        """
        self._thread = threading.Thread(
            target=self._run, args=(_address(host, port), sites), name="rnnpt-listener",
            daemon=True)
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self._port

    def stop(self) -> None:
        """Closes the ports, after the requests under way have ended or their time is over."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._thread = None

    def _run(self, address: str, sites: Sequence[Site]) -> None:
        try:
            self._loop.run_until_complete(self._serve(address, sites))
        except ServingError as error:
            self._error = StartError(str(error))
        except Exception as error:  # handed to the thread that waits in `start`
            self._error = error
        finally:
            self._started.set()
            for bound, _ in sites:
                bound.close()
            self._loop.close()

    def _open_grpc(self, server: grpc.aio.Server, address: str) -> None:
        file, path = self._options.ssl_config_file, self._options.grpc_socket_path
        try:
            credentials = read_credentials(file) if file else None
        except ServingError as error:
            raise StartError(f"ssl_config_file must be an SSLConfig to serve with, got {file} "
                             f"({error}); mend it") from None
        try:
            self._port = _add_port(server, address, credentials)
        except RuntimeError:
            raise self._cannot_open(server, address) from None
        if not path:
            return
        try:
            _add_port(server, f"unix:{path}", credentials)
        except RuntimeError:
            raise StartError("grpc_socket_path must be where a socket can be made, got "
                             f"{path!r}; pass another") from None

    def _cannot_open(self, server: grpc.aio.Server, address: str) -> StartError:
        """Tells a port that is taken from a key and a certificate that gRPC does not take."""
        try:
            # The server is not to start, so nobody is answered here.
            server.add_insecure_port(address)
        except RuntimeError:
            return StartError(f"port must be free, got {address}, which cannot be opened; pass "
                              "another --port")
        return StartError("ssl_config_file must hold a server_key and a server_cert that belong "
                          f"together, and a custom_ca if any, got {self._options.ssl_config_file} "
                          "with others; write PEM texts there")

    async def _serve(self, address: str, sites: Sequence[Site]) -> None:
        grpc_server = await make_server(self._manager, self._executor, self._options)
        self._open_grpc(grpc_server, address)
        await grpc_server.start()
        servers, tasks = [], []
        for bound, application in sites:
            server = make_http_server(application, self._options)
            task = asyncio.ensure_future(server.serve(sockets=[bound]))
            while not server.started and not task.done():
                await asyncio.sleep(0.005)
            servers.append(server)
            tasks.append(task)
        self._started.set()
        await self._stopping.wait()
        for server in servers:
            server.should_exit = True
        await grpc_server.stop(self._options.stop_grace_seconds)
        await asyncio.gather(*tasks)
