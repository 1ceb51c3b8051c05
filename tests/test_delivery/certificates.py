"""Certificates of an authority of the tests' own, made by openssl."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

_REQUEST = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
_SIGN = "x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial"


def authority(folder: Path) -> Path:
    """An authority's certificate; its key stands beside it."""
    _openssl(folder, f"{_REQUEST} -x509 -days 1 -subj /CN=tests -keyout ca.key -out ca.pem")
    return folder / "ca.pem"


def certificate(folder: Path, name: str, days: int = 1) -> Path:
    """A file with a key and a certificate for ``name`` and 127.0.0.1, signed by the authority there.

    It is valid from now for so many ``days``; with fewer than none it has expired.
    """
    (folder / "names").write_text(f"subjectAltName=DNS:{name},IP:127.0.0.1")
    _openssl(folder, f"{_REQUEST} -subj /CN={name} -keyout own.key -out own.csr")
    _openssl(folder, f"{_SIGN} -days {days} -in own.csr -extfile names -out own.pem")
    both = folder / f"{name}.pem"
    both.write_text((folder / "own.key").read_text() + (folder / "own.pem").read_text())
    return both


def server(certificate: Path, clients: Path | None = None) -> ssl.SSLContext:
    """TLS of a server, which asks clients for a certificate of the authority ``clients``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)
