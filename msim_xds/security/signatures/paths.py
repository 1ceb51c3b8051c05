"""Certificate paths and revocation at a moment; pyhanko-certvalidator does RFC 5280 and RFC 6960."""

from __future__ import annotations

import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeVar

from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.authority import AuthorityWithCert, TrustAnchor
from pyhanko_certvalidator.errors import (
    CRLValidationError,
    OCSPValidationError,
    PathError,
    RevokedError,
    ValidationError,
)
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import (
    AcceptAllAlgorithms,
    CertRevTrustPolicy,
    RevocationCheckingPolicy,
    RevocationCheckingRule,
)
from pyhanko_certvalidator.revinfo.validate_crl import verify_crl
from pyhanko_certvalidator.revinfo.validate_ocsp import verify_ocsp_response
from pyhanko_certvalidator.validate import async_validate_path

from msim_xds.security.signatures.certificates import BROKEN, Certificate
from msim_xds.security.signatures.crls import look_up
from msim_xds.security.signatures.material import RevocationItem, may_issue
from msim_xds.security.signatures.trust import Anchor

TOLERANCE: Final = timedelta(minutes=5)
_DEEPEST: Final = 8
_MOST_PATHS: Final = 16
_MOST_STEPS: Final = 200
_REMEMBERED: Final = 1024
"""Answers that are kept: the same authorities, CRLs and signers come again and again."""
_NO_CHECK: Final = CertRevTrustPolicy(
    RevocationCheckingPolicy(RevocationCheckingRule.NO_CHECK, RevocationCheckingRule.NO_CHECK)
)
"""Revocation is asked for here, item by item, not by the path validation."""
_NEVER_REVOKED: Final = frozenset(["2.5.29.56", "0.4.0.194121.2.1"])
"""noRevAvail (RFC 9608) and validity-assured short-term certificates (EN 319 412-1)."""
T = TypeVar("T")
_one_at_a_time: Final = threading.Lock()
"""asn1crypto parses CRLs while they are looked at; threads that share one would find it half parsed."""


@dataclass(frozen=True, slots=True)
class Path:
    """A path from a certificate to an anchor.

    Attributes:
        certificates: the certificate first, then its issuers, without the anchor.
        anchor: where it ends. The certificate itself may be the anchor; then there are no certificates.
    """

    certificates: tuple[Certificate, ...]
    anchor: Anchor

    def issuer(self, place: int) -> Certificate:
        """Who issued the certificate at ``place``."""
        above = place + 1
        return self.certificates[above] if above < len(self.certificates) else self.anchor.certificate

    def validator(self) -> ValidationPath:
        """The same for pyhanko-certvalidator."""
        anchor = TrustAnchor(AuthorityWithCert(self.anchor.certificate.asn1))
        if not self.certificates:
            return ValidationPath(anchor, [], None)
        leaf, *above = (certificate.asn1 for certificate in self.certificates)
        return ValidationPath(anchor, above[::-1], leaf)


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a path is not valid."""

    detail: str


@dataclass(frozen=True, slots=True)
class Status:
    """What revocation data say of a certificate at a moment.

    Attributes:
        good: known not to be revoked then.
        revoked: when it was revoked, if it was by then.
    """

    good: bool = False
    revoked: datetime | None = None


def candidates(leaf: Certificate, others: Sequence[Certificate], anchors: Sequence[Anchor]) -> list[Path]:
    """Possible paths by names and key identifiers; a bounded number, whoever chose the certificates."""
    found: list[Path] = [Path((), anchor) for anchor in anchors if anchor.certificate == leaf]
    steps = 0
    waiting: list[tuple[Certificate, ...]] = [(leaf,)]
    while waiting and len(found) < _MOST_PATHS and steps < _MOST_STEPS:
        steps += 1
        chain = waiting.pop(0)
        found += (
            Path(chain, anchor)
            for anchor in anchors
            if may_issue(anchor.certificate, chain[-1]) and anchor.certificate not in chain
        )
        if len(chain) < _DEEPEST:
            waiting += ((*chain, one) for one in others if may_issue(one, chain[-1]) and one not in chain)
    return found[:_MOST_PATHS]


def check(path: Path, at: datetime) -> Broken | None:
    """Whether a path is valid at a moment, revocation aside (RFC 5280, 6); None when it is."""
    if not path.anchor.granted(at):
        return Broken("the trusted list does not grant the authority at that time")
    bounds = [(one.start, one.end) for one in path.certificates]
    start, end = max((row[0] for row in bounds), default=at), min((row[1] for row in bounds), default=at)
    # while all of it is valid the answer is always the same
    return _checked(path, start) if start <= at <= end else _check(path, at)


def _check(path: Path, at: datetime) -> Broken | None:
    try:
        _complete(async_validate_path(_context(path, at, ()), path.validator()))
    except (ValidationError, PathError, *BROKEN) as error:
        return Broken(str(error))
    return None


_checked: Final = lru_cache(_REMEMBERED)(_check)


@dataclass(frozen=True, slots=True)
class Span:
    """The times that matter for a certificate's status.

    Attributes:
        used: when it was used; data must tell of this time.
        proven: until when the use is proven to be no later; a revocation by then counts.
        now: the moment of validation; data from later are not believed.
    """

    used: datetime
    proven: datetime
    now: datetime


def status(path: Path, place: int, items: Iterable[RevocationItem], span: Span) -> Status:
    """What verified revocation data say of the certificate at ``place`` of a path.

    Each item is verified as of the moment it was issued, and then weighed: one issued after the use tells
    what was then, as long as the certificate had not expired (it may have been dropped from the CRL); one
    issued before must not have been due for renewal. A revocation later than it can have been used
    means that it was good.
    """
    certificate = path.certificates[place]
    if certificate.extensions & _NEVER_REVOKED:
        return Status(good=True)
    good = False
    for item in items:
        if not item.concerns(certificate) or item.issued > span.now + TOLERANCE:
            continue
        verified = _verified(path, certificate, item)
        if verified is None:
            continue
        if verified.revoked is not None and verified.revoked <= span.proven:
            return verified
        good = good or verified.revoked is not None or _conclusive(item, certificate, span.used)
    return Status(good=good)


def _conclusive(item: RevocationItem, certificate: Certificate, at: datetime) -> bool:
    if item.issued >= at:
        return bool(item.issued <= certificate.end)
    return item.until is not None and at <= item.until + TOLERANCE


@lru_cache(_REMEMBERED)
def _verified(path: Path, certificate: Certificate, item: RevocationItem) -> Status | None:
    """What one item says; None when it is not the right authority's, or about something else.

    It is asked a little after its issue: a revocation often bears the very second of its CRL.
    """
    if item.is_crl and (
        entry := look_up(item, certificate, path.issuer(path.certificates.index(certificate)))
    ):
        return Status(good=entry.revoked is None, revoked=entry.revoked)
    moment = item.issued + TOLERANCE if item.until is None else min(item.issued + TOLERANCE, item.until)
    context = _context(path, moment, (item,))
    chain = path.validator()
    verify = verify_crl if item.is_crl else verify_ocsp_response
    try:
        _complete(verify(certificate.asn1, chain, context))
    except RevokedError as error:
        return Status(revoked=error.revocation_dt)
    except (
        CRLValidationError,
        OCSPValidationError,
        ValidationError,
        PathError,
        ValueError,
        TypeError,
        KeyError,
    ):
        return None
    return Status(good=True)


def _context(path: Path, moment: datetime, items: Sequence[RevocationItem]) -> ValidationContext:
    return ValidationContext(
        trust_roots=[path.anchor.certificate.asn1],
        other_certs=[certificate.asn1 for certificate in path.certificates[1:]],
        moment=moment,
        crls=[item.value for item in items if item.is_crl],
        ocsps=[item.value for item in items if not item.is_crl],
        revinfo_policy=_NO_CHECK,
        algorithm_usage_policy=AcceptAllAlgorithms(),
        time_tolerance=timedelta(seconds=1),
    )


def _complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing, because the library is given no fetcher."""
    try:
        with _one_at_a_time:
            coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("the path validation waits for something")


def signature_algorithms(path: Path) -> Iterator[tuple[Certificate, Certificate]]:
    """Each certificate of the path with its issuer."""
    for place, certificate in enumerate(path.certificates):
        yield certificate, path.issuer(place)
