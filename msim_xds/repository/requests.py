"""Reads xds:DocumentRequest, by which a retrieval and a removal name documents (ITI TF-2 3.43.4.1.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import XDS
from msim_xds.settings import LimitSettings
from msim_xds.wire.exchange import Named

if TYPE_CHECKING:
    from lxml.etree import _Element

DOCUMENT_REQUEST: Final = f"{{{XDS}}}DocumentRequest"
_HOME: Final = f"{{{XDS}}}HomeCommunityId"
_REPOSITORY: Final = f"{{{XDS}}}RepositoryUniqueId"
_DOCUMENT: Final = f"{{{XDS}}}DocumentUniqueId"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One DocumentRequest."""

    home: str | None
    repository_unique_id: str
    unique_id: str


def read(body: _Element, limits: LimitSettings, source: str, *, too_many: str) -> list[Wanted]:
    """The DocumentRequests of a request.

    Args:
        body: the payload.
        limits: bounds on their number and on their values.
        source: the section that findings name.
        too_many: code of the finding that there are too many.

    Raises:
        Refused: it names none or too many, or one is incomplete.
    """
    requests = body.findall(DOCUMENT_REQUEST)
    if not requests:
        raise Refused(
            [malformed("DocumentRequest", "is missing", None, allowed="at least one", source=source)]
        )
    if len(requests) > limits.retrieve_documents:
        seen, allowed = str(len(requests)), f"at most {limits.retrieve_documents}; ask in several requests"
        problem = "too many documents in one request"
        raise Refused([Finding(too_many, problem, "", "DocumentRequest", seen, allowed, source)])
    findings: list[Finding] = []
    wanted = []
    for number, element in enumerate(requests, 1):
        texts = {child.tag: (child.text or "").strip() for child in element}
        home, repository, unique_id = (texts.get(name, "") for name in (_HOME, _REPOSITORY, _DOCUMENT))
        values = (("RepositoryUniqueId", repository), ("DocumentUniqueId", unique_id))
        for attribute, value in (*values, ("HomeCommunityId", home or "-")):
            if not value or len(value) > limits.value_chars:
                problem = "is too long" if value else "is missing"
                place = f"DocumentRequest {number}"
                findings.append(malformed(attribute, problem, value or None, place, source=source))
        wanted.append(Wanted(home or None, repository, unique_id))
    if findings:
        raise Refused(findings)
    return wanted


def named(wanted: Iterable[Wanted]) -> tuple[Named, ...]:
    """The documents as audit records name them."""
    return tuple(Named(each.unique_id, "", each.repository_unique_id, each.home or "") for each in wanted)


def malformed(
    attribute: str, problem: str, seen: str | None, place: str = "", allowed: str = "", *, source: str
) -> Finding:
    """That the request itself is wrong."""
    return Finding("XDSRepositoryError", problem, place, attribute, seen, allowed, source)


def not_here(wanted: Wanted, repository_unique_id: str, source: str) -> Finding:
    """Why this repository does not have a document: it is another one, or knows no such document."""
    if wanted.repository_unique_id != repository_unique_id:
        return Finding(
            "XDSUnknownRepositoryId",
            "this is another repository",
            attribute="RepositoryUniqueId",
            seen=wanted.repository_unique_id,
            allowed=repository_unique_id,
            source=source,
            location=wanted.unique_id,
        )
    return Finding(
        "XDSDocumentUniqueIdError",
        "this repository holds no document with this uniqueId",
        attribute="DocumentUniqueId",
        seen=wanted.unique_id,
        source=source,
        location=wanted.unique_id,
    )
