"""The two ports: gRPC and REST in one event loop, in a thread of its own."""

import asyncio
import errno
import socket
import threading
from concurrent.futures import Executor

from rnnpt.serving._grpc_front import make_server
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._rest_front import make_application, make_http_server


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


class Listener:
    """Both fronts, from `start` to `stop`.

    Args:
        manager: The models.
        executor: Where requests run, never in the event loop.
        options: Time limits.
    """

    def __init__(self, manager: ModelManager, executor: Executor, options: ServerOptions):
        self._manager = manager
        self._executor = executor
        self._options = options
        self._port = 0
        self._error: BaseException | None = None
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread: threading.Thread | None = None

    def start(self, host: str, port: int, rest_socket: socket.socket) -> tuple[int, int]:
        """Opens the ports.

        Args:
            host: gRPC's address.
            port: gRPC's port, 0 for a free one.
            rest_socket: REST's port, bound.

        Returns:
            gRPC's and REST's ports.

        Raises:
            StartError: If gRPC's port cannot be had.
        """
        rest_api_port = rest_socket.getsockname()[1]
        self._thread = threading.Thread(
            target=self._run, args=(_address(host, port), rest_socket), name="rnnpt-listener",
            daemon=True)
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self._port, rest_api_port

    def stop(self) -> None:
        """Closes the ports, after the requests under way have ended or their time is over."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def _run(self, address: str, rest_socket: socket.socket) -> None:
        try:
            self._loop.run_until_complete(self._serve(address, rest_socket))
        except Exception as error:  # handed to the thread that waits in `start`
            self._error = error
        finally:
            self._started.set()
            rest_socket.close()
            self._loop.close()

    async def _serve(self, address: str, rest_socket: socket.socket) -> None:
        grpc_server = make_server(self._manager, self._executor)
        try:
            self._port = grpc_server.add_insecure_port(address)
        except RuntimeError:
            raise StartError(f"port must be free, got {address}, which cannot be opened; pass "
                             "another --port") from None
        await grpc_server.start()
        application = make_application(self._manager, self._executor, self._options)
        rest_server = make_http_server(application, self._options)
        rest_task = asyncio.ensure_future(rest_server.serve(sockets=[rest_socket]))
        while not rest_server.started and not rest_task.done():
            await asyncio.sleep(0.005)
        self._started.set()
        await self._stopping.wait()
        rest_server.should_exit = True
        await grpc_server.stop(self._options.stop_grace_seconds)
        await rest_task
