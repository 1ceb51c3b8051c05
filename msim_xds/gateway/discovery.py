"""The Responding Gateway's patient discovery: ITI-55 (ITI TF-2 3.55)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.acknowledgements import Condition
from msim_xds.ihe.discovery import GENDER_REQUESTED, XCPD
from msim_xds.metadata import discovery as messages
from msim_xds.metadata.discovery import Sought
from msim_xds.registry.discovery import MOST, Match
from msim_xds.settings import Settings
from msim_xds.wire import discovery as answers
from msim_xds.wire.exchange import Answer, Request


class Directory(Protocol):
    """Looks patients up."""

    def search(self, sought: Sought) -> list[Match]:
        """Those who match; more than ``MOST`` are too many."""


class DiscoveryGateway:
    """Tells other communities which of our patients they mean.

    Args:
        settings: the homeCommunityId, and how long an answer may be remembered.
        directory: our patients.
        clock: the time of day, UTC.
    """

    def __init__(self, settings: Settings, directory: Directory, clock: Callable[[], datetime]) -> None:
        self._home = settings.registry.home_community_id
        self._directory = directory
        self._clock = clock
        days = settings.gateway.correlation_days
        self._header = (
            f'<xcpd:CorrelationTimeToLive xmlns:xcpd="{XCPD}">P{days}D</xcpd:CorrelationTimeToLive>'
            if days
            else ""
        )

    def discover(self, request: Request) -> Answer:
        """ITI-55: each patient who matches, none, or what should be told besides (ITI TF-2 3.55.4.2.2).

        Raises:
            Refused: the query does not say whom it is about, or too many match whatever is told.
        """
        sought = messages.read_query(request.body)
        matches = self._directory.search(sought)
        requested = ""
        if len(matches) > MOST:
            if sought.sex is not None:
                raise Refused([_too_many()])
            matches, requested = [], GENDER_REQUESTED
        found = [messages.registration(*match[:2], self._home, match.degree) for match in matches]
        payload = answers.found(request.body, found, self._clock(), requested)
        return Answer(payload, header=self._header)


def _too_many() -> Finding:
    return Finding(
        Condition.REQUIRED_FIELD_MISSING,
        f"more than {MOST} patients match",
        attribute="controlActProcess/queryByParameter/parameterList",
        allowed="a livingSubjectId of this community",
        source="ITI TF-2 3.55.4.2.2",
    )
