"""A certificate of this machine's own, made when it is wanted."""

import pathlib
import subprocess


def make_certificate(folder: pathlib.Path, name: str = "localhost") -> tuple[bytes, bytes]:
    """A key and a certificate that signs itself, in PEM form.

    Args:
        folder: Where they are made.
        name: Whom the certificate is for.

    Returns:
        Both.
    """
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout", str(key),
         "-out", str(certificate)], check=True, capture_output=True)
    return key.read_bytes(), certificate.read_bytes()
