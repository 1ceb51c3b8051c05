"""Keys and certificates of the double and of its one provider, made for each run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from msim_xds.app import now
from msim_xds.security.authority import Authority, Identity
from msim_xds.tls_settings import ClientCertificates, TlsSettings

_VALID: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


def make(directory: Path, name: str) -> KeyPair:
    """A new pair in ``directory``, signed by itself, valid for a month."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    at = now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + _VALID)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _written(directory, name, certificate.public_bytes(Encoding.PEM), pem)


@dataclass(frozen=True, slots=True)
class TlsKeys:
    """With what TLS is spoken: the authority's certificate, and who it has issued one to."""

    authority: Path
    server: KeyPair
    client: KeyPair

    @property
    def settings(self) -> TlsSettings:
        """Those of a server that lets in whom the authority knows, and nobody else."""
        return TlsSettings(
            certificate=self.server.certificate,
            key=self.server.key,
            client_certificates=ClientCertificates.REQUIRED,
            client_ca=(self.authority,),
        )


def make_tls(directory: Path, client: str) -> TlsKeys:
    """An authority in ``directory``, its server on loopback, and one client of that name."""
    authority = Authority("P1 double", now(), _VALID)
    root = directory / "authority.crt"
    root.write_bytes(authority.root.certificate_pem)
    server = _stored(directory, "tls-server", authority.server(["127.0.0.1", "localhost"]))
    return TlsKeys(root, server, _stored(directory, "tls-client", authority.client(client)))


def _stored(directory: Path, name: str, identity: Identity) -> KeyPair:
    return _written(directory, name, identity.certificate_pem, identity.key_pem)


def _written(directory: Path, name: str, certificate: bytes, key: bytes) -> KeyPair:
    pair = KeyPair(directory / f"{name}.crt", directory / f"{name}.key")
    pair.certificate.write_bytes(certificate)
    pair.key.touch(0o600)
    pair.key.write_bytes(key)
    return pair
