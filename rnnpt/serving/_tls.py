"""TLS of the gRPC port, from TensorFlow Serving's SSLConfig; REST has none."""

from typing import Any

import grpc

from rnnpt.serving._text_message import message_class, read_text_message
from rnnpt.serving.error import InvalidArgument

#: The PEM texts themselves stand in the file, not the names of files with them.
SSLConfig: Any = message_class("SSLConfig", SSLConfig={
    "server_key": "string", "server_cert": "string", "custom_ca": "string",
    "client_verify": "bool"})


def read_credentials(ssl_config_file: str) -> grpc.ServerCredentials:
    """Reads what the gRPC port proves itself with, and whether clients must do so too.

    Args:
        ssl_config_file: Text file of an SSLConfig.

    Returns:
        The credentials.

    Raises:
        InvalidArgument: If it has no key, no certificate, or not the authority that clients are
            verified by.
    """
    config = read_text_message(ssl_config_file, SSLConfig())
    for name in ("server_key", "server_cert", *(["custom_ca"] if config.client_verify else [])):
        text = getattr(config, name)
        if "-----BEGIN " not in text:
            # Not the text itself, which may be a key in another form.
            raise InvalidArgument(
                f"{name} must be a PEM text, got {len(text)} characters of something else; put the "
                "text itself into the file, its lines joined by \\n")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        config.custom_ca.encode() or None, config.client_verify)
