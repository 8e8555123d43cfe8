"""Row 50: what gRPC hands to the manager, and how the manager's answer comes back."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from rnnpt.serving._grpc_front import make_server
from rnnpt.serving.error import FailedPrecondition, NotFound
from rnnpt.serving.server import ServerOptions


class Manager:
    """Stands for the models; keeps what it is asked."""

    def __init__(self, reload: Callable[[], None] = lambda: None):
        self.configs: list[model_server_config_pb2.ModelServerConfig] = []
        self._reload = reload

    def reload(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        self.configs.append(config)
        self._reload()

    def status(self, name: str, number: int | None) -> list:
        raise NotFound(f"Could not find any versions of model {name}")


def fail() -> None:
    raise FailedPrecondition("Request to assign label to version 3 of model hp2")


def play(manager: Manager, script: Callable[[Any], Awaitable]) -> Any:
    """Runs a script with a stub of a server of that manager."""
    async def serve() -> Any:
        with ThreadPoolExecutor(1) as executor:
            server = await make_server(manager, executor, ServerOptions())
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            try:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    return await script(model_service_pb2_grpc.ModelServiceStub(channel))
            finally:
                await server.stop(0)

    return asyncio.run(serve())


def one_model() -> model_management_pb2.ReloadConfigRequest:
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(
        name="hp2", base_path="/models/hp2", model_platform="tensorflow")
    return request


def test_row_50_the_whole_list_goes_to_the_manager_and_the_status_is_ok() -> None:
    manager = Manager()
    response = play(
        manager, lambda stub: stub.HandleReloadConfigRequest(one_model(), timeout=20))
    assert manager.configs == [one_model().config]
    assert response.HasField("status")
    assert (response.status.error_code, response.status.error_message) == (0, "")


def refusal(manager: Manager, request: model_management_pb2.ReloadConfigRequest) -> tuple:
    with pytest.raises(grpc.RpcError) as caught:
        play(manager, lambda stub: stub.HandleReloadConfigRequest(request, timeout=20))
    return caught.value.code().name, caught.value.details()


def test_row_50_the_managers_error_is_the_status() -> None:
    assert refusal(Manager(fail), one_model()) == (
        "FAILED_PRECONDITION", "Request to assign label to version 3 of model hp2")


def custom() -> model_management_pb2.ReloadConfigRequest:
    request = model_management_pb2.ReloadConfigRequest()
    request.config.custom_model_config.type_url = "x"
    return request


@pytest.mark.parametrize("request_", [model_management_pb2.ReloadConfigRequest(), custom()],
                         ids=["nothing", "custom"])
def test_row_50_only_a_list_of_models_is_taken(request_) -> None:
    manager = Manager()
    assert refusal(manager, request_) == (
        "INVALID_ARGUMENT",
        "ServerModelConfig type not supported by HandleReloadConfigRequest. "
        "Only ModelConfigList is currently supported")
    assert not manager.configs


def test_row_50_other_calls_are_answered_while_a_reload_waits() -> None:
    waiting, goes_on = threading.Event(), threading.Event()

    def wait() -> None:
        waiting.set()
        assert goes_on.wait(20)

    async def script(stub: Any) -> Any:
        reload = asyncio.ensure_future(stub.HandleReloadConfigRequest(one_model(), timeout=20))
        await asyncio.to_thread(waiting.wait, 20)
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "hp2"
        with pytest.raises(grpc.RpcError) as caught:
            await stub.GetModelStatus(request, timeout=20)
        assert caught.value.details() == "Could not find any versions of model hp2"
        assert not reload.done()
        goes_on.set()
        return await reload

    assert play(Manager(wait), script).status.error_code == 0
