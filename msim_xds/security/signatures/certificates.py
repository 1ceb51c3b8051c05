"""Certificates of a signature: the signer's, its key, what binds it, what it says of its holder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from asn1crypto import core, x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import (
    SHA1,
    SHA3_256,
    SHA3_384,
    SHA3_512,
    SHA224,
    SHA256,
    SHA384,
    SHA512,
)
from cryptography.hazmat.primitives.serialization import load_der_public_key

from msim_xds.security.signatures.names import CERTIFICATE_PATH, ds, local, text
from msim_xds.security.signatures.references import decode_base64
from msim_xds.security.signatures.table import DIGESTS, Limits, Scheme

if TYPE_CHECKING:
    from lxml.etree import _Element

HASHES: Final = {
    "sha1": SHA1(),  # noqa: S303  # read, and then judged by its date
    "sha224": SHA224(),
    "sha256": SHA256(),
    "sha384": SHA384(),
    "sha512": SHA512(),
    "sha3_256": SHA3_256(),
    "sha3_384": SHA3_384(),
    "sha3_512": SHA3_512(),
}
Key = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
_SHORT: Final = {
    "common_name": "CN",
    "country_name": "C",
    "organization_name": "O",
    "organizational_unit_name": "OU",
    "locality_name": "L",
    "state_or_province_name": "ST",
    "serial_number": "serialNumber",
    "surname": "SN",
    "given_name": "GN",
    "email_address": "E",
    "domain_component": "DC",
    "title": "T",
    "organization_identifier": "organizationIdentifier",
}
BROKEN: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError, IndexError)
"""What asn1crypto raises for octets that are not what they should be."""
_QC_STATEMENTS: Final = "1.3.6.1.5.5.7.1.3"
_QC_NAMES: Final = {
    "0.4.0.1862.1.1": "qualified",
    "0.4.0.1862.1.4": "QSCD",
    "0.4.0.1862.1.6.1": "eSign",
    "0.4.0.1862.1.6.2": "eSeal",
    "0.4.0.1862.1.6.3": "web",
}
_QC_TYPE: Final = "0.4.0.1862.1.6"


class _IssuerSerial(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    """RFC 5035."""

    _fields = [("issuer", x509.GeneralNames), ("serial_number", core.Integer)]  # noqa: RUF012  # asn1crypto's form


@dataclass(frozen=True, slots=True)
class CertificateRef:
    """A Cert of SigningCertificate or SigningCertificateV2.

    Attributes:
        algorithm: URI of the digest method.
        digest: the digest as octets; None where it is not base64.
        issuer_serial: IssuerSerialV2 in DER, where given.
    """

    algorithm: str
    digest: bytes | None
    issuer_serial: bytes | None = None

    def names(self, der: bytes) -> bool:
        """Whether it names this certificate; the digest decides."""
        algorithm = DIGESTS.get(self.algorithm)
        if algorithm is None or self.digest is None:
            return False
        return hashlib.new(algorithm.name, der, usedforsecurity=False).digest() == self.digest

    def issuer_differs(self, certificate: Certificate) -> bool:
        """Whether IssuerSerialV2 is there, and unreadable or about another certificate: a warning."""
        if self.issuer_serial is None:
            return False
        try:
            value = _IssuerSerial.load(self.issuer_serial, strict=True)
            names = [name.chosen for name in value["issuer"] if name.name == "directory_name"]
            serial = value["serial_number"].native
            return bool(serial != certificate.serial or certificate.asn1.issuer not in names)
        except BROKEN:
            return True


class Certificate:
    """An X.509 certificate, read leniently: what is wrong with it is for the path to say.

    What is asked for often, or by several threads, is read once: asn1crypto parses lazily and is slow.

    Attributes:
        der: its octets.
        asn1: asn1crypto's value.
        sha256: of its octets, for logs that must not name people.
        key: the public key; None for kinds that sign nothing here.
        subject_name, issuer_name: names in a form that compares as RFC 5280 wants.
        key_id, authority_key_id: key identifiers, where given.
        serial: the serial number.
        start, end: its validity.
        key_usages: keyUsage bits; empty where the extension is absent.
        is_authority: whether basicConstraints make it an authority.
        extensions: OIDs of its extensions.
    """

    def __init__(self, der: bytes) -> None:
        """Read it.

        Raises:
            ValueError: it is not a certificate.
        """
        self.der = der
        self.sha256 = hashlib.sha256(der).hexdigest()
        try:
            self._read(x509.Certificate.load(der))
        except BROKEN as error:
            raise ValueError("not a certificate") from error

    def _read(self, value: x509.Certificate) -> None:
        self.asn1 = value
        self.subject_name, self.issuer_name = name_key(value.subject), name_key(value.issuer)
        self.serial: int = value.serial_number
        self.start: datetime = value.not_valid_before
        self.end: datetime = value.not_valid_after
        self.key_id: bytes | None = value.key_identifier
        self.authority_key_id: bytes | None = value.authority_key_identifier
        usage = value.key_usage_value
        self.key_usages: frozenset[str] = frozenset(usage.native) if usage is not None else frozenset()
        self.is_authority = bool(value.ca)
        self.extensions = frozenset(one["extn_id"].dotted for one in value["tbs_certificate"]["extensions"])
        self.key = _key(value)
        value.native  # noqa: B018  # parsed to the end, so that no thread finds it half parsed

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Certificate) and self.der == other.der)

    def __hash__(self) -> int:
        return hash(self.der)

    @property
    def subject(self) -> str:
        """Its subject as RFC 4514 writes it, the most telling part first."""
        return _name(self.asn1.subject)

    @property
    def issuer(self) -> str:
        """Its issuer in the same way."""
        return _name(self.asn1.issuer)

    @property
    def qualifications(self) -> tuple[str, ...]:
        """Known QCStatements: qualified, QSCD, eSign, eSeal."""
        for extension in self.asn1["tbs_certificate"]["extensions"]:
            if extension["extn_id"].dotted == _QC_STATEMENTS:
                value = extension["extn_value"]
                try:
                    return tuple(_statements(value.parsed or value.native))
                except BROKEN:
                    return ()
        return ()


@lru_cache(512)
def certificate(der: bytes) -> Certificate:
    """The certificate in DER; the same signers and authorities come again and again.

    Raises:
        ValueError: it is not one.
    """
    return Certificate(der)


def name_key(name: x509.Name) -> str:
    """A name in a form that is equal for equal names (RFC 5280, 7.1)."""
    return str(name.hashable)


def _key(value: x509.Certificate) -> Key | None:
    try:
        key = load_der_public_key(value.public_key.dump())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) else None


class _Statement(core.Sequence):  # type: ignore[misc]  # likewise
    """RFC 3739 QCStatement."""

    _fields = [("id", core.ObjectIdentifier), ("info", core.Any, {"optional": True})]  # noqa: RUF012  # asn1crypto's form


class _Statements(core.SequenceOf):  # type: ignore[misc]  # likewise
    _child_spec = _Statement


class _Oids(core.SequenceOf):  # type: ignore[misc]  # likewise
    _child_spec = core.ObjectIdentifier


def _statements(value: core.Asn1Value) -> Iterator[str]:
    der = value if isinstance(value, bytes) else value.dump()
    for statement in _Statements.load(der):
        oid = statement["id"].dotted
        if oid == _QC_TYPE:
            yield from (
                _QC_NAMES[kind.dotted]
                for kind in _Oids.load(statement["info"].dump())
                if kind.dotted in _QC_NAMES
            )
        elif oid in _QC_NAMES:
            yield _QC_NAMES[oid]


def _name(name: x509.Name) -> str:
    rows = ((row["type"], str(row["value"].native)) for rdn in name.chosen for row in rdn)
    parts = [f"{_SHORT.get(kind.native, kind.dotted)}={_escape(value)}" for kind, value in rows]
    return ", ".join(sorted(parts, key=lambda part: not part.startswith("CN=")))


def _escape(value: str) -> str:
    return "".join(f"\\{c}" if c in ',+"\\<>;=' else c for c in value)


def embedded(signature: _Element, limits: Limits) -> list[Certificate]:
    """The certificates of KeyInfo, then those of CertificateValues; unreadable ones are left out.

    Material only: nothing here is trusted for anything.
    """
    key_info = signature.find(ds("KeyInfo"))
    values = [] if key_info is None else [text(e) for e in key_info.findall(CERTIFICATE_PATH)]
    values += [text(e) for e in signature.iter("{*}EncapsulatedX509Certificate") if local(e)]
    return list(_readable(values[: limits.certificates]))


def _readable(values: Iterable[str]) -> Iterator[Certificate]:
    seen = set()
    for value in values:
        der = decode_base64(value)
        if der and der not in seen:
            seen.add(der)
            try:
                yield certificate(der)
            except ValueError:
                continue


def key_scheme(key: Key) -> Scheme:
    """How a key signs."""
    return Scheme.EC if isinstance(key, ec.EllipticCurvePublicKey) else Scheme.RSA


def verifies(
    key: Key, scheme: Scheme, digest: str, signature: bytes, data: bytes, *, salt: int | None = None
) -> bool:
    """Whether a signature value in X.509's form is right.

    Args:
        key: the public key, which must be of the scheme's kind.
        scheme: how it was signed.
        digest: hashlib's name of the digest.
        signature: the value; ECDSA as an ASN.1 sequence.
        data: what was signed.
        salt: length of the salt of RSA-PSS; the digest's length if not given.
    """
    chosen = HASHES[digest]
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            if scheme is not Scheme.EC:
                return False
            key.verify(signature, data, ec.ECDSA(chosen))
        elif scheme is Scheme.PSS:
            length = chosen.digest_size if salt is None else salt
            key.verify(signature, data, padding.PSS(padding.MGF1(chosen), length), chosen)
        elif scheme is Scheme.RSA:
            key.verify(signature, data, padding.PKCS1v15(), chosen)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def ecdsa_as_sequence(value: bytes, key: Key) -> bytes:
    """The ASN.1 form of XML's r and s side by side; other values are left as they are."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or len(value) % 2:
        return value
    half = len(value) // 2
    return utils.encode_dss_signature(
        int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big")
    )


def in_key_info(signature: _Element) -> list[bytes]:
    """The certificates of KeyInfo in DER."""
    key_info = signature.find(ds("KeyInfo"))
    found = [] if key_info is None else key_info.findall(CERTIFICATE_PATH)
    return [der for element in found if (der := decode_base64(text(element)))]
