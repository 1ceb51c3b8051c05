"""Revocation data from signatures, files or a fetcher; each item is verified before it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from asn1crypto import crl, ocsp

from msim_xds.security.signatures.certificates import BROKEN, Certificate, name_key
from msim_xds.security.signatures.names import text
from msim_xds.security.signatures.references import decode_base64
from msim_xds.security.signatures.table import Limits

if TYPE_CHECKING:
    from lxml.etree import _Element


@dataclass(frozen=True, slots=True)
class RevocationItem:
    """One CRL or OCSP response; equal when its octets are.

    Attributes:
        sha256: of its octets.
        value: asn1crypto's CertificateList or OCSPResponse.
        issued: thisUpdate.
        until: nextUpdate, if given.
        issuer_name: whose CRL it is; '' for an OCSP response.
        serials: certificates an OCSP response speaks of; None for a CRL.
    """

    sha256: bytes
    value: crl.CertificateList | ocsp.OCSPResponse = field(compare=False)
    issued: datetime
    until: datetime | None
    issuer_name: str = ""
    serials: frozenset[int] | None = None

    @property
    def is_crl(self) -> bool:
        """Whether it is a CRL."""
        return self.serials is None

    def concerns(self, certificate: Certificate) -> bool:
        """Whether it may say something about this certificate; whether it does is for its verification."""
        if self.serials is not None:
            return certificate.serial in self.serials
        return self.issuer_name == certificate.issuer_name


class Fetcher(Protocol):
    """Gets revocation data from the network; handed in by whoever allows that."""

    def revocation(
        self, certificate: Certificate, issuer: Certificate, seconds: float
    ) -> Iterable[RevocationItem]:
        """What the addresses in the certificate answer, within this time; nothing where they do not."""


def read_crl(der: bytes) -> RevocationItem | None:
    """A CRL in DER; None for anything else."""
    try:
        value = crl.CertificateList.load(der)
        body = value["tbs_cert_list"]
        return RevocationItem(
            sha256(der).digest(),
            value,
            body["this_update"].native,
            body["next_update"].native,
            name_key(value.issuer),
        )
    except BROKEN:
        return None


def read_ocsp(der: bytes) -> RevocationItem | None:
    """A successful OCSP response in DER; None for anything else."""
    try:
        value = ocsp.OCSPResponse.load(der)
        if value["response_status"].native != "successful":
            return None
        rows = value.response_data["responses"]
        serials = frozenset(row["cert_id"]["serial_number"].native for row in rows)
        return RevocationItem(
            sha256(der).digest(),
            value,
            rows[0]["this_update"].native,
            rows[0]["next_update"].native,
            serials=serials,
        )
    except BROKEN:
        return None


def embedded(signature: _Element, limits: Limits) -> list[RevocationItem]:
    """RevocationValues of a signature, those for its time-stamps included; unreadable ones are left out."""
    return [
        *_read(signature.iter("{*}EncapsulatedCRLValue"), read_crl, limits.crl_bytes, limits.ocsps),
        *_read(signature.iter("{*}EncapsulatedOCSPValue"), read_ocsp, limits.ocsp_bytes, limits.ocsps),
    ]


def _read(
    elements: Iterable[_Element],
    reader: Callable[[bytes], RevocationItem | None],
    most_bytes: int,
    most: int,
) -> Iterator[RevocationItem]:
    for count, element in enumerate(elements):
        if count >= most:
            return
        der = decode_base64(text(element))
        item = reader(der) if der and len(der) <= most_bytes else None
        if item is not None:
            yield item


def chain(certificate: Certificate, others: Sequence[Certificate], deepest: int = 10) -> list[Certificate]:
    """The certificate and its issuers by name and key identifier, as far as they are among ``others``."""
    found = [certificate]
    while len(found) < deepest and not is_self_issued(found[-1]):
        issuer = next((other for other in others if may_issue(other, found[-1]) and other not in found), None)
        if issuer is None:
            break
        found.append(issuer)
    return found


def is_self_issued(certificate: Certificate) -> bool:
    """Whether subject and issuer are the same."""
    return certificate.subject_name == certificate.issuer_name


def may_issue(issuer: Certificate, certificate: Certificate) -> bool:
    """Whether names and key identifiers fit; signatures are for the path validation."""
    if issuer.subject_name != certificate.issuer_name:
        return False
    wanted, has = certificate.authority_key_id, issuer.key_id
    return wanted is None or has is None or wanted == has


def covers_chains(
    starts: Iterable[Certificate], certificates: Sequence[Certificate], items: Sequence[RevocationItem]
) -> bool:
    """Whether there is revocation data for every certificate on the way from each start to a root."""
    return bool(items) and all(
        is_self_issued(one) or any(item.concerns(one) for item in items)
        for start in starts
        for one in chain(start, certificates)
    )
