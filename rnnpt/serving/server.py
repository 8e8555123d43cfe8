"""The embedded server: TensorFlow Serving's wire for one machine, development and tests.

    with ModelServer("chorales", "models/chorales", port=0, rest_api_port=0) as server:
        client = Client(f"127.0.0.1:{server.port}", "chorales")
"""

import contextlib
import gc
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from rnnpt.serving import _rest_front
from rnnpt.serving._batching import Batching
from rnnpt.serving._bounded_executor import BoundedExecutor
from rnnpt.serving._listener import Listener, Site, StartError, bind
from rnnpt.serving._manager import ModelManager
from rnnpt.serving._midi_front import MidiFront
from rnnpt.serving._model_config import ModelSettings, model_settings, read_config, single_model
from rnnpt.serving._monitoring import metrics_path
from rnnpt.serving._option import ServerOptions
from rnnpt.serving._servable import Servable
from rnnpt.serving._version_folder import version_folders
from rnnpt.serving._warmup import load_servable
from rnnpt.serving.error import ServingError

__all__ = ["ModelServer", "ServerOptions", "StartError", "serve"]


class ModelServer:
    """A server of models, over gRPC and REST, from `start` (or `with`) to `stop`.

    Args:
        model_name: The name in requests; passed over if the options name a `model_config_file`,
            as is the next.
        model_base_path: The folder of version folders; the newest version is served.
        port: gRPC's port; 0 picks a free one, which `port` tells after the start.
        rest_api_port: REST's port, likewise.
        host: The address to listen at.
        options: Everything else.

    Raises:
        StartError: If `batching_parameters_file` cannot be read or is wrong.
    """

    def __init__(
        self, model_name: str, model_base_path: str | os.PathLike, port: int = 8500,
        rest_api_port: int = 8501, host: str = "127.0.0.1",
        options: ServerOptions = ServerOptions(),
    ):
        self.port = port
        self.rest_api_port = rest_api_port
        self.midi_port = options.midi_port
        self.host = host
        self.model_name = model_name
        self.model_base_path = Path(model_base_path)
        self._options = options
        self._manager = ModelManager(options, self._load)
        try:
            self._batching = Batching(options, self._manager.metrics.add_queuing)
        except ServingError as error:
            raise StartError(
                "batching_parameters_file must hold BatchingParameters, got "
                f"{options.batching_parameters_file} ({error}); mend it") from None
        num_threads = options.grpc_max_threads or 4 * (os.cpu_count() or 1)
        self._executor = BoundedExecutor(num_threads, options.max_waiting_requests)
        self._listener: Listener | None = None
        self._midi_front: MidiFront | None = None

    def _load(self, path: Path, number: int) -> Servable:
        return load_servable(
            path, number, self._options, self._batching, self._manager.metrics.add_warmup)

    def start(self, wait_for_versions: bool = False) -> bool:
        """Loads the models, then opens the ports.

        Args:
            wait_for_versions: Whether to wait, as TensorFlow Serving does, for a base path that
                does not exist yet or holds no version.

        Returns:
            False if `stop` was called while it waited.

        Raises:
            FileNotFoundError: If there is no version and nobody waits for one.
            StartError: If a port is in use, a file that an option names is refused, or a model does
                not load.
        """
        settings = self._settings()
        if not wait_for_versions:
            self._check_versions(settings or [])
        try:
            metrics_path(self._options.monitoring_config_file)
        except ServingError as error:
            raise StartError(
                "monitoring_config_file must hold a MonitoringConfig, got "
                f"{self._options.monitoring_config_file} ({error}); mend it") from None
        sites: list[Site] = []
        try:
            # The ports are taken before the models load, which may take long.
            self._add_sites(sites)
            if self.port:
                bind(self.host, self.port, "port").close()
            if not self._manager.wait_for_startup(settings):
                return False
            listener = Listener(self._manager, self._executor, self._options)
            self.port = listener.start(self.host, self.port, sites)
            self._listener = listener
            return True
        except ServingError as error:
            raise self._start_error(error) from None
        finally:
            if self._listener is None:
                for bound, _ in sites:
                    bound.close()
                self._close_midi()
                self._manager.stop()

    def _add_sites(self, sites: list[Site]) -> None:
        rest_socket = bind(self.host, self.rest_api_port, "rest_api_port")
        self.rest_api_port = rest_socket.getsockname()[1]
        sites.append((rest_socket, _rest_front.make_application(
            self._manager, self._executor, self._options)))
        if self.midi_port is None:
            return
        midi_socket = bind(self.host, self.midi_port, "midi_port")
        self.midi_port = midi_socket.getsockname()[1]
        self._midi_front = MidiFront(self._manager, self._options)
        sites.append((midi_socket, self._midi_front))

    def _settings(self) -> list[ModelSettings] | None:
        if not self._options.model_config_file:
            return [single_model(self.model_name, self.model_base_path)]
        try:
            config = read_config(self._options.model_config_file)
            if config.WhichOneof("config") is None:
                return None
            return model_settings(config)
        except ServingError as error:
            raise self._start_error(error) from None

    def _check_versions(self, settings: Iterable[ModelSettings]) -> None:
        is_file = bool(self._options.model_config_file)
        for model in settings:
            # As it was written, for the message.
            base_path = model.base_path if is_file else self.model_base_path
            if not version_folders(base_path):
                name = f"base_path of model {model.name}" if is_file else "model_base_path"
                raise FileNotFoundError(
                    f"{name} must hold a version folder with a SavedModel, such as 1, got "
                    f"{base_path} without one; export a model to {base_path}/1")

    def _start_error(self, error: ServingError) -> StartError:
        told = " ".join(f"Failed to start server. Error: {error.code}: {error}".split())
        if self._options.model_config_file:
            return StartError("model_config_file must name models that can be served, got "
                              f"{self._options.model_config_file} ({told}); mend what it tells of")
        return StartError("model_base_path must hold a model that loads, got "
                          f"{self.model_base_path} ({told}); export it again")

    def stop(self) -> None:
        """Refuses new requests, lets those under way end, and drops the models."""
        if self._listener is not None:
            self._listener.stop()
        self._close_midi()
        self._manager.stop()
        self._executor.shutdown()
        self._batching.close()

    def _close_midi(self) -> None:
        if self._midi_front is not None:
            self._midi_front.close()
            self._midi_front = None

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
    """Serves models until SIGINT or SIGTERM; the command line's `serve`.

    Waits for a base path that does not exist yet, as TensorFlow Serving does.

    Args:
        model_name: The name in requests; passed over if the options name a `model_config_file`,
            as is the next.
        model_base_path: The folder of version folders; the newest version is served.
        port: gRPC's port, 0 for a free one.
        rest_api_port: REST's port, 0 for a free one.
        host: The address to listen at.
        options: Everything else.
    """
    server = ModelServer(model_name, model_base_path, port, rest_api_port, host, options)

    def stop(*_: Any) -> None:
        server._manager.interrupt()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _frozen_imports():
            if server.start(wait_for_versions=True):
                print(_greeting(server, options), flush=True)
                server._manager.wait_for_interrupt()
    finally:
        server.stop()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _greeting(server: ModelServer, options: ServerOptions) -> str:
    what, path = f"{server.model_name} from {server.model_base_path}", f"/{server.model_name}"
    if options.model_config_file:
        what, path = f"the models of {options.model_config_file}", ""
    midi = ("" if server.midi_port is None else
            f"MIDI at http://{server.host}:{server.midi_port}/v1/continue; ")
    return (f"Serving {what}: gRPC at {server.host}:{server.port}, "
            f"REST at http://{server.host}:{server.rest_api_port}/v1/models{path}; "
            f"{midi}stop with Ctrl-C.")


@contextlib.contextmanager
def _frozen_imports() -> Iterator[None]:
    """Lets the interpreter look for no garbage in what was imported.

    These are 400,000 objects with TensorFlow's: to look through them holds every request up for a
    fifth of a second, and under load each second or two.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
