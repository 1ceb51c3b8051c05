"""The XAdES properties of a signature, read by position and never by search (EN 319 132-1, 5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from msim_xds.security.signatures.certificates import CertificateRef
from msim_xds.security.signatures.names import (
    OBJECT,
    OLD_XADES,
    OSOBA,
    PPZP,
    XADES,
    XADES141,
    ds,
    local,
    namespace,
    text,
)
from msim_xds.security.signatures.references import decode_base64

if TYPE_CHECKING:
    from lxml.etree import _Element

NAMESPACES: Final = (XADES, *OLD_XADES)
_STAMP_NAMES: Final = frozenset(
    f"{name}TimeStamp"
    for name in ("AllDataObjects", "IndividualDataObjects", "Signature", "SigAndRefs", "RefsOnly", "Archive")
) | {"SigAndRefsTimeStampV2", "RefsOnlyTimeStampV2"}


@dataclass(frozen=True, slots=True)
class Policy:
    """A signature policy as the signature names it.

    Attributes:
        identifier: its URI or OID; '' when it is implied.
        hashed: whether its digest is given.
    """

    identifier: str
    hashed: bool


@dataclass(frozen=True, slots=True)
class Properties:
    """QualifyingProperties of one signature.

    Attributes:
        element: QualifyingProperties.
        namespace: XAdES version.
        signed: SignedProperties, if there.
        target: the Id that @Target names.
        target_right: whether that is the signature's.
        signing_time: the claimed time as text.
        certificates: entries of SigningCertificate or SigningCertificateV2.
        certificate_properties: how many of the two properties there are.
        policy: the signature policy, if any.
        formats: DataObjectFormat: @ObjectReference, MimeType, and whether it says anything at all.
        commitments: identifiers of CommitmentTypeIndication.
        asserted: the person whom a trusted signature (ppZP) names.
        content_stamps: time-stamps of the signed properties.
        unsigned: unsigned signature properties in document order.
    """

    element: _Element
    namespace: str
    signed: _Element | None
    target: str
    target_right: bool
    signing_time: str
    certificates: tuple[CertificateRef, ...]
    certificate_properties: int
    policy: Policy | None
    formats: tuple[tuple[str, str, bool], ...]
    commitments: tuple[str, ...]
    asserted: str
    content_stamps: tuple[_Element, ...]
    unsigned: tuple[_Element, ...]

    def named(self, name: str) -> list[_Element]:
        """Unsigned properties of a local name."""
        return [element for element in self.unsigned if local(element) == name]

    @property
    def stamps(self) -> list[_Element]:
        """All time-stamp elements: of the content, then the unsigned ones in document order."""
        return [*self.content_stamps, *(e for e in self.unsigned if local(e) in _STAMP_NAMES)]


class Ambiguous(ValueError):
    """More than one QualifyingProperties or SignedProperties: nobody can say which one was meant."""


def read(signature: _Element) -> Properties | None:
    """The properties of a signature; None for one that is not XAdES.

    Raises:
        Ambiguous: there are several.
    """
    found = [
        child
        for holder in signature.iterchildren(OBJECT)
        for child in holder.iterchildren("*")
        if local(child) == "QualifyingProperties" and namespace(child) in NAMESPACES
    ]
    if not found:
        return None
    if len(found) > 1:
        raise Ambiguous
    element = found[0]
    space = namespace(element)
    every = list(element.iterchildren(f"{{{space}}}SignedProperties"))
    if len(every) > 1:
        raise Ambiguous
    signed = every[0] if every else None
    target = element.get("Target", "").removeprefix("#")
    return Properties(
        element=element,
        namespace=space,
        signed=signed,
        target=target,
        target_right=bool(target) and target == signature.get("Id"),
        unsigned=tuple(_unsigned(element, space)),
        **_signed(signed, space),
    )


def _signed(signed: _Element | None, space: str) -> dict[str, Any]:
    def under(*path: str) -> list[_Element]:
        return [] if signed is None else signed.findall("/".join(f"{{{space}}}{name}" for name in path))

    own = "SignedSignatureProperties"
    data = "SignedDataObjectProperties"
    times = under(own, "SigningTime")
    first, second = under(own, "SigningCertificate"), under(own, "SigningCertificateV2")
    formats = under(data, "DataObjectFormat")
    return {
        "signing_time": text(times[0]) if len(times) == 1 else "",
        "certificates": tuple(
            _certificate(cert) for holder in first + second for cert in holder.iterchildren("*")
        ),
        "certificate_properties": len(first) + len(second),
        "policy": _policy(under(own, "SignaturePolicyIdentifier"), space),
        "formats": tuple(
            (form.get("ObjectReference", ""), text(form.find(f"{{{space}}}MimeType")), len(form) > 0)
            for form in formats
        ),
        "commitments": tuple(
            text(e) for e in under(data, "CommitmentTypeIndication", "CommitmentTypeId", "Identifier")
        ),
        "asserted": _asserted(signed),
        "content_stamps": tuple(
            child
            for holder in under(data)
            for child in holder.iterchildren("*")
            if local(child) in ("AllDataObjectsTimeStamp", "IndividualDataObjectsTimeStamp")
        ),
    }


def _certificate(cert: _Element) -> CertificateRef:
    method = cert.find(f"{{*}}CertDigest/{ds('DigestMethod')}")
    value = cert.find(f"{{*}}CertDigest/{ds('DigestValue')}")
    serial = cert.find("{*}IssuerSerialV2")
    return CertificateRef(
        method.get("Algorithm", "") if method is not None else "",
        decode_base64(text(value)) or None,
        (decode_base64(text(serial)) or b"") if serial is not None else None,
    )


def _policy(found: list[_Element], space: str) -> Policy | None:
    if not found:
        return None
    named = found[0].find(f"{{{space}}}SignaturePolicyId")
    if named is None:
        return Policy("", False)
    identifier = text(named.find(f"{{{space}}}SigPolicyId/{{{space}}}Identifier"))
    value = named.find(f"{{{space}}}SigPolicyHash/{ds('DigestValue')}")
    return Policy(identifier.removeprefix("urn:oid:") if identifier else "", bool(text(value)))


def _asserted(signed: _Element | None) -> str:
    """The name in a trusted signature's ppZP element, which stands in the signer's role."""
    for element in signed.iter(f"{{{PPZP}}}*") if signed is not None else ():
        person = element.find(f".//{{{OSOBA}}}Nazwisko/..")
        if person is None:
            continue
        parts = [
            text(part)
            for name in ("Imie", "ImieDrugie", "Nazwisko")
            for part in person.iterchildren(f"{{{OSOBA}}}{name}")
        ]
        return " ".join(filter(None, parts))
    return ""


def _unsigned(element: _Element, space: str) -> list[_Element]:
    path = f"{{{space}}}UnsignedProperties/{{{space}}}UnsignedSignatureProperties"
    return [child for holder in element.findall(path) for child in holder.iterchildren("*")]


def is_archive_stamp(element: _Element) -> bool:
    """Whether it is an ArchiveTimeStamp of either form."""
    return local(element) == "ArchiveTimeStamp" and namespace(element) in (*NAMESPACES, XADES141)


def moment(value: str) -> datetime | None:
    """An xs:dateTime; without a zone it is taken as UTC. None where it is none."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
