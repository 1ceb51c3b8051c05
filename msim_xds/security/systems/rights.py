"""What a registered system may do: which transactions it may call, and as whom it may submit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.transactions import ITI_92, Transaction
from msim_xds.metadata.ebrim import Reading
from msim_xds.metadata.institution import institution
from msim_xds.metadata.model import DocumentEntry, SubmissionSet
from msim_xds.wire.exchange import Request, System

_SOURCE: Final = "table of systems"
#: Transactions whose refusal for reasons of local policy has a code of its own (ITI TF-3 Table 4.2.4.1-2).
_DENIED: Final = {ITI_92.name: "LocalPolicyRestrictionError"}


def check_transaction(system: System, row: Transaction) -> None:
    """Whether a system may call a transaction.

    Raises:
        Refused: it may not.
    """
    if system.transactions is None or row.name in system.transactions:
        return
    allowed = ", ".join(sorted(system.transactions))
    problem = "this system may not call this transaction"
    raise Refused([Finding(denied(row), problem, f"system {system.name}", "", row.name, allowed, _SOURCE)])


def check_submission(request: Request, reading: Reading, repository: str | None = None) -> None:
    """Whether the sender may submit what was read.

    Args:
        request: names the sender.
        reading: what it submits.
        repository: where the documents go, if the request brings them.

    Raises:
        Refused: it may not; also with what else is wrong so far.
    """
    if request.system is None:
        return
    findings = list(_findings(request.system, denied(request.transaction), reading, repository))
    if findings:
        raise Refused([*findings, *reading.findings])


def denied(row: Transaction) -> str:
    """The error code of what local policy forbids in a transaction."""
    return _DENIED.get(row.name, row.failure)


def _findings(system: System, code: str, reading: Reading, repository: str | None) -> Iterator[Finding]:
    submission = reading.submission
    things: tuple[SubmissionSet | DocumentEntry, ...] = (*submission.submission_sets, *submission.entries)
    for thing in things:
        for attribute, seen, allowed in _claims(system, thing, repository):
            problem = f"system {system.name} may not submit with this {attribute}"
            yield Finding(code, problem, thing.place, attribute, seen, ", ".join(sorted(allowed)), _SOURCE)


def _claims(
    system: System, thing: SubmissionSet | DocumentEntry, repository: str | None
) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Attribute, value and what is allowed, for each value that is not. What is absent claims nothing."""
    if isinstance(thing, SubmissionSet):
        attribute, value, allowed = "sourceId", thing.source_id, system.source_ids
    else:
        value = repository or thing.repository_unique_id
        attribute, allowed = "repositoryUniqueId", system.repositories
    if value and allowed is not None and value not in allowed:
        yield attribute, value, allowed
    if system.institutions is None:
        return
    for author in thing.authors:
        for each in author.institutions:
            if institution(each) not in system.institutions:
                yield "authorInstitution", each, system.institutions
