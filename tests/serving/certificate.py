"""A certificate of this machine's own, made when it is wanted."""

import trustme


def make_certificate(name: str = "localhost") -> tuple[bytes, bytes]:
    """A key, and a certificate with the authority that signed it, in PEM form.

    Args:
        name: Whom the certificate is for.

    Returns:
        Both; the second proves who its owner is, and is what others trust.
    """
    authority = trustme.CA()
    issued = authority.issue_cert(name, "127.0.0.1")
    chain = [pem.bytes() for pem in issued.cert_chain_pems]
    return issued.private_key_pem.bytes(), b"".join([*chain, authority.cert_pem.bytes()])
