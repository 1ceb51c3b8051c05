"""The report on one signature, put together from its facts and what was judged about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from msim_xds.security.signatures import hints
from msim_xds.security.signatures.document import Document
from msim_xds.security.signatures.examine import Facts
from msim_xds.security.signatures.properties import moment
from msim_xds.security.signatures.reasons import Reason, reason
from msim_xds.security.signatures.references import Outcome
from msim_xds.security.signatures.report import (
    ReferenceReport,
    SignatureReport,
    SignerReport,
    Sub,
    TimestampReport,
)
from msim_xds.security.signatures.structure import BESIDE_DATA, Role, packaging

if TYPE_CHECKING:
    from lxml.etree import _Element


class Judged(NamedTuple):
    """What trust has added to the facts."""

    findings: Sequence[tuple[Sub, Reason]]
    best: datetime
    trusted: frozenset[int]
    trust_set: str
    counters: tuple[SignatureReport, ...]


def summary(facts: Facts, document: Document, judged: Judged) -> SignatureReport:
    """The report on a signature."""
    props = facts.properties
    explained = [*(why for _, why in judged.findings)]
    for row in facts.placed:
        if row.outcome.why is not None and row.outcome.why.code == "digest-differs":
            explained += hints.why(document, row.outcome, facts.element)
    return SignatureReport(
        id=facts.element.get("Id"),
        intact=facts.intact,
        level=facts.level,
        signer=_signer(facts, judged.trust_set),
        signing_certificate_bound=facts.bound,
        packaging=packaging(facts.placed, facts.element),
        covers_document=facts.intact and _covers(facts, document),
        signing_time=props.signing_time if props is not None else "",
        best_time=judged.best,
        policy=props.policy.identifier if props is not None and props.policy is not None else "",
        commitments=props.commitments if props is not None else (),
        references=tuple(_reference(row.outcome, row.why) for row in facts.placed),
        manifest=tuple(_reference(outcome, None) for outcome in facts.manifests),
        timestamps=tuple(_stamps(facts, judged.trusted)),
        counter_signatures=judged.counters,
        sub_indication=judged.findings[0][0] if judged.findings else None,
        reasons=tuple(dict.fromkeys(explained)),
        warnings=tuple(_warnings(facts, document)),
    )


def refused(signature: _Element, now: datetime, detail: str) -> SignatureReport:
    """The report on a signature that was not looked at to the end."""
    return SignatureReport(
        id=signature.get("Id"),
        intact=False,
        level="",
        signer=None,
        signing_certificate_bound=False,
        packaging=(),
        covers_document=False,
        signing_time="",
        best_time=now,
        policy="",
        commitments=(),
        references=(),
        manifest=(),
        timestamps=(),
        counter_signatures=(),
        sub_indication=Sub.FORMAT_FAILURE,
        reasons=(reason("over-limit", detail=detail),),
        warnings=(),
    )


def _signer(facts: Facts, trust_set: str) -> SignerReport | None:
    signer = facts.signer
    if signer is None:
        return None
    asserted = facts.properties.asserted if facts.properties is not None and facts.intact else ""
    return SignerReport(signer.subject, signer.sha256, signer.qualifications, asserted, trust_set)


def _covers(facts: Facts, document: Document) -> bool:
    """Whether valid references cover the document, or all the detached ones that were handed in."""
    good = [row.outcome for row in facts.placed if row.outcome.intact and row.outcome.covers]
    if any(one.target is not None and one.target.element is document.root for one in good):
        return True
    signed = [
        row.outcome.target.element for row in facts.placed if row.role is Role.MANIFEST and row.outcome.target
    ]
    good += [one for one in facts.manifests if one.intact and one.element.getparent() in signed]
    names = {one.target.detached for one in good if one.target is not None}
    return bool(document.detached) and names >= document.detached.keys()


def _reference(outcome: Outcome, misplaced: Reason | None) -> ReferenceReport:
    why = tuple(one for one in (outcome.why, misplaced) if one is not None)
    return ReferenceReport(outcome.uri, outcome.type, outcome.intact, outcome.covers and not why, why)


def _stamps(facts: Facts, trusted: frozenset[int]) -> Iterator[TimestampReport]:
    for place, stamp in enumerate(facts.stamps):
        token = stamp.token
        yield TimestampReport(
            type=stamp.name,
            intact=stamp.intact,
            trusted=place in trusted,
            gen_time=token.gen_time if token is not None else None,
            authority=token.signer.subject if token is not None and token.signer is not None else "",
            reasons=(stamp.why,) if stamp.why is not None else (),
        )


def _warnings(facts: Facts, document: Document) -> Iterator[Reason]:
    props = facts.properties
    if props is None or facts.signer is None:
        return
    if props.certificates and props.certificates[0].issuer_differs(facts.signer):
        yield reason("issuer-serial")
    if any(row.role is Role.SIGNED_PROPERTIES and not row.outcome.type for row in facts.placed):
        yield reason("type-missing")
    claimed = moment(props.signing_time)
    if claimed is not None and not facts.signer.start <= claimed <= facts.signer.end:
        yield reason("claimed-time")
    data = [row for row in facts.placed if row.role not in BESIDE_DATA]
    inside = any(row.outcome.target is not None and row.outcome.target.element is not None for row in data)
    if inside and not any(row.outcome.covers for row in data):
        yield reason("partial")
    if facts.element.getparent() is document.root and facts.element.getnext() is not None:
        yield reason("not-last")
    if props.asserted and facts.intact:
        yield reason("seal", name=props.asserted)
