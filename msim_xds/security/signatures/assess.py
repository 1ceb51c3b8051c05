"""From facts to a verdict: certificate path, revocation, time and algorithms (EN 319 102-1, 5.2 to 5.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from msim_xds.security.signatures import paths, strength
from msim_xds.security.signatures.certificates import Certificate
from msim_xds.security.signatures.document import Document
from msim_xds.security.signatures.examine import Facts
from msim_xds.security.signatures.material import Fetcher, RevocationItem
from msim_xds.security.signatures.paths import Path
from msim_xds.security.signatures.reasons import Reason, reason
from msim_xds.security.signatures.report import FAILING, SignatureReport, Sub
from msim_xds.security.signatures.summary import Judged, refused, summary
from msim_xds.security.signatures.trust import Trust

if TYPE_CHECKING:
    from lxml.etree import _Element

_ORDER: Final = {sub: place for place, sub in enumerate(Sub)}
_SIGNING: Final = frozenset(["digital_signature", "non_repudiation"])
Finding = tuple[Sub, Reason]


@dataclass(frozen=True, slots=True)
class Times:
    """What is proven about when a signature was made.

    Attributes:
        now: the moment of validation.
        best: the earliest time at which it is proven to have existed; ``now`` without a trusted time-stamp.
        used: when the certificate was used, where that is known apart from ``best``: in a time-stamp.
        after: a time after which it was made, by a trusted time-stamp on its content.
        trusted: the positions of time-stamps whose authorities are trusted.
        contradict: whether the times contradict each other.
    """

    now: datetime
    best: datetime
    used: datetime | None = None
    after: datetime | None = None
    trusted: frozenset[int] = frozenset()
    contradict: bool = False

    @property
    def proven(self) -> bool:
        """Whether a time-stamp proves ``best``."""
        return self.best != self.now


@dataclass(frozen=True, slots=True)
class Assessor:
    """Judges facts.

    Attributes:
        trust: whom to trust.
        fetcher: gets revocation data that are missing; None where that is not allowed.
        algorithms: ends of algorithms that a site has set instead of the table's.
        key_usages: keyUsage bits of which a signer's certificate needs one.
    """

    trust: Trust = field(default_factory=Trust)
    fetcher: Fetcher | None = None
    algorithms: Mapping[str, date] = field(default_factory=dict)
    key_usages: frozenset[str] = _SIGNING

    def assess(self, facts: Facts, document: Document, now: datetime) -> SignatureReport:
        """The report on a signature and its counter-signatures."""
        times = self._times(facts, document, now)
        findings = sorted(((problem.sub, problem.why) for problem in facts.problems), key=_rank)
        trust_set = ""
        if not findings:
            findings, trust_set = self._trusted(facts, document, times)
        counters = tuple(self.assess(one, document, now) for one in facts.counters)
        return summary(facts, document, Judged(findings, times.best, times.trusted, trust_set, counters))

    def refused(self, signature: _Element, now: datetime, detail: str) -> SignatureReport:
        """The report on a signature that would cost too much."""
        return refused(signature, now, detail)

    def _trusted(self, facts: Facts, document: Document, times: Times) -> tuple[list[Finding], str]:
        """What is wrong with the trust in an intact signature, and the set of anchors it ends in."""
        signer = facts.signer
        props = facts.properties
        if signer is None or (props is not None and props.certificates and not facts.bound):
            return [(Sub.NO_SIGNING_CERTIFICATE_FOUND, reason("not-bound"))], ""
        items = [*facts.revocations, *self.trust.revocations]
        path, findings = self._path(signer, facts.material, items, document, times, time_stamps=False)
        findings += self._acceptance(facts, signer)
        if path is not None:
            weak = strength.weakest(strength.of_signature(facts, path), times.best, self.algorithms)
            if weak is not None:
                findings.append((_crypto(weak, times), weak))
        if times.contradict:
            findings.append((Sub.TIMESTAMP_ORDER_FAILURE, reason("stamps-out-of-order")))
        return findings, path.anchor.trust_set if path is not None else ""

    def _acceptance(self, facts: Facts, signer: Certificate) -> list[Finding]:
        found: list[Finding] = []
        if not facts.bound:
            found.append((Sub.SIG_CONSTRAINTS_FAILURE, reason("not-named")))
        if not signer.key_usages & self.key_usages:
            found.append((Sub.SIG_CONSTRAINTS_FAILURE, reason("key-usage")))
        return found

    def _path(
        self,
        leaf: Certificate,
        material: Sequence[Certificate],
        items: Sequence[RevocationItem],
        document: Document,
        times: Times,
        *,
        time_stamps: bool,
    ) -> tuple[Path | None, list[Finding]]:
        """The best path of a certificate, and what is wrong with it at ``times.best``."""
        others = [*dict.fromkeys([*material, *self.trust.others])]
        found = paths.candidates(leaf, others, self.trust.anchors_for(time_stamps=time_stamps))
        inside = min(max(times.best, leaf.start), leaf.end)
        broken = ""
        for path in found:
            document.budget.check_time()
            problem = paths.check(path, inside)
            if problem is None:
                return path, self._valid(path, leaf, items, document, times, inside)
            broken = problem.detail
        if broken:
            return None, [(Sub.CHAIN_CONSTRAINTS_FAILURE, reason("chain-broken", detail=broken))]
        return None, [(Sub.NO_CERTIFICATE_CHAIN_FOUND, reason("no-chain", issuer=leaf.issuer))]

    def _valid(
        self,
        path: Path,
        leaf: Certificate,
        items: Sequence[RevocationItem],
        document: Document,
        times: Times,
        inside: datetime,
    ) -> list[Finding]:
        """Revocation and validity of a path that is otherwise right."""
        missing: list[Finding] = []
        for place, certificate in enumerate(path.certificates):
            state = self._status(path, place, items, document, times, inside)
            if state.revoked is not None:
                return [_revocation(state.revoked, times, is_leaf=place == 0)]
            if not state.good:
                missing.append((Sub.TRY_LATER, reason("no-revocation-data", subject=certificate.subject)))
        outside = _outside(leaf, times, known_good=not missing)
        return [outside] if outside is not None else missing[:1]

    def _status(
        self,
        path: Path,
        place: int,
        items: Sequence[RevocationItem],
        document: Document,
        times: Times,
        inside: datetime,
    ) -> paths.Status:
        document.budget.check_time()
        span = paths.Span(times.used or inside, inside, times.now)
        state = paths.status(path, place, items, span)
        if self.fetcher is None or state.good or state.revoked is not None:
            return state
        fetched = self.fetcher.revocation(
            path.certificates[place], path.issuer(place), document.budget.seconds_left
        )
        return paths.status(path, place, [*items, *fetched], span)

    def _times(self, facts: Facts, document: Document, now: datetime) -> Times:
        """Slide from the outermost time-stamp inwards: each is judged at the time that the next proves."""
        control, trusted = now, set[int]()
        best, after = now, None
        for place, stamp in reversed(list(enumerate(facts.stamps))):
            if not stamp.intact or stamp.token is None:
                continue
            if not self._stamp_trusted(facts, place, document, Times(now, control, stamp.token.gen_time)):
                continue
            trusted.add(place)
            time = stamp.token.gen_time
            if stamp.name.endswith("DataObjectsTimeStamp"):
                after = max(after or time, time)
                continue
            best = min(best, time)
            if stamp.is_archive:
                control = min(control, time)
        return Times(now, best, None, after, frozenset(trusted), _out_of_order(facts, trusted))

    def _stamp_trusted(self, facts: Facts, place: int, document: Document, times: Times) -> bool:
        token = facts.stamps[place].token
        if token is None or token.signer is None or token.gen_time > times.now + paths.TOLERANCE:
            return False
        items = [*facts.revocations, *self.trust.revocations]
        path, findings = self._path(token.signer, facts.material, items, document, times, time_stamps=True)
        if path is None or findings:
            return False
        return strength.weakest(strength.of_token(token, path), times.best, self.algorithms) is None


def _rank(finding: Finding) -> tuple[bool, int]:
    """What is proven to be wrong comes before what could not be looked at."""
    return finding[0] not in FAILING, _ORDER[finding[0]]


def _revocation(moment: datetime, times: Times, *, is_leaf: bool) -> Finding:
    day = moment.date().isoformat()
    if not is_leaf:
        return Sub.REVOKED_CA_NO_POE, reason("ca-revoked", date=day)
    if times.after is not None and moment <= times.after:
        return Sub.REVOKED, reason("revoked-before", date=day)
    return Sub.REVOKED_NO_POE, reason("revoked", date=day)


def _outside(leaf: Certificate, times: Times, *, known_good: bool) -> Finding | None:
    """What follows from a certificate that is not valid at the time of the signature."""
    start, end = leaf.start, leaf.end
    if times.best < start:
        return Sub.NOT_YET_VALID, reason("not-yet-valid", date=start.date().isoformat())
    if times.best <= end:
        return None
    day = end.date().isoformat()
    if times.after is not None and times.after > end:
        return Sub.EXPIRED, reason("signed-after-expiry", date=day)
    if known_good:
        return Sub.OUT_OF_BOUNDS_NOT_REVOKED, reason("expired-not-revoked", date=day)
    return Sub.OUT_OF_BOUNDS_NO_POE, reason("expired", date=day)


def _crypto(weak: Reason, times: Times) -> Sub:
    """Weak at the proven time; whether it may have been made earlier decides which of the two it is."""
    if weak.code == "weak-always" or times.after is not None:
        return Sub.CRYPTO_CONSTRAINTS_FAILURE
    return Sub.CRYPTO_CONSTRAINTS_FAILURE_NO_POE


def _out_of_order(facts: Facts, trusted: set[int]) -> bool:
    """Content stamps come before signature stamps, those before archive stamps (EN 319 102-1, 5.5.4)."""
    kinds: dict[int, list[datetime]] = {0: [], 1: [], 2: []}
    for place in trusted:
        stamp = facts.stamps[place]
        if stamp.token is not None:
            kind = 2 if stamp.is_archive else 0 if stamp.name.endswith("DataObjectsTimeStamp") else 1
            kinds[kind].append(stamp.token.gen_time)
    rows = [times for times in kinds.values() if times]
    return any(max(before) > min(later) + paths.TOLERANCE for before, later in pairwise(rows))
