"""Answers of several communities as one (ITI TF-2 3.18.4.1.3, 3.43.4.1.3; TF-3 4.2.4.2)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msim_xds.federation.community import (
    Community,
    FoundDocuments,
    FoundObject,
    FoundObjects,
)
from msim_xds.findings import Finding, errors
from msim_xds.gateway.neighbours import Said
from msim_xds.ihe.names import RIM, ResponseStatus
from msim_xds.repository.requests import Wanted
from msim_xds.repository.service import Delivery, NewIds
from msim_xds.wire.answers import adhoc_query_response
from msim_xds.wire.exchange import Answer

_QUERY: Final = "ITI TF-2 3.18.4.1.3"
_RETRIEVE: Final = "ITI TF-2 3.43.4.1.3"
_UNKNOWN_PATIENT: Final = "XDSUnknownPatientId"
_NAMED: Final = 5  # of the objects that are not taken, so many are named
_HOMED: Final = frozenset(f"{{{RIM}}}{name}" for name in ("ExtrinsicObject", "RegistryPackage", "ObjectRef"))


class Merged:
    """The answer to a query, put together.

    Args:
        homes: homeCommunityIds of this community.
        nothing_found: status where something failed and nothing was found.
    """

    def __init__(self, homes: frozenset[str], nothing_found: str) -> None:
        self._homes = homes
        self._nothing_found = nothing_found
        self._objects: list[bytes] = []
        self._findings: list[Finding] = []
        self._seen: set[tuple[str, str]] = set()
        self._succeeded = False

    def add_local(
        self, status: ResponseStatus, findings: Sequence[Finding], objects: Iterable[bytes]
    ) -> None:
        """What our own registry says; its objects carry our home already."""
        self._objects += objects
        self._take(status, findings)

    def add(self, said: Said[FoundObjects]) -> None:
        """What another community says, or that it says nothing."""
        if said.answer is None:
            self._findings += [] if said.problem is None else [said.problem]
            return
        self._take(said.answer.status, said.answer.findings)
        if said.answer.status is not ResponseStatus.SUCCESS and not errors(said.answer.findings):
            self._findings.append(_wordless(said.community, said.answer.status))
        missing: list[str] = []
        foreign: list[str] = []
        for thing in said.answer.objects:
            self._add_object(said.community, thing, missing, foreign)
        if missing:
            self._findings.append(_untaken(said.community, "XDSMissingHomeCommunityId", "lack", missing))
        if foreign:
            self._findings.append(_untaken(said.community, "XDSUnknownCommunity", "have a foreign", foreign))

    def answer(self, limit: int) -> Answer:
        """All of it."""
        status = self._status()
        return Answer(
            adhoc_query_response(status, self._findings, self._objects, limit), status, self._findings
        )

    def _take(self, status: ResponseStatus, findings: Sequence[Finding]) -> None:
        """That a patient is unknown somewhere is no error of the whole (ITI TF-2 3.18.4.1.3)."""
        left = [each for each in findings if each.code != _UNKNOWN_PATIENT]
        self._findings += left
        dropped = len(left) < len(findings)
        self._succeeded |= status is not ResponseStatus.FAILURE or (dropped and not errors(left))

    def _add_object(
        self, community: Community, thing: FoundObject, missing: list[str], foreign: list[str]
    ) -> None:
        if thing.home and thing.home not in community.homes:
            foreign.append(thing.id)
        elif not thing.home and thing.tag in _HOMED:
            missing.append(thing.id)
        elif (thing.home, thing.id) not in self._seen:
            self._seen.add((thing.home, thing.id))
            self._objects.append(thing.octets)

    def _status(self) -> ResponseStatus:
        """The table of docs/federation.md."""
        if not errors(self._findings):
            return ResponseStatus.SUCCESS
        if self._objects:
            return ResponseStatus.PARTIAL_SUCCESS
        if self._succeeded and self._nothing_found == "PartialSuccess":
            return ResponseStatus.PARTIAL_SUCCESS
        return ResponseStatus.FAILURE


class RetrievedAll:
    """The answer to a retrieval, put together.

    Args:
        delivery: what the own repository delivers.
        problems: what is wrong with documents that nobody was asked for.
    """

    def __init__(self, delivery: Delivery, problems: Iterable[Finding]) -> None:
        self._delivery = delivery
        delivery.findings += problems
        self._closes: list[Callable[[], None]] = []
        self._room: int | None = 0

    def add(self, said: Said[FoundDocuments], wanted: Sequence[Wanted]) -> None:
        """What another community says about the documents that it was asked for, or that it says nothing."""
        delivery = self._delivery
        if said.answer is None:
            if said.problem is not None:
                delivery.findings.append(said.problem)
            return
        self._closes.append(said.answer.close)
        if said.answer.documents:
            room = said.answer.room
            self._room = None if room is None or self._room is None else self._room + room
        delivery.findings += said.answer.findings
        left = {(each.repository_unique_id, each.unique_id): each for each in wanted}
        for document in said.answer.documents:
            asking = document.wanted
            each = left.pop((asking.repository_unique_id, asking.document_unique_id), None)
            new = NewIds(document.new_repository_unique_id, document.new_document_unique_id)
            if each is not None:
                delivery.add(each, document.mime_type, document.size, document.chunks, new)
        delivery.findings += [
            _silent(said.community, each)
            for each in _unexplained(left.values(), said.answer.findings, wanted)
        ]

    def answer(self) -> Answer:
        """All of it; closing the answer closes every connection."""
        answer = self._delivery.answer()
        answer.close = self._close if self._closes else None
        answer.room = self._room
        return answer

    def _close(self) -> None:
        for close in self._closes:
            close()


def _untaken(community: Community, code: str, problem: str, ids: Sequence[str]) -> Finding:
    """That objects were left out for their homeCommunityId."""
    named = ", ".join(itertools.islice(ids, _NAMED)) + (" …" if len(ids) > _NAMED else "")
    return Finding(
        code,
        f"{len(ids)} objects {problem} homeCommunityId and are left out: {named}",
        place=f"community {community.name}",
        allowed=", ".join(sorted(community.homes)),
        source=_QUERY,
    )


def _wordless(community: Community, status: ResponseStatus) -> Finding:
    whole = status is ResponseStatus.FAILURE
    return Finding(
        "XDSRegistryError",
        f"the community refused {'the query' if whole else 'a part of the query'} and gave no reason",
        place=f"community {community.name}",
        source=_QUERY,
    )


def _unexplained(
    missing: Iterable[Wanted], findings: Sequence[Finding], wanted: Sequence[Wanted]
) -> list[Wanted]:
    """Documents of which nothing is said; an error that names none of those asked for is about all."""
    if any(not any(_names(each, one) for one in wanted) for each in errors(findings)):
        return []
    return [one for one in missing if not any(_names(each, one) for each in findings)]


def _names(finding: Finding, wanted: Wanted) -> bool:
    """Whether it is about this document; the id is in location or in codeContext (ITI TF-2 3.39.4.1.3)."""
    return wanted.unique_id in finding.location or wanted.unique_id in finding.problem


def _silent(community: Community, wanted: Wanted) -> Finding:
    return Finding(
        "XDSRepositoryError",
        "the community neither delivers the document nor says why",
        place=f"community {community.name}",
        attribute="DocumentUniqueId",
        seen=wanted.unique_id,
        source=_RETRIEVE,
        location=wanted.unique_id,
    )
