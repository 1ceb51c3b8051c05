"""What a complete CRL of the issuer itself says: the usual kind, looked up without reading its entries.

pyhanko-certvalidator reads every entry, which takes seconds for the list of a large authority, and cannot tie
a list to a trust anchor that is not self-signed, as those of trusted lists are. Other kinds are left to it.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from msim_xds.security.signatures.certificates import Certificate
from msim_xds.security.signatures.material import RevocationItem

_KEPT: Final = 32
_KNOWN: Final = frozenset(
    [x509.AuthorityKeyIdentifier.oid, x509.CRLNumber.oid, x509.IssuingDistributionPoint.oid]
)


class Entry(NamedTuple):
    """That a list answers for a certificate, and when that was revoked, if it was."""

    revoked: datetime | None


def look_up(item: RevocationItem, certificate: Certificate, issuer: Certificate) -> Entry | None:
    """What the issuer's own complete CRL says; None where it is not that (RFC 5280, 6.3.3)."""
    crl = _loaded(item)
    if crl is None or issuer.key is None or issuer.subject_name != item.issuer_name:
        return None
    if issuer.key_usages and "crl_sign" not in issuer.key_usages:
        return None
    if not issuer.start <= item.issued <= issuer.end:
        return None
    try:
        complete = _is_complete(crl, is_authority=certificate.is_authority)
        if not complete or not crl.is_signature_valid(issuer.key):
            return None
        row = crl.get_revoked_certificate_by_serial_number(certificate.serial)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return Entry(row.revocation_date_utc if row is not None else None)


@lru_cache(_KEPT)
def _loaded(item: RevocationItem) -> x509.CertificateRevocationList | None:
    try:
        return x509.load_der_x509_crl(item.value.dump())
    except ValueError:
        return None


def _is_complete(crl: x509.CertificateRevocationList, *, is_authority: bool) -> bool:
    """Whether it is about all certificates of its issuer of this kind: no delta, no part, not another's."""
    for extension in crl.extensions:
        value = extension.value
        if isinstance(value, x509.DeltaCRLIndicator) or (extension.critical and extension.oid not in _KNOWN):
            return False
        if isinstance(value, x509.IssuingDistributionPoint):
            part = value.full_name or value.relative_name or value.only_some_reasons or value.indirect_crl
            others = value.only_contains_user_certs if is_authority else value.only_contains_ca_certs
            if part or others or value.only_contains_attribute_certs:
                return False
    return True
