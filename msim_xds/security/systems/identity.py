"""By what a certificate is recognised: its fingerprint, or a name in it together with its issuer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

FINGERPRINT: Final = "sha256"
SUBJECT: Final = "subject"

_KINDS: Final[dict[type[x509.GeneralName], str]] = {
    x509.DNSName: "DNS",
    x509.UniformResourceIdentifier: "URI",
    x509.RFC822Name: "email",
    x509.IPAddress: "IP",
}
SAN_KINDS: Final = tuple(_KINDS.values())


class Mark(NamedTuple):
    """What a certificate is recognised by; ``kind`` is sha256, subject, or the kind of alternative name."""

    kind: str
    value: str
    issuer: str = ""


def read(text: str) -> x509.Certificate:
    """A certificate as servers and proxies hand it on.

    Raises:
        ValueError: it is no URL-encoded PEM.
    """
    return x509.load_pem_x509_certificate(unquote(text).encode())


def marks(certificate: x509.Certificate) -> Iterator[Mark]:
    """All that this certificate can be recognised by, the fingerprint first."""
    yield Mark(FINGERPRINT, certificate.fingerprint(SHA256()).hex())
    issuer = spelt(certificate.issuer)
    yield Mark(SUBJECT, spelt(certificate.subject), issuer)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return
    for name in names:
        kind = _KINDS.get(type(name))
        if kind is not None:
            yield Mark(kind, alternative(kind, str(name.value)), issuer)


def spelt(name: x509.Name) -> str:
    """A distinguished name in one spelling (RFC 4514)."""
    return name.rfc4514_string()


def alternative(kind: str, value: str) -> str:
    """An alternative name in one spelling: host names know no case."""
    return value.lower() if kind in ("DNS", "IP") else value
