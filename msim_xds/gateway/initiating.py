"""The Initiating Gateway: ITI-18 and ITI-43, answered from all communities (ITI TF-1 18.2; TF-2 3.18, 3.43).

The own registry and repository are asked in the thread of the request, with everything that it carries; the
others in threads of a pool meanwhile. What one community does not answer is said beside what the others do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from lxml import etree

from msim_xds.federation.community import Community, Errand, FoundDocuments, FoundObjects
from msim_xds.federation.community import Wanted as Asking
from msim_xds.findings import Finding, Refused
from msim_xds.gateway.homes import asked, query_problem, retrieve_problem
from msim_xds.gateway.merging import Merged, RetrievedAll
from msim_xds.gateway.neighbours import Neighbour, Neighbours, Said, timed
from msim_xds.gateway.responding import Deliver
from msim_xds.ihe.names import ResponseStatus
from msim_xds.ihe.queries import offered
from msim_xds.ihe.transactions import ITI_18, ITI_43
from msim_xds.registry import query_reader
from msim_xds.repository import requests
from msim_xds.repository.requests import Wanted
from msim_xds.repository.service import Delivery
from msim_xds.security.xua import header as security_header
from msim_xds.settings import Settings
from msim_xds.wire.exchange import Answer, Concerns, Handler, Request

_QUERY: Final = "ITI TF-2 3.18.4.1.3"
_RETRIEVE: Final = "ITI TF-2 3.43.4.1.3"
OWN: Final = "this community"
"""The own community in the log, where partners go by their names; none can have a name with a blank."""


class InitiatingGateway:
    """Answers clients of this community for all.

    Args:
        settings: the homeCommunityIds of this community, limits, and how statuses are merged.
        query: answers ITI-18 from the local registry.
        deliver: delivers documents of the local repository.
        neighbours: the other communities.
    """

    def __init__(self, settings: Settings, query: Handler, deliver: Deliver, neighbours: Neighbours) -> None:
        self._home = settings.registry.home_community_id
        self._homes = frozenset([self._home, *settings.gateway.further_homes])
        self._repository = settings.repository.unique_id
        self._limits = settings.limits
        self._nothing_found = settings.gateway.nothing_found
        self._offered = offered(ITI_18.name, preview=settings.search.preview)
        self._query = query
        self._deliver = deliver
        self._neighbours = neighbours

    def query(self, request: Request) -> Answer:
        """ITI-18 to every community that may have something, or to the one that is named.

        Raises:
            Refused: the query is faulty, or its homeCommunityId is missing or unknown.
        """
        read = query_reader.read(request.body, self._offered, self._limits)
        request.concerns = Concerns(read.patients)
        query = asked(request.body)
        problem = query_problem(query, self._known(), _QUERY)
        if problem is not None:
            raise Refused([problem])
        members = self._members(query.home)
        ask = partial(_ask_query, request)
        collect = self._neighbours.ask(
            {member.community.name: (member, ask) for member in members}, _errand(request), _QUERY
        )
        merged = Merged(self._homes, self._nothing_found)
        if not query.home or query.home in self._homes:
            self._ask_here(request, merged)
        for said in collect(lambda _: None):
            merged.add(said)
        return merged.answer(self._limits.findings)

    def retrieve(self, request: Request) -> Answer:
        """ITI-43 of documents wherever they are; those of other communities are passed through as they come.

        Raises:
            Refused: the request is malformed or asks for too many documents.
        """
        wanted = requests.read(request.body, self._limits, _RETRIEVE, too_many="XDSTooManyResults")
        request.concerns = Concerns(refused=requests.named(wanted))
        here, elsewhere, problems = self._sorted(wanted)
        collect = self._neighbours.ask(
            {
                name: (member, partial(_ask_documents, [_asking(each) for each in group]))
                for name, (member, group) in elsewhere.items()
            },
            _errand(request),
            _RETRIEVE,
        )
        said: Sequence[Said[FoundDocuments]] = ()
        try:
            delivery = self._deliver(replace(request, transaction=ITI_43), here) if here else Delivery()
        finally:
            said = collect(_close)
        try:
            retrieved = RetrievedAll(delivery, problems)
            for each in said:
                retrieved.add(each, elsewhere[each.community.name][1])
        except BaseException:
            for each in said:
                if each.answer is not None:
                    each.answer.close()
            raise
        request.concerns = delivery.concerns(wanted)
        return retrieved.answer()

    def _known(self) -> frozenset[str]:
        """The homeCommunityIds that are answered for today."""
        return self._homes | self._neighbours.homes()

    def _members(self, home: str) -> Iterable[Neighbour]:
        """Which other communities are asked."""
        if not home:
            return self._neighbours.valid()
        member = None if home in self._homes else self._neighbours.of(home)
        return [] if member is None else [member]

    def _ask_here(self, request: Request, merged: Merged) -> None:
        local = replace(request, transaction=ITI_18)
        try:
            with timed(OWN, request):
                answer = self._query(local)
        except Refused as refused:
            merged.add_local(ResponseStatus.FAILURE, refused.findings, ())
        else:
            merged.add_local(answer.status, answer.findings, answer.payload[1:-1])

    def _sorted(
        self, wanted: Sequence[Wanted]
    ) -> tuple[list[Wanted], Mapping[str, tuple[Neighbour, list[Wanted]]], list[Finding]]:
        """Whose the documents are: ours, of which community, or nobody's."""
        here: list[Wanted] = []
        elsewhere: dict[str, tuple[Neighbour, list[Wanted]]] = {}
        problems: list[Finding] = []
        for each in wanted:
            if each.home in self._homes or (
                each.home is None and each.repository_unique_id == self._repository
            ):
                here.append(each)
                continue
            member = self._neighbours.of(each.home or "")
            if member is None:
                known = self._known() if each.home is None else self._homes
                problem = retrieve_problem(each, known, _RETRIEVE)
                problems += [] if problem is None else [problem]
                continue
            group = elsewhere.setdefault(member.community.name, (member, []))[1]
            if each not in group:  # its octets come by once
                group.append(each)
        return here, elsewhere, problems


def _ask_query(request: Request, community: Community, errand: Errand) -> FoundObjects:
    return community.query(request.body, errand)


def _ask_documents(wanted: Sequence[Asking], community: Community, errand: Errand) -> FoundDocuments:
    return community.retrieve(wanted, errand)


def _asking(wanted: Wanted) -> Asking:
    return Asking(wanted.home or "", wanted.repository_unique_id, wanted.unique_id)


def _close(found: FoundDocuments) -> None:
    found.close()


def _errand(request: Request) -> Errand:
    """On whose behalf others are asked; only an assertion that was verified goes along.

    Who answers late records it all the same: with a copy, whose recorder stays when the request is over.
    """
    found = None if request.caller is None else security_header.find(request.header)
    assertion = None if found is None else found.assertion
    octets = b"" if assertion is None else etree.tostring(assertion, with_tail=False)
    return Errand(replace(request), octets, 0.0)
