"""Which ids a patient of ours has at a partner, asked of its Responding Gateway by ITI-55 and remembered
(ITI TF-2 3.55).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

import isodate
from lxml import etree

from msim_xds.federation.answers import Unusable
from msim_xds.federation.asking import ask, assertion_of
from msim_xds.federation.community import Correlation, Errand
from msim_xds.federation.line import Line
from msim_xds.federation.onward import Onward
from msim_xds.federation.partners import LoadedPartner
from msim_xds.federation.xca import line_options
from msim_xds.ihe.discovery import XCPD
from msim_xds.ihe.names import SOAP, ResponseStatus
from msim_xds.ihe.transactions import ITI_55
from msim_xds.metadata import discovery as messages
from msim_xds.metadata.discovery import Candidate
from msim_xds.metadata.identity import Demographics, cx
from msim_xds.registry.correlations import Correlations, Known
from msim_xds.settings import MIB, LimitSettings
from msim_xds.wire.exchange import NOTHING_KNOWN

if TYPE_CHECKING:
    from lxml.etree import _Element

_TIME_TO_LIVE: Final = f"{{{SOAP}}}Header/{{{XCPD}}}CorrelationTimeToLive"
_NEVER: Final = timedelta(0)
_LIMITS: Final = LimitSettings(root_part_bytes=MIB, request_bytes=MIB)


class People(Protocol):
    """Knows our patients."""

    def person(self, cx: str) -> Demographics:
        """What is known of one."""


class Discovery:
    """A ``community.PatientMapping`` by patient discovery; safe to share between threads.

    Args:
        partner: who is asked.
        home: our own homeCommunityId.
        people: what is told of our patients besides their ids.
        correlations: what was discovered before.
        clock: the time of day, UTC.
    """

    def __init__(
        self,
        partner: LoadedPartner,
        home: str,
        people: People,
        correlations: Correlations,
        clock: Callable[[], datetime],
    ) -> None:
        self._table = partner.table
        self._line = Line(partner.table.patients.discovery_url, line_options(partner))
        self._longest = timedelta(days=partner.table.patients.remember_days)
        self._home = home
        self._people = people
        self._correlations = correlations
        self._clock = clock

    def close(self) -> None:
        """Close the connections that are kept."""
        self._line.close()

    def find(self, patient: str, errand: Errand) -> Sequence[Correlation]:
        """The patient's ids there, one for each of its communities that knows the patient.

        Raises:
            NotAsked: it wants the caller's assertion, and none came.
            RemoteFault: it answers with a SOAP fault.
            RemoteUnavailable: it gives no answer.
            Unusable: it offers several patients for one, wants to know more, or says that it has no answer.
        """
        now = self._clock()
        moment = int(now.timestamp())
        known = self._correlations.find(patient, self._table.name, moment)
        if known is None:
            known, time_to_live = self._ask(patient, errand, now)
            if time_to_live > _NEVER:
                until = moment + int(time_to_live.total_seconds())
                self._correlations.keep(patient, self._table.name, known, moment, until)
        return [Correlation(each.home, each.external) for each in known]

    def _ask(self, patient: str, errand: Errand, now: datetime) -> tuple[list[Known], timedelta]:
        assertion = assertion_of(errand, self._table.assertion, self._line)
        person = self._people.person(patient)
        query = messages.query(patient, person, self._home, self._table.homes[0], now)
        sent = Onward(errand.request, ITI_55, self._line.url, NOTHING_KNOWN, query)
        with sent.failing():
            answer = ask(self._line, ITI_55, [etree.tostring(query)], errand.deadline, assertion, _LIMITS)
            try:
                candidates = messages.read_answer(answer)
            except ValueError as error:
                raise Unusable(self._line.url, str(error)) from None
        sent.answered(ResponseStatus.SUCCESS, ())
        return self._chosen(candidates), min(_time_to_live(answer, now), self._longest)

    def _chosen(self, candidates: Sequence[Candidate]) -> list[Known]:
        """The one patient of each community; who would choose among several might open another's history."""
        found: dict[str, Known] = {}
        for candidate in candidates:
            if candidate.home not in self._table.homes:
                continue
            known = Known(candidate.home, cx(candidate.identifier))
            if found.setdefault(candidate.home, known) != known:
                raise Unusable(self._line.url, "it offers several patients for this one")
        return list(found.values())


def _time_to_live(answer: _Element, now: datetime) -> timedelta:
    """How long it may be remembered; not at all where it does not say (ITI TF-2 3.55.4.2.3)."""
    header = answer.getroottree().getroot().find(_TIME_TO_LIVE)
    try:
        duration = isodate.parse_duration("" if header is None else (header.text or "").strip())
        whole = duration if isinstance(duration, timedelta) else duration.totimedelta(start=now)
    except (ValueError, OverflowError):
        return _NEVER
    return max(whole, _NEVER)
