"""The client over TLS, and over a socket of the machine."""

import asyncio
import pathlib
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc
import pytest

from rnnpt.serving import _wire
from rnnpt.serving.client import AsyncClient, Client, Credentials, Retry, Unavailable, VersionStatus
from tests.serving.certificate import make_certificate

STATUS = [VersionStatus(3, "AVAILABLE")]
ONCE = Retry(num_attempts=1)


@pytest.fixture(scope="module")
def pair() -> tuple[bytes, bytes]:
    """The server's key and certificate."""
    return make_certificate()


@pytest.fixture(scope="module")
def own_pair() -> tuple[bytes, bytes]:
    """The client's key and certificate."""
    return make_certificate("player")


@pytest.fixture
def grpc_server() -> Iterator[Callable]:
    """Starts a server that tells its status."""
    started = []

    def answer(request, context):
        response = _wire.GetModelStatusResponse()
        response.model_version_status.add(version=3, state=30)
        return response

    def start(address: str, credentials=None) -> int:
        server = grpc.server(ThreadPoolExecutor(1))
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(
            "tensorflow.serving.ModelService",
            {"GetModelStatus": grpc.unary_unary_rpc_method_handler(
                answer, _wire.GetModelStatusRequest.FromString,
                _wire.GetModelStatusResponse.SerializeToString)})])
        port = (server.add_insecure_port(address) if credentials is None
                else server.add_secure_port(address, credentials))
        server.start()
        started.append(server)
        return port

    yield start
    for server in started:
        server.stop(None).wait()


@pytest.fixture
def https_port(pair, tmp_path: pathlib.Path) -> Iterator[int]:
    """A server that tells its status over HTTPS."""
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"model_version_status": [{"version": "3", "state": "AVAILABLE"}]}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments) -> None:
            pass

    (tmp_path / "pair.pem").write_bytes(b"".join(pair))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield server.server_port
    server.shutdown()
    serving.join()
    server.server_close()


def status_by_both(target: str, credentials: Credentials | None) -> None:
    async def ask() -> list[VersionStatus]:
        async with AsyncClient(target, credentials=credentials, retry=ONCE) as client:
            return await client.status()

    with Client(target, credentials=credentials, retry=ONCE) as client:
        assert client.status() == STATUS
    assert asyncio.run(ask()) == STATUS


@pytest.mark.parametrize("scheme", ["grpcs://", ""])
def test_row_51_grpc_goes_over_tls(grpc_server, pair, scheme: str) -> None:
    port = grpc_server("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    status_by_both(f"{scheme}127.0.0.1:{port}", Credentials(root_certificates=pair[1]))


def test_row_51_a_server_that_asks_who_calls_is_told(grpc_server, pair, own_pair) -> None:
    port = grpc_server("127.0.0.1:0", grpc.ssl_server_credentials(
        [pair], root_certificates=own_pair[1], require_client_auth=True))
    status_by_both(f"grpcs://localhost:{port}", Credentials(pair[1], *own_pair))
    target, credentials = f"grpcs://localhost:{port}", Credentials(pair[1])
    with Client(target, credentials=credentials, retry=ONCE) as client:
        with pytest.raises(Unavailable, match="a server must answer at grpcs://localhost"):
            client.status()


def test_a_stranger_is_not_trusted_over_grpc(grpc_server, pair) -> None:
    port = grpc_server("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    with Client(f"grpcs://127.0.0.1:{port}", retry=ONCE) as client:
        with pytest.raises(Unavailable, match=r"a server must answer at grpcs://127\.0\.0\.1"):
            client.status()


def test_rest_goes_over_tls(https_port: int, pair) -> None:
    status_by_both(f"https://127.0.0.1:{https_port}", Credentials(root_certificates=pair[1]))


def test_a_stranger_is_not_trusted_over_rest(https_port: int, own_pair) -> None:
    for credentials in (None, Credentials(root_certificates=own_pair[1])):
        with Client(f"https://localhost:{https_port}", credentials=credentials,
                    retry=ONCE) as client:
            with pytest.raises(Unavailable, match="a server must answer at https://localhost.*"
                                                  "certificate verify failed"):
                client.status()


def test_row_52_grpc_goes_over_a_socket_of_the_machine(grpc_server, tmp_path) -> None:
    path = tmp_path / "s"
    grpc_server(f"unix:{path}")
    status_by_both(f"unix:{path}", None)
