"""A certificate authority for one local run, and a certificate for 127.0.0.1."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the authority's certificate, and the server's certificate and key."""

    authority: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """A context for clients that trust only this authority."""
        return ssl.create_default_context(cafile=self.authority)


def create_tls(directory: Path) -> Tls:
    """Create an authority and a certificate for 127.0.0.1 in `directory`. The authority's key is not stored."""
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1", "localhost")
    tls = Tls(directory / "authority.pem", directory / "server.pem", directory / "server.key")
    authority.cert_pem.write_to_path(str(tls.authority))
    tls.certificate.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    tls.key.touch(mode=0o600)
    server.private_key_pem.write_to_path(str(tls.key))
    return tls
