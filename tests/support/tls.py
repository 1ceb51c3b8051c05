"""Certificates of a run, in files, and clients that show them."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msim_xds.security.authority import Authority, Identity, KeyKind
from msim_xds.tls_settings import TlsSettings

DAY = timedelta(days=1)


def write(folder: Path, name: str, identity: Identity) -> Path:
    """``name.pem`` with certificate and key."""
    path = folder / f"{name}.pem"
    path.write_bytes(identity.certificate_pem + identity.key_pem)
    return path


@dataclass
class Site:
    """An authority, its server, and what it has issued, in a folder."""

    folder: Path
    kind: KeyKind = KeyKind.EC
    authority: Authority = field(init=False)
    identities: dict[str, Identity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.authority = Authority("Test Root", datetime.now(UTC), 7 * DAY, self.kind)
        (self.folder / "root.pem").write_bytes(self.authority.root.certificate_pem)
        write(self.folder, "server", self.authority.server(["localhost", "127.0.0.1"]))
        for name in ("hospital", "stolen"):
            self.issue(name)
        self.revoke()

    def issue(self, name: str) -> Path:
        """A client's certificate and key."""
        self.identities[name] = self.authority.client(name)
        return write(self.folder, name, self.identities[name])

    def revoke(self, *names: str) -> None:
        """A CRL with these, and no others."""
        revoked = [self.identities[name] for name in names]
        (self.folder / "crl.pem").write_bytes(self.authority.crl(revoked))

    def settings(self, **changes: Any) -> TlsSettings:
        """Client certificates required."""
        usual: dict[str, Any] = {
            "certificate": self.folder / "server.pem",
            "client_certificates": "required",
            "client_ca": [self.folder / "root.pem"],
            "reload_s": 0.2,
        }
        return TlsSettings(**{**usual, **changes})

    def client(self, name: str = "", version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """What the named client connects with; without a name it shows no certificate."""
        context = ssl.create_default_context(cafile=self.folder / "root.pem")
        if name:
            context.load_cert_chain(self.folder / f"{name}.pem")
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context


def get(port: int, context: ssl.SSLContext, path: str = "/") -> tuple[int, bytes]:
    """Status and body. Raises OSError where the connection is refused."""
    connection = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
