"""Where a client's servers are, and how a connection to them is kept private."""

import dataclasses
import re
import ssl
import urllib.parse

import grpc

from rnnpt.serving.error import InvalidArgument

REST_SCHEMES = ("http", "https")
_SECURE_SCHEMES = ("grpcs", "https")
_SCHEMES = ("grpc", "unix", *_SECURE_SCHEMES, "http")
_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:/?#@\[\]]+):([0-9]{1,5})")


@dataclasses.dataclass(frozen=True)
class Address:
    """One server.

    Args:
        scheme: "grpc", "grpcs", "unix", "http" or "https".
        place: "host:port", with the port left out where it is HTTP's own; a path for "unix".
        path: What stands before "/v1" in REST's routes.
    """

    scheme: str
    place: str
    path: str = ""

    def __str__(self) -> str:
        """Returns the address as a caller would write it."""
        if self.scheme == "grpc":
            return self.place
        separator = ":" if self.scheme == "unix" else "://"
        return f"{self.scheme}{separator}{self.place}{self.path}"

    @property
    def is_secure(self) -> bool:
        """Whether the scheme asks for TLS."""
        return self.scheme in _SECURE_SCHEMES


@dataclasses.dataclass(frozen=True)
class Credentials:
    """What TLS needs, under the names and in the form (PEM) of `grpc.ssl_channel_credentials`.

    Args:
        root_certificates: Whom to trust; None for those that everybody trusts.
        private_key: The client's own key, where the server asks for one. gRPC only.
        certificate_chain: The certificate of that key.

    Raises:
        InvalidArgument: If the roots are no certificates, or a key has no certificate.
    """

    root_certificates: bytes | None = None
    private_key: bytes | None = dataclasses.field(default=None, repr=False)
    certificate_chain: bytes | None = None

    def __post_init__(self) -> None:
        if (self.private_key is None) != (self.certificate_chain is None):
            alone = "private_key" if self.certificate_chain is None else "certificate_chain"
            raise InvalidArgument("private_key and certificate_chain must come together, got "
                                  f"{alone} alone: pass both or none")
        # gRPC would say nothing until the first call fails.
        self._context()

    def for_grpc(self) -> grpc.ChannelCredentials:
        """Returns them as gRPC takes them."""
        return grpc.ssl_channel_credentials(
            self.root_certificates, self.private_key, self.certificate_chain)

    def for_rest(self) -> ssl.SSLContext:
        """Returns them as HTTP's client takes them.

        Returns:
            The context.

        Raises:
            InvalidArgument: If there is a key.
        """
        if self.private_key is not None:
            raise InvalidArgument("private_key must be None over REST, got one: let the proxy "
                                  "before REST ask for something else, or use gRPC")
        return self._context()

    def _context(self) -> ssl.SSLContext:
        roots = self.root_certificates
        if roots is None:
            return ssl.create_default_context()
        try:
            if not roots:  # which would stand for everybody's
                raise ValueError("no bytes")
            return ssl.create_default_context(cadata=roots.decode("ascii"))
        except (ValueError, ssl.SSLError) as error:
            raise InvalidArgument("root_certificates must be certificates in PEM form, got "
                                  f"{roots[:20]!r} ({error}): read the file's bytes") from None


def parse_target(target: str) -> list[Address]:
    """Reads the address of a server, or those of several.

    Args:
        target: "host:port", "grpcs://host:port", "unix:/path", "http://host:port" or "https://
            host:port", or several of a kind with commas between.

    Returns:
        The addresses.

    Raises:
        InvalidArgument: If one is none, or they are not of a kind.
    """
    addresses = [_parse(item, target) for item in target.split(",")]
    if len({address.scheme for address in addresses}) > 1:
        raise InvalidArgument(f"target must name servers of one scheme, got {target!r}: write the "
                              "scheme before each")
    return addresses


def _parse(item: str, target: str) -> Address:
    scheme, separator, rest = item.partition("://")
    scheme = scheme.lower()
    if not separator:
        scheme, rest = ("unix", item[5:]) if item.startswith("unix:") else ("grpc", item)
    if not rest or any(character.isspace() for character in item):
        raise _wrong(target, "name the port too, for example localhost:8500")
    if scheme not in _SCHEMES:
        raise _wrong(target, f"{scheme} is none of grpc, grpcs, http and https")
    if scheme == "unix":
        return Address(scheme, rest)
    if scheme in REST_SCHEMES:
        return _parse_url(scheme, item, target)
    match = _HOST_AND_PORT.fullmatch(rest)
    if match is None or not 0 < int(match[2]) < 2**16:
        raise _wrong(target, "name the port too, for example localhost:8500")
    return Address(scheme, rest)


def _parse_url(scheme: str, url: str, target: str) -> Address:
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        raise _wrong(target, "a port is a number up to 65535") from None
    if not parts.hostname or port == 0:
        raise _wrong(target, "name the host, and the port where it is not HTTP's own")
    if parts.query or parts.fragment or parts.username is not None:
        raise _wrong(target, "leave out everything before the host and after the path")
    return Address(scheme, parts.netloc, parts.path.rstrip("/"))


def _wrong(target: str, advice: str) -> InvalidArgument:
    return InvalidArgument(
        f"target must be host:port or http://host:port, got {target!r}: {advice}")
