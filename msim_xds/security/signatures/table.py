"""What may stand in a signature and how much of it: algorithms, transforms, limits. All in one place.

Dates and sizes are those of "ETSI ESI Cryptographic Suites 1.5.1" (ETSI TS 119 312), issued ``ISSUED``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from msim_xds.security.signatures.names import DS

MIB: Final = 1 << 20
ISSUED: Final = date(2024, 10, 13)
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
_MORE07: Final = "http://www.w3.org/2007/05/xmldsig-more#"
_ENC: Final = "http://www.w3.org/2001/04/xmlenc#"


class Digest(NamedTuple):
    """A digest algorithm: hashlib's name and the length of its values."""

    name: str
    size: int


DIGESTS: Final = {
    f"{DS}sha1": Digest("sha1", 20),
    f"{_MORE}sha224": Digest("sha224", 28),
    f"{_ENC}sha256": Digest("sha256", 32),
    f"{_MORE}sha384": Digest("sha384", 48),
    f"{_ENC}sha512": Digest("sha512", 64),
    f"{_MORE07}sha3-256": Digest("sha3_256", 32),
    f"{_MORE07}sha3-384": Digest("sha3_384", 48),
    f"{_MORE07}sha3-512": Digest("sha3_512", 64),
}


class Scheme(StrEnum):
    """How a key signs."""

    RSA = "RSA"
    PSS = "RSA-PSS"
    EC = "ECDSA"


class Method(NamedTuple):
    """A signature method: scheme, digest, and xmlsec's name for it ('' where xmlsec cannot be told)."""

    scheme: Scheme
    digest: str
    xmlsec: str = ""


METHODS: Final = {
    f"{DS}rsa-sha1": Method(Scheme.RSA, "sha1", "RSA_SHA1"),
    f"{_MORE}rsa-sha224": Method(Scheme.RSA, "sha224", "RSA_SHA224"),
    f"{_MORE}rsa-sha256": Method(Scheme.RSA, "sha256", "RSA_SHA256"),
    f"{_MORE}rsa-sha384": Method(Scheme.RSA, "sha384", "RSA_SHA384"),
    f"{_MORE}rsa-sha512": Method(Scheme.RSA, "sha512", "RSA_SHA512"),
    f"{_MORE07}sha256-rsa-MGF1": Method(Scheme.PSS, "sha256"),
    f"{_MORE07}sha384-rsa-MGF1": Method(Scheme.PSS, "sha384"),
    f"{_MORE07}sha512-rsa-MGF1": Method(Scheme.PSS, "sha512"),
    f"{_MORE}ecdsa-sha1": Method(Scheme.EC, "sha1", "ECDSA_SHA1"),
    f"{_MORE}ecdsa-sha224": Method(Scheme.EC, "sha224", "ECDSA_SHA224"),
    f"{_MORE}ecdsa-sha256": Method(Scheme.EC, "sha256", "ECDSA_SHA256"),
    f"{_MORE}ecdsa-sha384": Method(Scheme.EC, "sha384", "ECDSA_SHA384"),
    f"{_MORE}ecdsa-sha512": Method(Scheme.EC, "sha512", "ECDSA_SHA512"),
}
"""Keys of a certificate only: no HMAC, no DSA, no MD5."""


class Canonical(NamedTuple):
    """A canonicalization: exclusive or not, with comments or not, version 1.1 or not."""

    exclusive: bool = False
    comments: bool = False
    version11: bool = False


_C14N: Final = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
CANONICAL: Final = {
    _C14N: Canonical(),
    f"{_C14N}#WithComments": Canonical(comments=True),
    "http://www.w3.org/2006/12/xml-c14n11": Canonical(version11=True),
    "http://www.w3.org/2006/12/xml-c14n11#WithComments": Canonical(comments=True, version11=True),
    "http://www.w3.org/2001/10/xml-exc-c14n#": Canonical(exclusive=True),
    "http://www.w3.org/2001/10/xml-exc-c14n#WithComments": Canonical(exclusive=True, comments=True),
}
DEFAULT_CANONICAL: Final = Canonical()

ENVELOPED: Final = f"{DS}enveloped-signature"
BASE64: Final = f"{DS}base64"
XPATH: Final = "http://www.w3.org/TR/1999/REC-xpath-19991116"
FILTER2: Final = "http://www.w3.org/2002/06/xmldsig-filter2"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is looked at; whatever is over is refused, or fails with a reason."""

    document_bytes: int = 20 * MIB
    signatures: int = 20
    counter_depth: int = 3
    references: int = 100
    manifest_entries: int = 1000
    transforms: int = 5
    all_transforms: int = 200
    certificates: int = 50
    crl_bytes: int = 10 * MIB
    ocsps: int = 20
    ocsp_bytes: int = 64 << 10
    tokens: int = 20
    token_bytes: int = 64 << 10
    digested_factor: int = 4
    digested_extra: int = 20 * MIB
    seconds: float = 30.0
    filter2: bool = True


class Bound(NamedTuple):
    """An algorithm, the least size it applies to, and the day from which it proves nothing any more."""

    algorithm: str
    bits: int
    until: date | None


SUITE: Final = (
    Bound("sha1", 0, date(2012, 8, 1)),
    Bound("sha224", 0, date(2029, 1, 1)),
    *(Bound(name, 0, None) for name in ("sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512")),
    Bound(Scheme.RSA, 1900, date(2029, 1, 1)),
    Bound(Scheme.RSA, 1024, date(2019, 10, 1)),
    Bound(Scheme.PSS, 3000, None),
    Bound(Scheme.PSS, 1900, date(2029, 1, 1)),
    Bound(Scheme.PSS, 1024, date(2019, 10, 1)),
    Bound(Scheme.EC, 256, None),
    Bound(Scheme.EC, 224, date(2021, 10, 1)),
    Bound(Scheme.EC, 160, date(2012, 8, 1)),
)
"""Rows of one algorithm stand with the largest size first."""


def good_until(algorithm: str, bits: int = 0, overrides: dict[str, date] | None = None) -> datetime | None:
    """Until when an algorithm proves something; the greatest time where there is no end, None for never.

    Args:
        algorithm: digest or ``Scheme``.
        bits: size of the key.
        overrides: ends by ``algorithm``, or ``algorithm-bits`` of a row, that a site has set instead.
    """
    row = next((row for row in SUITE if row.algorithm == algorithm and bits >= row.bits), None)
    if row is None:
        return None
    changed = overrides or {}
    end = changed.get(f"{row.algorithm}-{row.bits}", changed.get(row.algorithm, row.until))
    return (
        datetime.max.replace(tzinfo=UTC)
        if end is None
        else datetime(end.year, end.month, end.day, tzinfo=UTC)
    )
