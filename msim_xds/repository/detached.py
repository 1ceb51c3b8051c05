"""Signatures that are documents of their own (IHE Document Digital Signature, ITI TF-3 5.5).

Their references name the signed documents by uniqueId. The SubmissionSet may be among them, with the digest
'0': it has no octets, so that reference says only what the other ones belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from msim_xds.security.signatures import table
from msim_xds.security.signatures.document import OverLimit, read
from msim_xds.security.signatures.examine import Facts, examine
from msim_xds.security.signatures.names import REFERENCE, ds, text
from msim_xds.security.signatures.references import Outcome
from msim_xds.security.signatures.report import Report
from msim_xds.security.signatures.validator import Validator

if TYPE_CHECKING:
    from lxml.etree import _Element

FORMAT: Final = "urn:ihe:iti:dsg:detached:2014"
_OID: Final = "urn:oid:"
_NO_DIGEST: Final = "0"

#: Documents by uniqueId, as far as they are known and fit into so many octets together.
Others = Callable[[Collection[str], int], Mapping[str, bytes]]


def validate(
    validator: Validator, octets: bytes, now: datetime, others: Others, set_unique_id: str | None
) -> Report:
    """Verify a detached signature against the documents that its references name.

    Args:
        validator: whom it trusts, how much it looks at.
        octets: the signature.
        now: the moment of validation.
        others: finds documents.
        set_unique_id: of the SubmissionSet with which the signature came.

    Raises:
        Unacceptable: the signature is not looked at.
    """
    document = read(octets, {}, validator.limits)
    named = {uri: unquote(uri[len(_OID) :]) for uri in _uris(document.root) if uri.startswith(_OID)}
    found = others(set(named.values()) - {set_unique_id}, validator.limits.document_bytes)
    signed = {uri: found[unique_id] for uri, unique_id in named.items() if unique_id in found}
    document = read(octets, signed, validator.limits)
    known = validator.assessor.trust.certificates
    reports = []
    for signature in document.signatures():
        try:
            facts = _without_set(examine(document, signature, known=known), set_unique_id)
            reports.append(validator.assessor.assess(facts, document, now))
        except OverLimit as error:
            reports.append(validator.assessor.refused(signature, now, str(error)))
    return Report(tuple(reports), now, table.ISSUED)


def _uris(root: _Element) -> set[str]:
    return {reference.get("URI", "") for reference in root.iter(REFERENCE)}


def _without_set(facts: Facts, set_unique_id: str | None) -> Facts:
    """The facts without the reference to the SubmissionSet, of which there is nothing to digest."""

    def is_set(outcome: Outcome) -> bool:
        digest = text(outcome.element.find(ds("DigestValue")))
        uri = outcome.uri or ""
        return bool(set_unique_id) and digest == _NO_DIGEST and unquote(uri) == f"{_OID}{set_unique_id}"

    placed = tuple(row for row in facts.placed if not is_set(row.outcome))
    manifests = tuple(outcome for outcome in facts.manifests if not is_set(outcome))
    if len(placed) == len(facts.placed):
        return replace(facts, manifests=manifests)
    excused = {row.outcome.why for row in facts.placed if is_set(row.outcome)}
    problems = tuple(problem for problem in facts.problems if problem.why not in excused)
    intact = facts.value_right and not problems
    return replace(facts, placed=placed, manifests=manifests, problems=problems, intact=intact)
