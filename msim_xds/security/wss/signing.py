"""Signs a message: X509v3 BinarySecurityToken, Timestamp, and one signature over parts of it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import xmlsec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from lxml import etree

from msim_xds.ihe.names import WSSE
from msim_xds.security.signatures.names import DS, ds
from msim_xds.security.wss.names import BASE64, CANONICAL, DIGESTS, ID, METHODS, REFERENCE, TOKEN, X509V3
from msim_xds.security.xua.names import SECURITY, TIMESTAMP, WSU

if TYPE_CHECKING:
    from lxml.etree import _Element

_LEAST_BITS: Final = 2048


class UnusableKey(ValueError):
    """A certificate and its key cannot be used to sign; the message names the file."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """With what messages are signed: a certificate in DER, and its RSA key in PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """How messages are signed.

    Attributes:
        method: a key of ``names.METHODS``.
        digest: a key of ``names.DIGESTS``.
        canonicalization: a key of ``names.CANONICAL``.
        parts: what is signed: Body, Timestamp, BinarySecurityToken.
        assertion_first: whether what wsse:Security holds already, such as an assertion, stays before what is
            added; else it goes behind it.
        validity: from Created to Expires.
    """

    method: str = "rsa-sha256"
    digest: str = "sha256"
    canonicalization: str = "exclusive"
    parts: tuple[str, ...] = ("Body", "Timestamp")
    assertion_first: bool = True
    validity: timedelta = timedelta(seconds=300)


def read_credentials(certificate: Path, key: Path) -> Credentials:
    """A PEM certificate and its PEM key, not encrypted.

    Raises:
        UnusableKey: a file cannot be read, or the two do not belong together.
    """
    try:
        held = x509.load_pem_x509_certificate(certificate.read_bytes())
        public = held.public_key()
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise UnusableKey(f"{certificate}: {_why(error, 'no PEM certificate')}") from None
    try:
        private = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey(f"{key}: {_why(error, 'no PEM key without a pass phrase')}") from None
    if not isinstance(private, rsa.RSAPrivateKey) or private.key_size < _LEAST_BITS:
        raise UnusableKey(f"{key}: no RSA key of at least {_LEAST_BITS} bits")
    if private.public_key() != public:
        raise UnusableKey(f"{key}: not the key of {certificate}")
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Credentials(held.public_bytes(Encoding.DER), pem)


def _why(error: Exception, otherwise: str) -> str:
    return error.strerror or otherwise if isinstance(error, OSError) else otherwise


class Signer:
    """Signs messages; safe to share between threads.

    Args:
        credentials: certificate and key.
        form: how.
        clock: the time of day, UTC.
    """

    def __init__(self, credentials: Credentials, form: Form, clock: Callable[[], datetime]) -> None:
        self._credentials = credentials
        self._form = form
        self._clock = clock

    def sign(self, envelope: _Element) -> None:
        """Sign a complete message in place; nothing of it may change afterwards.

        Args:
            envelope: a soap:Envelope of either version with its Body.
        """
        soap = etree.QName(envelope).namespace
        header, body = _parts(envelope, soap or "")
        security = header.find(SECURITY)
        if security is None:
            security = etree.SubElement(header, SECURITY)
        security.set(f"{{{soap}}}mustUnderstand", "1")
        held = [] if self._form.assertion_first else list(security)
        token = etree.SubElement(
            security, TOKEN, {"EncodingType": BASE64, "ValueType": X509V3, ID: "X509"}, {"wsu": WSU}
        )
        token.text = base64.b64encode(self._credentials.certificate).decode()
        stamp = self._timestamp(security)
        body.set(ID, "Body")
        signature = etree.SubElement(security, ds("Signature"), nsmap={"ds": DS})
        security.extend(held)
        signed = {"Body": body, "Timestamp": stamp, "BinarySecurityToken": token}
        self._fill(signature, [signed[part].get(ID, "") for part in self._form.parts])
        context = xmlsec.SignatureContext()
        context.key = xmlsec.Key.from_memory(self._credentials.key, xmlsec.constants.KeyDataFormatPem)
        for part in self._form.parts:
            context.register_id(signed[part], "Id", WSU)
        context.sign(signature)

    def _timestamp(self, security: _Element) -> _Element:
        created = self._clock()
        stamp = etree.SubElement(security, TIMESTAMP, {ID: "Timestamp"})
        for name, moment in (("Created", created), ("Expires", created + self._form.validity)):
            text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
            etree.SubElement(stamp, f"{{{WSU}}}{name}").text = text
        return stamp

    def _fill(self, signature: _Element, ids: Sequence[str]) -> None:
        """All of the signature but its values."""
        canonical = CANONICAL[self._form.canonicalization]
        info = etree.SubElement(signature, ds("SignedInfo"))
        etree.SubElement(info, ds("CanonicalizationMethod"), {"Algorithm": canonical})
        etree.SubElement(info, ds("SignatureMethod"), {"Algorithm": METHODS[self._form.method].uri})
        for identifier in ids:
            reference = etree.SubElement(info, ds("Reference"), {"URI": f"#{identifier}"})
            transforms = etree.SubElement(reference, ds("Transforms"))
            etree.SubElement(transforms, ds("Transform"), {"Algorithm": canonical})
            etree.SubElement(reference, ds("DigestMethod"), {"Algorithm": DIGESTS[self._form.digest].uri})
            etree.SubElement(reference, ds("DigestValue"))
        etree.SubElement(signature, ds("SignatureValue"))
        named = etree.SubElement(etree.SubElement(signature, ds("KeyInfo")), REFERENCE)
        etree.SubElement(named, f"{{{WSSE}}}Reference", {"URI": "#X509", "ValueType": X509V3})


def _parts(envelope: _Element, soap: str) -> tuple[_Element, _Element]:
    """Header, made where there is none, and Body."""
    body = envelope.find(f"{{{soap}}}Body")
    if body is None:
        raise ValueError("the message has no soap:Body")
    header = envelope.find(f"{{{soap}}}Header")
    if header is None:
        header = envelope.makeelement(f"{{{soap}}}Header")
        envelope.insert(0, header)
    return header, body
