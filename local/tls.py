"""A certificate authority for one local run, and what it certifies: this machine's own address."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: who is to be trusted, and the server's certificate with its key."""

    authority: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """For clients that trust this authority, and no other."""
        return ssl.create_default_context(cafile=self.authority)


def certified(directory: Path) -> Tls:
    """Make an authority and a certificate for 127.0.0.1 in `directory`. The authority's own key is kept nowhere."""
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1", "localhost")
    made = Tls(directory / "authority.pem", directory / "server.pem", directory / "server.key")
    authority.cert_pem.write_to_path(str(made.authority))
    made.certificate.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    made.key.touch(mode=0o600)
    server.private_key_pem.write_to_path(str(made.key))
    return made
