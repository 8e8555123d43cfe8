"""The embedded server: TensorFlow Serving's wire for one machine, development and tests.

    with ModelServer("chorales", "models/chorales", port=0, rest_api_port=0) as server:
        client = Client(f"127.0.0.1:{server.port}", "chorales")
"""

import os
import signal
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from rnnpt.serving._bounded_executor import BoundedExecutor
from rnnpt.serving._listener import Listener, StartError, bind
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._model import Model, version_folders
from rnnpt.serving._monitoring import metrics_path
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._servable import Servable
from rnnpt.serving._warmup import load_servable
from rnnpt.serving.error import ServingError, Unavailable

__all__ = ["ModelServer", "ServerOptions", "StartError", "serve"]


class ModelServer:
    """A server of one model, over gRPC and REST, from `start` (or `with`) to `stop`.

    Args:
        model_name: The name in requests.
        model_base_path: The folder of version folders; the newest version is served.
        port: gRPC's port; 0 picks a free one, which `port` tells after the start.
        rest_api_port: REST's port, likewise.
        host: The address to listen at.
        options: Everything else.
    """

    def __init__(
        self, model_name: str, model_base_path: str | os.PathLike, port: int = 8500,
        rest_api_port: int = 8501, host: str = "127.0.0.1",
        options: ServerOptions = ServerOptions(),
    ):
        self.port = port
        self.rest_api_port = rest_api_port
        self.host = host
        self.model_name = model_name
        self.model_base_path = Path(model_base_path)
        self._options = options
        model = Model(model_name, self.model_base_path, options, self._load)
        self._manager = ModelManager([model], options)
        num_threads = options.grpc_max_threads or 4 * (os.cpu_count() or 1)
        self._executor = BoundedExecutor(num_threads, options.max_waiting_requests)
        self._listener: Listener | None = None

    def _load(self, path: Path, number: int) -> Servable:
        return load_servable(
            path, number, self._options, observe=self._manager.metrics.add_warmup)

    def start(self, wait_for_versions: bool = False) -> bool:
        """Loads the model, then opens the ports.

        Args:
            wait_for_versions: Whether to wait, as TensorFlow Serving does, for a base path that
                does not exist yet or holds no version.

        Returns:
            False if `stop` was called while it waited.

        Raises:
            FileNotFoundError: If there is no version and nobody waits for one.
            StartError: If a port is in use, the model does not load, or the file that says where
                metrics are is broken.
        """
        if not wait_for_versions and not version_folders(self.model_base_path):
            raise FileNotFoundError(
                "model_base_path must hold a version folder with a SavedModel, such as 1, got "
                f"{self.model_base_path} without one; export a model to {self.model_base_path}/1")
        try:
            metrics_path(self._options.monitoring_config_file)
        except ServingError as error:
            raise StartError(str(error)) from None
        # Both ports are taken before the model loads, which may take long.
        rest_socket = bind(self.host, self.rest_api_port, "rest_api_port")
        try:
            if self.port:
                bind(self.host, self.port, "port").close()
            if not self._manager.wait_for_startup():
                return False
            listener = Listener(self._manager, self._executor, self._options)
            self.port, self.rest_api_port = listener.start(self.host, self.port, rest_socket)
            self._listener = listener
            return True
        except Unavailable as error:
            raise StartError(
                f"model_base_path must hold a model that loads: {error}; export it again") from None
        finally:
            if self._listener is None:
                rest_socket.close()

    def stop(self) -> None:
        """Refuses new requests, lets those under way end, and drops the model."""
        if self._listener is not None:
            self._listener.stop()
        self._manager.stop()
        self._executor.shutdown()

    def __enter__(self) -> "ModelServer":
        """Starts the server.

        Returns:
            The server.

        Raises:
            BaseException: Whatever `start` raises, after what had begun is stopped.
        """
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops the server."""
        self.stop()


def serve(
    model_name: str, model_base_path: str | os.PathLike, port: int = 8500,
    rest_api_port: int = 8501, host: str = "127.0.0.1", options: ServerOptions = ServerOptions(),
) -> None:
    """Serves a model until SIGINT or SIGTERM; the command line's `serve`.

    Waits for a base path that does not exist yet, as TensorFlow Serving does.

    Args:
        model_name: The name in requests.
        model_base_path: The folder of version folders; the newest version is served.
        port: gRPC's port, 0 for a free one.
        rest_api_port: REST's port, 0 for a free one.
        host: The address to listen at.
        options: Everything else.
    """
    server = ModelServer(model_name, model_base_path, port, rest_api_port, host, options)
    stopping = threading.Event()

    def stop(*_: Any) -> None:
        stopping.set()
        server._manager.interrupt()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if server.start(wait_for_versions=True):
            print(f"Serving {model_name} from {model_base_path}: gRPC at {host}:{server.port}, "
                  f"REST at http://{host}:{server.rest_api_port}/v1/models/{model_name}; "
                  "stop with Ctrl-C.", flush=True)
            stopping.wait()
    finally:
        server.stop()
        for number, handler in previous.items():
            signal.signal(number, handler)
