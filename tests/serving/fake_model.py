"""Models that load at once, or when the test says so, and a manager of them."""

import contextlib
import pathlib
import threading
import time
from collections.abc import Callable, Iterator

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.config import model_server_config_pb2

from rnnpt.serving._manager import ModelManager
from rnnpt.serving._model_config import model_settings
from rnnpt.serving._option import ServerOptions
from rnnpt.serving.error import NotFound


class FakeServable:
    """What the manager asks of a model."""

    def __init__(self, path: pathlib.Path, version: int):
        self.path, self.version = path, version
        self._num_users = 0
        self._then: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self.is_closed = False

    def hold(self) -> bool:
        with self._lock:
            self._num_users += self._then is None
            return self._then is None

    def release(self) -> None:
        with self._lock:
            self._num_users -= 1
        self._close_if_unused()

    def retire(self, then: Callable[[], None] = lambda: None) -> None:
        with self._lock:
            self._then = then
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._then is not None and not self._num_users and not self.is_closed:
            self.is_closed = True
            self._then()


class FakeLoader:
    """Loads a folder unless it holds `broken`, and not before it holds no `closed`."""

    def __init__(self) -> None:
        self.tries: list[str] = []
        self.changed = threading.Condition()
        self.closed: set[str] = set()

    def __call__(self, path: pathlib.Path, number: int) -> FakeServable:
        name = f"{path.parent.name}/{path.name}"
        with self.changed:
            self.tries.append(name)
            assert self.changed.wait_for(lambda: name not in self.closed, 20)
        if (path / "broken").exists():
            raise NotFound(f"{name} is broken")
        return FakeServable(path, number)

    def open(self, name: str) -> None:
        """Lets a load go on."""
        with self.changed:
            self.closed.discard(name)
            self.changed.notify_all()


def make_version(base_path: pathlib.Path, number: int, is_broken: bool = False) -> None:
    """Moves a version folder into its place."""
    beside = base_path / f".{number}"
    beside.mkdir(parents=True)
    if is_broken:
        (beside / "broken").touch()
    beside.rename(base_path / str(number))


def make_config(folder: pathlib.Path, *models: dict | str) -> (
        model_server_config_pb2.ModelServerConfig):
    """A config of models in a folder: their names, or fields of a ModelConfig."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.SetInParent()
    for model in models:
        fields = {"name": model} if isinstance(model, str) else model
        config.model_config_list.config.add(**(
            {"base_path": str(folder / fields["name"]), "model_platform": "tensorflow"} | fields))
    return config


@contextlib.contextmanager
def running(
    config: model_server_config_pb2.ModelServerConfig, loader: FakeLoader | None = None,
    is_waited_for: bool = True, **options,
) -> Iterator[ModelManager]:
    """A manager that has started, or is starting."""
    settings = {"file_system_poll_wait_seconds": 0.01, "max_num_load_retries": 0,
                "load_retry_interval_micros": 1000} | options
    manager = ModelManager(ServerOptions(**settings), loader or FakeLoader())
    models = model_settings(config) if config.WhichOneof("config") else None
    starting = threading.Thread(target=manager.wait_for_startup, args=(models,))
    try:
        if is_waited_for:
            assert manager.wait_for_startup(models)
        else:
            starting.start()
        yield manager
    finally:
        manager.stop()
        if not is_waited_for:
            starting.join()


def states(manager: ModelManager, name: str) -> dict[int, str]:
    """Version -> state, for the versions that are listed."""
    try:
        return {version.number: version.state for version in manager.status(name, None)}
    except NotFound:
        return {}


def used(manager: ModelManager, name: str, **choice) -> int:
    """The version that answers a request."""
    with manager.borrow(spec(name, **choice)) as servable:
        return servable.version


def spec(name: str, version: int | None = None, label: str | None = None) -> model_pb2.ModelSpec:
    """A request's ModelSpec."""
    made = model_pb2.ModelSpec(name=name)
    if version is not None:
        made.version.value = version
    if label is not None:
        made.version_label = label
    return made


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Polls until something is so."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, f"never saw that {what}"
        time.sleep(0.005)
