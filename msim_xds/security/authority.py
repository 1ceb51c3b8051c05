"""A certification authority for development and tests: certificates of servers and systems, and a CRL.

Not for use with patients' data: its keys lie unencrypted beside what they sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_RSA_BITS: Final = 3072
_SLACK: Final = timedelta(hours=1)
"""Certificates begin so much earlier, for machines whose clocks are behind."""
_USAGES: Final = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class KeyKind(StrEnum):
    """What keys are made."""

    EC = "ec"
    RSA = "rsa"


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: Key

    @property
    def certificate_pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key, without a passphrase (PKCS #8)."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, lower-case hex."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


class Authority:
    """A root that issues certificates.

    Args:
        name: its common name.
        now: when everything is made.
        lifetime: how long everything is valid.
        kind: of all keys.
    """

    def __init__(self, name: str, now: datetime, lifetime: timedelta, kind: KeyKind = KeyKind.EC) -> None:
        self._start = now - _SLACK
        self._end = now + lifetime
        self._kind = kind
        key = _key(kind)
        self.root = Identity(self._builder(name, name, key).sign(key, hashes.SHA256()), key)

    def server(self, hosts: Sequence[str]) -> Identity:
        """A certificate of a server with these names or addresses; the first is its common name."""
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        return self._issue(hosts[0], ExtendedKeyUsageOID.SERVER_AUTH, names)

    def client(self, name: str) -> Identity:
        """A certificate of a system that calls and is called."""
        return self._issue(name, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def crl(self, revoked: Iterable[Identity]) -> bytes:
        """A CRL (PEM), valid as long as everything else."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.root.certificate.subject)
            .last_update(self._start)
            .next_update(self._end)
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(_key_id(self.root.key), critical=False)
        )
        for identity in revoked:
            entry = x509.RevokedCertificateBuilder(identity.certificate.serial_number, self._start)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.root.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _issue(
        self, name: str, usage: x509.ObjectIdentifier, names: x509.SubjectAlternativeName | None
    ) -> Identity:
        key = _key(self._kind)
        issuer = self.root.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        builder = self._builder(name, str(issuer), key, ca=False)
        builder = builder.add_extension(_key_id(self.root.key), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return Identity(builder.sign(self.root.key, hashes.SHA256()), key)

    def _builder(self, name: str, issuer: str, key: Key, *, ca: bool = True) -> x509.CertificateBuilder:
        on = {"key_cert_sign", "crl_sign"} if ca else {"digital_signature"}
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._start)
            .not_valid_after(self._end)
            .add_extension(x509.BasicConstraints(ca, 0 if ca else None), critical=True)
            .add_extension(x509.KeyUsage(**{usage: usage in on for usage in _USAGES}), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )


def _key(kind: KeyKind) -> Key:
    if kind is KeyKind.RSA:
        return rsa.generate_private_key(65537, _RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def _key_id(key: Key) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
