"""The Responding Gateway: ITI-38 and ITI-39, answered from this community alone (ITI TF-2 3.38, 3.39).

It hands on to the same services that answer ITI-18 and ITI-43 and never asks another community, so no request
can go in a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from msim_xds.findings import Finding, Refused
from msim_xds.gateway.homes import asked, query_problem, retrieve_problem
from msim_xds.ihe.transactions import ITI_18, ITI_43
from msim_xds.repository import requests
from msim_xds.repository.requests import Wanted
from msim_xds.repository.service import Delivery
from msim_xds.settings import Settings
from msim_xds.wire.exchange import Answer, Concerns, Handler, Request

_QUERY: Final = "ITI TF-2 3.38.4.1.3"
_RETRIEVE: Final = "ITI TF-2 3.39.4.1.3"


class Deliver(Protocol):
    """What a repository does once it is known which documents are wanted."""

    def __call__(self, request: Request, wanted: Sequence[Wanted], /) -> Delivery:
        """The documents, and findings about those that are not delivered."""


class RespondingGateway:
    """Answers other communities.

    Args:
        settings: the homeCommunityIds of this community, limits, and how errors are located.
        query: answers ITI-18.
        deliver: delivers documents as ITI-43 does.
    """

    def __init__(self, settings: Settings, query: Handler, deliver: Deliver) -> None:
        self._home = settings.registry.home_community_id
        self._homes = frozenset([self._home, *settings.gateway.further_homes])
        self._limits = settings.limits
        self._query = query
        self._deliver = deliver
        self._locate = _LOCATIONS[settings.gateway.retrieve_location]

    def query(self, request: Request) -> Answer:
        """ITI-38: the local registry's answer (ITI TF-2 3.38.4.1.3).

        Raises:
            Refused: the homeCommunityId is missing or not ours, or the registry refuses the query. The
                pipeline puts our homeCommunityId into each error as its location.
        """
        problem = query_problem(asked(request.body), self._homes, _QUERY)
        if problem is not None:
            raise Refused([problem])
        local = replace(request, transaction=ITI_18)
        try:
            return self._query(local)
        finally:
            request.concerns = local.concerns

    def retrieve(self, request: Request) -> Answer:
        """ITI-39: the documents asked for, as ITI-43 delivers them (ITI TF-2 3.39.4.1.3).

        Raises:
            Refused: the request is malformed or asks for too many documents.
        """
        wanted = requests.read(request.body, self._limits, _RETRIEVE, too_many="XDSTooManyResults")
        request.concerns = Concerns(refused=requests.named(wanted))
        problems = {each: retrieve_problem(each, self._homes, _RETRIEVE) for each in wanted}
        local = replace(request, transaction=ITI_43)
        delivery = self._deliver(local, [each for each in wanted if problems[each] is None])
        request.concerns = delivery.concerns(wanted)
        refused = [problem for problem in problems.values() if problem is not None]
        delivery.findings = [self._locate(each, self._home) for each in (*refused, *delivery.findings)]
        return delivery.answer()


def _by_home(finding: Finding, home: str) -> Finding:
    """The location is the homeCommunityId, so codeContext has to say which document is concerned."""
    context = (
        f"DocumentUniqueId {finding.location}: {finding.text()}" if finding.location else finding.context
    )
    return replace(finding, context=context, location=home)


def _by_both(finding: Finding, home: str) -> Finding:
    return replace(finding, location=f"{finding.location} {home}".strip())


_LOCATIONS: Final[dict[str, Callable[[Finding, str], Finding]]] = {
    "home": _by_home,
    "document-and-home": _by_both,
}
