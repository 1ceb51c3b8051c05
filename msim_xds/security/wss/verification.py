"""Verifies a message's signature so that nothing but what it covers can be taken for the message.

Elements are found by their place, never by their id: the signature must be a child of the one wsse:Security,
and must refer to exactly this Body and this Timestamp. xmlsec is told these elements and no others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

import xmlsec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from lxml import etree

from msim_xds.ihe.names import WSSE, XML
from msim_xds.security.signatures.certificates import Certificate, certificate
from msim_xds.security.signatures.names import DS, EXC, SIGNATURE, ds, local, text
from msim_xds.security.signatures.references import decode_base64
from msim_xds.security.transforms import Transform
from msim_xds.security.wss.names import DIGESTS, ID, METHODS, REFERENCE, TOKEN, X509V3
from msim_xds.security.xua.names import SECURITY, TIMESTAMP, WSU, moment
from msim_xds.security.xua.refusal import Check

if TYPE_CHECKING:
    from lxml.etree import _Element

_FORM: Final = {
    "Signature": re.compile(r"SignedInfo SignatureValue KeyInfo "),
    "SignedInfo": re.compile(r"CanonicalizationMethod SignatureMethod Reference Reference "),
    "CanonicalizationMethod": re.compile(r"(?:InclusiveNamespaces )?"),
    "Reference": re.compile(r"Transforms DigestMethod DigestValue "),
    "Transforms": re.compile(r"Transform "),
    "Transform": re.compile(r"(?:InclusiveNamespaces )?"),
}
"""Children of each element; those not named have none."""
_EMPTY: Final = re.compile("")
_LEAST_BITS: Final = 2048
_SIGNING: Final = frozenset(["digital_signature", "non_repudiation"])
_METHODS: Final = {row.uri: row for row in METHODS.values()}
_DIGESTS: Final = {row.uri: row for row in DIGESTS.values()}
_IDS: Final = etree.XPath(
    "//@ID | //@Id | //@AssertionID | //@wsu:Id | //@xml:id",
    namespaces={"wsu": WSU, "xml": XML},
    smart_strings=False,
)


class BadSignature(ValueError):
    """The message is not signed as it must be; the text says why and quotes nothing of it.

    ``check`` is the one that failed, with the fault that WS-Security has for it.
    """

    def __init__(self, check: Check, text: str) -> None:
        super().__init__(text)
        self.check = check


def verify(
    envelope: _Element, trusted: Sequence[Certificate], at: datetime, skew: timedelta = timedelta(seconds=60)
) -> Certificate:
    """The trusted certificate with which Body and Timestamp of a message are signed.

    Args:
        envelope: the root of the message.
        trusted: certificates whose owners may sign, and authorities that have issued such certificates
            themselves; the message's own is only looked up among them. CRLs are not looked at.
        at: the moment at which the Timestamp must hold.
        skew: difference of clocks that is allowed for.

    Raises:
        BadSignature: anything is not as it must be.
    """
    security, body = _places(envelope)
    stamp = _only(security, TIMESTAMP)
    signature = _only(security, SIGNATURE)
    _check_ids(envelope)
    _check_form(signature)
    _check_references(signature, {f"#{each.get(ID)}" for each in (body, stamp) if each.get(ID)})
    _check_time(stamp, at, skew)
    signer = _signer(security, signature, trusted, at)
    if not signer.start <= at <= signer.end:
        raise BadSignature(Check.SIGNER, "the signer's certificate has expired, or is not valid yet")
    _check_value(signature, signer, (body, stamp))
    return signer


def _places(envelope: _Element) -> tuple[_Element, _Element]:
    soap = etree.QName(envelope).namespace
    headers, bodies = (envelope.findall(f"{{{soap}}}{name}") for name in ("Header", "Body"))
    if len(headers) != 1 or len(bodies) != 1:
        raise BadSignature(Check.HEADER, "not one soap:Header and one soap:Body")
    return _only(headers[0], SECURITY), bodies[0]


def _only(parent: _Element, tag: str) -> _Element:
    found = parent.findall(tag)
    if len(found) != 1:
        raise BadSignature(Check.HEADER, f"{len(found)} {tag.rpartition('}')[2]} where there must be one")
    return found[0]


def _check_ids(envelope: _Element) -> None:
    ids = [value.strip() for value in cast("list[str]", _IDS(envelope))]
    if len(set(ids)) != len(ids):
        raise BadSignature(Check.HEADER, "an id occurs twice in the message")


def _check_form(signature: _Element) -> None:
    for element in _outside_key_info(signature):
        names = "".join(f"{local(child)} " for child in element)
        if _FORM.get(local(element), _EMPTY).fullmatch(names) is None:
            raise BadSignature(Check.HEADER, f"ds:{local(element)} does not hold what it must and only that")
    info = signature[0]
    for path, allowed in (
        ("CanonicalizationMethod", {EXC}),
        ("SignatureMethod", _METHODS.keys()),
        (f"Reference/{{{DS}}}Transforms/{{{DS}}}Transform", {EXC}),
        (f"Reference/{{{DS}}}DigestMethod", _DIGESTS.keys()),
    ):
        found = info.findall(f"{{{DS}}}{path}")
        if not found or any(each.get("Algorithm") not in allowed for each in found):
            raise BadSignature(Check.ALGORITHM, f"{path.rpartition('}')[2]} is not an allowed one")


def _outside_key_info(element: _Element) -> list[_Element]:
    if element.tag == ds("KeyInfo"):
        return []
    return [element, *(each for child in element for each in _outside_key_info(child))]


def _check_references(signature: _Element, wanted: set[str]) -> None:
    references = {each.get("URI", "") for each in signature[0].findall(ds("Reference"))}
    if len(wanted) != 2 or references != wanted:
        raise BadSignature(Check.SIGNATURE, "the signature does not cover this Body and this Timestamp")


def _check_time(stamp: _Element, at: datetime, skew: timedelta) -> None:
    created, expires = (moment(text(stamp.find(f"{{{WSU}}}{name}"))) for name in ("Created", "Expires"))
    if created is None or expires is None:
        raise BadSignature(Check.HEADER, "the Timestamp has no Created or no Expires")
    if not created - skew <= at < expires + skew:
        raise BadSignature(Check.TIME, "outside the times of the Timestamp")


def _signer(
    security: _Element, signature: _Element, trusted: Sequence[Certificate], at: datetime
) -> Certificate:
    """The trusted certificate that the signature's token holds."""
    named = signature.find(f"{ds('KeyInfo')}/{REFERENCE}/{{{WSSE}}}Reference")
    token = _only(security, TOKEN)
    if named is None or token.get("ValueType") != X509V3 or named.get("URI") != f"#{token.get(ID)}":
        raise BadSignature(Check.TOKEN, "the signature names no X509v3 BinarySecurityToken of the message")
    der = decode_base64(text(token))
    for known in trusted:
        if known.der == der:
            return known
    issued = _issued(
        der or b"", [each for each in trusted if each.is_authority and each.start <= at <= each.end]
    )
    if issued is None:
        raise BadSignature(Check.SIGNER, "signed with a certificate that is not trusted")
    return issued


def _issued(der: bytes, authorities: Sequence[Certificate]) -> Certificate | None:
    """A certificate for signing that one of these authorities has issued itself; None for any other."""
    try:
        shown = x509.load_der_x509_certificate(der)
        found = certificate(der)
    except ValueError:
        return None
    if not isinstance(found.key, RSAPublicKey) or found.key.key_size < _LEAST_BITS:
        return None
    if found.key_usages and not found.key_usages & _SIGNING:
        return None
    return found if any(_has_issued(each, shown) for each in authorities) else None


def _has_issued(authority: Certificate, shown: x509.Certificate) -> bool:
    try:
        shown.verify_directly_issued_by(x509.load_der_x509_certificate(authority.der))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return not authority.key_usages or "key_cert_sign" in authority.key_usages


def _check_value(signature: _Element, signer: Certificate, covered: Sequence[_Element]) -> None:
    info = signature[0]
    method = _METHODS[info.find(ds("SignatureMethod")).get("Algorithm")]  # type: ignore[union-attr,index]  # looked at above
    digests = {each.get("Algorithm", "") for each in info.iter(ds("DigestMethod"))}
    context = xmlsec.SignatureContext()
    try:
        context.key = xmlsec.Key.from_memory(signer.der, xmlsec.constants.KeyDataFormatCertDer)
        for name in ("EXCL_C14N", *(_DIGESTS[uri].xmlsec for uri in digests)):
            context.enable_reference_transform(getattr(Transform, name))
        for name in ("EXCL_C14N", method.xmlsec):
            context.enable_signature_transform(getattr(Transform, name))
        for element in covered:
            context.register_id(element, "Id", WSU)
        context.verify(signature)
    except xmlsec.Error:
        raise BadSignature(Check.SIGNATURE, "the signature is wrong") from None
