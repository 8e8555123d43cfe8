"""What a client takes for an address, and for credentials."""

import asyncio

import pytest

from rnnpt.serving._address import Address, parse_target
from rnnpt.serving.client import AsyncClient, Client, Credentials, InvalidArgument


@pytest.mark.parametrize(("target", "addresses"), [
    ("localhost:8500", [Address("grpc", "localhost:8500")]),
    ("grpc://localhost:8500", [Address("grpc", "localhost:8500")]),
    ("grpcs://a.example:443", [Address("grpcs", "a.example:443")]),
    ("[::1]:8500", [Address("grpc", "[::1]:8500")]),
    ("unix:/run/rnnpt.sock", [Address("unix", "/run/rnnpt.sock")]),
    ("a:1,b:2,10.0.0.3:65535",
     [Address("grpc", "a:1"), Address("grpc", "b:2"), Address("grpc", "10.0.0.3:65535")]),
    ("http://a:8501", [Address("http", "a:8501")]),
    ("HTTP://a", [Address("http", "a")]),
    ("https://a.example/music/", [Address("https", "a.example", "/music")]),
    ("http://[::1]:8501,http://b:1", [Address("http", "[::1]:8501"), Address("http", "b:1")]),
])
def test_addresses_are_read(target: str, addresses: list[Address]) -> None:
    assert parse_target(target) == addresses


@pytest.mark.parametrize("text", [
    "a:1", "grpcs://a:1", "unix:/a", "http://a:1/b", "https://a"])
def test_addresses_are_told_as_they_were_written(text: str) -> None:
    assert str(parse_target(text)[0]) == text


@pytest.mark.parametrize("target", [
    "", "localhost", "localhost:http", ":8500", "host:99999", "host:0", "host:65536", "host:-1",
    "::1:8500", "host: 8500", "a:1,", ",a:1", "a:1, b:2", "http://", "grpcs://", "unix:",
    "http://host:port", "http://host:65536", "http://host:0", "http://host:1/?x=1", "http://h:1/#x",
    "http://user:word@host:1", "http://[::1", "ftp://host:21", "tcp://host:8500",
    "dns:///host:8500", "host:8500/v1", "host:\u0668",
])
def test_what_is_no_address_is_refused(target: str) -> None:
    for make in (Client, AsyncClient):
        with pytest.raises(InvalidArgument, match="target must be host:port or http://host:port, "
                                                  "got ") as caught:
            make(target)
        assert repr(target) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["a:1,http://b:1", "http://a:1,b:2", "grpcs://a:1,b:2"])
def test_servers_must_be_of_one_scheme(target: str) -> None:
    with pytest.raises(InvalidArgument, match="target must name servers of one scheme, got "
                                              f"'{target}': write the scheme before each"):
        Client(target)


@pytest.mark.parametrize("version", [-1, 2**63])
def test_version_must_be_one(version: int) -> None:
    with pytest.raises(InvalidArgument, match=f"version must be from 0 to .*, got {version}"):
        Client("localhost:8500", version=version)


@pytest.mark.parametrize("data", [b"", b"no certificate", b"\xff\xfe"])
def test_roots_must_be_certificates(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="root_certificates must be certificates in PEM form, "
                                              "got b'"):
        Credentials(root_certificates=data)


@pytest.mark.parametrize("name", ["private_key", "certificate_chain"])
def test_a_key_comes_with_its_certificate(name: str) -> None:
    with pytest.raises(InvalidArgument, match="private_key and certificate_chain must come "
                                              f"together, got {name} alone"):
        Credentials(**{name: b"x"})


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(Credentials(private_key=b"secret", certificate_chain=b"x"))


def test_rest_takes_no_key() -> None:
    credentials = Credentials(private_key=b"x", certificate_chain=b"x")
    with pytest.raises(InvalidArgument, match="private_key must be None over REST, got one"):
        Client("https://localhost:8501", credentials=credentials)


def test_http_takes_no_credentials() -> None:
    with pytest.raises(InvalidArgument, match="credentials must be None over http, got some for "
                                              "'http://localhost:8501': write https://"):
        Client("http://localhost:8501", credentials=Credentials())


@pytest.mark.parametrize("target", ["localhost:1", "grpcs://localhost:1", "https://localhost:1",
                                    "unix:/nowhere", "http://localhost:1,http://localhost:2"])
def test_clients_of_each_kind_open_and_close(target: str) -> None:
    Client(target).close()
    asyncio.run(AsyncClient(target).close())
