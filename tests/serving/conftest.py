"""A served model, made once."""

import pathlib
from collections.abc import Iterator

import pytest

from rnnpt.serving.client import Client
from rnnpt.serving.server import ModelServer, ServerOptions
from tests.serving.tiny_model import save_tiny

# Nothing waits: a broken version is given up at once.
OPTIONS = ServerOptions(
    file_system_poll_wait_seconds=0.05, max_num_load_retries=0, stop_grace_seconds=1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A base path with version 1."""
    base_path = tmp_path_factory.mktemp("chorales")
    save_tiny(base_path / "1")
    return base_path


@pytest.fixture(scope="session")
def server(tiny_model: pathlib.Path) -> Iterator[ModelServer]:
    """An embedded server of the tiny model."""
    with ModelServer("chorales", tiny_model, port=0, rest_api_port=0, options=OPTIONS) as server:
        yield server


@pytest.fixture(params=["grpc", "rest"])
def client(server: ModelServer, request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client over each wire."""
    target = {"grpc": f"127.0.0.1:{server.port}",
              "rest": f"http://127.0.0.1:{server.rest_api_port}"}[request.param]
    with Client(target, timeout_s=20) as client:
        yield client
